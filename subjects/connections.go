package subjects

import (
	"encoding/json"
	"time"
)

// This file is how edges tell who is connected: what changed, in numbered batches;
// the whole, on request; and one lease per edge, which is all that a killed edge
// leaves behind.
//
//	ctl.conn.<edge>              edge → all   [ConnBatch], at most one in 250 ms and only if there is something
//	ctl.edge.<edge>.connections  request      [ConnSnapshot]
//	ctl.edge.<edge>.alive        request      [EdgeLease]
//	EDGES lease.<edge>           key          [EdgeLease], gone [EdgeLeaseTTL] after it was last written
//
// Batches may be lost. Their numbers tell, and the snapshot repairs it: it holds
// everything up to and including the batch Seq of the same incarnation.

// AllConn matches the batches of every edge.
const AllConn = ControlPrefix + "conn.*"

// EdgeLeaseTTL is how long a lease lives after it was last written. An edge writes
// it about three times in that time.
const EdgeLeaseTTL = 5 * time.Second

// LeasePrefix begins the keys of leases in the bucket [BucketEdges].
const LeasePrefix = "lease."

// ConnSubject returns where an edge publishes its batches. Edge ids are escaped as
// ids are.
func ConnSubject(edge string) (string, error) { return withToken(ControlPrefix+"conn.", edge, "") }

// EdgeConnectionsSubject returns where an edge answers with its [ConnSnapshot].
func EdgeConnectionsSubject(edge string) (string, error) {
	return withToken(ControlPrefix+"edge.", edge, ".connections")
}

// EdgeAliveSubject returns where an edge answers with its [EdgeLease].
func EdgeAliveSubject(edge string) (string, error) {
	return withToken(ControlPrefix+"edge.", edge, ".alive")
}

// LeaseKey returns the key of an edge's lease in [BucketEdges].
func LeaseKey(edge string) (string, error) { return withToken(LeasePrefix, edge, "") }

func withToken(prefix, id, suffix string) (string, error) {
	token, err := Escape(id)
	if err != nil {
		return "", err
	}
	return prefix + token + suffix, nil
}

// A ConnOp is what happened to a socket.
type ConnOp string

// What happens to sockets.
const (
	ConnOpen   ConnOp = "open"
	ConnClose  ConnOp = "close"
	ConnIdle   ConnOp = "idle"   // nothing for a while that counts as activity
	ConnActive ConnOp = "active" // and now something again
)

// A ConnEvent is one change of one socket.
type ConnEvent struct {
	Op        ConnOp `json:"op"`
	Socket    string `json:"socket"` // the Socket.IO sid
	User      string `json:"user"`   // not escaped
	Namespace string `json:"namespace,omitempty"`
	Device    string `json:"device,omitempty"` // open only: "desktop", "mobile", …
	At        int64  `json:"at"`               // ms since 1970, by the edge's clock
	Clean     bool   `json:"clean,omitempty"`  // close only: the client left by itself, so nobody waits for it to resume
}

// A ConnBatch is what an edge publishes on [ConnSubject].
type ConnBatch struct {
	Edge        string          `json:"edge"`        // not escaped
	Incarnation string          `json:"incarnation"` // of the process: a restarted edge has another
	Seq         uint64          `json:"seq"`         // 1, 2, … per incarnation
	Events      List[ConnEvent] `json:"events"`      // in the order they happened
}

// A ConnSnapshot is all sockets of an edge after its batch Seq.
type ConnSnapshot struct {
	Edge        string           `json:"edge"`
	Incarnation string           `json:"incarnation"`
	Seq         uint64           `json:"seq"` // 0 before the first batch
	Sockets     List[ConnSocket] `json:"sockets"`
}

// A ConnSocket is one open socket of a snapshot.
type ConnSocket struct {
	Socket    string `json:"socket"`
	User      string `json:"user"`
	Namespace string `json:"namespace"`
	Device    string `json:"device,omitempty"`
	At        int64  `json:"at"` // opened, ms since 1970
	Idle      bool   `json:"idle,omitempty"`
}

// An EdgeLease is the value of a lease, and the answer to the question whether an
// edge is alive.
type EdgeLease struct {
	Edge        string `json:"edge,omitempty"` // in answers only; the key names it in the bucket
	Incarnation string `json:"incarnation"`
}

// An Activity is what a client's event says about the human before it.
type Activity uint8

// What an event says. A beat counts as activity until its socket has once said
// active or idle by itself: a tab beats whatever the human does.
const (
	ActivityOther  Activity = iota // any event but those below: the human did something
	ActivityBeat                   // presence:heartbeat, ping
	ActivityActive                 // presence:active
	ActivityIdle                   // presence:idle
)

// ActivityOf returns what an event that a client emitted says. It does not allocate.
func ActivityOf(event string) Activity {
	switch event {
	case PresenceHeartbeat.name, Ping.name:
		return ActivityBeat
	case PresenceActive.name:
		return ActivityActive
	case PresenceIdle.name:
		return ActivityIdle
	default:
		return ActivityOther
	}
}

// DecodeConnBatch reads a batch; what is not one is INVALID_INPUT.
func DecodeConnBatch(data []byte) (ConnBatch, error) { return decodeControl[ConnBatch]("batch", data) }

// DecodeConnSnapshot reads a snapshot; what is not one is INVALID_INPUT.
func DecodeConnSnapshot(data []byte) (ConnSnapshot, error) {
	return decodeControl[ConnSnapshot]("snapshot", data)
}

// DecodeEdgeLease reads a lease; what is not one is INVALID_INPUT.
func DecodeEdgeLease(data []byte) (EdgeLease, error) { return decodeControl[EdgeLease]("lease", data) }

func decodeControl[T any](what string, data []byte) (T, error) {
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		return v, Errorf(CodeInvalidInput, "this is not the %s of an edge: %w", what, err)
	}
	return v, nil
}
