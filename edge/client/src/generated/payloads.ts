// Code generated from the Go declarations in subjects by subjects/generate. DO NOT EDIT.

import type {
  ActivityType,
  DashboardAlertType,
  DeadlineSeverity,
  DocumentPermission,
  DocumentStatus,
  ErrorCode,
  MaintenanceType,
  NotificationPriority,
  NotificationType,
  PresenceStatus,
  Severity,
  SystemAlertType,
} from "./enums.js";

/** CaseCreatedEvent is the payload of `case:created`. */
export interface CaseCreatedEvent extends BaseEvent {
  caseId: string;
  caseNumber: string;
  title: string;
  clientId: string;
  clientName?: string;
  createdBy: string;
  createdAt: string;
}

/** CaseUpdatedEvent is the payload of `case:updated`. */
export interface CaseUpdatedEvent extends BaseEvent {
  caseId: string;
  caseNumber: string;
  changes: Record<string, FieldChange>;
  updatedBy: string;
  updatedAt: string;
}

/** CaseDeletedEvent is the payload of `case:deleted`. */
export interface CaseDeletedEvent extends BaseEvent {
  caseId: string;
  caseNumber: string;
  deletedBy: string;
  deletedAt: string;
}

/** CaseStatusChangedEvent is the payload of `case:status:changed`. */
export interface CaseStatusChangedEvent extends BaseEvent {
  caseId: string;
  caseNumber: string;
  oldStatus: string;
  newStatus: string;
  changedBy: string;
  changedAt: string;
}

/** DocumentUploadedEvent is the payload of `document:uploaded`. */
export interface DocumentUploadedEvent extends BaseEvent {
  documentId: string;
  fileName: string;
  /** bytes */
  fileSize: number;
  mimeType: string;
  caseId?: string;
  uploadedBy: string;
  uploadedAt: string;
}

/** DocumentProcessedEvent is the payload of `document:processed`. */
export interface DocumentProcessedEvent extends BaseEvent {
  documentId: string;
  fileName: string;
  status: DocumentStatus;
  extractedText?: string;
  metadata?: Record<string, unknown>;
  error?: string;
}

/** DocumentSharedEvent is the payload of `document:shared`. */
export interface DocumentSharedEvent extends BaseEvent {
  documentId: string;
  fileName: string;
  /** user ids */
  sharedWith: string[];
  sharedBy: string;
  permissions: DocumentPermission;
  sharedAt: string;
}

/** DocketEntryAddedEvent is the payload of `docket:entry:added`. */
export interface DocketEntryAddedEvent extends BaseEvent {
  entryId: string;
  caseId: string;
  entryNumber: number;
  description: string;
  /** as the court gives it, often without a time */
  filedDate: string;
  documentCount: number;
  addedAt: string;
}

/** CaseRequest names a case: any id, not only a UUID. */
export interface CaseRequest {
  caseId: string;
}

/**
 * CaseSubscribeRequest names a case, and the position behind which its events are wanted by a client that
 * keeps its own cursor.
 */
export interface CaseSubscribeRequest {
  caseId: string;
  /** a log position, as the last argument of events has it */
  since?: string;
}

/** CaseSubscription answers `subscribe:case` and `unsubscribe:case`. */
export interface CaseSubscription {
  /** subscribed, unsubscribed or error */
  status: string;
  caseId: string;
  /** log position of the subscription: what comes behind it is live */
  offset?: string;
  /** of one since a position: whether all that was missed up to there follows first */
  recovered?: boolean;
}

/** CollaborationJoinedEvent is the payload of `collaboration:joined`. */
export interface CollaborationJoinedEvent extends BaseEvent {
  documentId: string;
  userId: string;
  userName: string;
  cursorPosition?: CursorPosition;
}

/** CollaborationLeftEvent is the payload of `collaboration:left`. */
export interface CollaborationLeftEvent extends BaseEvent {
  documentId: string;
  userId: string;
}

/** CollaborationCursorEvent is the payload of `collaboration:cursor`. */
export interface CollaborationCursorEvent extends BaseEvent {
  documentId: string;
  userId: string;
  cursorPosition: CursorPosition;
}

/** CollaborationEditEvent is the payload of `collaboration:edit`. */
export interface CollaborationEditEvent extends BaseEvent {
  documentId: string;
  userId: string;
  changes: TextEdit[];
  version: number;
}

/** A CursorPosition is a place in a text. */
export interface CursorPosition {
  line: number;
  column: number;
}

/** A TextEdit replaces a range by a text. */
export interface TextEdit {
  range: TextRange;
  text: string;
}

/** A TextRange is a part of a text, by offsets. */
export interface TextRange {
  start: number;
  end: number;
}

/** DashboardMetricsEvent is the payload of `dashboard:metrics`. */
export interface DashboardMetricsEvent extends BaseEvent {
  activeCases: number;
  pendingTasks: number;
  upcomingDeadlines: number;
  recentActivity: number;
  totalRevenue?: number;
  billableHours?: number;
  customMetrics?: Record<string, number>;
}

/** ActivityFeedEvent is the payload of `dashboard:activity`. */
export interface ActivityFeedEvent extends BaseEvent {
  id: string;
  type: ActivityType;
  title: string;
  description: string;
  userId?: string;
  userName?: string;
  caseId?: string;
  caseName?: string;
  priority?: NotificationPriority;
}

/** CaseStatsEvent is the payload of `dashboard:case-stats`. */
export interface CaseStatsEvent extends BaseEvent {
  caseId: string;
  status: string;
  /** per cent */
  progress: number;
  activeTasks: number;
  upcomingDeadlines: number;
  recentUpdates: number;
}

/** TeamActivityEvent is the payload of `dashboard:team-activity`. */
export interface TeamActivityEvent extends BaseEvent {
  userId: string;
  userName: string;
  action: string;
  details: string;
}

/** DashboardAlertEvent is the payload of `dashboard:alert`. */
export interface DashboardAlertEvent extends BaseEvent {
  type: DashboardAlertType;
  severity: Severity;
  title: string;
  message: string;
  actionRequired?: boolean;
  actionUrl?: string;
}

/**
 * DashboardTypes says which dashboard events a socket wants: metrics, activity,
 * case-stats, team-activity, alert.
 */
export interface DashboardTypes {
  types: readonly string[];
}

/** DashboardSubscriptions answers `dashboard:subscribe` and `dashboard:unsubscribe`. */
export interface DashboardSubscriptions {
  success: true;
  subscriptions: string[];
}

/**
 * A Refusal is how a client sees an error: the ack of a command that was not carried
 * out. An edge makes it of the `Error` that a service answers with, or of its own.
 */
export interface Refusal {
  /** always false */
  success: false;
  /** "error", for subscribe:case and unsubscribe:case */
  status?: string;
  error: string;
  code: ErrorCode;
  /** seconds */
  retryAfter?: number;
  currentConnections?: number;
  currentRoomCount?: number;
}

/** MessageEvent is the payload of `message:new`. */
export interface MessageEvent extends BaseEvent {
  /** "msg-" and what makes it unique and sortable */
  id: string;
  conversationId: string;
  content: string;
  senderId: string;
  senderName?: string;
  /** none if the sender gave no list */
  attachments?: string[];
  metadata?: Record<string, unknown>;
  /** the sender's own name for it */
  clientId?: string;
  createdAt: string;
}

/**
 * A Message is a message as it is now: with its newest content, without any after
 * it was deleted.
 */
export interface Message extends MessageEvent {
  /** 1 as sent */
  version: number;
  isEdited: boolean;
  editedAt?: string;
  isDeleted: boolean;
  deletedAt?: string;
}

/** MessageEditedEvent is the payload of `message:edited`. */
export interface MessageEditedEvent extends BaseEvent {
  messageId: string;
  conversationId: string;
  userId: string;
  content: string;
  version: number;
  editedAt: string;
}

/** MessageDeletedEvent is the payload of `message:deleted`. */
export interface MessageDeletedEvent extends BaseEvent {
  messageId: string;
  conversationId: string;
  userId: string;
  version: number;
  deletedAt: string;
}

/** MessageDeliveredEvent is the payload of `message:delivered`. */
export interface MessageDeliveredEvent extends BaseEvent {
  messageId: string;
  conversationId: string;
  userId: string;
  deliveredAt: string;
}

/** UserTypingEvent is the payload of `user:typing`. */
export interface UserTypingEvent extends BaseEvent {
  conversationId: string;
  userId: string;
  userName: string;
  isTyping: boolean;
}

/**
 * ConversationEvent is the payload of `conversation:updated`. A reader keeps the
 * state with the highest revision.
 */
export interface ConversationEvent extends BaseEvent {
  conversationId: string;
  title?: string;
  memberIds: string[];
  createdBy: string;
  createdAt: string;
  revision: number;
}

/** A Conversation is one as a member sees it in an answer. */
export interface Conversation {
  id: string;
  title?: string;
  memberIds: string[];
  createdBy: string;
  createdAt: string;
  revision: number;
  /** of messages by others */
  unreadCount: number;
  /** none in one without messages */
  lastMessage?: Message;
}

/** A Receipt says how far a member has come in a conversation. */
export interface Receipt {
  userId: string;
  readMessageId?: string;
  deliveredMessageId?: string;
}

/** MessageReadEvent is the payload of `message:read`. */
export interface MessageReadEvent extends BaseEvent {
  messageId: string;
  conversationId: string;
  userId: string;
  readAt: string;
}

/** TypingStartEvent is the payload of `typing:start`. */
export interface TypingStartEvent extends BaseEvent {
  conversationId: string;
  userId: string;
  userName?: string;
}

/** TypingStopEvent is the payload of `typing:stop`. */
export interface TypingStopEvent extends BaseEvent {
  conversationId: string;
  userId: string;
}

/** MessageSendRequest is the request of `message:send`. */
export interface MessageSendRequest {
  conversationId: string;
  content: string;
  attachments?: readonly string[];
  /** a repetition with the same one sends nothing again */
  clientId?: string;
}

/** MessageMarkedRead answers `message:read`. */
export interface MessageMarkedRead {
  success: true;
  /** of this conversation */
  unreadCount: number;
}

/** MessageHistoryRequest is the request of `message:history`. */
export interface MessageHistoryRequest {
  conversationId: string;
  /** id of a message; default: the end */
  before?: string;
  /** default 50, at most 100 */
  limit?: number;
}

/** MessagePage answers `message:history`. */
export interface MessagePage {
  success: true;
  conversationId: string;
  /** oldest first */
  messages: Message[];
  /** there are older ones: ask again before the first of these */
  hasMore: boolean;
}

/** MessageEditRequest is the request of `message:edit`. */
export interface MessageEditRequest {
  conversationId: string;
  messageId: string;
  content: string;
}

/** MessageChanged answers `message:edit` and `message:delete`. */
export interface MessageChanged {
  success: true;
  message: Message;
}

/** MessageVersionList answers `message:versions`. */
export interface MessageVersionList {
  success: true;
  /** oldest first */
  versions: MessageVersion[];
}

/** A MessageVersion is what a message said from At on. */
export interface MessageVersion {
  version: number;
  content: string;
  at: string;
}

/** ConversationCreateRequest is the request of `conversation:create`. */
export interface ConversationCreateRequest {
  title?: string;
  /** the creator is one in any case */
  memberIds: readonly string[];
  /** a repetition with the same one creates nothing again */
  clientId?: string;
}

/**
 * ConversationMembersRequest is the request of `conversation:members`. Without
 * anybody to add or to remove it only asks.
 */
export interface ConversationMembersRequest {
  conversationId: string;
  add?: readonly string[];
  remove?: readonly string[];
}

/** ConversationAck answers `conversation:create` and `conversation:members`. */
export interface ConversationAck {
  success: true;
  conversationId: string;
  conversation: Conversation;
  receipts: Receipt[];
}

/** ConversationListRequest is the request of `conversation:list`. */
export interface ConversationListRequest {
  /** of the page before */
  cursor?: string;
  /** default 50, at most 100 */
  limit?: number;
}

/** ConversationPage answers `conversation:list`. */
export interface ConversationPage {
  success: true;
  /** the last active first */
  conversations: Conversation[];
  /** none after the last page */
  cursor?: string;
  /** of the conversations in this page */
  unreadCount: number;
}

/** MessageSent answers `message:send`. */
export interface MessageSent {
  success: true;
  messageId: string;
  message: MessageEvent;
}

/** MessageRequest names a message. */
export interface MessageRequest {
  messageId: string;
  conversationId: string;
}

/** ConversationRequest names a conversation. */
export interface ConversationRequest {
  conversationId: string;
}

/** TypingRequest is the request of `typing`. */
export interface TypingRequest {
  conversationId: string;
  isTyping: boolean;
}

/** ConversationJoined answers `conversation:join` and `conversation:leave`. */
export interface ConversationJoined {
  success: true;
  conversationId: string;
}

/** NotificationEvent is the payload of `notification:new`. */
export interface NotificationEvent extends BaseEvent {
  id: string;
  type: NotificationType;
  title: string;
  message: string;
  priority: NotificationPriority;
  userId: string;
  metadata?: Record<string, unknown>;
  actionUrl?: string;
  relatedEntityId?: string;
  relatedEntityType?: string;
  createdAt: string;
}

/** NotificationReadEvent is the payload of `notification:read`. */
export interface NotificationReadEvent extends BaseEvent {
  notificationId: string;
  userId: string;
  readAt: string;
}

/**
 * NotificationUnreadEvent is the payload of `notification:unread`, the reverse of
 * `notification:read`.
 */
export interface NotificationUnreadEvent extends BaseEvent {
  notificationId: string;
  userId: string;
}

/** NotificationAllReadEvent is the payload of `notification:all-read`. */
export interface NotificationAllReadEvent extends BaseEvent {
  userId: string;
}

/** NotificationDeletedEvent is the payload of `notification:deleted`. */
export interface NotificationDeletedEvent extends BaseEvent {
  notificationId: string;
  userId: string;
}

/** NotificationCountEvent is the payload of `notification:count`. */
export interface NotificationCountEvent extends BaseEvent {
  /** unread */
  count: number;
  userId: string;
}

/** NotificationRequest names a notification of the caller. */
export interface NotificationRequest {
  notificationId: string;
}

/** NotificationDeleteRequest is the request of `notification:delete`. */
export interface NotificationDeleteRequest {
  notificationId: string;
  /** a hint of the client, not to be trusted */
  wasUnread?: boolean;
}

/**
 * UnreadCount answers `notification:mark-read`, `notification:mark-unread` and
 * `notification:mark-all-read`.
 */
export interface UnreadCount {
  success: true;
  unreadCount: number;
}

/** NotificationListRequest is the request of `notification:list`. */
export interface NotificationListRequest {
  /** nextCursor of the page before; none asks for the newest */
  cursor?: string;
  /** 1 to 100; default 20 */
  limit?: number;
  unreadOnly?: boolean;
}

/** NotificationPage answers `notification:list`, newest first. */
export interface NotificationPage {
  success: true;
  notifications: StoredNotification[];
  /** none on the last page */
  nextCursor?: string;
  /** of all, not of the page */
  unreadCount: number;
}

/** A StoredNotification is a notification with what became of it. */
export interface StoredNotification extends NotificationEvent {
  read: boolean;
  readAt?: string;
}

/**
 * NotificationPreferencesRequest is the request of `notification:preferences`:
 * empty it reads, with Set it changes.
 */
export interface NotificationPreferencesRequest {
  set?: NotifyPreferencesChange;
}

/** NotifyPreferencesChange replaces the preferences it names and keeps the others. */
export interface NotifyPreferencesChange {
  muted?: readonly NotificationType[];
  quietHours?: QuietHours;
}

/** NotificationPreferencesAck answers `notification:preferences`. */
export interface NotificationPreferencesAck {
  success: true;
  preferences: NotifyPreferences;
}

/**
 * NotifyPreferences is how a user wants to be notified. What is muted or falls into
 * quiet hours is kept and counted, but not pushed as `notification:new`. Urgent
 * notifications and those of deadlines are pushed always.
 */
export interface NotifyPreferences {
  muted: NotificationType[];
  quietHours: QuietHours;
}

/** QuietHours is a part of the day, by the clocks of a time zone. */
export interface QuietHours {
  enabled: boolean;
  /** "22:00" */
  start?: string;
  /** "07:00"; before Start it is on the next day, equal to it a day later */
  end?: string;
  /** "Europe/Berlin"; default UTC */
  timeZone?: string;
  /** days on which it starts, Sunday 0; none is every day */
  days: number[];
}

/** NotificationFollowing answers `notification:follow` and `notification:unfollow`. */
export interface NotificationFollowing {
  success: true;
  caseId: string;
  following: boolean;
}

/**
 * Base is part of every event. A zero Timestamp is left out and the edge fills in
 * the log's time, so that publishers need not set it.
 */
export interface BaseEvent {
  /** the edge fills in the log's time */
  timestamp: string;
  /** Newer servers and services may send further keys. */
  [key: string]: unknown;
}

/** A Change is one field's old and new value. */
export interface FieldChange {
  old: unknown;
  new: unknown;
}

/** Success is the least an ack says. */
export interface Success {
  success: true;
}

/**
 * PresenceUpdateEvent is the payload of `presence:update`. One user has one presence,
 * whatever the number of devices.
 */
export interface PresenceUpdateEvent extends BaseEvent {
  userId: string;
  status: PresenceStatus;
  lastSeen: string;
  activeConnections: number;
  currentActivity?: string;
  customStatus?: string;
  /** sorted by kind */
  devices?: PresenceDevice[];
}

/**
 * PresenceDevice says how many devices of a kind somebody uses. A device that is
 * connected to several namespaces counts once.
 */
export interface PresenceDevice {
  /** "desktop", "mobile", "tablet", "other"; newer edges may know more */
  kind: string;
  count: number;
}

/** UserPresenceEvent is the payload of `user:presence`. */
export interface UserPresenceEvent extends BaseEvent {
  userId: string;
  isOnline: boolean;
  lastSeen?: string;
}

/** PresenceBulkUpdateEvent is the payload of `presence:bulk-update`. */
export interface PresenceBulkUpdateEvent extends BaseEvent {
  users: PresenceEntry[];
}

/** PresenceEntry is one user of a snapshot. */
export interface PresenceEntry {
  userId: string;
  status: PresenceStatus;
  lastSeen: string;
  activeConnections?: number;
  currentActivity?: string;
  customStatus?: string;
}

/** PresenceStatusRequest is the request of `presence:set-status`. */
export interface PresenceStatusRequest {
  status: PresenceStatus;
}

/** PresenceActivityRequest is the request of `presence:set-activity`. */
export interface PresenceActivityRequest {
  activity: string;
}

/** PresenceCustomStatusRequest is the request of `presence:set-custom-status`. */
export interface PresenceCustomStatusRequest {
  customStatus: string;
}

/**
 * PresenceHeartbeatRequest is the request of `presence:heartbeat`. Its fields only
 * refill what the server has lost.
 */
export interface PresenceHeartbeatRequest {
  status: PresenceStatus;
  activity?: string;
  customStatus?: string;
}

/** PresenceUsers names users to watch, or no longer. */
export interface PresenceUsers {
  userIds: readonly string[];
}

/** PresenceSetRequest is the request of `presence:update`. */
export interface PresenceSetRequest {
  isOnline: boolean;
}

/** PresenceAck answers what changes the caller's presence. */
export interface PresenceAck {
  success: true;
  presence: PresenceUpdateEvent;
}

/** RoomMessageEvent is the payload of `message`. */
export interface RoomMessageEvent extends BaseEvent {
  /** a socket id */
  from: string;
  userId?: string;
  message: unknown;
}

/** UserJoinedRoomEvent is the payload of `user_joined`. */
export interface UserJoinedRoomEvent extends BaseEvent {
  room: string;
  socketId: string;
  userId?: string;
  userName?: string;
  participantCount: number;
}

/** UserLeftRoomEvent is the payload of `user_left`. */
export interface UserLeftRoomEvent extends BaseEvent {
  room: string;
  socketId: string;
  userId?: string;
  participantCount: number;
}

/** RoomRequest names a room. A userId that a client sends is ignored. */
export interface RoomRequest {
  room: string;
}

/** RoomMessageRequest is the request of `send_message`. */
export interface RoomMessageRequest {
  room: string;
  message: unknown;
}

/** RoomHistoryRequest is the request of `history`. */
export interface RoomHistoryRequest {
  /** as clients name it: "case:123" */
  room: string;
  /** a log position; default the newest */
  before?: string;
  /** 1 to 200; default 50 */
  limit?: number;
}

/** RoomHistoryPage answers `history`. */
export interface RoomHistoryPage {
  success: true;
  room: string;
  /** oldest first */
  events: RoomHistoryEvent[];
  /** asks for the page before this one */
  before?: string;
  /** there is none: the log has nothing older of this room */
  complete: boolean;
}

/** RoomHistoryEvent is an event as its room got it. */
export interface RoomHistoryEvent {
  event: string;
  data: unknown;
  offset: string;
}

/**
 * ConnectionEvent is the payload of `connected`. What a resumed session missed comes
 * before it.
 */
export interface ConnectionEvent extends BaseEvent {
  /** for people */
  message?: string;
  userId: string;
  socketId: string;
  /** without the slash */
  namespace: string;
  /** the session before goes on, and nothing is missing */
  recovered: boolean;
  /** position in the log behind which it was resumed */
  from?: number;
  /** position in the log up to which it has everything now */
  to: number;
  /** events that were sent again */
  missed: number;
}

/** PongEvent is the payload of `pong`, which answers `ping` besides its ack. */
export interface PongEvent extends BaseEvent {
}

/** DisconnectionEvent is the payload of `disconnected`, which no server ever sent. */
export interface DisconnectionEvent extends BaseEvent {
  userId: string;
  socketId: string;
  reason?: string;
}

/** ErrorEvent is the payload of `error`. */
export interface ErrorEvent extends BaseEvent {
  code: ErrorCode;
  message: string;
  details?: Record<string, unknown>;
}

/** SystemAlertEvent is the payload of `system:alert`. */
export interface SystemAlertEvent extends BaseEvent {
  id: string;
  type: SystemAlertType;
  severity: Severity;
  title: string;
  message: string;
  affectedUsers?: string[];
  startTime?: string;
  endTime?: string;
  actionRequired?: boolean;
  actionUrl?: string;
}

/** SystemMaintenanceEvent is the payload of `system:maintenance`. */
export interface SystemMaintenanceEvent extends BaseEvent {
  maintenanceId: string;
  type: MaintenanceType;
  startTime: string;
  estimatedEndTime: string;
  message: string;
  affectedServices: string[];
}

/** AuthRefreshRequest is the request of `auth:refresh`. */
export interface AuthRefreshRequest {
  token: string;
}

/** AuthRefreshed answers `auth:refresh`. */
export interface AuthRefreshed {
  success: true;
  expiresAt: string;
}

/** TaskCreatedEvent is the payload of `task:created`. */
export interface TaskCreatedEvent extends BaseEvent {
  taskId: string;
  title: string;
  description?: string;
  assignedTo?: string;
  caseId?: string;
  dueDate?: string;
  priority: NotificationPriority;
  createdBy: string;
  createdAt: string;
}

/** TaskUpdatedEvent is the payload of `task:updated`. */
export interface TaskUpdatedEvent extends BaseEvent {
  taskId: string;
  changes: Record<string, FieldChange>;
  updatedBy: string;
  updatedAt: string;
}

/** TaskCompletedEvent is the payload of `task:completed`. */
export interface TaskCompletedEvent extends BaseEvent {
  taskId: string;
  title: string;
  completedBy: string;
  completedAt: string;
  caseId?: string;
}

/** DeadlineApproachingEvent is the payload of `deadline:approaching`. */
export interface DeadlineApproachingEvent extends BaseEvent {
  deadlineId: string;
  caseId: string;
  caseName: string;
  description: string;
  dueDate: string;
  /** milliseconds */
  timeRemaining: number;
  severity: DeadlineSeverity;
}

/** DeadlineMissedEvent is the payload of `deadline:missed`. */
export interface DeadlineMissedEvent extends BaseEvent {
  deadlineId: string;
  caseId: string;
  caseName: string;
  description: string;
  dueDate: string;
  /** milliseconds */
  missedBy: number;
}

/** The request of a command that needs none: {} or no argument at all. */
export type NoRequest = Record<string, never> | undefined;
