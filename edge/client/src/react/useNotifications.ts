'use client';
import { type NotificationItem, notificationStore } from '../stores/notifications.js';
import type { RealtimeError } from '../core/errors.js';
import type { UnreadCount } from '../generated/index.js';
import { useConnected, useLive, useRealtime } from './context.js';

export interface UseNotificationsResult {
  /** Newest first. Each says whether it was read. */
  notifications: readonly NotificationItem[];
  unreadCount: number;
  isConnected: boolean;
  isLoading: boolean;
  hasMore: boolean;
  error: RealtimeError | null;
  /** Each shows its effect at once and takes it back when the server refuses; then it rejects. */
  markAsRead: (notificationId: string) => Promise<UnreadCount>;
  markAsUnread: (notificationId: string) => Promise<UnreadCount>;
  markAllAsRead: () => Promise<UnreadCount>;
  deleteNotification: (notificationId: string) => Promise<void>;
  loadMore: () => Promise<void>;
}

/** The user's notifications, as on every other device. */
export function useNotifications(): UseNotificationsResult {
  const store = notificationStore(useRealtime());
  const state = useLive(store);
  const isConnected = useConnected('/notifications');
  return { ...state, isConnected, ...store.actions };
}
