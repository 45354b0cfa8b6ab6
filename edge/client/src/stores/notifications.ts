import type { Realtime } from '../core/client.js';
import type { RealtimeError } from '../core/errors.js';
import { shared } from '../core/shared.js';
import type { NotificationEvent, UnreadCount } from '../generated/index.js';
import { type Change, LiveStore, prepend } from './live.js';

/** A notification, and whether it was read. */
export interface NotificationItem extends NotificationEvent {
  read: boolean;
  readAt?: string | undefined;
}

export interface NotificationsState {
  /** Newest first: what is kept, as far as it is loaded, and what has come since. */
  readonly notifications: readonly NotificationItem[];
  /** Of all of the user's notifications, loaded or not. */
  readonly unreadCount: number;
  readonly isLoading: boolean;
  readonly hasMore: boolean;
  readonly error: RealtimeError | null;
}

const EMPTY: NotificationsState = { notifications: [], unreadCount: 0, isLoading: false, hasMore: false, error: null };
const PAGE = 20;
const MAX = 500;

/** The user's notifications, the same on every device. */
export class NotificationStore extends LiveStore<NotificationsState> {
  #cursor: string | undefined;
  readonly #live = new Set<string>(); // what has come since the newest page was asked for

  protected override start(): void {
    this.on('notification:new', (n) => {
      this.#live.add(n.id);
      this.apply((s) => ({ notifications: prepend(s.notifications, { ...n, read: false }, MAX) }));
    });
    this.on('notification:read', ({ notificationId, readAt }) => this.apply(marked(notificationId, true, readAt)));
    this.on('notification:unread', ({ notificationId }) => this.apply(marked(notificationId, false)));
    this.on('notification:all-read', () => this.apply(allRead));
    this.on('notification:deleted', ({ notificationId }) => this.apply(without(notificationId)));
    this.on('notification:count', ({ count }) => this.merge({ unreadCount: count }));
  }

  protected override connected(fresh: boolean): void {
    if (fresh) void this.#load().catch(() => {});
  }

  readonly actions = {
    /** Loads the next older page. */
    loadMore: async (): Promise<void> => {
      if (this.base.hasMore && !this.base.isLoading) await this.#load(this.#cursor);
    },

    markAsRead: (notificationId: string): Promise<UnreadCount> => this.#mark(notificationId, true, 'notification:mark-read'),

    markAsUnread: (notificationId: string): Promise<UnreadCount> => this.#mark(notificationId, false, 'notification:mark-unread'),

    markAllAsRead: (): Promise<UnreadCount> => this.attempt(
      (s) => ({ ...allRead(s), unreadCount: 0 }),
      () => this.ask('notification:mark-all-read', {}),
      counted,
    ),

    deleteNotification: async (notificationId: string): Promise<void> => {
      const known = this.getSnapshot().notifications.find(({ id }) => id === notificationId);
      await this.attempt(
        counting(notificationId, true, without(notificationId)),
        () => this.ask('notification:delete', { notificationId, wasUnread: known && !known.read }),
      );
    },
  };

  #mark(notificationId: string, read: boolean, command: 'notification:mark-read' | 'notification:mark-unread'): Promise<UnreadCount> {
    return this.attempt(
      counting(notificationId, read, marked(notificationId, read)),
      () => this.ask(command, { notificationId }),
      counted,
    );
  }

  async #load(cursor?: string): Promise<void> {
    if (!cursor) this.#live.clear();
    await this.load(
      () => this.ask('notification:list', { limit: PAGE, cursor }),
      (s, page) => {
        this.#cursor = page.nextCursor;
        const newer = cursor ? s.notifications : s.notifications.filter(({ id }) => this.#live.has(id));
        const known = new Set(newer.map(({ id }) => id));
        return {
          notifications: [...newer, ...page.notifications.filter(({ id }) => !known.has(id))],
          unreadCount: cursor ? s.unreadCount : page.unreadCount,
          hasMore: !!page.nextCursor,
        };
      },
    );
  }
}

/** The client's notifications. */
export function notificationStore(client: Realtime): NotificationStore {
  return shared(client, 'notifications', () => new NotificationStore(client, '/notifications', EMPTY));
}

// marked changes one notification, or all of them where id is empty.
function marked(id: string, read: boolean, readAt?: string): Change<NotificationsState> {
  return (s) => {
    const changed = (n: NotificationItem): boolean => (n.id === id || !id) && n.read !== read;
    return { notifications: s.notifications.map((n) => (changed(n) ? { ...n, read, readAt } : n)) };
  };
}

const allRead = marked('', true);

function without(id: string): Change<NotificationsState> {
  return (s) => ({ notifications: s.notifications.filter((n) => n.id !== id) });
}

// counted takes the count from an ack.
const counted = (_: unknown, { unreadCount }: UnreadCount) => ({ unreadCount });

// counting also moves the count, where the change makes an unread notification read, or the reverse.
function counting(id: string, read: boolean, change: Change<NotificationsState>): Change<NotificationsState> {
  return (s) => {
    const moves = s.notifications.some((n) => n.id === id && n.read !== read);
    return { ...change(s), ...(moves && { unreadCount: Math.max(s.unreadCount + (read ? -1 : 1), 0) }) };
  };
}
