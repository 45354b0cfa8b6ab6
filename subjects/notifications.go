package subjects

// Notifications to one user, seen on all of the user's devices. The count rides
// the log behind its cause, so that new, read and count keep their order.
var (
	NotificationNew     = event[NotificationEvent]("notification:new", Log, KindUser)
	NotificationRead    = event[NotificationReadEvent]("notification:read", Log, KindUser)
	NotificationAllRead = event[NotificationAllReadEvent]("notification:all-read", Log, KindUser)
	NotificationDeleted = event[NotificationDeletedEvent]("notification:deleted", Log, KindUser)
	NotificationCount   = event[NotificationCountEvent]("notification:count", Log, KindUser)

	NotificationMarkRead    = command[NotificationRequest, UnreadCount]("notification:mark-read")
	NotificationMarkAllRead = command[None, UnreadCount]("notification:mark-all-read")
	NotificationDelete      = command[NotificationDeleteRequest, Success]("notification:delete")

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

// UnreadCount answers [NotificationMarkRead] and [NotificationMarkAllRead].
type UnreadCount struct {
	Success     bool  `json:"success"`
	UnreadCount int64 `json:"unreadCount"`
}
