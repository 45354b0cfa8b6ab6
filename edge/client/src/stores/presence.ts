import type { Realtime } from '../core/client.js';
import { shared } from '../core/shared.js';
import { endOf } from '../core/store.js';
import type { CommandName, CommandRequest, PresenceAck, PresenceEntry, PresenceStatus, PresenceUpdateEvent } from '../generated/index.js';
import { LiveStore } from './live.js';

/** One user's presence, over all of the user's devices. */
export interface UserPresence extends PresenceEntry {
  activeConnections: number;
  timestamp?: string;
}

export interface PresenceState {
  /** Whoever is known: those watched, and those that share a case or conversation with the user. */
  readonly users: ReadonlyMap<string, UserPresence>;
  readonly myStatus: PresenceStatus;
  readonly myActivity: string | null;
  readonly myCustomStatus: string | null;
}

const EMPTY: PresenceState = { users: new Map(), myStatus: 'online', myActivity: null, myCustomStatus: null };
const ACTIVITY_ENDS = 300_000; // ms after which what one is doing is taken back

/** Who is here, and how the user is. */
export class PresenceStore extends LiveStore<PresenceState> {
  readonly #watched = new Map<string, { places: number; known: boolean }>(); // known: also without watching
  #activityEnds: ReturnType<typeof setTimeout> | undefined;
  #beat = { said: '', at: -Infinity }; // on this connection

  protected override start(): void {
    this.on('presence:update', (update) => this.apply((s) => this.#with(s, [update])));
    this.on('presence:bulk-update', ({ users }) => this.apply((s) => this.#with(s, users)));
    this.keep(() => clearTimeout(this.#activityEnds));
  }

  protected override connected(fresh: boolean, late: boolean): void {
    this.#beat.at = -Infinity;
    if (late) return this.#catchUp();
    if (!fresh) return;
    // What the server has forgotten is refilled from the heartbeat, and what it knows comes as a snapshot.
    this.apply((s) => ({ users: new Map([...s.users].filter(([id]) => this.#watched.has(id))) }));
  }

  /** Is told about users until the returned function is called. */
  watch(userIds: Iterable<string>): () => void {
    const ids = [...new Set(userIds)].filter((id) => id !== '');
    return endOf(...ids.map((id) => this.#watch(id)));
  }

  /**
   * Sends what one is and does, so that a server that has lost it knows it again; not again what was said on
   * this connection less than `spacing` milliseconds ago, so that all places of use together beat like one.
   */
  async heartbeat(spacing = 0): Promise<void> {
    const { myStatus, myActivity, myCustomStatus } = this.getSnapshot();
    const beat = { status: myStatus, activity: myActivity ?? undefined, customStatus: myCustomStatus ?? undefined };
    const [said, at] = [JSON.stringify(beat), performance.now()];
    if (said === this.#beat.said && at - this.#beat.at < spacing) return;
    this.#beat = { said, at };
    await this.ask('presence:heartbeat', beat);
  }

  readonly actions = {
    setStatus: (status: PresenceStatus): Promise<void> => this.#say({ myStatus: status }, 'presence:set-status', { status }),

    /** Says what one is doing; null, and five minutes, take it back. */
    setActivity: (activity: string | null): Promise<void> => {
      clearTimeout(this.#activityEnds);
      if (!activity) return this.#say({ myActivity: null }, 'presence:clear-activity', {});
      this.#activityEnds = setTimeout(() => void this.actions.setActivity(null).catch(() => {}), ACTIVITY_ENDS);
      return this.#say({ myActivity: activity }, 'presence:set-activity', { activity });
    },

    setCustomStatus: (customStatus: string | null): Promise<void> => (
      customStatus
        ? this.#say({ myCustomStatus: customStatus }, 'presence:set-custom-status', { customStatus })
        : this.#say({ myCustomStatus: null }, 'presence:clear-custom-status', {})
    ),
  };

  // Who is around was said when the connection opened, and may have changed since: watching them for a
  // moment gives a snapshot, and they stay seen.
  #catchUp(): void {
    const userIds = (this.channel.greeting('presence:bulk-update')?.users ?? []).map(({ userId }) => userId);
    const others = userIds.filter((id) => id !== this.channel.getSnapshot().userId && !this.#watched.has(id));
    if (others.length === 0) return;
    const request = { userIds: others };
    this.ask('presence:subscribe', request)
      .then(() => this.ask('presence:unsubscribe', request))
      .catch(() => {}); // they are unknown until they change
  }

  async #say<C extends CommandName>(change: Partial<PresenceState>, command: C, request: CommandRequest<C>): Promise<void> {
    await this.attempt(
      () => change,
      () => this.ask(command, request) as Promise<PresenceAck>,
      (s, { presence }) => ({ ...this.#with(s, [presence]), ...mine(presence) }),
    );
  }

  #watch(id: string): () => void {
    const share = this.channel.interests.acquire({
      subscribe: 'presence:subscribe', unsubscribe: 'presence:unsubscribe', data: { userIds: [id] }, list: 'userIds',
    });
    const watched = this.#watched.get(id) ?? { places: 0, known: this.base.users.has(id) };
    watched.places++;
    this.#watched.set(id, watched);
    return () => {
      share.release();
      if (--watched.places > 0) return;
      this.#watched.delete(id);
      if (watched.known) return;
      // Nobody says any more how this user is.
      this.apply((s) => {
        const users = new Map(s.users);
        users.delete(id);
        return { users };
      });
    };
  }

  #with(s: PresenceState, entries: readonly (PresenceEntry | PresenceUpdateEvent)[]): Partial<PresenceState> {
    const users = new Map(s.users);
    const me = this.channel.getSnapshot().userId;
    let own: Partial<PresenceState> = {};
    for (const entry of entries) {
      const { status, userId, timestamp } = entry as PresenceUpdateEvent;
      // A server that repeats an announcement may say it after a newer one.
      if (timestamp < (users.get(userId)?.timestamp ?? '')) continue;
      users.set(userId, { ...entry, activeConnections: entry.activeConnections ?? Number(status !== 'offline') });
      if (userId === me) own = mine(entry);
    }
    return { users, ...own };
  }
}

// mine is how another of the user's devices, or the server, says that the user is. Who is here is not offline.
function mine({ status, currentActivity, customStatus }: PresenceEntry | PresenceUpdateEvent): Partial<PresenceState> {
  return {
    ...(status !== 'offline' && { myStatus: status }),
    myActivity: currentActivity ?? null,
    myCustomStatus: customStatus ?? null,
  };
}

/** The client's presence in one namespace: `/events` or `/messaging`. */
export function presenceStore(client: Realtime, namespace = '/events'): PresenceStore {
  return shared(client, `presence ${namespace}`, () => new PresenceStore(client, namespace, EMPTY));
}
