package subjects

// Who is here.
var (
	PresenceUpdate = event[PresenceUpdateEvent]("presence:update", State, KindPresence)
	// UserPresence tells clients of an older dialect, which use it instead of
	// [PresenceUpdate]. They are in a room of their own per user: [DialectRoomID].
	UserPresence = event[UserPresenceEvent]("user:presence", State, KindPresence)
	// PresenceBulkUpdate is the snapshot one socket gets after it subscribed.
	PresenceBulkUpdate = socketEvent[PresenceBulkUpdateEvent]("presence:bulk-update", nil)

	PresenceSetStatus         = command[PresenceStatusRequest, PresenceAck]("presence:set-status")
	PresenceSetActivity       = command[PresenceActivityRequest, PresenceAck]("presence:set-activity")
	PresenceClearActivity     = command[None, PresenceAck]("presence:clear-activity")
	PresenceSetCustomStatus   = command[PresenceCustomStatusRequest, PresenceAck]("presence:set-custom-status")
	PresenceClearCustomStatus = command[None, PresenceAck]("presence:clear-custom-status")
	PresenceHeartbeat         = command[PresenceHeartbeatRequest, Success]("presence:heartbeat")
	PresenceActive            = command[None, Success]("presence:active") // the human did something
	PresenceIdle              = command[None, Success]("presence:idle")   // and nothing for a while
	PresenceSubscribe         = command[PresenceUsers, Success]("presence:subscribe")
	PresenceUnsubscribe       = command[PresenceUsers, Success]("presence:unsubscribe")
	// PresenceSet is how older clients say online or offline.
	PresenceSet = command[PresenceSetRequest, Success]("presence:update")
)

// PresenceUpdateEvent is the payload of [PresenceUpdate]. One user has one presence,
// whatever the number of devices.
type PresenceUpdateEvent struct {
	UserID            string         `json:"userId"`
	Status            PresenceStatus `json:"status"`
	LastSeen          Time           `json:"lastSeen"`
	ActiveConnections int64          `json:"activeConnections"`
	CurrentActivity   string         `json:"currentActivity,omitempty"`
	CustomStatus      string         `json:"customStatus,omitempty"`

	Devices []PresenceDevice `json:"devices,omitempty"` // sorted by kind
	Base
}

// PresenceDevice says how many devices of a kind somebody uses. A device that is
// connected to several namespaces counts once.
type PresenceDevice struct {
	Kind  string `json:"kind"` // "desktop", "mobile", "tablet", "other"; newer edges may know more
	Count int64  `json:"count"`
}

// UserPresenceEvent is the payload of [UserPresence].
type UserPresenceEvent struct {
	UserID   string `json:"userId"`
	IsOnline bool   `json:"isOnline"`
	LastSeen Time   `json:"lastSeen,omitzero"`
	Base
}

// PresenceBulkUpdateEvent is the payload of [PresenceBulkUpdate].
type PresenceBulkUpdateEvent struct {
	Users List[PresenceEntry] `json:"users"`
	Base
}

// PresenceEntry is one user of a snapshot.
type PresenceEntry struct {
	UserID   string         `json:"userId"`
	Status   PresenceStatus `json:"status"`
	LastSeen Time           `json:"lastSeen"`

	ActiveConnections int64  `json:"activeConnections,omitempty"`
	CurrentActivity   string `json:"currentActivity,omitempty"`
	CustomStatus      string `json:"customStatus,omitempty"`
}

// PresenceStatus is how present a user is.
type PresenceStatus string

// The statuses.
const (
	PresenceOnline  PresenceStatus = "online"
	PresenceAway    PresenceStatus = "away"
	PresenceBusy    PresenceStatus = "busy"
	PresenceOffline PresenceStatus = "offline"
)

// Values lists the type's members for generators.
func (PresenceStatus) Values() []string { return []string{"online", "away", "busy", "offline"} }

// PresenceStatusRequest is the request of [PresenceSetStatus].
type PresenceStatusRequest struct {
	Status PresenceStatus `json:"status"`
}

// PresenceActivityRequest is the request of [PresenceSetActivity].
type PresenceActivityRequest struct {
	Activity string `json:"activity"`
}

// PresenceCustomStatusRequest is the request of [PresenceSetCustomStatus].
type PresenceCustomStatusRequest struct {
	CustomStatus string `json:"customStatus"`
}

// PresenceHeartbeatRequest is the request of [PresenceHeartbeat]. Its fields only
// refill what the server has lost.
type PresenceHeartbeatRequest struct {
	Status       PresenceStatus `json:"status"`
	Activity     string         `json:"activity,omitempty"`
	CustomStatus string         `json:"customStatus,omitempty"`
}

// PresenceUsers names users to watch, or no longer.
type PresenceUsers struct {
	UserIDs List[string] `json:"userIds"`
}

// PresenceSetRequest is the request of [PresenceSet].
type PresenceSetRequest struct {
	IsOnline bool `json:"isOnline"`
}

// PresenceAck answers what changes the caller's presence.
type PresenceAck struct {
	Success  bool                `json:"success"`
	Presence PresenceUpdateEvent `json:"presence"`
}

// Absorbed reports whether the edge answers a client's event itself instead of
// passing it on: always, or after the first of a socket. It keeps the heartbeats
// of a hundred thousand idle clients off the bus.
func Absorbed(event string) (afterFirst, ok bool) {
	switch event {
	case Ping.name:
		return false, true
	case PresenceHeartbeat.name:
		return true, true
	default:
		return false, false
	}
}

// PresenceGet is where services ask who is here. It takes a [PresenceGetRequest] and
// answers with a [PresenceGetReply].
const PresenceGet = ServicePrefix + "presence.get"

// PresenceGetRequest names up to a thousand users.
type PresenceGetRequest struct {
	UserIDs List[string] `json:"userIds"`
}

// PresenceGetReply has one entry per user asked for, in that order. Who is not known
// is offline, last seen now, as the original said.
type PresenceGetReply struct {
	Users List[PresenceUpdateEvent] `json:"users"`
}

// DialectRoomID returns the id of the [KindPresence] room of those who watch user in
// the older dialect. It begins with a line break, as no user's id can that comes from
// an edge (see [Caller.SetHeaders]), so it is nobody else's room.
func DialectRoomID(user string) string { return "\n" + user }
