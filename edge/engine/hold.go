package engine

import "time"

// holdLimit bounds Hold: no client notices it.
const holdLimit = time.Millisecond

// Hold keeps what is sent from now on until Release, for at most holdLimit, so that what follows soon leaves in
// the same write. Order, bounds and classes stay as they are. It is no promise that nothing leaves: whoever
// writes for another reason, a callback that has sent something or a GET, takes along what is held. A second
// Hold does not extend the first.
func (s *Session) Hold() {
	s.mu.Lock()
	held := s.held
	s.held = true
	s.mu.Unlock()
	if !held {
		time.AfterFunc(holdLimit, s.Release)
	}
}

// Release ends Hold, if it has not ended.
func (s *Session) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = false
	s.wake()
}
