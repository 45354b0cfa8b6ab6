'use client';
import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react';
import { asRealtimeError, RealtimeError } from '../core/errors.js';
import { type InterestState, settled, type Subscription } from '../core/interests.js';
import { stableJson } from '../core/json.js';
import { useLatest, useRealtime } from './context.js';
import { useConnection } from './useWebSocket.js';

export interface UseRealTimeDataOptions<T, Raw = any> {
  /** Default `/`, which carries every name. */
  namespace?: string;
  eventName: string;
  /** The command that asks for the events, and the one that ends it. */
  subscribeEvent?: string;
  unsubscribeEvent?: string;
  /** What both take. It may be inline: it counts by its content. */
  subscribeData?: Record<string, unknown>;
  enabled?: boolean;
  initialData?: T | null;
  transform?: (raw: Raw) => T;
  /**
   * Which events are meant. By default those that do not say otherwise: an event for case 2 is not for who
   * has subscribed to `{caseId: '1'}`.
   */
  filter?: (raw: Raw) => boolean;
  onData?: (data: T) => void;
  onError?: (error: RealtimeError) => void;
}

export interface UseRealTimeDataResult<T> {
  data: T | null;
  isLoading: boolean;
  isSubscribed: boolean;
  error: RealtimeError | null;
  lastUpdate: Date | null;
  subscribe: () => Promise<void>;
  unsubscribe: () => Promise<void>;
  /** Asks again, which makes services send what they have; also after a refusal. */
  refresh: () => Promise<void>;
}

interface Received<T> {
  readonly key: string;
  readonly data: T | null;
  readonly at: Date | null;
  readonly error: RealtimeError | null;
}

const NONE: InterestState = { status: 'waiting', error: null };
const nothing = () => () => {};

/** The newest payload of one event, and the subscription that it needs. */
export function useRealTimeData<T = any, Raw = any>(options: UseRealTimeDataOptions<T, Raw>): UseRealTimeDataResult<T> {
  const { namespace = '/', eventName, subscribeEvent, unsubscribeEvent, subscribeData, enabled = true, initialData = null } = options;
  const client = useRealtime();
  const channel = client.channel(namespace);
  const latest = useLatest(options);
  const key = stableJson([channel.namespace, eventName, subscribeEvent, unsubscribeEvent, subscribeData]);
  const [stopped, setStopped] = useState(false); // by unsubscribe()
  const active = enabled && !stopped;
  const [received, setReceived] = useState<Received<T>>({ key, data: initialData, at: null, error: null });
  // Of another subscription nothing is shown, not even for one render.
  const current = received.key === key ? received : { key, data: initialData, at: null, error: null };

  const subscription = useSubscription(client, channel.namespace, active, key, subscribeEvent, unsubscribeEvent, subscribeData);
  const interest = useSyncExternalStore(subscription?.subscribe ?? nothing, subscription?.getSnapshot ?? none, none);
  const connection = useConnection(channel, active);

  useEffect(() => {
    if (!active) return;
    const release = channel.retain();
    const off = channel.on(eventName, (raw: Raw) => {
      const { transform, filter, subscribeData: mine, onData } = latest.current;
      if (!(filter ? filter(raw) : belongs(raw, mine))) return;
      try {
        const data = transform ? transform(raw) : (raw as unknown as T);
        setReceived({ key, data, at: new Date(), error: null });
        onData?.(data);
      } catch (e) {
        setReceived((r) => ({ ...(r.key === key ? r : { key, data: null, at: null }), error: asRealtimeError(e, 'DISCONNECTED') }));
        throw e;
      }
    });
    return () => {
      off();
      release();
    };
  }, [channel, eventName, key, active, latest]);

  const error = current.error ?? interest.error ?? (connection.status === 'connected' ? null : connection.error);
  useEffect(() => {
    if (error) latest.current.onError?.(error);
  }, [error, latest]);

  const held = useLatest(subscription);
  const wait = useCallback(async (again: boolean) => {
    // The effects that take the subscription have not run yet when this is called with a change of state.
    await new Promise((done) => setTimeout(done, 0));
    const one = held.current;
    if (!one) return;
    if (again) await one.refresh();
    await settled(one);
  }, [held]);
  const subscribe = useCallback(() => {
    setStopped(false);
    return wait(false);
  }, [wait]);
  const unsubscribe = useCallback(async () => setStopped(true), []);
  const refresh = useCallback(() => wait(true), [wait]);

  const connected = connection.status === 'connected';
  return {
    data: current.data, error, lastUpdate: current.at,
    isLoading: active && current.data === null && error === null,
    isSubscribed: active && connected && (subscribeEvent === undefined || interest.status === 'active'),
    subscribe, unsubscribe, refresh,
  };
}

const none = () => NONE;

function useSubscription(
  client: ReturnType<typeof useRealtime>, namespace: string, active: boolean, key: string,
  subscribe: string | undefined, unsubscribe: string | undefined, data: Record<string, unknown> | undefined,
): Subscription | null {
  const [subscription, set] = useState<Subscription | null>(null);
  const request = useRef(data);
  request.current = data;
  const interest = useMemo(
    () => (subscribe === undefined ? null : { subscribe, ...(unsubscribe !== undefined && { unsubscribe }), ...(request.current && { data: request.current }) }),
    [key, subscribe, unsubscribe],
  );
  useEffect(() => {
    if (!active || !interest) return;
    const taken = client.interest(interest, namespace);
    set(taken);
    return () => {
      taken.release();
      set(null);
    };
  }, [client, namespace, active, interest]);
  return subscription;
}

// belongs reports whether an event is not for another subscription: the page's connection carries the
// events of all of them.
function belongs(raw: unknown, mine: Record<string, unknown> | undefined): boolean {
  if (typeof raw !== 'object' || raw === null) return true;
  for (const [field, value] of Object.entries(mine ?? {})) {
    const theirs = (raw as Record<string, unknown>)[field];
    if (theirs !== undefined && value !== null && typeof value !== 'object' && theirs !== value) return false;
  }
  return true;
}
