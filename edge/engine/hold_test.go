package engine

import (
	"testing"
	"testing/synctest"
	"time"
)

// onItsWay reports whether somebody was asked to write.
func onItsWay(s *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listed
}

func TestHoldEnds(t *testing.T) {
	for name, test := range map[string]struct {
		release bool
		after   time.Duration
		want    bool
	}{
		"not yet":       {after: holdLimit - 1},
		"by release":    {release: true, want: true},
		"by itself":     {after: holdLimit, want: true},
		"after release": {release: true, after: holdLimit, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			_, s := stuck(t, Options{})
			synctest.Test(t, func(t *testing.T) { // the engine's own clock is outside
				s.Hold()
				s.Send(Text([]byte("a")))
				s.Send(Text([]byte("b")))
				if onItsWay(s) {
					t.Fatal("it is not held")
				}
				if test.release {
					s.Release()
				}
				time.Sleep(test.after)
				synctest.Wait()
				if got := onItsWay(s); got != test.want {
					t.Errorf("on its way: %v, want %v", got, test.want)
				}
				if got := waiting(s); got != "4a 4b " {
					t.Errorf("waiting: %s", got)
				}
				time.Sleep(holdLimit) // no timer outlives the test
			})
		})
	}
}

func TestSecondHoldDoesNotExtend(t *testing.T) {
	_, s := stuck(t, Options{})
	synctest.Test(t, func(t *testing.T) {
		s.Hold()
		time.Sleep(holdLimit / 2)
		s.Hold()
		s.Send(Text([]byte("a")))
		time.Sleep(holdLimit / 2)
		synctest.Wait()
		if !onItsWay(s) {
			t.Error("still held")
		}
	})
}

// What is held arrives, in order, by itself and when the session is to end behind it.
func TestHeldFramesArrive(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode})
		c := s.websocket()
		session := s.session()
		session.Hold()
		session.Send(Text([]byte("a")))
		session.Send(Text([]byte("b")))
		c.wantText("4a", "4b")
		session.Hold()
		session.Send(Text([]byte("c")))
		session.Release()
		c.wantText("4c")
		session.Hold()
		session.Send(Text([]byte("d")))
		session.CloseAfterFlush(ReasonServerClose)
		c.wantText("4d")
		s.reason(ReasonServerClose)
	})
}
