/** State that changes by being replaced: what `useSyncExternalStore` and every other observer needs. */
export interface Readable<S> {
  /** Calls listener after each change, until the returned function is called. */
  readonly subscribe: (listener: () => void) => () => void;
  /** The state now: the same object until it changes. */
  readonly getSnapshot: () => S;
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
export class Store<S> implements Readable<S> {
  #state: S;
  readonly #listeners = new Set<() => void>();

  constructor(initial: S) {
    this.#state = initial;
  }

  readonly getSnapshot = (): S => this.#state;

  readonly subscribe = (listener: () => void): (() => void) => {
    const own = () => listener(); // a set of its own for each, also of one function given twice
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  };

  set(next: S): void {
    if (Object.is(next, this.#state)) return;
    this.#state = next;
    callAll(this.#listeners);
  }

  patch(changes: Partial<S>): void {
    for (const key in changes) {
      if (!Object.is(changes[key], this.#state[key])) return this.set({ ...this.#state, ...changes });
    }
  }
}
