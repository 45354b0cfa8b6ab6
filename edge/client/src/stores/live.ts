import type { Channel, EmitOptions } from '../core/channel.js';
import type { Realtime } from '../core/client.js';
import { asRealtimeError } from '../core/errors.js';
import { type Lease, lease } from '../core/lease.js';
import { patched, Store } from '../core/store.js';
import type { EventOf } from '../core/types.js';
import type { CommandMap, EventMap } from '../generated/index.js';

/** What becomes of a state: the fields that change. */
export type Change<S> = (state: S) => Partial<S>;

/**
 * State that is kept up to date while somebody listens: subscribing connects, and a moment after the last
 * listener has gone everything is let go of. All of a page share one such store for each thing.
 */
export abstract class LiveStore<S, Shown = S> extends Store<Shown> {
  protected readonly channel: Channel;
  /** What the server has said, without what is only hoped for. */
  protected base: S;
  readonly #view: (state: S) => Shown;
  #hoped: S; // base with all that is pending
  readonly #lease: Lease;
  readonly #pending = new Set<Change<S>>(); // changes that the server has not confirmed yet
  #ends: (() => void)[] = [];
  #connects = 0;

  constructor(client: Realtime, namespace: string, initial: S, view = (state: S): Shown => state as unknown as Shown) {
    super(view(initial));
    this.channel = client.channel(namespace);
    this.base = this.#hoped = initial;
    this.#view = view;
    this.#lease = lease(client.linger, () => this.#begin(), () => this.#end(initial));
  }

  protected override hold(): () => void {
    return this.#lease.take();
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

  /** Applies what the server said. */
  protected apply(change: Change<S>): void {
    this.base = patched(this.base, change(this.base));
    this.#show();
  }

  protected merge(changes: Partial<S>): void {
    this.apply(() => changes);
  }

  /** Loads something, and shows that it does and how it ended. */
  protected async load<A>(ask: () => Promise<A>, done: (state: S, answer: A) => Partial<S>): Promise<void> {
    this.merge({ isLoading: true, error: null } as unknown as Partial<S>);
    try {
      const answer = await ask();
      this.apply((s) => ({ isLoading: false, ...done(s, answer) }));
    } catch (error) {
      this.merge({ isLoading: false, error: asRealtimeError(error) } as unknown as Partial<S>);
      throw error;
    }
  }

  /**
   * Shows a change at once, asks the server, and takes the change back when it refuses. The change is a
   * function of its own each time, and does nothing where it is done already: its event may come before its ack.
   */
  protected async attempt<A>(change: Change<S>, ask: () => Promise<A>, done?: (state: S, ack: A) => Partial<S>): Promise<A> {
    this.#pending.add(change);
    this.#show();
    try {
      const ack = await ask();
      if (this.running) {
        this.base = patched(this.base, change(this.base));
        if (done) this.base = patched(this.base, done(this.base, ack));
      }
      return ack;
    } finally {
      this.#pending.delete(change);
      this.#show();
    }
  }

  #show(): void {
    let state = this.base;
    for (const change of this.#pending) state = patched(state, change(state));
    if (state === this.#hoped) return;
    this.#hoped = state;
    this.set(this.#view(state));
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
    this.base = initial;
    this.#show();
  }

  #look(late = false): void {
    const { status, connects, recovered } = this.channel.getSnapshot();
    if (status !== 'connected' || connects === this.#connects) return;
    const fresh = this.#connects === 0 || !recovered;
    this.#connects = connects;
    this.connected(fresh, late);
  }
}

/** A copy with one thing at its front, without a second one of the same id, and no longer than max. */
export function prepend<T extends object>(list: readonly T[], item: T, max: number): readonly T[] {
  const { id } = item as { id?: unknown };
  if (id !== undefined && list.some((other) => (other as { id?: unknown }).id === id)) return list;
  return [item, ...list].slice(0, max);
}
