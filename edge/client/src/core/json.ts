/** JSON that does not depend on the order of keys: what tells whether two requests are the same. */
export function stableJson(value: unknown): string {
  return JSON.stringify(value, (_, v: unknown) => (
    Object(v) !== v || Array.isArray(v) ? v : Object.fromEntries(Object.entries(v as object).sort(([a], [b]) => (a < b ? -1 : 1)))
  ));
}

/** A name of the client's own for a command, under which repeating it does nothing again. */
export function newClientId(): string {
  // Not crypto.randomUUID, which pages without TLS do not have.
  return ['c', Date.now(), ...crypto.getRandomValues(new Uint32Array(3))].join('-');
}
