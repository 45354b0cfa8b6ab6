import type { ErrorCode } from '../generated/index.js';

/** Codes of this package's own, for what no server said. */
export type ClientErrorCode =
  | 'NOT_CONNECTED' // nobody holds the connection open, or it was refused
  | 'DISCONNECTED' // lost before the answer came: perhaps done
  | 'TIMEOUT' // no answer in time: perhaps done
  | 'CONNECTION_FAILED' // the server cannot be reached now; tried again for ever
  | 'CONNECTION_REFUSED' // the server said no, without a code
  | 'NO_TOKEN' // there is no token: nothing was sent
  | 'TOKEN_FAILED'; // getToken failed or did not answer

/** Whatever goes wrong, with the code that the server gave or one of {@link ClientErrorCode}. */
export class RealtimeError extends Error {
  override readonly name = 'RealtimeError';
  readonly code: ErrorCode | ClientErrorCode;
  /** Seconds after which trying again makes sense, where the server said so. */
  readonly retryAfter: number | undefined;
  /** What the server sent, if it was that. */
  readonly details: unknown;

  constructor(code: ErrorCode | ClientErrorCode, message: string, details?: unknown) {
    super(message);
    this.code = code;
    this.details = details;
    this.retryAfter = (details as { retryAfter?: number } | undefined)?.retryAfter;
  }
}

/** Makes a RealtimeError of anything that was thrown. */
export function asRealtimeError(error: unknown, code: ClientErrorCode = 'DISCONNECTED'): RealtimeError {
  return error instanceof RealtimeError ? error : new RealtimeError(code, (error as Error)?.message ?? String(error), error);
}

/** What the server sent as an error: a refusal's `error`, or the `message` of the event and of CONNECT_ERROR. */
export function serverError(sent: unknown): RealtimeError {
  const { code, error, message } = Object(sent) as Record<string, unknown>;
  return new RealtimeError(String(code ?? 'REFUSED'), String(error ?? message ?? 'the server refused'), sent);
}

/** The refusal that an ack is, if it is one: {success:false} or, for *:case, {status:"error"}. */
export function refusalOf(ack: unknown): RealtimeError | undefined {
  const { success, status } = Object(ack) as Record<string, unknown>;
  return success === false || status === 'error' ? serverError(ack) : undefined;
}

export function lateError(what: string, ms: number, code: ClientErrorCode = 'TIMEOUT'): RealtimeError {
  return new RealtimeError(code, `${what}: no answer within ${ms} ms`);
}

/** Rejects with an error of this code where the promise takes longer than so many milliseconds. */
export function inTime<T>(promise: T | Promise<T>, ms: number, what: string, code?: ClientErrorCode): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(lateError(what, ms, code)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Milliseconds to wait before trying again: as the server said, or else as given. */
export function pauseAfter({ retryAfter }: RealtimeError, otherwise: number): number {
  return retryAfter ? retryAfter * 1_000 : otherwise;
}

/** Whether the same request may succeed later without anybody changing anything. */
export function passes(error: RealtimeError): boolean {
  return /^(DISCONNECTED|TIMEOUT|UNAVAILABLE|RATE_LIMIT_EXCEEDED|INTERNAL)$/.test(error.code);
}
