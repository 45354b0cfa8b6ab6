// Bounded waiting. Nothing in these tests sleeps for a fixed time, except where the protocol's answer is
// silence; then the window is at most QUIET.

export const PATIENCE = 5_000; // ms for something that must happen
export const QUIET = 150; // ms for something that must not

// within fails with `what` when the promise does not settle in time. what may be a function, for texts
// that are only known then.
export async function within(promise, what, ms = PATIENCE) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`not within ${ms} ms: ${typeof what === 'function' ? what() : what}`));
    }, ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export class Hopeless extends Error {}

// eventually repeats a check until it returns something truthy. A check that throws a Hopeless ends it.
export async function eventually(check, what, ms = PATIENCE) {
  const deadline = Date.now() + ms;
  let last;
  for (;;) {
    try {
      const value = await check();
      if (value) return value;
      last = value;
    } catch (error) {
      if (error instanceof Hopeless) throw error;
      last = error;
    }
    if (Date.now() > deadline) {
      throw new Error(`not within ${ms} ms: ${typeof what === 'function' ? what() : what} (last: ${last})`);
    }
    await pause(20);
  }
}

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// gate is a promise with its resolver outside.
export function gate() {
  let open;
  const passed = new Promise((resolve) => (open = resolve));
  return { passed, open };
}
