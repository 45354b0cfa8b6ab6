package engine

import "sync"

// queue holds the frames that wait for one session, oldest first. Its arrays come from pools by size
// and go back when it is empty: nothing is allocated per delivery and nothing held when idle.
// It is guarded by its session's lock.
type queue struct {
	list []*Frame
	// sent counts bytes of list[0] that are on the wire already. Such a frame must stay first.
	sent int
	// frames and bytes count what waits and what is being written at this moment.
	frames int32
	bytes  int32
}

// Sizes of pooled arrays: a burst, a slow moment, a full queue.
const (
	smallQueue  = 16
	middleQueue = 128
	largeQueue  = 1024
)

var (
	smallQueues  = sync.Pool{New: func() any { return new([smallQueue]*Frame) }}
	middleQueues = sync.Pool{New: func() any { return new([middleQueue]*Frame) }}
	largeQueues  = sync.Pool{New: func() any { return new([largeQueue]*Frame) }}
)

// newList gives an empty list with room for n frames.
func newList(n int) []*Frame {
	switch {
	case n <= smallQueue:
		return smallQueues.Get().(*[smallQueue]*Frame)[:0]
	case n <= middleQueue:
		return middleQueues.Get().(*[middleQueue]*Frame)[:0]
	case n <= largeQueue:
		return largeQueues.Get().(*[largeQueue]*Frame)[:0]
	}
	return make([]*Frame, 0, max(n, 2*largeQueue))
}

// freeList gives a list's array back.
func freeList(list []*Frame) {
	list = list[:cap(list)]
	switch len(list) {
	case smallQueue:
		clear(list)
		smallQueues.Put((*[smallQueue]*Frame)(list))
	case middleQueue:
		clear(list)
		middleQueues.Put((*[middleQueue]*Frame)(list))
	case largeQueue:
		clear(list)
		largeQueues.Put((*[largeQueue]*Frame)(list))
	}
}

// push appends one frame.
func (q *queue) push(f *Frame) {
	if len(q.list) == cap(q.list) {
		q.grow(1)
	}
	q.list = append(q.list, f)
	q.frames++
	q.bytes += f.weight()
}

// grow makes room for n more frames.
func (q *queue) grow(n int) {
	list := append(newList(len(q.list)+n), q.list...)
	if q.list != nil {
		freeList(q.list)
	}
	q.list = list
}

// take hands out everything that waits, to be written, and how much of it is written already.
func (q *queue) take() (list []*Frame, sent int) {
	list, sent = q.list, q.sent
	q.list, q.sent = nil, 0
	return list, sent
}

// wrote takes back a list that was taken, after n more of its bytes went out. What is left goes
// before what was pushed meanwhile. It returns the number of frames that are through.
func (q *queue) wrote(list []*Frame, sent, n int) (done int) {
	n += sent
	for done < len(list) && n >= len(list[done].wire) {
		n -= len(list[done].wire)
		q.bytes -= list[done].weight()
		done++
	}
	q.frames -= int32(done)
	if done == len(list) {
		freeList(list)
		return done
	}
	q.sent = n
	left := copy(list, list[done:])
	clear(list[left:])
	list = list[:left]
	newer := q.list
	q.list = list
	if len(newer) > 0 {
		if left+len(newer) > cap(list) {
			q.grow(len(newer))
		}
		q.list = append(q.list, newer...)
	}
	if newer != nil {
		freeList(newer)
	}
	return done
}

// remove takes out the waiting frames that match, except one that is partly on the wire, and returns
// how many. What a writer has taken does not wait any more.
func (q *queue) remove(match func(*Frame) bool) int {
	kept := q.list[:0]
	for i, f := range q.list {
		if (i > 0 || q.sent == 0) && match(f) {
			q.frames--
			q.bytes -= f.weight()
			continue
		}
		kept = append(kept, f)
	}
	removed := len(q.list) - len(kept)
	clear(q.list[len(kept):])
	q.list = kept
	return removed
}

// drop forgets everything that waits, but not that a frame is partly on the wire.
func (q *queue) drop() {
	for _, f := range q.list {
		q.frames--
		q.bytes -= f.weight()
	}
	if q.list != nil {
		freeList(q.list)
	}
	q.list = nil
}
