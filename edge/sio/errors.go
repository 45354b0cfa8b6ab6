package sio

// Error says why input was refused. The values are constants: compare with ==, and refusing costs no memory
// however often it happens. The texts hold nothing of the input, so they may be logged.
type Error uint8

const (
	_ Error = iota
	// Engine.IO.
	ErrEmptyPacket // an empty message, POST body, or a separator with nothing behind it
	ErrEngineType  // the first character is none of 0-6 and b
	ErrBase64      // b is not followed by padded standard base64
	ErrUTF8        // text that is not UTF-8

	// Socket.IO.
	ErrPacketType       // no type, or one beyond 6: in MessagePack beyond 4
	ErrAttachments      // the count is missing, zero, not a plain integer, or above the limit
	ErrNamespace        // the namespace is not UTF-8; in MessagePack also missing or not as the JSON form spells it
	ErrAckID            // missing on an ACK, present where none belongs, leading zeros, above 2^53-1
	ErrPayload          // the payload is missing, or has the wrong shape for the packet type
	ErrJSON             // the payload is not JSON
	ErrDepth            // arrays and objects are nested deeper than the limit
	ErrEventName        // the first element of an event is not a string
	ErrReservedEvent    // the event has a name that the protocol keeps for itself
	ErrPlaceholder      // a placeholder's num is missing, no plain integer, or out of range
	ErrUnexpectedBinary // a binary message although no header announced one
	ErrUnexpectedText   // a text packet although attachments are outstanding, or where MessagePack is spoken
	ErrTooLarge         // the packet with its attachments is above the limit

	// MessagePack, beside those of Socket.IO.
	ErrPacketMap   // the message is no map
	ErrMsgpackKey  // a map has a key that is no string, or the packet one of its own keys twice
	ErrMsgpackType // a value of a type that neither JSON knows nor the official encoder writes
	ErrTruncated   // a value, or a length that it announces, reaches behind the end
	ErrTrailing    // something stands behind the packet
)

var errorTexts = [...]struct{ reason, text string }{
	ErrEmptyPacket:      {"empty_packet", "empty Engine.IO packet"},
	ErrEngineType:       {"engine_type", "unknown Engine.IO packet type: want 0 to 6, or b in a payload"},
	ErrBase64:           {"base64", "binary packet is not padded standard base64"},
	ErrUTF8:             {"utf8", "text is not UTF-8"},
	ErrPacketType:       {"packet_type", "unknown Socket.IO packet type: want 0 to 6, in MessagePack 0 to 4"},
	ErrAttachments:      {"attachments", "attachment count must be a plain integer from 1 to the limit, followed by -"},
	ErrNamespace:        {"namespace", "namespace must be UTF-8, begin with / and hold no comma"},
	ErrAckID:            {"ack_id", "ack id must be a plain integer up to 2^53-1, on EVENT and ACK only, required on ACK"},
	ErrPayload:          {"payload", "payload has the wrong shape for its packet type"},
	ErrJSON:             {"json", "payload is not valid JSON"},
	ErrDepth:            {"depth", "payload is nested too deeply"},
	ErrEventName:        {"event_name", "event name must be a string"},
	ErrReservedEvent:    {"reserved_event", "event name is reserved by the protocol"},
	ErrPlaceholder:      {"placeholder", "placeholder num must be an integer below the attachment count"},
	ErrUnexpectedBinary: {"unexpected_binary", "binary message without a header that announces it"},
	ErrUnexpectedText:   {"unexpected_text", "text packet while attachments are outstanding, or from a client that speaks MessagePack"},
	ErrTooLarge:         {"too_large", "packet with its attachments exceeds the limit"},
	ErrPacketMap:        {"msgpack_packet", "MessagePack packet must be a map"},
	ErrMsgpackKey:       {"msgpack_key", "MessagePack keys must be strings, each of the packet's own once"},
	ErrMsgpackType:      {"msgpack_type", "MessagePack value is of no type that JSON, undefined, Date or binary data need"},
	ErrTruncated:        {"msgpack_truncated", "MessagePack value reaches behind the end of its message"},
	ErrTrailing:         {"msgpack_trailing", "bytes behind the MessagePack packet"},
}

// Error says what is wrong and what would be right.
func (e Error) Error() string { return "sio: " + e.entry().text }

// Reason is a stable snake_case word for a metric label.
func (e Error) Reason() string { return e.entry().reason }

func (e Error) entry() struct{ reason, text string } {
	if e == 0 || int(e) >= len(errorTexts) {
		return struct{ reason, text string }{"unknown", "unknown error"}
	}
	return errorTexts[e]
}
