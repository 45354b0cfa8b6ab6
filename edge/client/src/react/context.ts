'use client';
import type { ReactNode } from 'react';
import { createContext, createElement, useContext, useEffect, useRef, useSyncExternalStore } from './react.js';
import type { Realtime } from '../core/client.js';
import { pageRealtime } from '../core/page.js';
import type { Live } from '../core/store.js';

const RealtimeContext = createContext<Realtime | null>(null);

export interface RealtimeProviderProps {
  client: Realtime;
  children?: ReactNode;
}

/** Gives the hooks below it a client. Without one they use the page's own: its origin, its stored token. */
export function RealtimeProvider({ client, children }: RealtimeProviderProps) {
  return createElement(RealtimeContext.Provider, { value: client }, children);
}

/** The client that the hooks here use. */
export function useRealtime(): Realtime {
  return useContext(RealtimeContext) ?? pageRealtime();
}

/** A value's newest version for callbacks, so that no effect depends on whether it is inline. */
export function useLatest<T>(value: T): { readonly current: T } {
  const latest = useRef(value);
  useEffect(() => {
    latest.current = value;
  });
  return latest;
}

const nothing = () => () => {};

/** A store's state; while it is off nothing is subscribed to, and the state is the initial one. */
export function useLive<S>(store: Live<S>, on = true): S {
  return useSyncExternalStore(on ? store.subscribe : nothing, on ? store.getSnapshot : store.getInitialSnapshot, store.getInitialSnapshot);
}

/** Whether a namespace is connected, and wanted. */
export function useConnected(namespace: string, on?: boolean): boolean {
  return useLive(useRealtime().channel(namespace), on).status === 'connected';
}
