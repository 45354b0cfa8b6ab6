import { expiryOf, type Tokens } from './tokens.js';

const TIMER_MAX = 2 ** 31 - 1;
const AGAIN = 30_000; // ms after a failure

/** Gets the next token before the one in use expires, and hands it to the open connection. */
export class Refresher {
  readonly #tokens: Tokens;
  readonly #before: number;
  readonly #use: (token: string) => Promise<void>;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #current: string | undefined;
  #skew = 0; // of the server's clock against ours

  constructor(tokens: Tokens, before: number, use: (token: string) => Promise<void>) {
    this.#tokens = tokens;
    this.#before = before;
    this.#use = use;
  }

  /** Tells what the server's clock says now. */
  clock(timestamp: string): void {
    const skew = Date.parse(timestamp) - Date.now();
    if (Number.isNaN(skew) || Math.abs(skew - this.#skew) < 5_000) return;
    this.#skew = skew;
    if (this.#current !== undefined) this.#schedule(this.#current);
  }

  /** Tells which token a connection was accepted with. */
  accepted(token: string): void {
    if (token === this.#current) return;
    this.#current = token;
    this.#schedule(token);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#current = undefined;
  }

  #schedule(token: string): void {
    clearTimeout(this.#timer);
    const expiry = expiryOf(token);
    if (expiry === undefined) return;
    const left = expiry - (Date.now() + this.#skew);
    // Of a token that lives shorter than twice the margin the last fifth has to do.
    this.#wait(left > 2 * this.#before ? left - this.#before : left * 0.8);
  }

  #wait(ms: number): void {
    this.#timer = setTimeout(() => void this.#renew(), Math.min(Math.max(ms, 1_000), TIMER_MAX));
  }

  async #renew(): Promise<void> {
    const before = this.#current;
    if (before === undefined) return;
    const expiry = expiryOf(before)!;
    const left = expiry - (Date.now() + this.#skew);
    if (left > 2 * this.#before) return this.#schedule(before); // the timer's longest wait was too short
    try {
      const next = await this.#tokens.get('refresh');
      if (this.#current !== before) return; // stopped, or replaced by another connection
      if (next !== before) await this.#use(next);
      // Its source has no newer one yet, or nothing is connected.
      if (this.#current === before) this.#wait(Math.min(left / 2, AGAIN));
    } catch {
      this.#wait(AGAIN); // the server decides what becomes of a connection whose token is over
    }
  }
}
