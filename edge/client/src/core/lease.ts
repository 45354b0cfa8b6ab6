/** Counts who needs something. */
export interface Lease {
  readonly held: () => boolean;
  /** Takes a share; the returned function gives it back, once however often it is called. */
  readonly take: () => () => void;
  /** Begins again after stop, if somebody still holds it and it does not run. */
  readonly resume: () => boolean;
  /** Ends now. Holders keep their shares, and the next one to take begins anew. */
  readonly stop: () => void;
}

/**
 * Makes a lease: `begin` runs for the first to take it, `end` some time after the last has gone. Who comes
 * back in between (StrictMode, a change of route) finds everything as it was.
 */
export function lease(linger: number, begin: () => void, end: () => void): Lease {
  let holders = 0;
  let running = false;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const resume = (): boolean => {
    if (running || holders === 0) return false;
    running = true;
    begin();
    return true;
  };
  const stop = (): void => {
    clearTimeout(timer);
    if (!running) return;
    running = false;
    end();
  };
  return {
    resume, stop,
    held: () => holders > 0,
    take: () => {
      holders++;
      clearTimeout(timer);
      resume();
      let taken = true;
      return () => {
        if (!taken) return;
        taken = false;
        if (--holders === 0) timer = setTimeout(stop, linger);
      };
    },
  };
}
