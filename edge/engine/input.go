package engine

// The parts of RFC 6455 section 5.2 and 7.4.1 that both directions need.
const (
	finBit   = 0x80
	opText   = 1
	opBinary = 2

	codeNormal        = 1000
	codeGoingAway     = 1001
	codeProtocolError = 1002
	codeTooLarge      = 1009
)
