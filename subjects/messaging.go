package subjects

// Conversations. Typing passes; messages and receipts are kept for ever.
var (
	MessageNew  = event[MessageEvent]("message:new", Log, KindConversation)
	MessageRead = event[MessageReadEvent]("message:read", Log, KindConversation)
	TypingStart = event[TypingStartEvent]("typing:start", Live, KindConversation)
	TypingStop  = event[TypingStopEvent]("typing:stop", Live, KindConversation)

	MessageSend       = command[MessageSendRequest, MessageSent]("message:send")
	MessageMarkRead   = command[MessageRequest, Success]("message:read")
	MessageDelivered  = command[MessageRequest, Success]("message:delivered")
	TypingStarted     = command[ConversationRequest, Success]("typing:start")
	TypingStopped     = command[ConversationRequest, Success]("typing:stop")
	Typing            = command[TypingRequest, Success]("typing") // of older clients: start and stop in one
	ConversationJoin  = command[ConversationRequest, ConversationJoined]("conversation:join")
	ConversationLeave = command[ConversationRequest, ConversationJoined]("conversation:leave")
)

// MessageEvent is the payload of [MessageNew].
type MessageEvent struct {
	ID             string         `json:"id"` // "msg-" and what makes it unique and sortable
	ConversationID string         `json:"conversationId"`
	Content        string         `json:"content"`
	SenderID       string         `json:"senderId"`
	SenderName     string         `json:"senderName,omitempty"`
	Attachments    List[string]   `json:"attachments,omitzero"` // an empty list is sent, nil is left out
	Metadata       map[string]any `json:"metadata,omitempty"`
	CreatedAt      Time           `json:"createdAt"`
	Base
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
