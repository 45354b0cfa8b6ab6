package sio

// Form is how the packets of one connection are written. It is the client's choice and nothing announces it
// but its first message: see [FormOf]. The zero value is JSON.
//
// Its methods append what a gateway sends, like the functions of the same names.
type Form uint8

const (
	JSON        Form = iota // a text message each; attachments are binary messages behind it
	MessagePack             // a binary message each

	Forms = iota // how many there are
)

// FormOf tells the form from the first message of a client: its CONNECT, as JSON always text, as MessagePack
// always binary.
func FormOf(binary bool) Form {
	if binary {
		return MessagePack
	}
	return JSON
}

// AppendEvent writes an EVENT without ack id.
func (f Form) AppendEvent(dst []byte, nsp, name string, args ...[]byte) []byte {
	if f == MessagePack {
		return appendMsgpackEvent(dst, nsp, name, args)
	}
	return AppendEvent(dst, nsp, name, args...)
}

// AppendAck writes an ACK for the event with this id.
func (f Form) AppendAck(dst []byte, nsp string, id uint64, args ...[]byte) []byte {
	if f == MessagePack {
		return appendMsgpackAck(dst, nsp, id, args)
	}
	return AppendAck(dst, nsp, id, args...)
}

// AppendConnectSID writes the answer to CONNECT; pid may be "".
func (f Form) AppendConnectSID(dst []byte, nsp, sid, pid string) []byte {
	if f == MessagePack {
		return AppendMsgpack(dst, Packet{Type: Connect, Namespace: nsp, Data: appendSID(nil, sid, pid)})
	}
	return AppendConnectSID(dst, nsp, sid, pid)
}

// AppendConnectError writes the refusal of a CONNECT; data is JSON, or empty.
func (f Form) AppendConnectError(dst []byte, nsp, message string, data []byte) []byte {
	if f == MessagePack {
		return AppendMsgpack(dst, Packet{Type: ConnectError, Namespace: nsp, Data: appendRefusal(nil, message, data)})
	}
	return AppendConnectError(dst, nsp, message, data)
}

// AppendDisconnect writes a DISCONNECT.
func (f Form) AppendDisconnect(dst []byte, nsp string) []byte {
	if f == MessagePack {
		return AppendMsgpack(dst, Packet{Type: Disconnect, Namespace: nsp})
	}
	return AppendDisconnect(dst, nsp)
}
