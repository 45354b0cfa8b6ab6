import type { Channel } from './channel.js';
import { asRealtimeError, passes, RealtimeError } from './errors.js';
import { stableJson } from './json.js';
import { Lease } from './lease.js';
import { type Readable, Store } from './store.js';

/** Something that a client asks to be told about. */
export interface Interest {
  /** The command that asks for it, and what it takes. */
  readonly subscribe: string;
  readonly data?: Readonly<Record<string, unknown>>;
  /** The command that ends it, which takes the same. Without one it ends with the connection. */
  readonly unsubscribe?: string;
  /** The field of data if it is one that holds a list: all such interests are asked for in one command. */
  readonly list?: string;
}

export interface InterestState {
  /** `waiting` for a connection or an answer, `active` once the server has agreed. */
  readonly status: 'waiting' | 'active' | 'refused';
  readonly error: RealtimeError | null;
}

/** A share in an interest. */
export interface Subscription extends Readable<InterestState> {
  /** Asks again, also after a refusal. */
  readonly refresh: () => Promise<void>;
  /** Gives the share back. The server hears of it if it was the last, and nobody comes back in a moment. */
  readonly release: () => void;
}

interface Entry {
  readonly key: string;
  readonly interest: Interest;
  readonly state: Store<InterestState>;
  readonly lease: Lease;
  phase: 'wanted' | 'asking' | 'held' | 'refused';
  alone: boolean; // a command for several was refused: find out for which
  failures: number;
  asked: Promise<void>;
}

const WAITING: InterestState = { status: 'waiting', error: null };
const ACTIVE: InterestState = { status: 'active', error: null };
const RETRY_MAX = 30_000; // ms

/**
 * What a namespace is subscribed to, counted by reference. The server is told when the first comes and a
 * moment after the last has gone, and everything again after a reconnect that did not recover.
 */
export class Interests {
  readonly #channel: Channel;
  readonly #linger: number;
  readonly #entries = new Map<string, Entry>();
  readonly #leaving = new Map<string, Interest>(); // to be told to the server at the end of this turn
  #gone: Interest[] = []; // given up while the connection was lost; a recovered session still has them
  #flushing: Promise<void> | undefined;

  constructor(channel: Channel, linger: number) {
    this.#channel = channel;
    this.#linger = linger;
  }

  /** Takes a share in an interest. The caller also has to hold the channel. */
  acquire(interest: Interest): Subscription {
    const entry = this.#entry(interest);
    return {
      subscribe: entry.state.subscribe,
      getSnapshot: entry.state.getSnapshot,
      refresh: async () => {
        if (entry.phase !== 'asking') entry.phase = 'wanted';
        await this.#flush();
        await entry.asked;
      },
      release: entry.lease.take(),
    };
  }

  /** The connection is gone; alive says that it may be recovered. */
  lost(alive: boolean): void {
    if (alive) this.#gone.push(...this.#leaving.values());
    else this.#gone = [];
    this.#leaving.clear();
    for (const entry of this.#entries.values()) {
      if (entry.phase !== 'held' || !alive) entry.phase = 'wanted';
      entry.state.set(WAITING);
    }
  }

  /** There is a connection: ask for everything that it does not have from the one before. */
  restore(recovered: boolean): void {
    const gone = this.#gone;
    this.#gone = [];
    if (recovered) for (const interest of gone) if (!this.#entries.has(keyOf(interest))) this.#leave(interest);
    for (const entry of this.#entries.values()) {
      if (recovered && entry.phase === 'held') entry.state.set(ACTIVE);
      else entry.phase = 'wanted';
    }
    void this.#flush();
  }

  #entry(interest: Interest): Entry {
    const key = keyOf(interest);
    let entry = this.#entries.get(key);
    if (!entry) {
      const made: Entry = {
        key, interest, state: new Store(WAITING), phase: 'wanted', alone: false, failures: 0, asked: Promise.resolve(),
        lease: new Lease(this.#linger, () => {
          this.#entries.set(key, made);
          const kept = this.#leaving.delete(key); // the server has not heard that it was given up
          made.phase = kept ? 'held' : 'wanted';
          made.state.set(kept ? ACTIVE : WAITING);
          void this.#flush();
        }, () => this.#drop(made)),
      };
      entry = made;
    }
    return entry;
  }

  #drop(entry: Entry): void {
    this.#entries.delete(entry.key);
    if (entry.phase !== 'held' && entry.phase !== 'asking') return;
    if (this.#channel.connected) this.#leave(entry.interest);
    else this.#gone.push(entry.interest);
  }

  // Timers that are due together run one after another, and whoever comes back in between has not left.
  #leave(interest: Interest): void {
    if (interest.unsubscribe === undefined) return;
    if (this.#leaving.size === 0) setTimeout(() => this.#sayLeft(), 0);
    this.#leaving.set(keyOf(interest), interest);
  }

  #sayLeft(): void {
    const left = [...this.#leaving.values()];
    this.#leaving.clear();
    for (const group of grouped(left, (interest) => interest)) {
      this.#channel.ask(group[0]!.unsubscribe!, merged(group)).catch((error: RealtimeError) => {
        if (error.code === 'DISCONNECTED') this.#gone.push(...group); // for a session that is recovered
      });
    }
  }

  // One command for all that are wanted in the same turn of the event loop.
  #flush(): Promise<void> {
    return (this.#flushing ??= Promise.resolve().then(() => {
      this.#flushing = undefined;
      if (!this.#channel.connected) return;
      const wanted = [...this.#entries.values()].filter(({ phase }) => phase === 'wanted');
      for (const group of grouped(wanted, ({ interest }) => interest, ({ alone }) => alone)) {
        const asked = this.#ask(group);
        for (const entry of group) entry.asked = asked;
      }
    }));
  }

  async #ask(group: Entry[]): Promise<void> {
    const { connects } = this.#channel.getSnapshot();
    for (const entry of group) entry.phase = 'asking';
    let failure: RealtimeError | undefined;
    try {
      const interests = group.map(({ interest }) => interest);
      await this.#channel.ask(interests[0]!.subscribe, merged(interests));
    } catch (error) {
      failure = asRealtimeError(error);
    }
    if (connects !== this.#channel.getSnapshot().connects) return; // restore has asked again
    for (const entry of group) if (entry.phase === 'asking') this.#settle(entry, failure, group.length > 1);
    if (failure) void this.#flush();
  }

  #settle(entry: Entry, failure: RealtimeError | undefined, several: boolean): void {
    if (!failure) {
      entry.phase = 'held';
      entry.failures = 0;
      entry.state.set(ACTIVE);
    } else if (failure.code === 'DISCONNECTED' || failure.code === 'NOT_CONNECTED') {
      entry.phase = 'wanted'; // for the next connection
    } else if (passes(failure)) {
      const wait = failure.retryAfter ? failure.retryAfter * 1000 : Math.min(500 * 2 ** entry.failures++, RETRY_MAX);
      entry.phase = 'refused';
      entry.state.set({ status: 'waiting', error: failure });
      setTimeout(() => {
        if (entry.phase !== 'refused' || this.#entries.get(entry.key) !== entry) return;
        entry.phase = 'wanted';
        void this.#flush();
      }, wait);
    } else if (several) {
      entry.alone = true;
      entry.phase = 'wanted';
    } else {
      entry.phase = 'refused';
      entry.state.set({ status: 'refused', error: failure });
    }
  }
}

function keyOf({ subscribe, unsubscribe, data }: Interest): string {
  return stableJson([subscribe, unsubscribe, data]);
}

/** Resolves when the server has agreed; rejects with what it refused with, or with TIMEOUT. */
export function settled(subscription: Subscription, timeout = 10_000): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (error: RealtimeError | null) => {
      off();
      clearTimeout(timer);
      if (error) reject(error);
      else resolve();
    };
    const look = () => {
      const { status, error } = subscription.getSnapshot();
      if (error || status === 'active') end(error);
    };
    const off = subscription.subscribe(look);
    const timer = setTimeout(() => end(new RealtimeError('TIMEOUT', `no answer within ${timeout} ms`)), timeout);
    look();
  });
}

// grouped puts together what one command can ask for.
function grouped<T>(items: readonly T[], interestOf: (item: T) => Interest, alone: (item: T) => boolean = () => false): T[][] {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const interest = interestOf(item);
    const key = interest.list === undefined || alone(item) ? keyOf(interest) : keyOf({ ...interest, data: {} });
    groups.set(key, [...(groups.get(key) ?? []), item]);
  }
  return [...groups.values()];
}

// merged is the request for a group.
function merged(group: readonly Interest[]): Interest['data'] {
  const { data, list } = group[0]!;
  return list === undefined ? data : { [list]: group.flatMap((interest) => interest.data?.[list]) };
}
