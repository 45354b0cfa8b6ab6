package notifyd

import (
	"encoding/binary"
	"errors"
	"slices"
)

// seqset is the set of queue messages that a record has taken in. Everything up to
// floor is in it: those messages were acknowledged and removed from the queue, so a
// copy that still turns up somewhere is a late one. Above the floor stand runs of
// consecutive numbers. Its size follows what is in flight, not what ever was.
type seqset struct {
	floor uint64
	runs  []run // ascending, above floor, with gaps between them
}

type run struct{ lo, hi uint64 }

func (s *seqset) has(seq uint64) bool {
	if seq <= s.floor {
		return true
	}
	i := s.find(seq)
	return i < len(s.runs) && s.runs[i].lo <= seq
}

// find returns the first run that does not end before seq.
func (s *seqset) find(seq uint64) int {
	i, _ := slices.BinarySearchFunc(s.runs, seq, func(r run, seq uint64) int {
		if r.hi < seq {
			return -1
		}
		return 1
	})
	return i
}

func (s *seqset) add(seq uint64) {
	if s.has(seq) {
		return
	}
	i := s.find(seq)
	joinsLeft := i > 0 && s.runs[i-1].hi+1 == seq
	joinsRight := i < len(s.runs) && s.runs[i].lo == seq+1
	switch {
	case joinsLeft && joinsRight:
		s.runs[i-1].hi = s.runs[i].hi
		s.runs = slices.Delete(s.runs, i, i+1)
	case joinsLeft:
		s.runs[i-1].hi = seq
	case joinsRight:
		s.runs[i].lo = seq
	default:
		s.runs = slices.Insert(s.runs, i, run{seq, seq})
	}
}

// raise says that everything up to floor is done with. A lower floor than the
// present one changes nothing.
func (s *seqset) raise(floor uint64) {
	if floor <= s.floor {
		return
	}
	s.floor = floor
	i := s.find(floor + 1)
	s.runs = slices.Delete(s.runs, 0, i)
	if len(s.runs) > 0 && s.runs[0].lo <= floor {
		s.runs[0].lo = floor + 1
	}
}

// encode writes the set: floor, then per run its distance and its length less one.
func (s *seqset) encode() (dst []byte) {
	dst = binary.AppendUvarint(dst, s.floor)
	last := s.floor
	for _, r := range s.runs {
		dst = binary.AppendUvarint(dst, r.lo-last)
		dst = binary.AppendUvarint(dst, r.hi-r.lo)
		last = r.hi
	}
	return dst
}

var errBlob = errors.New("a number is missing or out of order")

// blob reads numbers one after another; after the first failure all are zero.
type blob struct {
	b   []byte
	err error
}

func (b *blob) more() bool { return b.err == nil && len(b.b) > 0 }

func (b *blob) next() uint64 {
	v, n := binary.Uvarint(b.b)
	if n <= 0 {
		b.b, b.err = nil, errBlob
		return 0
	}
	b.b = b.b[n:]
	return v
}

func parseSeqset(data []byte) (s seqset, err error) {
	if len(data) == 0 {
		return s, nil
	}
	b := blob{b: data}
	s.floor = b.next()
	for last := s.floor; b.more(); {
		lo := last + b.next()
		hi := lo + b.next()
		if lo <= last || hi < lo || (len(s.runs) > 0 && lo == last+1) {
			return seqset{}, errBlob
		}
		s.runs = append(s.runs, run{lo, hi})
		last = hi
	}
	return s, b.err
}
