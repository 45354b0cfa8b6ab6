/**
 * Counts who needs something. `begin` runs for the first, `end` some time after the last has gone: who
 * comes back in between (StrictMode, a change of route) finds everything as it was.
 */
export class Lease {
  #holders = 0;
  #running = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #begin: () => void;
  readonly #end: () => void;
  readonly #linger: number;

  constructor(linger: number, begin: () => void, end: () => void) {
    this.#linger = linger;
    this.#begin = begin;
    this.#end = end;
  }

  get held(): boolean {
    return this.#holders > 0;
  }

  /** Takes a share; the returned function gives it back, once however often it is called. */
  take(): () => void {
    this.#holders++;
    clearTimeout(this.#timer);
    this.resume();
    let taken = true;
    return () => {
      if (!taken) return;
      taken = false;
      if (--this.#holders === 0) this.#timer = setTimeout(() => this.stop(), this.#linger);
    };
  }

  /** Begins again after stop, if somebody still holds it and it does not run. */
  resume(): boolean {
    if (this.#running || this.#holders === 0) return false;
    this.#running = true;
    this.#begin();
    return true;
  }

  /** Ends now. Holders keep their shares, and the next one to take begins anew. */
  stop(): void {
    clearTimeout(this.#timer);
    if (!this.#running) return;
    this.#running = false;
    this.#end();
  }
}
