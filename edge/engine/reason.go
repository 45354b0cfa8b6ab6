package engine

// Reason says why a session ended. Its name is a metric label and stays stable.
type Reason uint8

// Reasons of Handler.Close. The engine gives those of the first group itself; the others are for
// callers of Session.Close and CloseAfterFlush.
const (
	ReasonNone            Reason = iota
	ReasonTransportClose         // the client closed: FIN, WebSocket close, or packet 1
	ReasonTransportError         // reset, write error, a GET or POST cut off or doubled
	ReasonPingTimeout            // no pong in time
	ReasonParseError             // a malformed Engine.IO packet or invalid UTF-8
	ReasonForbiddenFrame         // a WebSocket frame against RFC 6455, or a ping from the client
	ReasonMessageTooLarge        // above MaxPayload, or too many fragments
	ReasonSlowReader             // more waited for it than QueueFrames or QueueBytes
	ReasonConnectTimeout         // Established was not called in time

	ReasonServerClose // the application closed it
	ReasonDrain       // the process is going away; clients come back elsewhere
	ReasonKicked      // the application threw the user out
	ReasonMoved       // it goes on in another engine; see Offer

	reasonCount
)

var reasonNames = [reasonCount]string{
	ReasonNone:            "none",
	ReasonTransportClose:  "transport_close",
	ReasonTransportError:  "transport_error",
	ReasonPingTimeout:     "ping_timeout",
	ReasonParseError:      "parse_error",
	ReasonForbiddenFrame:  "forbidden_frame",
	ReasonMessageTooLarge: "message_too_large",
	ReasonSlowReader:      "slow_reader",
	ReasonConnectTimeout:  "connect_timeout",
	ReasonServerClose:     "server_close",
	ReasonDrain:           "drain",
	ReasonKicked:          "kicked",
	ReasonMoved:           "moved",
}

// String gives the reason's stable name.
func (r Reason) String() string {
	if r >= reasonCount {
		return "unknown"
	}
	return reasonNames[r]
}

// closeCode is the WebSocket close code that tells the peer (RFC 6455 section 7.4.1).
func (r Reason) closeCode() uint16 {
	switch r {
	case ReasonForbiddenFrame:
		return codeProtocolError
	case ReasonMessageTooLarge:
		return codeTooLarge
	case ReasonDrain:
		return codeGoingAway
	default:
		return codeNormal
	}
}

// abrupt reports whether the peer has shown that it does not read, so that a close frame would only
// keep its unread bytes in the kernel.
func (r Reason) abrupt() bool {
	return r == ReasonSlowReader || r == ReasonPingTimeout || r == ReasonTransportError
}

// refusal says why a request did not become, or does not belong to, a session.
type refusal uint8

const (
	refusedTransport refusal = iota // protocol code 0
	refusedSession                  // 1
	refusedMethod                   // 2
	refusedRequest                  // 3
	refusedForbidden                // 4: the Allow hook
	refusedVersion                  // 5
	refusedOrigin
	refusedFull
	refusedStopped
	refusedHeadTooLarge
	refusedHeadTimeout
	refusedBodyTooLarge
	refusedSecondSocket
	refusedUpgradeTimeout
	refusalCount
)

var refusalNames = [refusalCount]string{
	refusedTransport:      "transport_unknown",
	refusedSession:        "session_unknown",
	refusedMethod:         "bad_method",
	refusedRequest:        "bad_request",
	refusedForbidden:      "forbidden",
	refusedVersion:        "protocol_version",
	refusedOrigin:         "origin",
	refusedFull:           "max_sessions",
	refusedStopped:        "not_accepting",
	refusedHeadTooLarge:   "head_too_large",
	refusedHeadTimeout:    "head_timeout",
	refusedBodyTooLarge:   "body_too_large",
	refusedSecondSocket:   "second_websocket",
	refusedUpgradeTimeout: "upgrade_timeout",
}

// drop says why a frame was not delivered though its session lived.
type drop uint8

const (
	dropReplaced drop = iota // a Gauge gave way to a newer one
	dropPassing              // a Passing frame met a queue that was a quarter full
	dropEvicted              // a waiting Passing frame made room for a Stored one
	dropCount
)

var dropNames = [dropCount]string{
	dropReplaced: "replaced",
	dropPassing:  "passing",
	dropEvicted:  "evicted",
}
