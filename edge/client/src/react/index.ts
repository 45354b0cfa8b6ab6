'use client';
// The hooks. Everything of the core is exported here too, so that a frontend changes one import.

export * from '../index.js';
export { RealtimeProvider, type RealtimeProviderProps, useRealtime } from './context.js';
export { formatLastSeen, getPresenceStatusDisplay, type PresenceStatusDisplay } from './display.js';
export { useDashboard, type UseDashboardResult } from './useDashboard.js';
export { useMessages, useTypingIndicator } from './useMessages.js';
export { useNotifications, type UseNotificationsResult } from './useNotifications.js';
export { useMultiUserPresence, usePresence, type UsePresenceOptions, useUserPresence } from './usePresence.js';
export { useRealTimeData, type UseRealTimeDataOptions, type UseRealTimeDataResult } from './useRealTimeData.js';
export { useWebSocket, useWebSocketEvent, type UseWebSocketOptions, type UseWebSocketResult } from './useWebSocket.js';
