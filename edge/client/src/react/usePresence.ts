'use client';
import { useEffect, useMemo, useRef } from './react.js';
import { watchActivity } from '../core/activity.js';
import { stableJson } from '../core/json.js';
import { endOf } from '../core/store.js';
import type { PresenceStatus } from '../generated/index.js';
import { presenceStore, type UserPresence } from '../stores/presence.js';
import { useConnected, useLatest, useLive, useRealtime } from './context.js';

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
  const state = useLive(store, enabled);
  const isConnected = useConnected(namespace, enabled);
  const callback = useLatest(onPresenceUpdate);
  const activityTimeoutRef = useRef<ReturnType<typeof setTimeout> | null>(null);
  const watched = useRef(new Map<string, () => void>());
  const { users, myStatus, myActivity, myCustomStatus } = state;

  useEffect(() => {
    if (!enabled) return;
    return endOf(watchActivity(client), client.channel(namespace).on('presence:update', (update: UserPresence) => callback.current?.(update)));
  }, [client, namespace, enabled, callback]);

  // At once on connect and on each change, then regularly; once for all places.
  useEffect(() => {
    if (!isConnected) return;
    const beat = () => void store.heartbeat(heartbeatInterval / 2).catch(() => {});
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
    ...store.actions,
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
  const questions = useMemo(() => ({
    getPresence: (userId: string) => users.get(userId) ?? null,
    getMultiplePresence: (userIds: readonly string[]) => userIds.map((id) => presenceOf(users, id)),
    getOnlineUsers: () => [...users.values()].filter(here),
    isUserOnline: (userId: string) => here(presenceOf(users, userId)),
  }), [users]);
  return { presenceMap: users, myStatus, myActivity, myCustomStatus, isConnected, activityTimeoutRef, ...actions, ...questions };
}

/** One user's presence. Nothing is known of a user before the server has said it. */
export function useUserPresence(userId: string | null | undefined) {
  const { users } = useWatched(userId ? [userId] : []);
  const presence = (userId && users.get(userId)) || null;
  const status = presence?.status ?? 'offline';
  return {
    presence,
    isOnline: status === 'online',
    isAway: status === 'away',
    isBusy: status === 'busy',
    isOffline: status === 'offline',
    lastSeen: presence?.lastSeen ?? null,
    currentActivity: presence?.currentActivity ?? null,
    customStatus: presence?.customStatus ?? null,
  };
}

/** Several users' presence. The list may be inline: it counts by its content. */
export function useMultiUserPresence(userIds: readonly string[]) {
  const { users, ids } = useWatched(userIds);
  return useMemo(() => {
    const presenceMap = new Map(ids.map((id) => [id, presenceOf(users, id)]));
    const count = (status: PresenceStatus) => [...presenceMap.values()].filter((p) => p.status === status).length;
    return {
      presenceMap,
      onlineCount: count('online'), awayCount: count('away'),
      busyCount: count('busy'), offlineCount: count('offline'),
      totalCount: ids.length,
    };
  }, [users, ids]);
}

function useWatched(userIds: readonly string[]) {
  const store = presenceStore(useRealtime());
  const key = stableJson([...new Set(userIds)].sort());
  const ids = useMemo(() => JSON.parse(key) as string[], [key]);
  const { users } = useLive(store, ids.length > 0);
  useEffect(() => store.watch(ids), [store, ids]);
  return { users, ids };
}

const here = ({ status }: UserPresence): boolean => status !== 'offline';

// presenceOf takes who is not known for offline.
function presenceOf(users: ReadonlyMap<string, UserPresence>, userId: string): UserPresence {
  return users.get(userId) ?? { userId, status: 'offline', lastSeen: '', activeConnections: 0 };
}
