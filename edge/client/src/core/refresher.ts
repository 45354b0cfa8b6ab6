import { claimsOf, type Tokens } from './tokens.js';

const TIMER_MAX = 2 ** 31 - 1;
const AGAIN = 30_000; // ms after a failure

/** Gets the next token before the one in use expires. */
export interface Refresher {
  /** Tells what the server's clock says now. */
  clock(timestamp: string): void;
  /** Tells which token a connection was accepted with. */
  accepted(token: string): void;
  stop(): void;
}

/** Hands each next token to use, so many milliseconds before the one in use expires. */
export function refresher(tokens: Tokens, before: number, use: (token: string) => Promise<void>): Refresher {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let current: string | undefined;
  let skew = 0; // of the server's clock against ours

  // Milliseconds that a token has left; NaN if it does not say.
  const left = (token?: string) => claimsOf(token).exp! * 1_000 - (Date.now() + skew);
  const wait = (ms: number) => {
    timer = setTimeout(() => void renew(), Math.min(Math.max(ms, 1_000), TIMER_MAX));
  };
  const schedule = () => {
    clearTimeout(timer);
    const life = left(current);
    // Of a token that lives shorter than twice the margin the last fifth has to do.
    if (!Number.isNaN(life)) wait(life > 2 * before ? life - before : life * 0.8);
  };
  const renew = async () => {
    const token = current!;
    const life = left(token);
    if (life > 2 * before) return schedule(); // the timer's longest wait was too short
    try {
      const next = await tokens.get('refresh');
      if (current === token && next !== token) await use(next);
      // Its source has no newer one yet, or nothing is connected.
      if (current === token) wait(Math.min(life / 2, AGAIN));
    } catch {
      if (current === token) wait(AGAIN); // the server decides what becomes of a connection whose token is over
    }
  };

  return {
    clock: (timestamp) => {
      const next = Date.parse(timestamp) - Date.now();
      if (!(Math.abs(next - skew) > 5_000)) return;
      skew = next;
      schedule();
    },
    accepted: (token) => {
      if (token === current) return;
      current = token;
      schedule();
    },
    stop: () => {
      clearTimeout(timer);
      current = undefined;
    },
  };
}
