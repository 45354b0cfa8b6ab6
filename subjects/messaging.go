package subjects

// Conversations. Typing and delivery pass; messages, their versions and the read
// receipts are kept for ever.
var (
	MessageNew       = event[MessageEvent]("message:new", Log, KindConversation)
	MessageRead      = event[MessageReadEvent]("message:read", Log, KindConversation)
	MessageEdited    = event[MessageEditedEvent]("message:edited", Log, KindConversation)
	MessageDeleted   = event[MessageDeletedEvent]("message:deleted", Log, KindConversation)
	MessageDelivered = event[MessageDeliveredEvent]("message:delivered", Live, KindConversation)
	TypingStart      = event[TypingStartEvent]("typing:start", Live, KindConversation)
	TypingStop       = event[TypingStopEvent]("typing:stop", Live, KindConversation)
	// UserTyping says typing:start and typing:stop to older clients, in rooms of their own.
	UserTyping = event[UserTypingEvent]("user:typing", Live, KindConversation)
	// ConversationUpdated is the whole state of a conversation after it was made or its
	// members changed. Those who were taken out get it in their own rooms.
	ConversationUpdated = event[ConversationEvent]("conversation:updated", Log, KindConversation)

	MessageSend          = command[MessageSendRequest, MessageSent]("message:send")
	MessageMarkRead      = command[MessageRequest, MessageMarkedRead]("message:read")
	MessageMarkDelivered = command[MessageRequest, Success]("message:delivered")
	MessageHistory       = command[MessageHistoryRequest, MessagePage]("message:history")
	MessageEdit          = command[MessageEditRequest, MessageChanged]("message:edit")
	MessageDelete        = command[MessageRequest, MessageChanged]("message:delete")
	MessageVersions      = command[MessageRequest, MessageVersionList]("message:versions")
	TypingStarted        = command[ConversationRequest, Success]("typing:start")
	TypingStopped        = command[ConversationRequest, Success]("typing:stop")
	Typing               = command[TypingRequest, Success]("typing") // of older clients: start and stop in one
	ConversationCreate   = command[ConversationCreateRequest, ConversationAck]("conversation:create")
	ConversationList     = command[ConversationListRequest, ConversationPage]("conversation:list")
	ConversationMembers  = command[ConversationMembersRequest, ConversationAck]("conversation:members")
	ConversationJoin     = command[ConversationRequest, ConversationJoined]("conversation:join")
	ConversationLeave    = command[ConversationRequest, ConversationJoined]("conversation:leave")
)

// MessageEvent is the payload of [MessageNew].
type MessageEvent struct {
	ID             string         `json:"id"` // "msg-" and what makes it unique and sortable
	ConversationID string         `json:"conversationId"`
	Content        string         `json:"content"`
	SenderID       string         `json:"senderId"`
	SenderName     string         `json:"senderName,omitempty"`
	Attachments    List[string]   `json:"attachments,omitzero"` // none if the sender gave no list
	Metadata       map[string]any `json:"metadata,omitempty"`
	ClientID       string         `json:"clientId,omitempty"` // the sender's own name for it
	CreatedAt      Time           `json:"createdAt"`
	Base
}

// A Message is a message as it is now: with its newest content, without any after
// it was deleted.
type Message struct {
	MessageEvent
	Version   int64 `json:"version"` // 1 as sent
	IsEdited  bool  `json:"isEdited"`
	EditedAt  Time  `json:"editedAt,omitzero"`
	IsDeleted bool  `json:"isDeleted"`
	DeletedAt Time  `json:"deletedAt,omitzero"`
}

// MessageEditedEvent is the payload of [MessageEdited].
type MessageEditedEvent struct {
	MessageID      string `json:"messageId"`
	ConversationID string `json:"conversationId"`
	UserID         string `json:"userId"`
	Content        string `json:"content"`
	Version        int64  `json:"version"`
	EditedAt       Time   `json:"editedAt"`
	Base
}

// MessageDeletedEvent is the payload of [MessageDeleted].
type MessageDeletedEvent struct {
	MessageID      string `json:"messageId"`
	ConversationID string `json:"conversationId"`
	UserID         string `json:"userId"`
	Version        int64  `json:"version"`
	DeletedAt      Time   `json:"deletedAt"`
	Base
}

// MessageDeliveredEvent is the payload of [MessageDelivered].
type MessageDeliveredEvent struct {
	MessageID      string `json:"messageId"`
	ConversationID string `json:"conversationId"`
	UserID         string `json:"userId"`
	DeliveredAt    Time   `json:"deliveredAt"`
	Base
}

// UserTypingEvent is the payload of [UserTyping].
type UserTypingEvent struct {
	ConversationID string `json:"conversationId"`
	UserID         string `json:"userId"`
	UserName       string `json:"userName"`
	IsTyping       bool   `json:"isTyping"`
	Base
}

// ConversationEvent is the payload of [ConversationUpdated]. A reader keeps the
// state with the highest revision.
type ConversationEvent struct {
	ConversationID string       `json:"conversationId"`
	Title          string       `json:"title,omitempty"`
	MemberIDs      List[string] `json:"memberIds"`
	CreatedBy      string       `json:"createdBy"`
	CreatedAt      Time         `json:"createdAt"`
	Revision       int64        `json:"revision"`
	Base
}

// A Conversation is one as a member sees it in an answer.
type Conversation struct {
	ID          string       `json:"id"`
	Title       string       `json:"title,omitempty"`
	MemberIDs   List[string] `json:"memberIds"`
	CreatedBy   string       `json:"createdBy"`
	CreatedAt   Time         `json:"createdAt"`
	Revision    int64        `json:"revision"`
	UnreadCount int64        `json:"unreadCount"`           // of messages by others
	LastMessage *Message     `json:"lastMessage,omitempty"` // none in one without messages
}

// A Receipt says how far a member has come in a conversation.
type Receipt struct {
	UserID             string `json:"userId"`
	ReadMessageID      string `json:"readMessageId,omitempty"`
	DeliveredMessageID string `json:"deliveredMessageId,omitempty"`
}

// MessageReadEvent is the payload of [MessageRead].
type MessageReadEvent struct {
	MessageID      string `json:"messageId"`
	ConversationID string `json:"conversationId"`
	UserID         string `json:"userId"`
	ReadAt         Time   `json:"readAt"`
	Base
}

// TypingStartEvent is the payload of [TypingStart].
type TypingStartEvent struct {
	ConversationID string `json:"conversationId"`
	UserID         string `json:"userId"`
	UserName       string `json:"userName,omitempty"`
	Base
}

// TypingStopEvent is the payload of [TypingStop].
type TypingStopEvent struct {
	ConversationID string `json:"conversationId"`
	UserID         string `json:"userId"`
	Base
}

// MessageSendRequest is the request of [MessageSend].
type MessageSendRequest struct {
	ConversationID string   `json:"conversationId"`
	Content        string   `json:"content"`
	Attachments    []string `json:"attachments,omitempty"`
	ClientID       string   `json:"clientId,omitempty"` // a repetition with the same one sends nothing again
}

// MessageMarkedRead answers [MessageMarkRead].
type MessageMarkedRead struct {
	Success     bool  `json:"success"`
	UnreadCount int64 `json:"unreadCount"` // of this conversation
}

// MessageHistoryRequest is the request of [MessageHistory].
type MessageHistoryRequest struct {
	ConversationID string `json:"conversationId"`
	Before         string `json:"before,omitempty"` // id of a message; default: the end
	Limit          int64  `json:"limit,omitempty"`  // default 50, at most 100
}

// MessagePage answers [MessageHistory].
type MessagePage struct {
	Success        bool          `json:"success"`
	ConversationID string        `json:"conversationId"`
	Messages       List[Message] `json:"messages"` // oldest first
	HasMore        bool          `json:"hasMore"`  // there are older ones: ask again before the first of these
}

// MessageEditRequest is the request of [MessageEdit].
type MessageEditRequest struct {
	ConversationID string `json:"conversationId"`
	MessageID      string `json:"messageId"`
	Content        string `json:"content"`
}

// MessageChanged answers [MessageEdit] and [MessageDelete].
type MessageChanged struct {
	Success bool    `json:"success"`
	Message Message `json:"message"`
}

// MessageVersionList answers [MessageVersions].
type MessageVersionList struct {
	Success  bool                 `json:"success"`
	Versions List[MessageVersion] `json:"versions"` // oldest first
}

// A MessageVersion is what a message said from At on.
type MessageVersion struct {
	Version int64  `json:"version"`
	Content string `json:"content"`
	At      Time   `json:"at"`
}

// ConversationCreateRequest is the request of [ConversationCreate].
type ConversationCreateRequest struct {
	Title     string       `json:"title,omitempty"`
	MemberIDs List[string] `json:"memberIds"`          // the creator is one in any case
	ClientID  string       `json:"clientId,omitempty"` // a repetition with the same one creates nothing again
}

// ConversationMembersRequest is the request of [ConversationMembers]. Without
// anybody to add or to remove it only asks.
type ConversationMembersRequest struct {
	ConversationID string   `json:"conversationId"`
	Add            []string `json:"add,omitempty"`
	Remove         []string `json:"remove,omitempty"`
}

// ConversationAck answers [ConversationCreate] and [ConversationMembers].
type ConversationAck struct {
	Success        bool          `json:"success"`
	ConversationID string        `json:"conversationId"`
	Conversation   Conversation  `json:"conversation"`
	Receipts       List[Receipt] `json:"receipts"`
}

// ConversationListRequest is the request of [ConversationList].
type ConversationListRequest struct {
	Cursor string `json:"cursor,omitempty"` // of the page before
	Limit  int64  `json:"limit,omitempty"`  // default 50, at most 100
}

// ConversationPage answers [ConversationList].
type ConversationPage struct {
	Success       bool               `json:"success"`
	Conversations List[Conversation] `json:"conversations"`    // the last active first
	Cursor        string             `json:"cursor,omitempty"` // none after the last page
	UnreadCount   int64              `json:"unreadCount"`      // of the conversations in this page
}

// MessageSent answers [MessageSend].
type MessageSent struct {
	Success   bool         `json:"success"`
	MessageID string       `json:"messageId"`
	Message   MessageEvent `json:"message"`
}

// MessageRequest names a message.
type MessageRequest struct {
	MessageID      string `json:"messageId"`
	ConversationID string `json:"conversationId"`
}

// ConversationRequest names a conversation.
type ConversationRequest struct {
	ConversationID string `json:"conversationId"`
}

// TypingRequest is the request of [Typing].
type TypingRequest struct {
	ConversationID string `json:"conversationId"`
	IsTyping       bool   `json:"isTyping"`
}

// ConversationJoined answers [ConversationJoin] and [ConversationLeave].
type ConversationJoined struct {
	Success        bool   `json:"success"`
	ConversationID string `json:"conversationId"`
}
