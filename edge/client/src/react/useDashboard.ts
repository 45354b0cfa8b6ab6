'use client';
import { useEffect, useMemo } from './react.js';
import { type DashboardState, dashboardStore } from '../stores/dashboard.js';
import { useConnected, useLive, useRealtime } from './context.js';

export interface UseDashboardResult extends DashboardState {
  isConnected: boolean;
  /** Asks for some types only; what nobody on the page asks for is not sent. Resolves with this place's types. */
  subscribe: (types: readonly string[]) => Promise<string[]>;
  unsubscribe: (types: readonly string[]) => Promise<string[]>;
  refresh: () => Promise<void>;
}

/** What moves on a dashboard: everything, until this place has asked for some of it. */
export function useDashboard(): UseDashboardResult {
  const store = dashboardStore(useRealtime());
  const state = useLive(store);
  const isConnected = useConnected('/dashboard');
  const { hold, ...choice } = useMemo(() => store.wish(), [store]);
  useEffect(hold, [hold]);
  return { ...state, isConnected, refresh: store.refresh, ...choice };
}
