import { createRealtime, type Realtime } from './client.js';

let page: Realtime | undefined;

/**
 * The page's own client, which hooks use where no RealtimeProvider gives them another: connected to the
 * page's origin, with the token that localStorage has under `auth`.
 */
export function pageRealtime(): Realtime {
  return (page ??= createRealtime({ getToken: storedToken }));
}

/** The token in localStorage `auth`: JSON with `accessToken` or `token`. Null where there is none. */
export function storedToken(): string | null {
  try {
    const auth = JSON.parse(localStorage.getItem('auth') ?? 'null') as { accessToken?: unknown; token?: unknown } | null;
    const token = auth?.accessToken || auth?.token;
    return typeof token === 'string' ? token : null;
  } catch {
    return null; // no localStorage, or somebody else's content
  }
}
