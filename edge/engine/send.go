package engine

// Send queues frames, all of them or none, and returns whether they were taken: not when the session
// is closing, when it is full (then it closes for ReasonSlowReader), or when a Passing frame met a
// queue that was a quarter full. It never blocks and never calls the Handler.
func (s *Session) Send(frames ...*Frame) bool {
	s.mu.Lock()
	taken := !s.closing && s.after == ReasonNone && s.enqueue(frames)
	if taken {
		s.wake()
	}
	s.mu.Unlock()
	return taken
}

// enqueue applies the class rules. Called with mu held.
func (s *Session) enqueue(frames []*Frame) bool {
	if len(frames) == 0 {
		return true
	}
	f, bytes := frames[0], 0
	for _, one := range frames {
		bytes += int(one.weight())
	}
	if f.class != Stored {
		if len(frames) > 1 {
			f = join(frames)
			frames = nil
		}
		if !s.yield(f) {
			return false
		}
	}
	if !s.room(max(len(frames), 1), bytes) {
		s.close(ReasonSlowReader)
		return false
	}
	if len(frames) <= 1 {
		s.queue.push(f)
		return true
	}
	for _, one := range frames {
		s.queue.push(one)
	}
	return true
}

// yield makes way for or against a frame whose class allows it. It returns false when f is dropped.
func (s *Session) yield(f *Frame) bool {
	o, c := &s.engine.options, &s.engine.counters
	switch f.class {
	case Gauge:
		if len(s.queue.list) > 0 {
			n := s.queue.remove(func(old *Frame) bool { return old.class == Gauge && old.key == f.key })
			if n > 0 {
				c.dropped[dropReplaced].Add(uint64(n))
			}
		}
	case Passing:
		if int(s.queue.frames) > o.QueueFrames/4 || int(s.queue.bytes) > o.QueueBytes/4 {
			c.dropped[dropPassing].Add(1)
			return false
		}
	}
	return true
}

// room reports whether the queue takes that much more, after dropping Passing frames if it must. An
// empty queue takes anything: a frame above QueueBytes is not the reader's fault.
func (s *Session) room(frames, bytes int) bool {
	o := &s.engine.options
	full := func() bool {
		return s.queue.frames > 0 &&
			(int(s.queue.frames)+frames > o.QueueFrames || int(s.queue.bytes)+bytes > o.QueueBytes)
	}
	if !full() {
		return true
	}
	n := s.queue.remove(func(old *Frame) bool { return old.class == Passing })
	s.engine.counters.dropped[dropEvicted].Add(uint64(n))
	return !full()
}

// wake gets what waits onto its way, unless somebody is on it already. Called with mu held.
func (s *Session) wake() {
	switch {
	case s.batch || s.held || len(s.queue.list) == 0:
	case s.polling != nil:
		s.polling.signal()
	case s.listed || s.writing || s.blocked || s.link == nil:
	default:
		s.listed = true
		s.link.kick(s)
	}
}

// kickOff has what waits written by whoever does that, for callers that do not write themselves.
func (s *Session) kickOff() {
	s.mu.Lock()
	s.wake()
	s.mu.Unlock()
}

// flush writes what waits, in one call for all of it, until nothing waits or the socket is full.
// Callers need not be alone: whoever comes while another writes leaves it to the other.
func (s *Session) flush(v *vector) {
	s.mu.Lock()
	s.listed = false
	for s.link != nil && !s.writing && !s.blocked && !s.closing && len(s.queue.list) > 0 {
		list, sent := s.queue.take()
		l, window := s.link, s.window
		s.writing = true
		s.mu.Unlock()
		if window != 0 {
			packAll(list, s.engine, window)
		}
		n, err := l.write(list, sent, v)
		s.mu.Lock()
		s.writing = false
		s.wrote(l, list, sent, n, err)
	}
	s.mu.Unlock()
}

// wrote accounts for one write. Called with mu held.
func (s *Session) wrote(l link, list []*Frame, sent, n int, err error) {
	c, total := &s.engine.counters, len(list)
	done := s.queue.wrote(list, sent, n)
	c.writes.Add(1)
	c.framesOut.Add(uint64(done))
	c.bytesOut.Add(uint64(n))
	switch {
	case err != nil:
		s.close(ReasonTransportError)
	case s.closing:
	case done < total:
		s.blocked = true
		l.arm(s)
	case s.queue.frames == 0 && s.after != ReasonNone && !s.batch:
		s.close(s.after)
	}
	if code := s.shutCode; code != 0 {
		s.shutCode = 0
		go l.shut(code, s.reason.abrupt())
	}
}

// resume goes on where a full socket stopped the flush.
func (s *Session) resume(v *vector) {
	s.mu.Lock()
	s.blocked = false
	s.mu.Unlock()
	s.flush(v)
}

// pongBack queues the answer to a WebSocket ping. Only the latest ping needs one (RFC 6455 section
// 5.5.3), so that pings are no way to fill the queue.
func (s *Session) pongBack(data []byte) {
	f := &Frame{wire: append(appendHeader(nil, opPong, len(data)), data...), pong: true}
	s.mu.Lock()
	if !s.closing {
		s.queue.remove(func(old *Frame) bool { return old.pong })
		s.queue.push(f)
		s.wake()
	}
	s.mu.Unlock()
}
