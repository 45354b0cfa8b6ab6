/** State that changes by being replaced: what `useSyncExternalStore` and every other observer needs. */
export interface Readable<S> {
  /** Calls listener after each change, until the returned function is called. */
  readonly subscribe: (listener: () => void) => () => void;
  /** The state now: the same object until it changes. */
  readonly getSnapshot: () => S;
}

/** A Readable that also knows its state before anything was known, which is what a server renders. */
export interface Live<S> extends Readable<S> {
  readonly getInitialSnapshot: () => S;
}

/** One function that ends all of these, in their order. */
export function endOf(...ends: (() => unknown)[]): () => void {
  return () => ends.forEach((end) => end());
}

/** Calls each without letting one that throws keep the others from being called. */
export function callAll<A extends unknown[]>(functions: Iterable<(...args: A) => void>, ...args: A): void {
  for (const f of [...functions]) {
    try {
      f(...args);
    } catch (error) {
      // To the page's error handler instead of to whoever called us.
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}

/** A Readable that its owner writes. */
export class Store<S> implements Live<S> {
  readonly getInitialSnapshot: () => S;
  #state: S;
  readonly #listeners = new Set<() => void>();

  constructor(initial: S) {
    this.#state = initial;
    this.getInitialSnapshot = () => initial;
  }

  readonly getSnapshot = (): S => this.#state;

  readonly subscribe = (listener: () => void): (() => void) => {
    const own = () => listener(); // one for each, also of one function given twice
    this.#listeners.add(own);
    return endOf(() => this.#listeners.delete(own), this.hold());
  };

  /** Runs for each listener, and what it returns when that has gone. */
  protected hold(): () => void {
    return () => {};
  }

  /** @internal */
  set(next: S): void {
    if (next === this.#state) return;
    this.#state = next;
    callAll(this.#listeners);
  }

  /** @internal */
  patch(changes: Partial<S>): void {
    this.set(patched(this.#state, changes));
  }
}

/** A state with changes; the same one where they change nothing. */
export function patched<S>(state: S, changes: Partial<S>): S {
  for (const key in changes) if (!Object.is(changes[key], state[key])) return { ...state, ...changes };
  return state;
}
