package sio

import "strconv"

// The encoders append text packets of the default parser to dst. They check nothing: names come from the
// program, payloads are valid JSON. An empty argument is written as null. A namespace "" is "/".

// AppendEvent writes an EVENT without ack id.
func AppendEvent(dst []byte, nsp, name string, args ...[]byte) []byte {
	dst = appendHead(dst, Event, 0, nsp)
	return appendEventData(dst, name, args)
}

// AppendEventID writes an EVENT that asks for an ack.
func AppendEventID(dst []byte, nsp string, id uint64, name string, args ...[]byte) []byte {
	dst = appendHead(dst, Event, 0, nsp)
	dst = strconv.AppendUint(dst, id, 10)
	return appendEventData(dst, name, args)
}

// AppendAck writes an ACK for the event with this id.
func AppendAck(dst []byte, nsp string, id uint64, args ...[]byte) []byte {
	dst = appendHead(dst, Ack, 0, nsp)
	dst = strconv.AppendUint(dst, id, 10)
	dst = append(dst, '[')
	for i, arg := range args {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendArg(dst, arg)
	}
	return append(dst, ']')
}

// AppendConnect writes a client's CONNECT. payload is an object, or empty for none.
func AppendConnect(dst []byte, nsp string, payload []byte) []byte {
	return append(appendHead(dst, Connect, 0, nsp), payload...)
}

// AppendConnectSID writes a server's answer to CONNECT. pid is for connection state recovery; without it
// the answer has the single key sid, which also tells the client that there is no recovery.
func AppendConnectSID(dst []byte, nsp, sid, pid string) []byte {
	return appendSID(appendHead(dst, Connect, 0, nsp), sid, pid)
}

func appendSID(dst []byte, sid, pid string) []byte {
	dst = AppendJSONString(append(dst, `{"sid":`...), sid)
	if pid != "" {
		dst = AppendJSONString(append(dst, `,"pid":`...), pid)
	}
	return append(dst, '}')
}

// AppendConnectError writes the refusal of a CONNECT. data is JSON for the client's error.data, or empty.
func AppendConnectError(dst []byte, nsp, message string, data []byte) []byte {
	return appendRefusal(appendHead(dst, ConnectError, 0, nsp), message, data)
}

func appendRefusal(dst []byte, message string, data []byte) []byte {
	dst = AppendJSONString(append(dst, `{"message":`...), message)
	if len(data) > 0 {
		dst = append(append(dst, `,"data":`...), data...)
	}
	return append(dst, '}')
}

// AppendDisconnect writes a DISCONNECT.
func AppendDisconnect(dst []byte, nsp string) []byte { return appendHead(dst, Disconnect, 0, nsp) }

// AppendPacket writes any packet. Of a binary packet this is the header; its attachments follow as binary
// messages, in order, with nothing of this connection between.
func AppendPacket(dst []byte, p Packet) []byte {
	dst = appendHead(dst, p.Type, len(p.Attachments), p.Namespace)
	if p.HasID {
		dst = strconv.AppendUint(dst, p.ID, 10)
	}
	return append(dst, p.Data...)
}

// AppendArgs writes the elements that args still holds as one JSON array.
func AppendArgs(dst []byte, args Args) []byte {
	dst = append(dst, '[')
	start := len(dst)
	for raw, rest, ok := args.Next(); ok; raw, rest, ok = rest.Next() {
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = append(dst, raw...)
	}
	return append(dst, ']')
}

// appendHead writes everything before the ack id. The comma behind a namespace is always written, as the
// reference does.
func appendHead(dst []byte, t PacketType, attachments int, nsp string) []byte {
	dst = append(dst, '0'+byte(t))
	if t == BinaryEvent || t == BinaryAck {
		dst = append(strconv.AppendInt(dst, int64(attachments), 10), '-')
	}
	if nsp != "" && nsp != "/" {
		dst = append(append(dst, nsp...), ',')
	}
	return dst
}

func appendEventData(dst []byte, name string, args [][]byte) []byte {
	dst = AppendJSONString(append(dst, '['), name)
	for _, arg := range args {
		dst = appendArg(append(dst, ','), arg)
	}
	return append(dst, ']')
}

func appendArg(dst, arg []byte) []byte {
	if len(arg) == 0 {
		return append(dst, "null"...)
	}
	return append(dst, arg...)
}
