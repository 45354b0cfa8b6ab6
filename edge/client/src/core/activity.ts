import type { Channel } from './channel.js';
import type { Realtime } from './client.js';
import { Lease } from './lease.js';

export interface ActivityOptions {
  /** Milliseconds without pointer or keys after which the human counts as idle; default 5 minutes. */
  idleAfter?: number;
  /** Milliseconds for which the page may be hidden before the human counts as idle; default 30 seconds. */
  hiddenAfter?: number;
  /** Milliseconds after which ongoing activity is said again; default 1 minute. */
  repeatEvery?: number;
}

const SIGNS = ['pointerdown', 'pointermove', 'keydown', 'wheel', 'touchstart', 'focus'] as const;

/**
 * Says `presence:active` and `presence:idle` by what the human before the page does. Without it a server
 * has to take each heartbeat of an open tab for activity. One per client, whoever asks for it.
 */
class Activity {
  readonly take: () => () => void;
  readonly #channel: Channel;
  readonly #idleAfter: number;
  readonly #hiddenAfter: number;
  readonly #repeatEvery: number;
  #active = true;
  #seen = 0; // when the human last did something
  #said = 0; // when the server was last told so
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stop: (() => void)[] = [];

  constructor(client: Realtime, options: ActivityOptions) {
    this.#channel = client.channel('/events');
    this.#idleAfter = options.idleAfter ?? 300_000;
    this.#hiddenAfter = options.hiddenAfter ?? 30_000;
    this.#repeatEvery = options.repeatEvery ?? 60_000;
    const lease = new Lease(client.linger, () => this.#begin(), () => this.#end());
    this.take = () => lease.take();
  }

  #begin(): void {
    if (typeof window === 'undefined') return;
    const sign = () => this.#sign();
    const visibility = () => {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      if (document.visibilityState === 'visible') this.#sign();
      else this.#watch();
    };
    for (const name of SIGNS) window.addEventListener(name, sign, { passive: true, capture: true });
    document.addEventListener('visibilitychange', visibility);
    let connects = 0;
    const connection = () => {
      const state = this.#channel.getSnapshot();
      if (state.status !== 'connected' || state.connects === connects) return;
      connects = state.connects;
      this.#say();
    };
    this.#stop = [
      () => SIGNS.forEach((name) => window.removeEventListener(name, sign, { capture: true })),
      () => document.removeEventListener('visibilitychange', visibility),
      this.#channel.subscribe(connection),
      this.#channel.retain(),
    ];
    this.#seen = Date.now();
    this.#active = document.visibilityState !== 'hidden';
    connection();
    this.#watch();
  }

  #end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const stop of this.#stop.splice(0)) stop();
  }

  #sign(): void {
    this.#seen = Date.now();
    if (!this.#active || this.#seen - this.#said >= this.#repeatEvery) {
      this.#active = true;
      this.#say();
    }
    this.#watch();
  }

  // The timer is not set anew for every move of the pointer: when it ends it looks how long ago the last was.
  #watch(): void {
    if (!this.#active || this.#timer !== undefined) return;
    const wait = document.visibilityState === 'hidden' ? this.#hiddenAfter : this.#idleAfter;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (Date.now() - this.#seen < wait) return this.#watch();
      this.#active = false;
      this.#say();
    }, Math.max(this.#seen + wait - Date.now(), 0));
  }

  #say(): void {
    if (!this.#channel.connected) return; // said with the next connection
    this.#said = Date.now();
    this.#channel.ask(this.#active ? 'presence:active' : 'presence:idle', {}).catch(() => {}); // the next one says it again
  }
}

const activities = new WeakMap<Realtime, Activity>();

/** Tells the server what the human does until the returned function is called. The first to ask sets the options. */
export function watchActivity(client: Realtime, options: ActivityOptions = {}): () => void {
  let activity = activities.get(client);
  if (!activity) activities.set(client, (activity = new Activity(client, options)));
  return activity.take();
}
