'use client';
import { useEffect, useMemo, useRef, useState } from './react.js';
import type { Socket } from 'socket.io-client';
import type { EmitOptions } from '../core/channel.js';
import type { RealtimeError } from '../core/errors.js';
import { type ConnectionStatus, DISCONNECTED } from '../core/status.js';
import { endOf } from '../core/store.js';
import { useLatest, useLive, useRealtime } from './context.js';

export interface UseWebSocketOptions {
  /** `/events`, for example. Default `/`, which carries every name. */
  namespace?: string;
  /** Connect when mounted; default true. */
  autoConnect?: boolean;
  /** A token for this namespace instead of the client's. Another one is put in its place without reconnecting. */
  auth?: { token?: string };
  onConnect?: () => void;
  onDisconnect?: (reason: string) => void;
  onError?: (error: RealtimeError) => void;
  onReconnect?: (attempts: number) => void;
  /** @deprecated The connection is shared and comes back by itself, without end. See `createRealtime`. */
  reconnection?: boolean;
  /** @deprecated as `reconnection` */
  reconnectionAttempts?: number;
  /** @deprecated as `reconnection` */
  reconnectionDelay?: number;
}

type Handler = (...args: any[]) => void;

export interface UseWebSocketResult {
  /** The client underneath. The page shares it: do not connect or disconnect it yourself. */
  socket: Socket;
  status: ConnectionStatus;
  isConnected: boolean;
  isConnecting: boolean;
  isReconnecting: boolean;
  error: RealtimeError | null;
  reconnectAttempt: number;
  /** Whether the last connection went on where the one before was lost, with nothing missing. */
  recovered: boolean;
  /** How many events were sent again for that. */
  missed: number;
  connect: () => void;
  /** Lets go of the namespace for this component; others keep it. */
  disconnect: () => void;
  /** Resolves with the ack, whatever it says; rejects where none can come or none came in time. */
  emit: <T = any>(event: string, data?: unknown, options?: EmitOptions) => Promise<T>;
  on: (event: string, handler: Handler) => void;
  off: (event: string, handler?: Handler) => void;
  once: (event: string, handler: Handler) => void;
}

/** One namespace of the page's connection. */
export function useWebSocket(options: UseWebSocketOptions = {}): UseWebSocketResult {
  const channel = useRealtime().channel(options.namespace ?? '/');
  const { autoConnect = true, auth } = options;
  const token = auth?.token;
  const [wanted, setWanted] = useState(autoConnect);
  const callbacks = useLatest(options);
  const told = useRef(DISCONNECTED); // the state that callbacks know of
  const own = useRef(new Map<string, Set<Handler>>());

  useEffect(() => {
    if (token !== undefined) channel.setToken(token);
  }, [channel, token]);

  useEffect(() => {
    if (!wanted) return;
    const lost = (reason: string) => callbacks.current.onDisconnect?.(reason);
    const look = () => {
      const before = told.current;
      const now = (told.current = channel.getSnapshot());
      const { onConnect, onReconnect, onError } = callbacks.current;
      if (now.connects > before.connects) {
        onConnect?.();
        if (before.connects > 0) onReconnect?.(Math.max(before.attempt, 1));
      }
      if (now.error && now.error !== before.error) onError?.(now.error);
    };
    const off = endOf(channel.retain(), channel.subscribe(look), channel.on('disconnect', lost));
    look();
    return off;
  }, [channel, wanted, callbacks]);

  // The namespace outlives this component, its listeners must not.
  useEffect(() => {
    const mine = own.current;
    return () => {
      for (const [event, handlers] of mine) for (const handler of handlers) channel.off(event, handler);
      mine.clear();
    };
  }, [channel]);

  const actions = useMemo(() => {
    const listen = (how: 'on' | 'once') => (event: string, handler: Handler) => {
      channel[how](event, handler);
      own.current.set(event, (own.current.get(event) ?? new Set()).add(handler));
    };
    return {
      on: listen('on'),
      once: listen('once'),
      off: (event: string, handler?: Handler) => {
        const mine = own.current.get(event);
        for (const one of handler ? [handler] : mine ?? []) {
          channel.off(event, one);
          mine?.delete(one);
        }
      },
      emit: <T,>(event: string, data?: unknown, how?: EmitOptions) => channel.emit(event, data as never, how) as Promise<T>,
      connect: () => {
        setWanted(true);
        channel.connect();
      },
      disconnect: () => setWanted(false),
    };
  }, [channel]);

  const state = useLive(channel, wanted);
  const { status, error, attempt: reconnectAttempt, recovered, missed } = state;
  return {
    socket: channel.socket, status, error, reconnectAttempt, recovered, missed,
    isConnected: status === 'connected', isConnecting: status === 'connecting', isReconnecting: status === 'reconnecting',
    ...actions,
  };
}

/** Listens to one event of a socket while mounted. The handler may be inline. */
export function useWebSocketEvent<T = any>(socket: Pick<Socket, 'on' | 'off'> | null | undefined, event: string, handler: (payload: T, ...more: any[]) => void): void {
  const latest = useLatest(handler);
  useEffect(() => {
    if (!socket) return;
    const listener = (...args: any[]) => (latest.current as Handler)(...args);
    socket.on(event, listener);
    return () => void socket.off(event, listener);
  }, [socket, event, latest]);
}
