import type { Channel, EmitOptions } from '../core/channel.js';
import type { Realtime } from '../core/client.js';
import { asRealtimeError } from '../core/errors.js';
import { Lease } from '../core/lease.js';
import { type Readable, Store } from '../core/store.js';
import type { EventOf } from '../core/types.js';
import type { CommandMap, EventMap } from '../generated/index.js';

/**
 * State that is kept up to date while somebody listens: subscribing connects, and a moment after the last
 * listener has gone everything is let go of. All of a page share one such store for each thing.
 */
export abstract class LiveStore<S> implements Readable<S> {
  readonly getSnapshot: () => S;
  /** The state before anything is known, which is what a server renders. */
  readonly getInitialSnapshot: () => S;
  readonly subscribe: (listener: () => void) => () => void;

  protected readonly channel: Channel;
  readonly #shown: Store<S>;
  readonly #lease: Lease;
  readonly #pending = new Set<(state: S) => S>(); // changes that the server has not confirmed yet
  #base: S; // what the server has said
  #ends: (() => void)[] = [];
  #connects = 0;

  constructor(channel: Channel, linger: number, initial: S) {
    this.channel = channel;
    this.#base = initial;
    this.#shown = new Store(initial);
    this.getSnapshot = this.#shown.getSnapshot;
    this.getInitialSnapshot = () => initial;
    this.#lease = new Lease(linger, () => this.#begin(), () => this.#end(initial));
    this.subscribe = (listener) => {
      const off = this.#shown.subscribe(listener);
      const release = this.#lease.take();
      return () => {
        off();
        release();
      };
    };
  }

  /** Registers listeners and interests, by on and keep. */
  protected abstract start(): void;

  /** Ends something with the store. */
  protected keep(end: () => void): void {
    this.#ends.push(end);
  }

  protected on<E extends keyof EventMap>(event: E, handler: (payload: EventMap[E]) => void): void {
    this.keep(this.channel.on(event, handler as (payload: EventOf<E>) => void));
  }

  protected ask<C extends keyof CommandMap>(command: C, request: CommandMap[C][0], options?: EmitOptions): Promise<CommandMap[C][1]> {
    return this.channel.ask(command as string, request, options);
  }

  /**
   * Runs for each connection: fresh if nothing of the one before is left, late if it was open before this
   * store was, which then has not heard what the server said first.
   */
  protected connected(_fresh: boolean, _late: boolean): void {}

  protected get running(): boolean {
    return this.#ends.length > 0;
  }

  /** What the server has said, without what is only hoped for. */
  protected get base(): S {
    return this.#base;
  }

  /** Applies what the server said. */
  protected apply(change: (state: S) => S): void {
    this.#base = change(this.#base);
    this.#show();
  }

  protected merge(changes: Partial<S>): void {
    this.apply((s) => ({ ...s, ...changes }));
  }

  /** Loads something, and shows that it does and how it ended. */
  protected async load<A>(ask: () => Promise<A>, done: (state: S, answer: A) => Partial<S>): Promise<void> {
    this.merge({ isLoading: true, error: null } as unknown as Partial<S>);
    try {
      const answer = await ask();
      this.apply((s) => ({ ...s, isLoading: false, ...done(s, answer) }));
    } catch (error) {
      this.merge({ isLoading: false, error: asRealtimeError(error) } as unknown as Partial<S>);
      throw error;
    }
  }

  /**
   * Shows a change at once, asks the server, and takes the change back when it refuses. The change must do
   * nothing where it is done already, because its event may come before its ack.
   */
  protected async attempt<A>(change: (state: S) => S, ask: () => Promise<A>, done?: (state: S, ack: A) => S): Promise<A> {
    const own = (state: S) => change(state);
    this.#pending.add(own);
    this.#show();
    try {
      const ack = await ask();
      if (this.running) this.#base = done ? done(change(this.#base), ack) : change(this.#base);
      return ack;
    } finally {
      this.#pending.delete(own);
      this.#show();
    }
  }

  #show(): void {
    let state = this.#base;
    for (const change of this.#pending) state = change(state);
    this.#shown.set(state);
  }

  #begin(): void {
    const { channel } = this;
    this.#connects = 0;
    this.keep(channel.retain());
    this.keep(channel.subscribe(() => this.#look()));
    this.start();
    this.#look(true);
  }

  #end(initial: S): void {
    for (const end of this.#ends.splice(0)) end();
    this.#pending.clear();
    this.#base = initial;
    this.#shown.set(initial);
  }

  #look(late = false): void {
    const { status, connects, recovered } = this.channel.getSnapshot();
    if (status !== 'connected' || connects === this.#connects) return;
    const fresh = this.#connects === 0 || !recovered;
    this.#connects = connects;
    this.connected(fresh, late);
  }
}

const stores = new WeakMap<Realtime, Map<string, unknown>>();

/** The client's one store of a name. */
export function shared<T>(client: Realtime, name: string, make: () => T): T {
  let all = stores.get(client);
  if (!all) stores.set(client, (all = new Map()));
  if (!all.has(name)) all.set(name, make());
  return all.get(name) as T;
}

/** A copy with one thing at its front, without a second one of the same id, and no longer than max. */
export function prepend<T extends object>(list: readonly T[], item: T, max: number): readonly T[] {
  const { id } = item as { id?: unknown };
  if (id !== undefined && list.some((other) => (other as { id?: unknown }).id === id)) return list;
  return [item, ...list].slice(0, max);
}
