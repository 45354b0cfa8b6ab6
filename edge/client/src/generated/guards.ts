// Code generated from the Go declarations in subjects by subjects/generate. DO NOT EDIT.

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
