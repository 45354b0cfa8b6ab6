package subjects

// Notifications to one user, seen on all of the user's devices. The count rides
// the log behind its cause, so that new, read and count keep their order.
var (
	NotificationNew     = event[NotificationEvent]("notification:new", Log, KindUser)
	NotificationRead    = event[NotificationReadEvent]("notification:read", Log, KindUser)
	NotificationUnread  = event[NotificationUnreadEvent]("notification:unread", Log, KindUser)
	NotificationAllRead = event[NotificationAllReadEvent]("notification:all-read", Log, KindUser)
	NotificationDeleted = event[NotificationDeletedEvent]("notification:deleted", Log, KindUser)
	NotificationCount   = event[NotificationCountEvent]("notification:count", Log, KindUser)

	NotificationMarkRead    = command[NotificationRequest, UnreadCount]("notification:mark-read")
	NotificationMarkUnread  = command[NotificationRequest, UnreadCount]("notification:mark-unread")
	NotificationMarkAllRead = command[None, UnreadCount]("notification:mark-all-read")
	NotificationDelete      = command[NotificationDeleteRequest, Success]("notification:delete")
	NotificationList        = command[NotificationListRequest, NotificationPage]("notification:list")
	NotificationPreferences = command[NotificationPreferencesRequest, NotificationPreferencesAck]("notification:preferences")
	NotificationFollow      = command[CaseRequest, NotificationFollowing]("notification:follow")
	NotificationUnfollow    = command[CaseRequest, NotificationFollowing]("notification:unfollow")

	// An older client asks for what it gets anyway.
	NotificationsSubscribe   = command[None, Success]("notifications:subscribe")
	NotificationsUnsubscribe = command[None, Success]("notifications:unsubscribe")
)

// NotificationEvent is the payload of [NotificationNew].
type NotificationEvent struct {
	ID                string           `json:"id"`
	Type              NotificationType `json:"type"`
	Title             string           `json:"title"`
	Message           string           `json:"message"`
	Priority          Priority         `json:"priority"`
	UserID            string           `json:"userId"`
	Metadata          map[string]any   `json:"metadata,omitempty"`
	ActionURL         string           `json:"actionUrl,omitempty"`
	RelatedEntityID   string           `json:"relatedEntityId,omitempty"`
	RelatedEntityType string           `json:"relatedEntityType,omitempty"`
	CreatedAt         Time             `json:"createdAt"`
	Base
}

// NotificationReadEvent is the payload of [NotificationRead].
type NotificationReadEvent struct {
	NotificationID string `json:"notificationId"`
	UserID         string `json:"userId"`
	ReadAt         Time   `json:"readAt"`
	Base
}

// NotificationUnreadEvent is the payload of [NotificationUnread], the reverse of
// [NotificationRead].
type NotificationUnreadEvent struct {
	NotificationID string `json:"notificationId"`
	UserID         string `json:"userId"`
	Base
}

// NotificationAllReadEvent is the payload of [NotificationAllRead].
type NotificationAllReadEvent struct {
	UserID string `json:"userId"`
	Base
}

// NotificationDeletedEvent is the payload of [NotificationDeleted].
type NotificationDeletedEvent struct {
	NotificationID string `json:"notificationId"`
	UserID         string `json:"userId"`
	Base
}

// NotificationCountEvent is the payload of [NotificationCount].
type NotificationCountEvent struct {
	Count  int64  `json:"count"` // unread
	UserID string `json:"userId"`
	Base
}

// NotificationType is what a notification is about.
type NotificationType string

// The types.
const (
	NotifyCaseUpdate       NotificationType = "case_update"
	NotifyDocumentUploaded NotificationType = "document_uploaded"
	NotifyDeadlineReminder NotificationType = "deadline_reminder"
	NotifyTaskAssigned     NotificationType = "task_assigned"
	NotifyMessageReceived  NotificationType = "message_received"
	NotifyInvoiceSent      NotificationType = "invoice_sent"
	NotifyApprovalRequired NotificationType = "approval_required"
	NotifySystemAlert      NotificationType = "system_alert"
	NotifyCommentAdded     NotificationType = "comment_added"
	NotifyStatusChanged    NotificationType = "status_changed"
)

// Values lists the type's members for generators.
func (NotificationType) Values() []string {
	return []string{
		"case_update", "document_uploaded", "deadline_reminder", "task_assigned", "message_received",
		"invoice_sent", "approval_required", "system_alert", "comment_added", "status_changed",
	}
}

// NotificationRequest names a notification of the caller.
type NotificationRequest struct {
	NotificationID string `json:"notificationId"`
}

// NotificationDeleteRequest is the request of [NotificationDelete].
type NotificationDeleteRequest struct {
	NotificationID string `json:"notificationId"`
	WasUnread      bool   `json:"wasUnread,omitempty"` // a hint of the client, not to be trusted
}

// UnreadCount answers [NotificationMarkRead], [NotificationMarkUnread] and
// [NotificationMarkAllRead].
type UnreadCount struct {
	Success     bool  `json:"success"`
	UnreadCount int64 `json:"unreadCount"`
}

// NotificationListRequest is the request of [NotificationList].
type NotificationListRequest struct {
	Cursor     string `json:"cursor,omitempty"` // nextCursor of the page before; none asks for the newest
	Limit      int    `json:"limit,omitempty"`  // 1 to 100; default 20
	UnreadOnly bool   `json:"unreadOnly,omitempty"`
}

// NotificationPage answers [NotificationList], newest first.
type NotificationPage struct {
	Success       bool                     `json:"success"`
	Notifications List[StoredNotification] `json:"notifications"`
	NextCursor    string                   `json:"nextCursor,omitempty"` // none on the last page
	UnreadCount   int64                    `json:"unreadCount"`          // of all, not of the page
}

// A StoredNotification is a notification with what became of it.
type StoredNotification struct {
	NotificationEvent
	Read   bool `json:"read"`
	ReadAt Time `json:"readAt,omitzero"`
}

// NotificationPreferencesRequest is the request of [NotificationPreferences]:
// empty it reads, with Set it changes.
type NotificationPreferencesRequest struct {
	Set *NotifyPreferencesChange `json:"set,omitempty"`
}

// NotifyPreferencesChange replaces the preferences it names and keeps the others.
type NotifyPreferencesChange struct {
	Muted      *List[NotificationType] `json:"muted,omitempty"`
	QuietHours *QuietHours             `json:"quietHours,omitempty"`
}

// NotificationPreferencesAck answers [NotificationPreferences].
type NotificationPreferencesAck struct {
	Success     bool              `json:"success"`
	Preferences NotifyPreferences `json:"preferences"`
}

// NotifyPreferences is how a user wants to be notified. What is muted or falls into
// quiet hours is kept and counted, but not pushed as [NotificationNew]. Urgent
// notifications and those of deadlines are pushed always.
type NotifyPreferences struct {
	Muted      List[NotificationType] `json:"muted"`
	QuietHours QuietHours             `json:"quietHours"`
}

// QuietHours is a part of the day, by the clocks of a time zone.
type QuietHours struct {
	Enabled  bool      `json:"enabled"`
	Start    string    `json:"start,omitempty"`    // "22:00"
	End      string    `json:"end,omitempty"`      // "07:00"; before Start it is on the next day, equal to it a day later
	TimeZone string    `json:"timeZone,omitempty"` // "Europe/Berlin"; default UTC
	Days     List[int] `json:"days"`               // days on which it starts, Sunday 0; none is every day
}

// NotificationFollowing answers [NotificationFollow] and [NotificationUnfollow].
type NotificationFollowing struct {
	Success   bool   `json:"success"`
	CaseID    string `json:"caseId"`
	Following bool   `json:"following"`
}

// NotifySend is the request form of the queue: it takes a [NotifyRequest] and
// answers with a [NotifyAccepted] once it is in the queue, or with an error. The
// header [HeaderMsgID] makes repeating it safe.
const NotifySend = ServicePrefix + "notify.send"

// NotifyUserSubject returns the subject on which to publish a [Notice] to one user.
func NotifyUserSubject(user string) (string, error) { return withToken(NotifyUserPrefix, user, "") }

// A Notice is what a service has to tell. With [HeaderMsgID] a repetition, even hours
// later, is not told twice.
type Notice struct {
	Type              NotificationType `json:"type"` // one of the types, or a new one of a-z, 0-9 and _
	Title             string           `json:"title"`
	Message           string           `json:"message"`
	Priority          Priority         `json:"priority,omitempty"` // default medium
	Metadata          map[string]any   `json:"metadata,omitempty"`
	ActionURL         string           `json:"actionUrl,omitempty"` // https, http or a path
	RelatedEntityID   string           `json:"relatedEntityId,omitempty"`
	RelatedEntityType string           `json:"relatedEntityType,omitempty"`
	CreatedAt         Time             `json:"createdAt,omitzero"` // default: when the queue took it
}

// A NotifyRequest is the request on [NotifySend], to a user or to an audience, and
// the payload of [NotifyMany], to an audience.
type NotifyRequest struct {
	UserID   string    `json:"userId,omitempty"`
	Audience *Audience `json:"audience,omitempty"`
	Notice
}

// An Audience is all users that any of its fields names, each once.
type Audience struct {
	UserIDs      []string `json:"userIds,omitempty"`      // 10,000 at most
	Case         string   `json:"case,omitempty"`         // who is on the list of ACCESS, and who follows it
	Conversation string   `json:"conversation,omitempty"` // its members
	Team         string   `json:"team,omitempty"`         // its members
	Firm         bool     `json:"firm,omitempty"`         // everybody notifyd has met
}

// NotifyAccepted answers [NotifySend].
type NotifyAccepted struct {
	Success  bool   `json:"success"`
	Sequence uint64 `json:"sequence"` // in the queue
}
