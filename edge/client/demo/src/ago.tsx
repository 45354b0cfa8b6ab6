import { formatLastSeen } from '@lexiflow/realtime/react';
import { useSyncExternalStore } from 'react';

let now = Date.now();
const listeners = new Set<() => void>();
setInterval(() => {
  now = Date.now();
  for (const listener of listeners) listener();
}, 20_000);

/** The time, as all words like "2 minutes ago" on the page have it; moves every 20 s. */
export function useNow(): number {
  return useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, () => now);
}

export function Ago({ at }: { at: string }) {
  return <time dateTime={at} title={new Date(at).toLocaleString()}>{formatLastSeen(at, new Date(Math.max(useNow(), 0)))}</time>;
}
