// Code generated from the Go declarations in subjects by subjects/generate. DO NOT EDIT.

/** The namespaces; "/" and "/ws" are aliases that may emit and receive every name. */
export const NAMESPACES = ["/events", "/notifications", "/dashboard", "/messaging"] as const;
export type Namespace = (typeof NAMESPACES)[number];

const everywhere: readonly string[] = ["auth:refresh", "connected", "disconnected", "error", "history", "ping", "pong"];

// By the first part of a name that has several.
const elsewhere: Readonly<Record<string, readonly Namespace[]>> = {
  "conversation:": ["/messaging"],
  "dashboard:": ["/dashboard"],
  "message:": ["/messaging"],
  "notification:": ["/notifications"],
  "presence:": ["/events", "/messaging"],
  "typing:": ["/messaging"],
};

const byFirstPart = (event: string) => elsewhere[event.slice(0, event.indexOf(":") + 1)] ?? ["/events"];

/**
 * Where an event is delivered and a command may be emitted, by its first part. It
 * knows names that nobody declared, as an edge does.
 */
export function namespacesOf(event: string): readonly Namespace[] {
  return everywhere.includes(event) ? NAMESPACES : byFirstPart(event);
}

/** The first of them, where this package listens and emits. */
export function homeOf(event: string): Namespace {
  return byFirstPart(event)[0]!;
}
