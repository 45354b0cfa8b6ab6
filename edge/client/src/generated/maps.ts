// Code generated from the Go declarations in subjects by subjects/generate. DO NOT EDIT.

import type {
  ActivityFeedEvent,
  AuthRefreshRequest,
  AuthRefreshed,
  CaseCreatedEvent,
  CaseDeletedEvent,
  CaseRequest,
  CaseStatsEvent,
  CaseStatusChangedEvent,
  CaseSubscribeRequest,
  CaseSubscription,
  CaseUpdatedEvent,
  CollaborationCursorEvent,
  CollaborationEditEvent,
  CollaborationJoinedEvent,
  CollaborationLeftEvent,
  ConnectionEvent,
  ConversationAck,
  ConversationCreateRequest,
  ConversationEvent,
  ConversationJoined,
  ConversationListRequest,
  ConversationMembersRequest,
  ConversationPage,
  ConversationRequest,
  DashboardAlertEvent,
  DashboardMetricsEvent,
  DashboardSubscriptions,
  DashboardTypes,
  DeadlineApproachingEvent,
  DeadlineMissedEvent,
  DisconnectionEvent,
  DocketEntryAddedEvent,
  DocumentProcessedEvent,
  DocumentSharedEvent,
  DocumentUploadedEvent,
  ErrorEvent,
  MessageChanged,
  MessageDeletedEvent,
  MessageDeliveredEvent,
  MessageEditRequest,
  MessageEditedEvent,
  MessageEvent,
  MessageHistoryRequest,
  MessageMarkedRead,
  MessagePage,
  MessageReadEvent,
  MessageRequest,
  MessageSendRequest,
  MessageSent,
  MessageVersionList,
  NoRequest,
  NotificationAllReadEvent,
  NotificationCountEvent,
  NotificationDeleteRequest,
  NotificationDeletedEvent,
  NotificationEvent,
  NotificationFollowing,
  NotificationListRequest,
  NotificationPage,
  NotificationPreferencesAck,
  NotificationPreferencesRequest,
  NotificationReadEvent,
  NotificationRequest,
  NotificationUnreadEvent,
  PongEvent,
  PresenceAck,
  PresenceActivityRequest,
  PresenceBulkUpdateEvent,
  PresenceCustomStatusRequest,
  PresenceHeartbeatRequest,
  PresenceSetRequest,
  PresenceStatusRequest,
  PresenceUpdateEvent,
  PresenceUsers,
  Refusal,
  RoomHistoryPage,
  RoomHistoryRequest,
  RoomMessageEvent,
  RoomMessageRequest,
  RoomRequest,
  Success,
  SystemAlertEvent,
  SystemMaintenanceEvent,
  TaskCompletedEvent,
  TaskCreatedEvent,
  TaskUpdatedEvent,
  TeamActivityEvent,
  TypingRequest,
  TypingStartEvent,
  TypingStopEvent,
  UnreadCount,
  UserJoinedRoomEvent,
  UserLeftRoomEvent,
  UserPresenceEvent,
  UserTypingEvent,
} from "./payloads.js";

/**
 * What a server sends, by name. Handlers get the payload; events of the log carry
 * their position in it as a second argument, a string.
 */
export interface EventMap {
  "case:created": CaseCreatedEvent;
  "case:updated": CaseUpdatedEvent;
  "case:deleted": CaseDeletedEvent;
  "case:status:changed": CaseStatusChangedEvent;
  "document:uploaded": DocumentUploadedEvent;
  "document:processed": DocumentProcessedEvent;
  /** `document:shared` tells the case and, in their own rooms, those it was shared with. */
  "document:shared": DocumentSharedEvent;
  "docket:entry:added": DocketEntryAddedEvent;
  "collaboration:joined": CollaborationJoinedEvent;
  "collaboration:left": CollaborationLeftEvent;
  "collaboration:cursor": CollaborationCursorEvent;
  "collaboration:edit": CollaborationEditEvent;
  "dashboard:metrics": DashboardMetricsEvent;
  "dashboard:activity": ActivityFeedEvent;
  "dashboard:case-stats": CaseStatsEvent;
  "dashboard:team-activity": TeamActivityEvent;
  "dashboard:alert": DashboardAlertEvent;
  "message:new": MessageEvent;
  "message:read": MessageReadEvent;
  "message:edited": MessageEditedEvent;
  "message:deleted": MessageDeletedEvent;
  "message:delivered": MessageDeliveredEvent;
  "typing:start": TypingStartEvent;
  "typing:stop": TypingStopEvent;
  /** `user:typing` says typing:start and typing:stop to older clients, in rooms of their own. */
  "user:typing": UserTypingEvent;
  /**
   * `conversation:updated` is the whole state of a conversation after it was made or its
   * members changed. Those who were taken out get it in their own rooms.
   */
  "conversation:updated": ConversationEvent;
  "notification:new": NotificationEvent;
  "notification:read": NotificationReadEvent;
  "notification:unread": NotificationUnreadEvent;
  "notification:all-read": NotificationAllReadEvent;
  "notification:deleted": NotificationDeletedEvent;
  "notification:count": NotificationCountEvent;
  "presence:update": PresenceUpdateEvent;
  /**
   * `user:presence` tells clients of an older dialect, which use it instead of
   * `presence:update`. They are in a room of their own per user: `DialectRoomID`.
   */
  "user:presence": UserPresenceEvent;
  /** `presence:bulk-update` is the snapshot one socket gets after it subscribed. */
  "presence:bulk-update": PresenceBulkUpdateEvent;
  "message": RoomMessageEvent;
  "user_joined": UserJoinedRoomEvent;
  "user_left": UserLeftRoomEvent;
  "system:alert": SystemAlertEvent;
  "system:maintenance": SystemMaintenanceEvent;
  "connected": ConnectionEvent;
  "pong": PongEvent;
  "disconnected": DisconnectionEvent;
  "error": ErrorEvent;
  "task:created": TaskCreatedEvent;
  "task:updated": TaskUpdatedEvent;
  "task:completed": TaskCompletedEvent;
  "deadline:approaching": DeadlineApproachingEvent;
  "deadline:missed": DeadlineMissedEvent;
}

/** What a client emits, by name. A command that is refused is acked with a {@link Refusal}. */
export interface CommandMap {
  "subscribe:case": [request: CaseSubscribeRequest, ack: CaseSubscription];
  "unsubscribe:case": [request: CaseRequest, ack: CaseSubscription];
  "dashboard:subscribe": [request: DashboardTypes, ack: DashboardSubscriptions];
  "dashboard:unsubscribe": [request: DashboardTypes, ack: DashboardSubscriptions];
  "dashboard:request-refresh": [request: NoRequest, ack: Success];
  "message:send": [request: MessageSendRequest, ack: MessageSent];
  "message:read": [request: MessageRequest, ack: MessageMarkedRead];
  "message:delivered": [request: MessageRequest, ack: Success];
  "message:history": [request: MessageHistoryRequest, ack: MessagePage];
  "message:edit": [request: MessageEditRequest, ack: MessageChanged];
  "message:delete": [request: MessageRequest, ack: MessageChanged];
  "message:versions": [request: MessageRequest, ack: MessageVersionList];
  "typing:start": [request: ConversationRequest, ack: Success];
  "typing:stop": [request: ConversationRequest, ack: Success];
  /** of older clients: start and stop in one */
  "typing": [request: TypingRequest, ack: Success];
  "conversation:create": [request: ConversationCreateRequest, ack: ConversationAck];
  "conversation:list": [request: ConversationListRequest, ack: ConversationPage];
  "conversation:members": [request: ConversationMembersRequest, ack: ConversationAck];
  "conversation:join": [request: ConversationRequest, ack: ConversationJoined];
  "conversation:leave": [request: ConversationRequest, ack: ConversationJoined];
  "notification:mark-read": [request: NotificationRequest, ack: UnreadCount];
  "notification:mark-unread": [request: NotificationRequest, ack: UnreadCount];
  "notification:mark-all-read": [request: NoRequest, ack: UnreadCount];
  "notification:delete": [request: NotificationDeleteRequest, ack: Success];
  "notification:list": [request: NotificationListRequest, ack: NotificationPage];
  "notification:preferences": [request: NotificationPreferencesRequest, ack: NotificationPreferencesAck];
  "notification:follow": [request: CaseRequest, ack: NotificationFollowing];
  "notification:unfollow": [request: CaseRequest, ack: NotificationFollowing];
  /** An older client asks for what it gets anyway. */
  "notifications:subscribe": [request: NoRequest, ack: Success];
  "notifications:unsubscribe": [request: NoRequest, ack: Success];
  "presence:set-status": [request: PresenceStatusRequest, ack: PresenceAck];
  "presence:set-activity": [request: PresenceActivityRequest, ack: PresenceAck];
  "presence:clear-activity": [request: NoRequest, ack: PresenceAck];
  "presence:set-custom-status": [request: PresenceCustomStatusRequest, ack: PresenceAck];
  "presence:clear-custom-status": [request: NoRequest, ack: PresenceAck];
  "presence:heartbeat": [request: PresenceHeartbeatRequest, ack: Success];
  /** the human did something */
  "presence:active": [request: NoRequest, ack: Success];
  /** and nothing for a while */
  "presence:idle": [request: NoRequest, ack: Success];
  "presence:subscribe": [request: PresenceUsers, ack: Success];
  "presence:unsubscribe": [request: PresenceUsers, ack: Success];
  /** `presence:update` is how older clients say online or offline. */
  "presence:update": [request: PresenceSetRequest, ack: Success];
  "join_room": [request: RoomRequest, ack: Success];
  "leave_room": [request: RoomRequest, ack: Success];
  "send_message": [request: RoomMessageRequest, ack: Success];
  /** What is still in the log of a room that the socket is in. */
  "history": [request: RoomHistoryRequest, ack: RoomHistoryPage];
  /** The spelling of older clients: the room's name alone. */
  "join-room": [request: string, ack: Success];
  "leave-room": [request: string, ack: Success];
  "ping": [request: NoRequest, ack: Success];
  "auth:refresh": [request: AuthRefreshRequest, ack: AuthRefreshed];
}

/** The name of a declared event. */
export type EventName = keyof EventMap;
/** The payload of a declared event. */
export type EventPayload<E extends EventName> = EventMap[E];

/** The name of a declared command. */
export type CommandName = keyof CommandMap;
/** The request of a declared command. */
export type CommandRequest<C extends CommandName> = CommandMap[C][0];
/** The ack of a declared command that was carried out. */
export type CommandAck<C extends CommandName> = CommandMap[C][1];
/** Whatever a declared command may be acked with. */
export type CommandResult<C extends CommandName> = CommandAck<C> | Refusal;
