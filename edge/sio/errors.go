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
	ErrPacketType       // no type digit, or one beyond 6
	ErrAttachments      // the count is missing, zero, not a plain integer, or above the limit
	ErrNamespace        // the namespace is not UTF-8
	ErrAckID            // missing on an ACK, present where none belongs, leading zeros, above 2^53-1
	ErrPayload          // the payload is missing, or has the wrong shape for the packet type
	ErrJSON             // the payload is not JSON
	ErrDepth            // arrays and objects are nested deeper than the limit
	ErrEventName        // the first element of an event is not a string
	ErrReservedEvent    // the event has a name that the protocol keeps for itself
	ErrPlaceholder      // a placeholder's num is missing, no plain integer, or out of range
	ErrUnexpectedBinary // a binary message although no header announced one
	ErrUnexpectedText   // a text packet although attachments are outstanding
	ErrTooLarge         // the packet with its attachments is above the limit
)

var errorTexts = [...]struct{ reason, text string }{
	ErrEmptyPacket:      {"empty_packet", "empty Engine.IO packet"},
	ErrEngineType:       {"engine_type", "unknown Engine.IO packet type: want 0 to 6, or b in a payload"},
	ErrBase64:           {"base64", "binary packet is not padded standard base64"},
	ErrUTF8:             {"utf8", "text is not UTF-8"},
	ErrPacketType:       {"packet_type", "unknown Socket.IO packet type: want 0 to 6"},
	ErrAttachments:      {"attachments", "attachment count must be a plain integer from 1 to the limit, followed by -"},
	ErrNamespace:        {"namespace", "namespace is not UTF-8"},
	ErrAckID:            {"ack_id", "ack id must be a plain integer up to 2^53-1, on EVENT and ACK only, required on ACK"},
	ErrPayload:          {"payload", "payload has the wrong shape for its packet type"},
	ErrJSON:             {"json", "payload is not valid JSON"},
	ErrDepth:            {"depth", "payload is nested too deeply"},
	ErrEventName:        {"event_name", "event name must be a string"},
	ErrReservedEvent:    {"reserved_event", "event name is reserved by the protocol"},
	ErrPlaceholder:      {"placeholder", "placeholder num must be an integer below the attachment count"},
	ErrUnexpectedBinary: {"unexpected_binary", "binary message without a header that announces it"},
	ErrUnexpectedText:   {"unexpected_text", "text packet while attachments are outstanding"},
	ErrTooLarge:         {"too_large", "packet with its attachments exceeds the limit"},
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
