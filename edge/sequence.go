package edge

// sequence judges the messages of the log by their numbers, so that the reader never skips one unnoticed.
//
// A consumer numbers what it delivers 1, 2, 3 …: a number left out is a message that was not received. The
// log's own numbers may have holes, where messages were erased; a hole is also what is left of messages
// that were trimmed before they were read, and only the stream can tell the two apart.
type sequence struct {
	position  uint64 // log sequence of the last message in order
	consumer  string // whose numbering delivered counts in
	delivered uint64 // the consumer's number of the last message
}

type order uint8

const (
	seqNext     order = iota // the next message
	seqHole                  // the next message that was delivered, but not the next of the log
	seqRepeated              // had before
	seqGap                   // something before it was not received
)

// judge looks at one message: the consumer's name, its number there, its sequence in the log. A consumer
// not seen before begins at 1. After a gap everything is one until the reader begins anew.
func (s *sequence) judge(consumer string, number, seq uint64) order {
	if consumer != s.consumer {
		s.consumer, s.delivered = consumer, 0
	}
	if number <= s.delivered && seq <= s.position {
		return seqRepeated
	}
	if number != s.delivered+1 {
		return seqGap
	}
	s.delivered = number
	switch {
	case seq <= s.position:
		return seqRepeated
	case seq > s.position+1:
		return seqHole
	}
	return seqNext
}

// took moves the position on.
func (s *sequence) took(seq uint64) { s.position = seq }
