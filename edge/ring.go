package edge

// ring holds the newest events of the log, by room, so that a client that was away for a moment gets
// what it missed without the bus. It belongs to the fan-out goroutine and has no lock.
//
// It promises that since(room, seq) is everything that the log had for the room behind seq, whenever
// covers(seq) is true.
type ring struct {
	events []*delivery // oldest first; a slice that is cut in front and copied now and then
	rooms  map[string][]*delivery
	first  uint64 // everything from this sequence on is here
	last   uint64 // of the newest event, or what the edge began behind
	bytes  int
}

// A ring keeps at most this much: minutes of an ordinary office, seconds of a storm. Behind it is the
// stream.
const (
	ringEvents = 16 << 10
	ringBytes  = 16 << 20
)

func newRing(position uint64) *ring {
	return &ring{rooms: make(map[string][]*delivery), first: position + 1, last: position}
}

// add takes the next message of the log, also one for a room that nobody is in here: its members may
// come from another edge. One that is no event for clients has no room; a change of access, which is none
// either, is kept for those who were away when it was made.
func (r *ring) add(d *delivery) {
	r.last = d.seq
	if d.room == "" {
		return
	}
	kept := *d
	r.events = append(r.events, &kept)
	r.rooms[d.room] = append(r.rooms[d.room], &kept)
	r.bytes += len(d.payload)
	for len(r.events) > ringEvents || r.bytes > ringBytes {
		r.drop()
	}
}

// drop forgets the oldest event, which is also the oldest of its room.
func (r *ring) drop() {
	d := r.events[0]
	r.events[0] = nil
	r.events = r.events[1:]
	r.bytes -= len(d.payload)
	r.first = d.seq + 1
	room := d.room
	if list := r.rooms[room]; len(list) > 1 {
		list[0] = nil
		r.rooms[room] = list[1:]
	} else {
		delete(r.rooms, room)
	}
}

// newest is the newest event here, nil without one.
func (r *ring) newest() *delivery {
	if len(r.events) == 0 {
		return nil
	}
	return r.events[len(r.events)-1]
}

// covers reports whether everything behind seq is here.
func (r *ring) covers(seq uint64) bool { return seq+1 >= r.first }

// since appends a room's events behind seq, oldest first.
func (r *ring) since(dst []*delivery, room string, seq uint64) []*delivery {
	list := r.rooms[room]
	from := len(list)
	for from > 0 && list[from-1].seq > seq {
		from--
	}
	return append(dst, list[from:]...)
}

// before returns up to n of a room's events before a position, newest first.
func (r *ring) before(room string, position uint64, n int) (events []*delivery) {
	list := r.rooms[room]
	for i := len(list) - 1; i >= 0 && len(events) < n; i-- {
		if list[i].seq < position {
			events = append(events, list[i])
		}
	}
	return events
}
