import type { Channel } from './channel.js';
import type { Realtime } from './client.js';
import { lease } from './lease.js';
import { shared } from './shared.js';

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
 * Says `presence:active` and `presence:idle` by what the human before the page does, until the returned
 * function is called. Without it a server has to take each heartbeat of an open tab for activity. There is
 * one for each client, whoever asks for it, and the first to ask sets the options.
 */
export function watchActivity(client: Realtime, options: ActivityOptions = {}): () => void {
  return shared(client, 'activity', () => {
    let stop: (() => void) | undefined;
    return lease(client.linger, () => (stop = watch(client.channel('/events'), options)), () => stop?.());
  }).take();
}

function watch(channel: Channel, { idleAfter = 300_000, hiddenAfter = 30_000, repeatEvery = 60_000 }: ActivityOptions): (() => void) | undefined {
  if (typeof document === 'undefined') return;
  const hidden = () => document.visibilityState === 'hidden';
  let active = !hidden();
  let seen = Date.now(); // when the human last did something
  let said = 0; // when the server was last told so
  let connects = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const say = () => {
    if (!channel.connected) return; // said with the next connection
    said = Date.now();
    channel.ask(active ? 'presence:active' : 'presence:idle', {}).catch(() => {}); // the next one says it again
  };
  // The timer is not set anew for every move of the pointer: when it ends it looks how long ago the last was.
  const wait = () => {
    if (!active || timer !== undefined) return;
    const patience = hidden() ? hiddenAfter : idleAfter;
    timer = setTimeout(() => {
      timer = undefined;
      if (Date.now() - seen < patience) return wait();
      active = false;
      say();
    }, Math.max(seen + patience - Date.now(), 0));
  };
  const sign = () => {
    seen = Date.now();
    if (!active || seen - said >= repeatEvery) {
      active = true;
      say();
    }
    wait();
  };
  const visibility = () => {
    clearTimeout(timer);
    timer = undefined;
    if (hidden()) wait();
    else sign();
  };
  const connection = () => {
    const state = channel.getSnapshot();
    if (state.status !== 'connected' || state.connects === connects) return;
    connects = state.connects;
    say();
  };

  const listeners = new AbortController();
  const { signal } = listeners;
  for (const name of SIGNS) addEventListener(name, sign, { signal, passive: true, capture: true });
  document.addEventListener('visibilitychange', visibility, { signal });
  const off = channel.subscribe(connection);
  const release = channel.retain();
  connection();
  wait();
  return () => {
    listeners.abort();
    clearTimeout(timer);
    off();
    release();
  };
}
