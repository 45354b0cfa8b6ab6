package subjects

// Events about a case: its own life, its documents and its docket. All of them go
// to the room of their case, where the edge adds caseId if it is absent.
var (
	CaseCreated       = event[CaseCreatedEvent]("case:created", Log, KindCase)
	CaseUpdated       = event[CaseUpdatedEvent]("case:updated", Log, KindCase)
	CaseDeleted       = event[CaseDeletedEvent]("case:deleted", Log, KindCase)
	CaseStatusChanged = event[CaseStatusChangedEvent]("case:status:changed", Log, KindCase)

	DocumentUploaded  = event[DocumentUploadedEvent]("document:uploaded", Log, KindCase)
	DocumentProcessed = event[DocumentProcessedEvent]("document:processed", Log, KindCase)
	// DocumentShared tells the case and, in their own rooms, those it was shared with.
	DocumentShared = event[DocumentSharedEvent]("document:shared", Log, KindCase)

	DocketEntryAdded = event[DocketEntryAddedEvent]("docket:entry:added", Log, KindCase)

	CaseSubscribe   = edgeCommand[CaseSubscribeRequest, CaseSubscription]("subscribe:case", nil)
	CaseUnsubscribe = edgeCommand[CaseRequest, CaseSubscription]("unsubscribe:case", nil)
)

// CaseCreatedEvent is the payload of [CaseCreated].
type CaseCreatedEvent struct {
	CaseID     string `json:"caseId"`
	CaseNumber string `json:"caseNumber"`
	Title      string `json:"title"`
	ClientID   string `json:"clientId"`
	ClientName string `json:"clientName,omitempty"`
	CreatedBy  string `json:"createdBy"`
	CreatedAt  Time   `json:"createdAt"`
	Base
}

// CaseUpdatedEvent is the payload of [CaseUpdated].
type CaseUpdatedEvent struct {
	CaseID     string  `json:"caseId"`
	CaseNumber string  `json:"caseNumber"`
	Changes    Changes `json:"changes"`
	UpdatedBy  string  `json:"updatedBy"`
	UpdatedAt  Time    `json:"updatedAt"`
	Base
}

// CaseDeletedEvent is the payload of [CaseDeleted].
type CaseDeletedEvent struct {
	CaseID     string `json:"caseId"`
	CaseNumber string `json:"caseNumber"`
	DeletedBy  string `json:"deletedBy"`
	DeletedAt  Time   `json:"deletedAt"`
	Base
}

// CaseStatusChangedEvent is the payload of [CaseStatusChanged].
type CaseStatusChangedEvent struct {
	CaseID     string `json:"caseId"`
	CaseNumber string `json:"caseNumber"`
	OldStatus  string `json:"oldStatus"`
	NewStatus  string `json:"newStatus"`
	ChangedBy  string `json:"changedBy"`
	ChangedAt  Time   `json:"changedAt"`
	Base
}

// DocumentUploadedEvent is the payload of [DocumentUploaded].
type DocumentUploadedEvent struct {
	DocumentID string `json:"documentId"`
	FileName   string `json:"fileName"`
	FileSize   int64  `json:"fileSize"` // bytes
	MimeType   string `json:"mimeType"`
	CaseID     string `json:"caseId,omitempty"`
	UploadedBy string `json:"uploadedBy"`
	UploadedAt Time   `json:"uploadedAt"`
	Base
}

// DocumentProcessedEvent is the payload of [DocumentProcessed].
type DocumentProcessedEvent struct {
	DocumentID    string         `json:"documentId"`
	FileName      string         `json:"fileName"`
	Status        DocumentStatus `json:"status"`
	ExtractedText string         `json:"extractedText,omitempty"`
	Metadata      map[string]any `json:"metadata,omitempty"`
	Error         string         `json:"error,omitempty"`
	Base
}

// DocumentSharedEvent is the payload of [DocumentShared].
type DocumentSharedEvent struct {
	DocumentID  string             `json:"documentId"`
	FileName    string             `json:"fileName"`
	SharedWith  List[string]       `json:"sharedWith"` // user ids
	SharedBy    string             `json:"sharedBy"`
	Permissions DocumentPermission `json:"permissions"`
	SharedAt    Time               `json:"sharedAt"`
	Base
}

// DocketEntryAddedEvent is the payload of [DocketEntryAdded].
type DocketEntryAddedEvent struct {
	EntryID       string `json:"entryId"`
	CaseID        string `json:"caseId"`
	EntryNumber   int64  `json:"entryNumber"`
	Description   string `json:"description"`
	FiledDate     string `json:"filedDate"` // as the court gives it, often without a time
	DocumentCount int64  `json:"documentCount"`
	AddedAt       Time   `json:"addedAt"`
	Base
}

// DocumentStatus is how processing ended.
type DocumentStatus string

// The outcomes.
const (
	DocumentSucceeded DocumentStatus = "success"
	DocumentFailed    DocumentStatus = "failed"
)

// Values lists the type's members for generators.
func (DocumentStatus) Values() []string { return []string{"success", "failed"} }

// DocumentPermission is what those may do with whom a document is shared.
type DocumentPermission string

// The permissions.
const (
	PermissionView     DocumentPermission = "view"
	PermissionEdit     DocumentPermission = "edit"
	PermissionDownload DocumentPermission = "download"
)

// Values lists the type's members for generators.
func (DocumentPermission) Values() []string { return []string{"view", "edit", "download"} }

// CaseRequest names a case: any id, not only a UUID.
type CaseRequest struct {
	CaseID string `json:"caseId"`
}

// CaseSubscribeRequest names a case, and the position behind which its events are wanted by a client that
// keeps its own cursor.
type CaseSubscribeRequest struct {
	CaseID string `json:"caseId"`
	Since  string `json:"since,omitempty"` // a log position, as the last argument of events has it
}

// CaseSubscription answers [CaseSubscribe] and [CaseUnsubscribe].
type CaseSubscription struct {
	Status    string `json:"status"` // subscribed, unsubscribed or error
	CaseID    string `json:"caseId"`
	Offset    string `json:"offset,omitempty"`    // log position of the subscription: what comes behind it is live
	Recovered *bool  `json:"recovered,omitempty"` // of one since a position: whether all that was missed up to there follows first
}
