package subjects

import "encoding/json"

// Generic rooms, which clients enter by a name of their own. The edge serves them
// itself. Messages are logged; coming and going is not, the count repairs itself.
var (
	RoomMessage = event[RoomMessageEvent]("message", Log, KindRoom)
	UserJoined  = event[UserJoinedRoomEvent]("user_joined", Live, KindRoom)
	UserLeft    = event[UserLeftRoomEvent]("user_left", Live, KindRoom)

	JoinRoom        = edgeCommand[RoomRequest, Success]("join_room", nil)
	LeaveRoom       = edgeCommand[RoomRequest, Success]("leave_room", nil)
	SendRoomMessage = edgeCommand[RoomMessageRequest, Success]("send_message", nil)

	// What is still in the log of a room that the socket is in.
	RoomHistory = edgeCommand[RoomHistoryRequest, RoomHistoryPage]("history", onEvery)

	// The spelling of older clients: the room's name alone.
	JoinRoomByName  = edgeCommand[string, Success]("join-room", nil)
	LeaveRoomByName = edgeCommand[string, Success]("leave-room", nil)
)

// RoomMessageEvent is the payload of [RoomMessage].
type RoomMessageEvent struct {
	From    string `json:"from"` // a socket id
	UserID  string `json:"userId,omitempty"`
	Message any    `json:"message"`
	Base
}

// UserJoinedRoomEvent is the payload of [UserJoined].
type UserJoinedRoomEvent struct {
	Room             string `json:"room"`
	SocketID         string `json:"socketId"`
	UserID           string `json:"userId,omitempty"`
	UserName         string `json:"userName,omitempty"`
	ParticipantCount int64  `json:"participantCount"`
	Base
}

// UserLeftRoomEvent is the payload of [UserLeft].
type UserLeftRoomEvent struct {
	Room             string `json:"room"`
	SocketID         string `json:"socketId"`
	UserID           string `json:"userId,omitempty"`
	ParticipantCount int64  `json:"participantCount"`
	Base
}

// RoomRequest names a room. A userId that a client sends is ignored.
type RoomRequest struct {
	Room string `json:"room"`
}

// RoomMessageRequest is the request of [SendRoomMessage].
type RoomMessageRequest struct {
	Room    string `json:"room"`
	Message any    `json:"message"`
}

// RoomHistoryRequest is the request of [RoomHistory].
type RoomHistoryRequest struct {
	Room   string `json:"room"`             // as clients name it: "case:123"
	Before string `json:"before,omitempty"` // a log position; default the newest
	Limit  int64  `json:"limit,omitempty"`  // 1 to 200; default 50
}

// RoomHistoryPage answers [RoomHistory].
type RoomHistoryPage struct {
	Success  bool                   `json:"success"`
	Room     string                 `json:"room"`
	Events   List[RoomHistoryEvent] `json:"events"`           // oldest first
	Before   string                 `json:"before,omitempty"` // asks for the page before this one
	Complete bool                   `json:"complete"`         // there is none: the log has nothing older of this room
}

// RoomHistoryEvent is an event as its room got it.
type RoomHistoryEvent struct {
	Event  string          `json:"event"`
	Data   json.RawMessage `json:"data"`
	Offset string          `json:"offset"`
}
