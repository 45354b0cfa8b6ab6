import type { Channel } from './channel.js';
import { asRealtimeError, inTime, passes, pauseAfter, type RealtimeError } from './errors.js';
import { stableJson } from './json.js';
import { type Lease, lease } from './lease.js';
import { type Readable, Store } from './store.js';

/** Something that a client asks to be told about. */
export interface Interest {
  /** The command that asks for it, and what it takes. */
  readonly subscribe: string;
  readonly data?: Readonly<Record<string, unknown>> | undefined;
  /** The command that ends it, which takes the same. Without one it ends with the connection. */
  readonly unsubscribe?: string | undefined;
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
}

export const WAITING: InterestState = { status: 'waiting', error: null };
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
  readonly #left = new Map<string, Entry>(); // given up, and the server does not know yet
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(channel: Channel, linger: number) {
    this.#channel = channel;
    this.#linger = linger;
  }

  /** Takes a share in an interest. The caller also has to hold the channel. */
  acquire(interest: Interest): Subscription {
    const key = keyOf(interest);
    const entry = this.#entries.get(key) ?? this.#left.get(key) ?? this.#make(key, interest);
    const { subscribe, getSnapshot } = entry.state;
    const release = entry.lease.take();
    const subscription: Subscription = {
      subscribe, getSnapshot, release,
      refresh: async () => {
        if (entry.phase === 'held') return void (await this.#channel.ask(interest.subscribe, interest.data));
        if (entry.phase === 'refused') this.#want(entry);
        await settled(subscription);
      },
    };
    return subscription;
  }

  /** The connection is gone; alive says that it may be recovered. */
  lost(alive: boolean): void {
    if (!alive) this.#left.clear();
    for (const entry of this.#entries.values()) {
      if (entry.phase !== 'held' || !alive) entry.phase = 'wanted';
      entry.state.set(WAITING);
    }
  }

  /** There is a connection: ask for everything that it does not have from the one before. */
  restore(recovered: boolean): void {
    if (!recovered) this.#left.clear();
    for (const entry of this.#entries.values()) {
      if (recovered && entry.phase === 'held') entry.state.set(ACTIVE);
      else this.#want(entry);
    }
    this.#soon();
  }

  #make(key: string, interest: Interest): Entry {
    const entry: Entry = {
      key, interest, state: new Store(WAITING), phase: 'wanted', alone: false, failures: 0,
      lease: lease(this.#linger, () => {
        this.#entries.set(key, entry);
        this.#left.delete(key);
        if (!known(entry)) this.#want(entry);
      }, () => {
        this.#entries.delete(key);
        if (!known(entry)) return;
        this.#left.set(key, entry);
        this.#soon();
      }),
    };
    return entry;
  }

  #want(entry: Entry): void {
    entry.phase = 'wanted';
    entry.state.set(WAITING);
    this.#soon();
  }

  // All that is wanted or given up in one turn of the event loop goes together. Timers that are due at the
  // same time are one turn.
  #soon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      if (!this.#channel.connected) return;
      for (const group of grouped(this.#left.values())) this.#leave(group);
      this.#left.clear();
      const wanted = [...this.#entries.values()].filter(({ phase }) => phase === 'wanted');
      for (const group of grouped(wanted)) void this.#ask(group);
    }, 0);
  }

  #leave(group: Entry[]): void {
    const { unsubscribe } = group[0]!.interest;
    if (!unsubscribe) return;
    this.#channel.ask(unsubscribe, merged(group)).catch(({ code }: RealtimeError) => {
      // A session that is recovered still has them.
      if (code === 'DISCONNECTED') for (const entry of group) if (!this.#entries.has(entry.key)) this.#left.set(entry.key, entry);
    });
  }

  async #ask(group: Entry[]): Promise<void> {
    const { connects } = this.#channel.getSnapshot();
    for (const entry of group) entry.phase = 'asking';
    const failure = await this.#channel.ask(group[0]!.interest.subscribe, merged(group)).then(() => null, asRealtimeError);
    if (connects !== this.#channel.getSnapshot().connects) return; // restore has asked again
    for (const entry of group) if (entry.phase === 'asking') this.#settle(entry, failure, group.length > 1);
  }

  #settle(entry: Entry, failure: RealtimeError | null, several: boolean): void {
    if (!failure) {
      entry.phase = 'held';
      entry.alone = false;
      entry.failures = 0;
      entry.state.set(ACTIVE);
    } else if (several && !passes(failure)) {
      entry.alone = true;
      this.#want(entry);
    } else {
      entry.phase = 'refused';
      const again = passes(failure);
      entry.state.set({ status: again ? 'waiting' : 'refused', error: failure });
      if (!again) return;
      const wait = Math.min(500 * 2 ** entry.failures++, RETRY_MAX);
      setTimeout(() => entry.phase === 'refused' && this.#want(entry), pauseAfter(failure, wait));
    }
  }
}

// known reports whether the server has an interest, or soon may.
const known = ({ phase }: Entry): boolean => phase === 'held' || phase === 'asking';

function keyOf({ subscribe, unsubscribe, data }: Interest): string {
  return stableJson([subscribe, unsubscribe, data]);
}

/** Resolves when the server has agreed; rejects with what it refused with, or with TIMEOUT. */
export function settled({ subscribe, getSnapshot }: Subscription, timeout = 10_000): Promise<void> {
  let off: (() => void) | undefined;
  const answer = new Promise<void>((resolve, reject) => {
    const look = () => {
      const { status, error } = getSnapshot();
      if (error) reject(error);
      else if (status === 'active') resolve();
    };
    off = subscribe(look);
    look();
  });
  return inTime(answer, timeout, 'subscription').finally(off);
}

// grouped puts together what one command can ask for.
function grouped(entries: Iterable<Entry>): Entry[][] {
  const groups = new Map<string, Entry[]>();
  for (const entry of entries) {
    const { interest, alone } = entry;
    const key = interest.list && !alone ? keyOf({ ...interest, data: {} }) : entry.key;
    groups.set(key, [...(groups.get(key) ?? []), entry]);
  }
  return [...groups.values()];
}

// merged is the request for a group.
function merged(group: readonly Entry[]): Interest['data'] {
  const { data, list } = group[0]!.interest;
  return list ? { [list]: group.flatMap(({ interest }) => interest.data?.[list]) } : data;
}
