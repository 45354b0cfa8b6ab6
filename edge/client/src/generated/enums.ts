// Code generated from the Go declarations in subjects by subjects/generate. DO NOT EDIT.

import { constants } from "./constants.js";

/** DocumentStatus is how processing ended. */
export const DocumentStatus = /* @__PURE__ */ constants(["success", "failed"]);
export type DocumentStatus = (typeof DocumentStatus)[keyof typeof DocumentStatus];

/** DocumentPermission is what those may do with whom a document is shared. */
export const DocumentPermission = /* @__PURE__ */ constants(["view", "edit", "download"]);
export type DocumentPermission = (typeof DocumentPermission)[keyof typeof DocumentPermission];

/** ActivityType is what an activity was. */
export const ActivityType = /* @__PURE__ */ constants(["case_update", "document_filed", "task_completed", "deadline_approaching", "message"]);
export type ActivityType = (typeof ActivityType)[keyof typeof ActivityType];

/** DashboardAlertType is what an alert is about. */
export const DashboardAlertType = /* @__PURE__ */ constants(["deadline", "task", "system", "security"]);
export type DashboardAlertType = (typeof DashboardAlertType)[keyof typeof DashboardAlertType];

/**
 * A Code tells a program what went wrong. It crosses the bus and ends as
 * data.code, ack.code or error.code at the client; the list of the original is
 * in its error events. A service may use codes of its own made of A-Z, 0-9 and
 * '_', 64 bytes at most.
 */
export const ErrorCode = {
  /** no valid token */
  AUTH_FAILED: "AUTH_FAILED",
  /** the token was valid once */
  TOKEN_EXPIRED: "TOKEN_EXPIRED",
  /** known, but may not */
  FORBIDDEN: "FORBIDDEN",
  /** not an event name, or not of this namespace */
  INVALID_EVENT: "INVALID_EVENT",
  /** the payload is not what the event needs */
  INVALID_INPUT: "INVALID_INPUT",
  /** message:send without conversation or content */
  INVALID_MESSAGE: "INVALID_MESSAGE",
  /** beyond a size limit; retrying is useless */
  MESSAGE_TOO_LARGE: "MESSAGE_TOO_LARGE",
  /** slow down, then retry */
  RATE_LIMIT_EXCEEDED: "RATE_LIMIT_EXCEEDED",
  /** leave a room first */
  ROOM_LIMIT_EXCEEDED: "ROOM_LIMIT_EXCEEDED",
  /** this edge is full */
  CONNECTION_LIMIT_EXCEEDED: "CONNECTION_LIMIT_EXCEEDED",
  /** this user has too many sockets */
  USER_CONNECTION_LIMIT_EXCEEDED: "USER_CONNECTION_LIMIT_EXCEEDED",
  /** connecting failed for no fault of the client */
  CONNECTION_ERROR: "CONNECTION_ERROR",
  /** no such thing, or none the caller may know of */
  NOT_FOUND: "NOT_FOUND",
  /** somebody was faster; read again */
  CONFLICT: "CONFLICT",
  /** certainly not done; retry */
  UNAVAILABLE: "UNAVAILABLE",
  /** perhaps done */
  TIMEOUT: "TIMEOUT",
  /** a fault on our side; details stay in the logs */
  INTERNAL: "INTERNAL",
} as const;
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode] | (string & {});

/** NotificationType is what a notification is about. */
export const NotificationType = /* @__PURE__ */ constants(["case_update", "document_uploaded", "deadline_reminder", "task_assigned", "message_received", "invoice_sent", "approval_required", "system_alert", "comment_added", "status_changed"]);
export type NotificationType = (typeof NotificationType)[keyof typeof NotificationType];

/** Priority of a notification, a task or an activity. */
export const NotificationPriority = /* @__PURE__ */ constants(["low", "medium", "high", "urgent"]);
export type NotificationPriority = (typeof NotificationPriority)[keyof typeof NotificationPriority];

/** Severity of an alert. */
export const Severity = /* @__PURE__ */ constants(["info", "warning", "error", "critical"]);
export type Severity = (typeof Severity)[keyof typeof Severity];

/** PresenceStatus is how present a user is. */
export const PresenceStatus = /* @__PURE__ */ constants(["online", "away", "busy", "offline"]);
export type PresenceStatus = (typeof PresenceStatus)[keyof typeof PresenceStatus];

/** SystemAlertType is what an alert is about. */
export const SystemAlertType = /* @__PURE__ */ constants(["maintenance", "security", "performance", "feature"]);
export type SystemAlertType = (typeof SystemAlertType)[keyof typeof SystemAlertType];

/** MaintenanceType is why there is maintenance. */
export const MaintenanceType = /* @__PURE__ */ constants(["scheduled", "emergency"]);
export type MaintenanceType = (typeof MaintenanceType)[keyof typeof MaintenanceType];

/** DeadlineSeverity is how near a deadline is. */
export const DeadlineSeverity = /* @__PURE__ */ constants(["info", "warning", "urgent"]);
export type DeadlineSeverity = (typeof DeadlineSeverity)[keyof typeof DeadlineSeverity];
