import type { RealtimeError } from './errors.js';

/**
 * How a namespace is connected, the worse the later. `error` means refused: lost connections are
 * `reconnecting`, for ever.
 */
export const ConnectionStatus = {
  DISCONNECTED: 'disconnected',
  CONNECTED: 'connected',
  CONNECTING: 'connecting',
  RECONNECTING: 'reconnecting',
  ERROR: 'error',
} as const;
export type ConnectionStatus = (typeof ConnectionStatus)[keyof typeof ConnectionStatus];

/** One namespace's connection. */
export interface ConnectionState {
  readonly status: ConnectionStatus;
  /** Why it is not connected, or the last `error` event while it is. Cleared by the next connection. */
  readonly error: RealtimeError | null;
  /** Attempts since the connection was lost; 0 while connected. */
  readonly attempt: number;
  /** How often it has connected: 1 is the first time. */
  readonly connects: number;
  /** Whether the last connection goes on where the one before was lost, with nothing missing. */
  readonly recovered: boolean;
  /** Events that were sent again because of that. Known a moment after `recovered`. */
  readonly missed: number;
  /** Position in the log up to which everything had arrived when the server said so. */
  readonly position: number | null;
  readonly socketId: string | null;
  readonly userId: string | null;
}

export const DISCONNECTED: ConnectionState = {
  status: 'disconnected',
  error: null,
  attempt: 0,
  connects: 0,
  recovered: false,
  missed: 0,
  position: null,
  socketId: null,
  userId: null,
};
