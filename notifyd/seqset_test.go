package notifyd

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestSeqsetAgainstAModel adds numbers in the disorder in which replicas take them.
func TestSeqsetAgainstAModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var s seqset
	model, floor := map[uint64]bool{}, uint64(0)
	for range 5000 {
		seq := floor + rng.Uint64N(200)
		s.add(seq)
		model[seq] = true
		if rng.IntN(20) == 0 {
			floor += rng.Uint64N(30)
			s.raise(floor)
		}
		if rng.IntN(50) == 0 {
			s.raise(floor / 2) // a floor that is older than the set's
		}
		probe := floor + rng.Uint64N(220)
		if got, want := s.has(probe), probe <= floor || model[probe]; got != want {
			t.Fatalf("has(%d) = %t, want %t; %+v", probe, got, want, s)
		}
	}
	back, err := parseSeqset(s.encode())
	if err != nil || !bytes.Equal(back.encode(), s.encode()) {
		t.Errorf("%+v came back as %+v, %v", s, back, err)
	}
	s.raise(floor + 1000)
	if len(s.runs) != 0 || len(s.encode()) > 3 {
		t.Errorf("what is done is kept: %+v", s)
	}
}

func TestSeqsetKeepsRunsTogether(t *testing.T) {
	var s seqset
	for _, seq := range []uint64{5, 7, 6, 9, 4, 8, 4} {
		s.add(seq)
	}
	if len(s.runs) != 1 || s.runs[0] != (run{4, 9}) {
		t.Errorf("%+v", s)
	}
	s.raise(6)
	if len(s.runs) != 1 || s.runs[0] != (run{7, 9}) {
		t.Errorf("above 6: %+v", s)
	}
}

func FuzzParseSeqset(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{3, 2, 0, 2, 5})
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseSeqset(data)
		if err != nil {
			return
		}
		back, err := parseSeqset(s.encode())
		if err != nil || !bytes.Equal(back.encode(), s.encode()) {
			t.Errorf("%+v came back as %+v, %v", s, back, err)
		}
	})
}
