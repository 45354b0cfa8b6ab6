// Code generated from the Go declarations in subjects by subjects/generate. DO NOT EDIT.

/** The namespaces; "/" and "/ws" are aliases that may emit and receive every name. */
export const NAMESPACES = ["/events", "/notifications", "/dashboard", "/messaging"] as const;
export type Namespace = (typeof NAMESPACES)[number];

const everywhere: readonly string[] = ["auth:refresh", "connected", "disconnected", "error", "history", "ping", "pong"];

const byFirstPart: Readonly<Record<string, readonly Namespace[]>> = {
  conversation: ["/messaging"],
  dashboard: ["/dashboard"],
  message: ["/messaging"],
  notification: ["/notifications"],
  presence: ["/events", "/messaging"],
  typing: ["/messaging"],
};

/**
 * Where an event is delivered and a command may be emitted, by its first part. It
 * knows names that nobody declared, as an edge does.
 */
export function namespacesOf(event: string): readonly Namespace[] {
  if (everywhere.includes(event)) return NAMESPACES;
  const end = event.indexOf(":");
  const part = event.slice(0, Math.max(end, 0));
  return Object.hasOwn(byFirstPart, part) ? byFirstPart[part]! : ["/events"];
}
