import { asRealtimeError, inTime, RealtimeError } from './errors.js';

/** Why a token is asked for: to connect, to replace one that expires soon, or after one was refused. */
export type TokenReason = 'connect' | 'refresh' | 'refused';

/** A token, or how to get one now. Null and undefined mean that there is none. */
export type TokenSource =
  | string
  | null
  | undefined
  | ((reason: TokenReason) => string | null | undefined | Promise<string | null | undefined>);

const PATIENCE = 20_000; // ms; a server waits 45 s for a CONNECT

/** Where tokens come from. Calls at the same time share one answer, so four namespaces ask once. */
export class Tokens {
  #source: TokenSource;
  #asked: Promise<string> | undefined;

  constructor(source: TokenSource) {
    this.#source = source;
  }

  set source(source: TokenSource) {
    this.#source = source;
    this.#asked = undefined;
  }

  /** The token now, or a RealtimeError NO_TOKEN or TOKEN_FAILED. */
  get(reason: TokenReason): Promise<string> {
    const asked = (this.#asked ??= this.#ask(reason).finally(() => {
      if (this.#asked === asked) this.#asked = undefined;
    }));
    return asked;
  }

  async #ask(reason: TokenReason): Promise<string> {
    const source = this.#source;
    let token: string | null | undefined;
    try {
      token = typeof source === 'function' ? await inTime(source(reason), PATIENCE, 'getToken', 'TOKEN_FAILED') : source;
    } catch (error) {
      throw asRealtimeError(error, 'TOKEN_FAILED');
    }
    if (!token) throw new RealtimeError('NO_TOKEN', 'there is no token: sign in first');
    return token;
  }
}

/** What a token says, where it can be read: the server alone knows whether it is true. */
export function claimsOf(token = ''): { exp?: number; sub?: string; userId?: string } {
  try {
    return JSON.parse(atob(token.split('.')[1]!.replaceAll('-', '+').replaceAll('_', '/'))) as object;
  } catch {
    return {};
  }
}
