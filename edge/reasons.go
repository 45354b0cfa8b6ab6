package edge

import (
	"encoding/json"
	"math"
	"strings"
	"time"

	"github.com/lexiflow/realtime/subjects"
)

// refusal is one "no" to a client: what it is told and the name under which it is counted.
type refusal struct {
	code    subjects.Code
	message string

	// Extra fields of the contract, absent when zero.
	retryAfter         int // whole seconds, rounded up
	currentConnections int
	currentRoomCount   int
}

func refuse(code subjects.Code, message string) *refusal {
	return &refusal{code: code, message: message}
}

// reason is the metric label: the code in lower case.
func (r *refusal) reason() string { return strings.ToLower(string(r.code)) }

// refusalBody is the union of the shapes in which contract 1.0 and 1.1 say no. Fields that do not
// apply are absent.
type refusalBody struct {
	Success            *bool         `json:"success,omitempty"` // acks
	Status             string        `json:"status,omitempty"`  // acks of *:case
	Error              string        `json:"error,omitempty"`   // acks
	Message            string        `json:"message,omitempty"` // error events
	Code               subjects.Code `json:"code"`
	RetryAfter         int           `json:"retryAfter,omitempty"`
	CurrentConnections int           `json:"currentConnections,omitempty"`
	CurrentRoomCount   int           `json:"currentRoomCount,omitempty"`
	Timestamp          string        `json:"timestamp,omitempty"` // error events
}

func (r *refusal) body() refusalBody {
	return refusalBody{
		Code: r.code, RetryAfter: r.retryAfter,
		CurrentConnections: r.currentConnections, CurrentRoomCount: r.currentRoomCount,
	}
}

// ack is the refusal as the value of an acknowledgement: {success:false, error, code}, and for the
// *:case events status "error" beside it (contract 8, B16).
func (r *refusal) ack(event string) json.RawMessage {
	b := r.body()
	b.Success, b.Error = new(bool), r.message
	if strings.HasSuffix(event, ":case") {
		b.Status = "error"
	}
	return mustJSON(b)
}

// event is the refusal as the payload of an `error` event.
func (r *refusal) event(now time.Time) json.RawMessage {
	b := r.body()
	b.Message, b.Timestamp = r.message, iso(now)
	return mustJSON(b)
}

// connectData is the refusal as data of a CONNECT_ERROR.
func (r *refusal) connectData() json.RawMessage { return mustJSON(r.body()) }

// wholeSeconds rounds a wait up, at least to one second, so that a client that waits that long passes.
func wholeSeconds(d time.Duration) int { return int(max(math.Ceil(d.Seconds()), 1)) }

// Reasons that no code of the protocol names; all end a connection.
const (
	reasonUnknownNamespace = "unknown_namespace"
	reasonNotConnected     = "packet_before_connect"
	reasonTwiceConnected   = "namespace_connected_twice"
	reasonUnexpectedPacket = "unexpected_packet"
	reasonTooManyRefusals  = "too_many_refused_connects"
	reasonBusAway          = "bus_away"
	reasonKeyUnknown       = "key_unknown"
	reasonSession          = "session_not_kept"
	reasonLogTrimmed       = "log_trimmed"
	reasonDraining         = "draining"
	reasonEvicted          = "access_withdrawn"
	reasonExpired          = "token_expired"
	reasonRevoked          = "revoked"
	reasonThrottled        = "address_throttled"
	reasonMalformed        = "malformed_packet"
)

// dropFanOutBehind counts state and live events that waited too long for the fan-out, beside the engine's
// reasons for frames that waited too long for a client.
const dropFanOutBehind = "fan_out_behind"
