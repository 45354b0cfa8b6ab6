const things = new WeakMap<object, Map<string, unknown>>();

/** The owner's one thing of a name, made when it is first asked for. It lives as long as its owner. */
export function shared<T>(owner: object, name: string, make: () => T): T {
  let own = things.get(owner);
  if (!own) things.set(owner, (own = new Map()));
  if (!own.has(name)) own.set(name, make());
  return own.get(name) as T;
}
