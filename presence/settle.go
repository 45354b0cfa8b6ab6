package presence

import (
	"context"
	"errors"
	"time"

	"github.com/lexiflow/realtime/subjects"
)

// conflicts bounds how often one change is decided anew in a row.
const conflicts = 16

// retryAfter is when a user is settled again whose record could not be stored.
const retryAfter = time.Second

// settleAll gives users that are due to the workers, until ctx ends.
func (s *Service) settleAll(ctx context.Context) {
	work := make(chan *user)
	for range s.options.Writers {
		s.group.Go(func() {
			for u := range work {
				s.settleUser(ctx, u)
			}
		})
	}
	defer close(work)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now()
		s.mu.Lock()
		u, next := s.users.pop(now)
		s.mu.Unlock()
		if u != nil {
			select {
			case work <- u:
				continue
			case <-ctx.Done():
				return
			}
		}
		if next.IsZero() {
			next = now.Add(time.Minute)
		}
		timer.Reset(next.Sub(now))
		select {
		case <-ctx.Done():
			return
		case <-s.users.wake:
		case <-timer.C:
		}
	}
}

// settleUser brings a user's record in line with the sockets.
func (s *Service) settleUser(ctx context.Context, u *user) {
	start := time.Now()
	retry := time.Time{}
	switch {
	case !s.nc.IsConnected():
		// A publish would wait in a buffer and be carried out after what it was decided on is over.
		retry = start.Add(retryAfter)
	case !s.resolved(u):
		retry = start.Add(behindRetry)
	default:
		_, err := s.change(ctx, u, func() []fact { return []fact{settled{s.marks(u), s.offlineAt(time.Now())}} })
		if err != nil && ctx.Err() == nil {
			s.metrics.failed.WithLabelValues("settle").Inc()
			s.log.Warn("presence is not stored, trying again", "error", err)
			retry = start.Add(retryAfter)
		} else {
			s.metrics.processed.WithLabelValues("settle").Inc()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !retry.IsZero() {
		s.users.settleAt(u, retry)
	}
	s.users.drop(u)
}

// change applies the facts that make returns to a user's newest state and stores the result: a
// compare-and-set, repeated with what others stored in between. make is called with mu held. It returns
// the state that holds afterwards.
func (s *Service) change(ctx context.Context, u *user, make func() []fact) (state, error) {
	u.turn.Lock()
	defer u.turn.Unlock()
	for range conflicts {
		now := time.Now()
		s.mu.Lock()
		old, revision := u.state, u.revision
		next, c := applyAll(old, make(), now)
		u.state.sockets = next.sockets // what is heard of sockets is not stored
		if !c.next.IsZero() {
			s.users.settleAt(u, c.next)
		}
		s.mu.Unlock()
		if !c.store {
			next.record = old.record
			return next, nil
		}
		stored, err := s.store.saveRecord(ctx, next.record, revision)
		if errors.Is(err, errConflict) {
			s.metrics.conflicts.Inc()
			if err := s.reload(ctx, u); err != nil {
				return old, err
			}
			continue
		}
		if err != nil {
			return old, subjects.AsError(err)
		}
		s.mu.Lock()
		s.learn(u, next.record, stored)
		s.mu.Unlock()
		s.metrics.stored.Inc()
		if c.seen {
			s.tellDialect(old.record.public, next.record.public)
		}
		return next, nil
	}
	return state{}, subjects.Errorf(subjects.CodeConflict, "presence is being changed too often at once")
}

// reload reads a user's record from the bucket.
func (s *Service) reload(ctx context.Context, u *user) error {
	key, err := subjects.Escape(u.id)
	if err != nil {
		return err
	}
	m, err := s.store.load(ctx, recordPrefix+key)
	if err != nil {
		return err
	}
	_, r, err := m.record()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Not learn: after a key expired for good its revision is 0 again.
	u.state.record, u.revision = r, m.revision
	return nil
}
