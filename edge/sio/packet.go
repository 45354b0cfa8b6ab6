package sio

// PacketType is the kind of a Socket.IO packet.
type PacketType uint8

const (
	Connect      PacketType = iota // both: join a namespace, and the answer
	Disconnect                     // both: leave a namespace
	Event                          // both
	Ack                            // both: the answer to an event with an id
	ConnectError                   // server: a refused Connect
	BinaryEvent                    // an event with attachments
	BinaryAck                      // an ack with attachments
)

// maxAckID is the largest integer that every client can hold (2^53-1).
const maxAckID = 1<<53 - 1

// Packet is one Socket.IO packet, whichever parser it came from.
type Packet struct {
	Type      PacketType
	HasID     bool
	Namespace string // begins with "/"
	ID        uint64 // ack id, up to 2^53-1

	// Data is raw JSON without surrounding space, nil when absent: an object for Connect and ConnectError,
	// an array for events and acks. In binary packets placeholder objects stand for the attachments.
	Data []byte
	// Attachments are what placeholders refer to, by index.
	Attachments [][]byte
}

// Limits bound what a [Decoder] accepts. A field that is zero means its default.
type Limits struct {
	MaxAttachments int // per packet; 10, as in the reference
	MaxDepth       int // nesting of arrays and objects; 128, at most 1024
	// MaxBytes bounds one packet with all its attachments, and so what an unfinished one may hold; 1 MiB.
	MaxBytes int
	// Namespaces are names the caller knows. A packet in one of them is decoded without copying the name.
	Namespaces []string
}

const (
	defaultAttachments = 10
	defaultDepth       = 128
	defaultBytes       = 1 << 20
)

func (l Limits) withDefaults() Limits {
	if l.MaxAttachments <= 0 {
		l.MaxAttachments = defaultAttachments
	}
	if l.MaxDepth <= 0 {
		l.MaxDepth = defaultDepth
	}
	l.MaxDepth = min(l.MaxDepth, hardDepth)
	if l.MaxBytes <= 0 {
		l.MaxBytes = defaultBytes
	}
	return l
}

// Event returns the name and the arguments of an Event or BinaryEvent. The name is a copy; the arguments
// are parts of Data. The reference also accepts a number as name and nobody sends one: that is
// ErrEventName, as is any other packet type.
func (p Packet) Event() (name string, args Args, err error) {
	if p.Type != Event && p.Type != BinaryEvent {
		return "", Args{}, ErrEventName
	}
	raw, args, ok := p.Args().Next()
	if !ok || raw[0] != '"' {
		return "", Args{}, ErrEventName
	}
	return unquote(raw), args, nil
}

// Args returns the elements of an array payload: for acks the arguments, for events the name and then the
// arguments. Other payloads have none.
func (p Packet) Args() Args {
	if len(p.Data) == 0 || p.Data[0] != '[' {
		return Args{}
	}
	return Args{rest: p.Data[1:]}
}

// Args iterates over the elements of a JSON array without building them:
//
//	for raw, rest, ok := args.Next(); ok; raw, rest, ok = rest.Next() { … }
//
// It is a value: advancing one copy leaves the others where they are.
type Args struct {
	rest []byte // the array behind its opening bracket, or behind an element and its comma
}

// Next returns the first element, without surrounding space, and what follows it.
func (a Args) Next() (raw []byte, rest Args, ok bool) {
	s := newScanner(a.rest, hardDepth)
	raw, ok = s.value()
	if !ok {
		return nil, Args{}, false
	}
	s.space()
	if s.pos < len(s.b) && s.b[s.pos] == ',' {
		rest.rest = s.b[s.pos+1:]
	}
	return raw, rest, true
}

// Len counts the elements; it reads all of them.
func (a Args) Len() int {
	n := 0
	for _, rest, ok := a.Next(); ok; _, rest, ok = rest.Next() {
		n++
	}
	return n
}
