// The core: one connection for the page, and the types of everything on it. Free of React.
// The client comes first, so that bundles have socket.io-client before all that is ours: what is alike lies
// close together, and compresses better by 1 %.

export { createRealtime, type HeldSubscription, type Realtime, type RealtimeOptions, type RealtimeState } from './core/client.js';
export * from './generated/index.js';
export { type ActivityOptions, watchActivity } from './core/activity.js';
export type { Channel, EmitOptions } from './core/channel.js';
export { type ClientErrorCode, RealtimeError } from './core/errors.js';
export type { Interest, InterestState, Subscription } from './core/interests.js';
export { pageRealtime, storedToken } from './core/page.js';
export { type ConnectionState, ConnectionStatus } from './core/status.js';
export type { Readable } from './core/store.js';
export type { TokenReason, TokenSource } from './core/tokens.js';
export type { AckOf, EventOf, RequestOf } from './core/types.js';
export { type DashboardState, dashboardStore, DASHBOARD_TYPES } from './stores/dashboard.js';
export { type ChatMessage, messageStore, type MessagesState, type MessageStatus, type Watermarks } from './stores/messages.js';
export { type NotificationItem, notificationStore, type NotificationsState } from './stores/notifications.js';
export { type PresenceState, presenceStore, type UserPresence } from './stores/presence.js';
export { typingStore, type TypingState } from './stores/typing.js';
