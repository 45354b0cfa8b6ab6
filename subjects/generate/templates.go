package main

// This file is the TypeScript that no Go type stands behind.

const tsNoRequest = `
/** The request of a command that needs none: {} or no argument at all. */
export type NoRequest = Record<string, never> | undefined;
`

const tsMaps = `
/**
 * What a server sends, by name. Handlers get the payload; events of the log carry
 * their position in it as a second argument, a string.
 */
export interface EventMap {
%s}

/** What a client emits, by name. A command that is refused is acked with a {@link Refusal}. */
export interface CommandMap {
%s}

/** The name of a declared event. */
export type EventName = keyof EventMap;
/** The payload of a declared event. */
export type EventPayload<E extends EventName> = EventMap[E];

/** The name of a declared command. */
export type CommandName = keyof CommandMap;
/** The request of a declared command. */
export type CommandRequest<C extends CommandName> = CommandMap[C][0];
/** The ack of a declared command that was carried out. */
export type CommandAck<C extends CommandName> = CommandMap[C][1];
/** Whatever a declared command may be acked with. */
export type CommandResult<C extends CommandName> = CommandAck<C> | Refusal;
`

const tsNamespaces = `
/** The namespaces; "/" and "/ws" are aliases that may emit and receive every name. */
export const NAMESPACES = ["/events", "/notifications", "/dashboard", "/messaging"] as const;
export type Namespace = (typeof NAMESPACES)[number];

const everywhere: readonly string[] = [%s];

// By the first part of a name that has several.
const elsewhere: Readonly<Record<string, readonly Namespace[]>> = {
%s};

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
`

const tsGuards = `
import type { MessageEvent, NotificationEvent, PresenceUpdateEvent, Refusal } from "./payloads.js";

// These look for keys and not at values, as the original's did: a system alert also
// passes for a notification.

function has(value: unknown, ...keys: string[]): boolean {
  return typeof value === "object" && value !== null && keys.every((key) => key in value);
}

/** Tells a notification by its keys. */
export function isNotificationEvent(value: unknown): value is NotificationEvent {
  return has(value, "id", "type", "title", "message");
}

/** Tells a presence update by its keys. */
export function isPresenceUpdateEvent(value: unknown): value is PresenceUpdateEvent {
  return has(value, "userId", "status", "lastSeen");
}

/** Tells a message by its keys. */
export function isMessageEvent(value: unknown): value is MessageEvent {
  return has(value, "id", "conversationId", "content", "senderId");
}

/** Tells the ack of a command that was not carried out from any other. */
export function isRefusal(ack: unknown): ack is Refusal {
  return has(ack, "code", "error", "success") && (ack as Refusal).success === false;
}
`

const tsConstants = `
/** A name as a constant: in capitals, with _ between its parts. */
type Constant<N extends string> =
  N extends ` + "`${infer A}:${infer B}` ? `${Constant<A>}_${Constant<B>}`" + `
  : N extends ` + "`${infer A}-${infer B}` ? `${Constant<A>}_${Constant<B>}`" + `
  : Uppercase<N>;

/** Gives names by their constants, DOCKET_ENTRY_ADDED for docket:entry:added, and others by those given. */
export function constants<const N extends string, const Others extends Record<string, string> = {}>(names: readonly N[], others?: Others) {
  const named = names.map((name) => [name.toUpperCase().replace(/[:-]/g, "_"), name]);
  return Object.assign(Object.fromEntries(named), others) as { readonly [Name in N as Constant<Name>]: Name } & Readonly<Others>;
}
`

const tsIndex = `
export * from "./enums.js";
export * from "./guards.js";
export type * from "./maps.js";
export * from "./names.js";
export * from "./namespaces.js";
export type * from "./payloads.js";
`
