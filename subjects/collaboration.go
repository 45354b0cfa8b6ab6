package subjects

// Working on one document together. Edits are logged, since a lost one would
// corrupt the text; cursors pass. They go to the room of the document's case,
// because that is where access is decided.
var (
	CollaborationJoined = event[CollaborationJoinedEvent]("collaboration:joined", Log, KindCase)
	CollaborationLeft   = event[CollaborationLeftEvent]("collaboration:left", Log, KindCase)
	CollaborationCursor = event[CollaborationCursorEvent]("collaboration:cursor", Live, KindCase)
	CollaborationEdit   = event[CollaborationEditEvent]("collaboration:edit", Log, KindCase)
)

// CollaborationJoinedEvent is the payload of [CollaborationJoined].
type CollaborationJoinedEvent struct {
	DocumentID     string          `json:"documentId"`
	UserID         string          `json:"userId"`
	UserName       string          `json:"userName"`
	CursorPosition *CursorPosition `json:"cursorPosition,omitempty"`
	Base
}

// CollaborationLeftEvent is the payload of [CollaborationLeft].
type CollaborationLeftEvent struct {
	DocumentID string `json:"documentId"`
	UserID     string `json:"userId"`
	Base
}

// CollaborationCursorEvent is the payload of [CollaborationCursor].
type CollaborationCursorEvent struct {
	DocumentID     string         `json:"documentId"`
	UserID         string         `json:"userId"`
	CursorPosition CursorPosition `json:"cursorPosition"`
	Base
}

// CollaborationEditEvent is the payload of [CollaborationEdit].
type CollaborationEditEvent struct {
	DocumentID string         `json:"documentId"`
	UserID     string         `json:"userId"`
	Changes    List[TextEdit] `json:"changes"`
	Version    int64          `json:"version"`
	Base
}

// A CursorPosition is a place in a text.
type CursorPosition struct {
	Line   int64 `json:"line"`
	Column int64 `json:"column"`
}

// A TextEdit replaces a range by a text.
type TextEdit struct {
	Range TextRange `json:"range"`
	Text  string    `json:"text"`
}

// A TextRange is a part of a text, by offsets.
type TextRange struct {
	Start int64 `json:"start"`
	End   int64 `json:"end"`
}
