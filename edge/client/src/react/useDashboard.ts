'use client';
import { useCallback, useEffect, useRef } from 'react';
import { type DashboardState, dashboardStore, type DashboardWish } from '../stores/dashboard.js';
import { useLive, useRealtime } from './context.js';
import { useConnection } from './useWebSocket.js';

export interface UseDashboardResult extends DashboardState {
  isConnected: boolean;
  /** Asks for some types only; what nobody on the page asks for is not sent. Resolves with this place's types. */
  subscribe: (types: readonly string[]) => Promise<string[]>;
  unsubscribe: (types: readonly string[]) => Promise<string[]>;
  refresh: () => Promise<void>;
}

/** What moves on a dashboard: everything, until this place has asked for some of it. */
export function useDashboard(): UseDashboardResult {
  const client = useRealtime();
  const store = dashboardStore(client);
  const state = useLive(store);
  const isConnected = useConnection(client.channel('/dashboard')).status === 'connected';
  const wish = useRef<DashboardWish | null>(null);
  const asked = useRef<readonly string[]>([]); // kept over StrictMode's second mount

  useEffect(() => {
    const mine = store.wish();
    wish.current = mine;
    if (asked.current.length > 0) mine.subscribe(asked.current).catch(() => {});
    return () => {
      asked.current = mine.types;
      wish.current = null;
      mine.release();
    };
  }, [store]);

  const subscribe = useCallback(async (types: readonly string[]) => {
    if (wish.current) return wish.current.subscribe(types);
    asked.current = [...new Set([...asked.current, ...types])]; // called before this effect has run
    return [...asked.current];
  }, []);
  const unsubscribe = useCallback(async (types: readonly string[]) => {
    if (wish.current) return wish.current.unsubscribe(types);
    asked.current = asked.current.filter((type) => !types.includes(type));
    return [...asked.current];
  }, []);
  return { ...state, isConnected, subscribe, unsubscribe, refresh: store.refresh };
}
