'use client';
import { useCallback, useEffect, useMemo, useRef } from 'react';
import { watchActivity } from '../core/activity.js';
import { stableJson } from '../core/json.js';
import { PresenceStatus } from '../generated/index.js';
import { presenceStore, type UserPresence } from '../stores/presence.js';
import { useLatest, useLive, useRealtime } from './context.js';
import { useConnection } from './useWebSocket.js';

export interface UsePresenceOptions {
  /** `/events` or `/messaging`. */
  namespace?: string;
  enabled?: boolean;
  /** Milliseconds between heartbeats; default 30,000. */
  heartbeatInterval?: number;
  onPresenceUpdate?: (presence: UserPresence) => void;
}

/** Who is here, and how the user is to others. */
export function usePresence({ namespace = '/events', enabled = true, heartbeatInterval = 30_000, onPresenceUpdate }: UsePresenceOptions = {}) {
  const client = useRealtime();
  const store = presenceStore(client, namespace);
  const state = useLive(store, store.getInitialSnapshot, enabled);
  const connection = useConnection(client.channel(namespace), enabled);
  const isConnected = connection.status === 'connected';
  const callback = useLatest(onPresenceUpdate);
  const activityTimeoutRef = useRef<ReturnType<typeof setTimeout> | null>(null);
  const watched = useRef(new Map<string, () => void>());
  const { users, myStatus, myActivity, myCustomStatus } = state;

  useEffect(() => (enabled ? watchActivity(client) : undefined), [client, enabled]);

  useEffect(() => {
    if (!enabled) return;
    return client.channel(namespace).on('presence:update', (update: UserPresence) => callback.current?.(update));
  }, [client, namespace, enabled, callback]);

  // At once on connect and on each change, then regularly.
  useEffect(() => {
    if (!isConnected) return;
    const beat = () => void store.heartbeat().catch(() => {});
    beat();
    const timer = setInterval(beat, heartbeatInterval);
    return () => clearInterval(timer);
  }, [store, isConnected, heartbeatInterval, myStatus, myActivity, myCustomStatus]);

  useEffect(() => {
    const mine = watched.current;
    return () => {
      for (const end of mine.values()) end();
      mine.clear();
    };
  }, [store]);

  const actions = useMemo(() => ({
    setStatus: (status: PresenceStatus) => store.setStatus(status),
    setActivity: (activity: string | null) => store.setActivity(activity),
    setCustomStatus: (customStatus: string | null) => store.setCustomStatus(customStatus),
    subscribeToUsers: async (userIds: readonly string[]) => {
      for (const id of userIds) if (!watched.current.has(id)) watched.current.set(id, store.watch([id]));
    },
    unsubscribeFromUsers: async (userIds: readonly string[]) => {
      for (const id of userIds) {
        watched.current.get(id)?.();
        watched.current.delete(id);
      }
    },
  }), [store]);

  const getPresence = useCallback((userId: string) => users.get(userId) ?? null, [users]);
  const getMultiplePresence = useCallback((userIds: readonly string[]) => userIds.map((id) => users.get(id) ?? unknown(id)), [users]);
  const getOnlineUsers = useCallback(() => [...users.values()].filter(here), [users]);
  const isUserOnline = useCallback((userId: string) => here(users.get(userId)), [users]);
  return {
    presenceMap: users, myStatus, myActivity, myCustomStatus, isConnected,
    getPresence, getMultiplePresence, getOnlineUsers, isUserOnline, activityTimeoutRef, ...actions,
  };
}

/** One user's presence. Nothing is known of a user before the server has said it. */
export function useUserPresence(userId: string | null | undefined) {
  const { users } = useWatched(userId ? [userId] : []);
  const presence = (userId && users.get(userId)) || null;
  const status = presence?.status;
  return {
    presence,
    isOnline: status === PresenceStatus.ONLINE,
    isAway: status === PresenceStatus.AWAY,
    isBusy: status === PresenceStatus.BUSY,
    isOffline: status === undefined || status === PresenceStatus.OFFLINE,
    lastSeen: presence?.lastSeen ?? null,
    currentActivity: presence?.currentActivity ?? null,
    customStatus: presence?.customStatus ?? null,
  };
}

/** Several users' presence. The list may be inline: it counts by its content. */
export function useMultiUserPresence(userIds: readonly string[]) {
  const { users, ids } = useWatched(userIds);
  return useMemo(() => {
    const presenceMap = new Map(ids.map((id) => [id, users.get(id) ?? unknown(id)]));
    const count = (status: PresenceStatus) => [...presenceMap.values()].filter((p) => p.status === status).length;
    return {
      presenceMap,
      onlineCount: count(PresenceStatus.ONLINE), awayCount: count(PresenceStatus.AWAY),
      busyCount: count(PresenceStatus.BUSY), offlineCount: count(PresenceStatus.OFFLINE),
      totalCount: ids.length,
    };
  }, [users, ids]);
}

function useWatched(userIds: readonly string[]) {
  const store = presenceStore(useRealtime());
  const key = stableJson([...new Set(userIds)].sort());
  const ids = useMemo(() => JSON.parse(key) as string[], [key]);
  const { users } = useLive(store, store.getInitialSnapshot, ids.length > 0);
  useEffect(() => store.watch(ids), [store, ids]);
  return { users, ids };
}

const here = (presence: UserPresence | undefined): boolean => presence !== undefined && presence.status !== PresenceStatus.OFFLINE;

function unknown(userId: string): UserPresence {
  return { userId, status: PresenceStatus.OFFLINE, lastSeen: '', activeConnections: 0 };
}
