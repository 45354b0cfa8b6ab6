'use client';
import { useEffect, useMemo, useRef, useState } from './react.js';
import type { RealtimeError } from '../core/errors.js';
import { settled, type Subscription, WAITING } from '../core/interests.js';
import { stableJson } from '../core/json.js';
import { useLatest, useLive, useRealtime } from './context.js';

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
}

/** The newest payload of one event, and the subscription that it needs. */
export function useRealTimeData<T = any, Raw = any>(options: UseRealTimeDataOptions<T, Raw>): UseRealTimeDataResult<T> {
  const { namespace = '/', eventName, subscribeEvent, unsubscribeEvent, subscribeData, enabled = true, initialData = null } = options;
  const channel = useRealtime().channel(namespace);
  const latest = useLatest(options);
  const key = stableJson([channel.namespace, eventName, subscribeEvent, unsubscribeEvent, subscribeData]);
  const [stopped, setStopped] = useState(false); // by unsubscribe()
  const active = enabled && !stopped;
  const nothing: Received<T> = { key, data: initialData, at: null };
  const [received, setReceived] = useState(nothing);
  const current = received.key === key ? received : nothing; // of another subscription nothing is shown, not even once
  const [interest, setInterest] = useState(WAITING);
  const held = useRef<Subscription | null>(null);
  const connection = useLive(channel, active);
  const connected = connection.status === 'connected';

  useEffect(() => {
    if (!active) return;
    const ends = [channel.retain(), channel.on(eventName, (raw: Raw) => {
      const { transform, filter, onData } = latest.current;
      if (!(filter ? filter(raw) : belongs(raw, subscribeData))) return;
      const next = transform ? transform(raw) : (raw as unknown as T);
      setReceived({ key, data: next, at: new Date() });
      onData?.(next);
    })];
    if (subscribeEvent) {
      const taken = channel.interests.acquire({ subscribe: subscribeEvent, unsubscribe: unsubscribeEvent, data: subscribeData });
      const look = () => setInterest(taken.getSnapshot());
      ends.push(taken.subscribe(look), taken.release, () => setInterest(WAITING));
      held.current = taken;
      look();
    }
    return () => {
      held.current = null;
      ends.forEach((end) => end());
    };
  }, [channel, eventName, key, active, latest]);

  const error = interest.error ?? (connected ? null : connection.error);
  useEffect(() => {
    if (error) latest.current.onError?.(error);
  }, [error, latest]);

  const actions = useMemo(() => {
    const wait = async (again: boolean) => {
      // The effects that take the subscription have not run yet when this is called with a change of state.
      await new Promise((done) => setTimeout(done, 0));
      if (again) await held.current?.refresh();
      if (held.current) await settled(held.current);
    };
    return {
      subscribe: () => {
        setStopped(false);
        return wait(false);
      },
      unsubscribe: async () => setStopped(true),
      refresh: () => wait(true),
    };
  }, []);

  return {
    data: current.data, error, lastUpdate: current.at,
    isLoading: active && current.data === null && error === null,
    isSubscribed: active && connected && (subscribeEvent === undefined || interest.status === 'active'),
    ...actions,
  };
}

// belongs reports whether an event is not for another subscription: the page's connection carries the
// events of all of them.
function belongs(raw: unknown, mine: Record<string, unknown> | undefined): boolean {
  for (const [field, value] of Object.entries(mine ?? {})) {
    const theirs = (raw as Record<string, unknown> | null)?.[field];
    if (theirs !== undefined && value !== null && typeof value !== 'object' && theirs !== value) return false;
  }
  return true;
}
