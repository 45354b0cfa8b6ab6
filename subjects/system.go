package subjects

// The connection's own events, alerts to everybody, and who may enter a room.
var (
	SystemAlert       = event[SystemAlertEvent]("system:alert", Log, KindAll)
	SystemMaintenance = event[SystemMaintenanceEvent]("system:maintenance", Log, KindAll)

	// AccessChanged is the one way to change who may enter a room, of any kind that
	// has members: AccessChanged.To(KindConversation). It is for edges and services.
	AccessChanged = event[AccessChangedEvent]("access:changed", Log, KindCase)

	Connected    = socketEvent[ConnectionEvent]("connected", onEvery)
	Pong         = socketEvent[PongEvent]("pong", onEvery)
	Disconnected = socketEvent[DisconnectionEvent]("disconnected", onEvery)
	SocketError  = socketEvent[ErrorEvent]("error", onEvery)

	Ping        = edgeCommand[None, Success]("ping", onEvery)
	AuthRefresh = edgeCommand[AuthRefreshRequest, AuthRefreshed]("auth:refresh", onEvery)
)

// ConnectionEvent is the payload of [Connected]. What a resumed session missed comes
// before it.
type ConnectionEvent struct {
	Message   string `json:"message,omitempty"` // for people
	UserID    string `json:"userId"`
	SocketID  string `json:"socketId"`
	Namespace string `json:"namespace"` // without the slash

	Recovered bool   `json:"recovered"`      // the session before goes on, and nothing is missing
	From      uint64 `json:"from,omitempty"` // position in the log behind which it was resumed
	To        uint64 `json:"to"`             // position in the log up to which it has everything now
	Missed    int    `json:"missed"`         // events that were sent again
	Base
}

// PongEvent is the payload of [Pong], which answers [Ping] besides its ack.
type PongEvent struct {
	Base
}

// DisconnectionEvent is the payload of [Disconnected], which no server ever sent.
type DisconnectionEvent struct {
	UserID   string `json:"userId"`
	SocketID string `json:"socketId"`
	Reason   string `json:"reason,omitempty"`
	Base
}

// ErrorEvent is the payload of [SocketError].
type ErrorEvent struct {
	Code    Code           `json:"code"`
	Message string         `json:"message"`
	Details map[string]any `json:"details,omitempty"`
	Base
}

// SystemAlertEvent is the payload of [SystemAlert].
type SystemAlertEvent struct {
	ID             string          `json:"id"`
	Type           SystemAlertType `json:"type"`
	Severity       Severity        `json:"severity"`
	Title          string          `json:"title"`
	Message        string          `json:"message"`
	AffectedUsers  []string        `json:"affectedUsers,omitempty"`
	StartTime      string          `json:"startTime,omitempty"`
	EndTime        string          `json:"endTime,omitempty"`
	ActionRequired bool            `json:"actionRequired,omitempty"`
	ActionURL      string          `json:"actionUrl,omitempty"`
	Base
}

// SystemMaintenanceEvent is the payload of [SystemMaintenance].
type SystemMaintenanceEvent struct {
	MaintenanceID    string          `json:"maintenanceId"`
	Type             MaintenanceType `json:"type"`
	StartTime        string          `json:"startTime"`
	EstimatedEndTime string          `json:"estimatedEndTime"`
	Message          string          `json:"message"`
	AffectedServices List[string]    `json:"affectedServices"`
	Base
}

// AccessChangedEvent is the payload of [AccessChanged]: the whole state of one room.
// A user in both lists is denied.
type AccessChangedEvent struct {
	Allow    List[string] `json:"allow"` // user ids
	Deny     List[string] `json:"deny"`  // user ids
	Revision int64        `json:"revision"`
	Base
}

// SystemAlertType is what an alert is about.
type SystemAlertType string

// The alerts.
const (
	SystemAlertMaintenance SystemAlertType = "maintenance"
	SystemAlertSecurity    SystemAlertType = "security"
	SystemAlertPerformance SystemAlertType = "performance"
	SystemAlertFeature     SystemAlertType = "feature"
)

// Values lists the type's members for generators.
func (SystemAlertType) Values() []string {
	return []string{"maintenance", "security", "performance", "feature"}
}

// MaintenanceType is why there is maintenance.
type MaintenanceType string

// The reasons.
const (
	MaintenanceScheduled MaintenanceType = "scheduled"
	MaintenanceEmergency MaintenanceType = "emergency"
)

// Values lists the type's members for generators.
func (MaintenanceType) Values() []string { return []string{"scheduled", "emergency"} }

// AuthRefreshRequest is the request of [AuthRefresh].
type AuthRefreshRequest struct {
	Token string `json:"token"`
}

// AuthRefreshed answers [AuthRefresh].
type AuthRefreshed struct {
	Success   bool `json:"success"`
	ExpiresAt Time `json:"expiresAt"`
}
