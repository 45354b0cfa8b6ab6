package edge

import "sync"

// mailbox takes errands to the fan-out goroutine, which runs them between two events: what must
// happen at one place in the log (joining behind a replay, naming a position) happens there. post may
// be called concurrently and never blocks.
type mailbox struct {
	wake chan struct{}

	mu sync.Mutex
	// Guarded by mu.
	errands []func()
}

func newMailbox() *mailbox { return &mailbox{wake: make(chan struct{}, 1)} }

func (m *mailbox) post(errand func()) {
	m.mu.Lock()
	m.errands = append(m.errands, errand)
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default: // it is awake already
	}
}

// run runs what is there, in order.
func (m *mailbox) run() {
	m.mu.Lock()
	errands := m.errands
	m.errands = nil
	m.mu.Unlock()
	for _, errand := range errands {
		errand()
	}
}
