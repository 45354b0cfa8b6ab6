package subjects

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A Code tells a program what went wrong. It crosses the bus and ends as
// data.code, ack.code or error.code at the client; the list of the original is
// in its error events. A service may use codes of its own made of A-Z, 0-9 and
// '_', 64 bytes at most.
type Code string

// The codes that this system itself uses.
const (
	CodeAuthFailed          Code = "AUTH_FAILED"                    // no valid token
	CodeTokenExpired        Code = "TOKEN_EXPIRED"                  // the token was valid once
	CodeForbidden           Code = "FORBIDDEN"                      // known, but may not
	CodeInvalidEvent        Code = "INVALID_EVENT"                  // not an event name, or not of this namespace
	CodeInvalidInput        Code = "INVALID_INPUT"                  // the payload is not what the event needs
	CodeInvalidMessage      Code = "INVALID_MESSAGE"                // message:send without conversation or content
	CodeMessageTooLarge     Code = "MESSAGE_TOO_LARGE"              // beyond a size limit; retrying is useless
	CodeRateLimit           Code = "RATE_LIMIT_EXCEEDED"            // slow down, then retry
	CodeRoomLimit           Code = "ROOM_LIMIT_EXCEEDED"            // leave a room first
	CodeConnectionLimit     Code = "CONNECTION_LIMIT_EXCEEDED"      // this edge is full
	CodeUserConnectionLimit Code = "USER_CONNECTION_LIMIT_EXCEEDED" // this user has too many sockets
	CodeConnectionError     Code = "CONNECTION_ERROR"               // connecting failed for no fault of the client
	CodeNotFound            Code = "NOT_FOUND"                      // no such thing, or none the caller may know of
	CodeConflict            Code = "CONFLICT"                       // somebody was faster; read again
	CodeUnavailable         Code = "UNAVAILABLE"                    // certainly not done; retry
	CodeTimeout             Code = "TIMEOUT"                        // perhaps done
	CodeInternal            Code = "INTERNAL"                       // a fault on our side; details stay in the logs
)

// Valid reports whether c may cross the bus.
func (c Code) Valid() bool {
	if c == "" || len(c) > 64 {
		return false
	}
	for i := range len(c) {
		if b := c[i]; b != '_' && (b < 'A' || b > 'Z') && (b < '0' || b > '9') {
			return false
		}
	}
	return true
}

// An Error is a failure whose code and message may be shown to a client. The
// cause, if there is one, stays inside the process: errors.Is and errors.As see
// it, the bus does not.
type Error struct {
	Code    Code
	Message string

	cause error
}

// Errorf makes an Error. It formats like [fmt.Errorf]: %w keeps the cause, whose
// text then is part of the message.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), cause: errors.Unwrap(err)}
}

// Error returns the message and, for logs, the cause where the message does not
// tell it.
func (e *Error) Error() string {
	if e.cause == nil {
		return e.Message
	}
	if cause := e.cause.Error(); !strings.Contains(e.Message, cause) {
		return e.Message + ": " + cause
	}
	return e.Message
}

// Unwrap returns the cause, nil if there is none.
func (e *Error) Unwrap() error { return e.cause }

// A Refusal is how a client sees an error: the ack of a command that was not carried
// out. An edge makes it of the [Error] that a service answers with, or of its own.
type Refusal struct {
	Success            bool   `json:"success"`          // always false
	Status             string `json:"status,omitempty"` // "error", for subscribe:case and unsubscribe:case
	Error              string `json:"error"`
	Code               Code   `json:"code"`
	RetryAfter         int    `json:"retryAfter,omitempty"` // seconds
	CurrentConnections int    `json:"currentConnections,omitempty"`
	CurrentRoomCount   int    `json:"currentRoomCount,omitempty"`
}

// AsError turns any error into one that may cross the bus: an [*Error] in err's
// chain, or what a failure of the bus itself means to a caller. Everything else
// is INTERNAL with a message that says nothing. Nil gives nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	switch {
	case isUnavailable(err):
		return &Error{Code: CodeUnavailable, Message: "no service answers this now", cause: err}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return &Error{Code: CodeTimeout, Message: "no answer in time; it is perhaps done", cause: err}
	case errors.Is(err, nats.ErrMaxPayload):
		return &Error{Code: CodeMessageTooLarge, Message: "larger than the bus carries", cause: err}
	default:
		return &Error{Code: CodeInternal, Message: "internal error", cause: err}
	}
}

// CodeOf returns the code that crosses the bus for err: "" for nil, INTERNAL for
// an error nobody gave a code.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	return AsError(err).Code
}

// MessageOf returns the text that crosses the bus for err: "" for nil.
func MessageOf(err error) string {
	if err == nil {
		return ""
	}
	return AsError(err).Message
}

// IsConflict reports whether a publish to a stream lost its compare-and-set: somebody else was faster. A
// replicated stream says so with a code of its own.
func IsConflict(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// isUnavailable reports errors after which the request certainly was not seen by
// any service.
func isUnavailable(err error) bool {
	for _, target := range []error{
		nats.ErrNoResponders, nats.ErrConnectionClosed, nats.ErrConnectionDraining,
		nats.ErrConnectionReconnecting, nats.ErrReconnectBufExceeded, nats.ErrNoServers,
		jetstream.ErrNoStreamResponse, jetstream.ErrJetStreamNotEnabled,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}
