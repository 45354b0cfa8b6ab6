import { Manager } from 'socket.io-client';
import { homeOf } from '../generated/index.js';
import { Channel, type EmitOptions } from './channel.js';
import type { RealtimeError } from './errors.js';
import type { Interest, Subscription } from './interests.js';
import { type ConnectionState, ConnectionStatus, DISCONNECTED } from './status.js';
import { endOf, type Readable, Store } from './store.js';
import { refresher } from './refresher.js';
import { Tokens, type TokenSource } from './tokens.js';
import type { AckOf, EventOf, RequestOf } from './types.js';

export interface RealtimeOptions {
  /** Where the edge is: http(s) or ws(s). Default: the page's origin. */
  url?: string;
  /** A token or a function that gets one; it is called for each connection and before the token expires. */
  getToken?: TokenSource;
  /** Default `/socket.io/`. */
  path?: string;
  /** Milliseconds that an emit waits for its ack; default 10,000. */
  timeout?: number;
  /** Milliseconds between losing the last user of something and letting go of it; default 250. */
  linger?: number;
  /** Milliseconds before the first attempt to reconnect (default 500) and between later ones (at most 5,000). */
  reconnectionDelay?: number;
  reconnectionDelayMax?: number;
  /** Milliseconds for a connection to open; default 20,000. */
  connectTimeout?: number;
  /** Milliseconds before its expiry when a token is replaced; default 60,000. */
  refreshBefore?: number;
  /** In this order, each where the one before fails; default WebSocket, then polling. */
  transports?: ('websocket' | 'polling')[];
}

/** The whole page's connection: the worst of its namespaces, and each of them. */
export interface RealtimeState {
  readonly status: ConnectionStatus;
  readonly error: RealtimeError | null;
  readonly namespaces: Readonly<Record<string, ConnectionState>>;
}

/** A subscription that also keeps its namespace connected. */
export interface HeldSubscription extends Subscription {
  readonly namespace: string;
}

/** The page's one connection to LexiFlow Realtime. */
export interface Realtime extends Readable<RealtimeState> {
  readonly url: string;
  readonly linger: number;
  /** A namespace of the connection, `/events` for example; always the same object. */
  channel(namespace: string): Channel;
  /** Listens, and keeps the event's namespace connected until the returned function is called. */
  on<E extends string>(event: E, handler: (payload: EventOf<E>, ...more: any[]) => void): () => void;
  /** Sends a command in its namespace and returns the ack; a refusal is thrown as a RealtimeError. */
  command<C extends string>(name: C, request?: RequestOf<C>, options?: EmitOptions): Promise<AckOf<C>>;
  /** Asks to be told about something until released; restored after every reconnect. */
  interest(interest: Interest, namespace?: string): HeldSubscription;
  /** Watches a case. */
  subscribeCase(caseId: string): HeldSubscription;
  /** Takes the tokens from here on from another source, in place where connected. */
  setToken(source: TokenSource): Promise<void>;
  /** Closes everything now. What is held opens again by connect, and by whoever comes new. */
  disconnect(): void;
  /** Opens again what is held: after disconnect, or after a refusal. */
  connect(): void;
}

/** Makes a client. It connects when something is asked of it, and not before. */
export function createRealtime(options: RealtimeOptions = {}): Realtime {
  const { url = pageOrigin(), linger = 250, timeout = 10_000, getToken, refreshBefore = 60_000, connectTimeout = 20_000, ...transport } = options;
  const channels = new Map<string, Channel>();
  const state = new Store<RealtimeState>({ status: 'disconnected', error: null, namespaces: {} });
  const tokens = new Tokens(getToken);
  const manager = new Manager(url, {
    transports: ['websocket', 'polling'], reconnectionDelay: 500, ...transport,
    autoConnect: false, tryAllTransports: true, timeout: connectTimeout,
  });

  // One namespace is enough: the server takes the token for all of the user's on this connection.
  const replace = async (token: string) => {
    for (const channel of channels.values()) if (channel.connected) return channel.refresh(token);
  };
  const { accepted, clock, stop } = refresher(tokens, refreshBefore, replace);

  const summarise = () => {
    const namespaces: Record<string, ConnectionState> = {};
    let worst = DISCONNECTED;
    for (const [name, channel] of channels) {
      const one = (namespaces[name] = channel.getSnapshot());
      if (order.indexOf(one.status) > order.indexOf(worst.status)) worst = one;
    }
    const { status, error } = worst;
    if (status === 'disconnected') stop();
    state.set({ status, error, namespaces });
  };

  const channelOf = (namespace: string): Channel => {
    const name = namespace.startsWith('/') ? namespace : `/${namespace}`;
    let channel = channels.get(name);
    if (!channel) {
      channels.set(name, (channel = new Channel(name, { manager, tokens, linger, timeout, accepted })));
      channel.subscribe(summarise);
      channel.socket.on('connected', (welcome?: { timestamp?: string }) => clock(welcome?.timestamp ?? ''));
    }
    return channel;
  };
  const home = (event: string) => channelOf(homeOf(event));

  const interest = (what: Interest, namespace?: string): HeldSubscription => {
    const channel = namespace === undefined ? home(what.subscribe) : channelOf(namespace);
    const release = channel.retain();
    const subscription = channel.interests.acquire(what);
    return { ...subscription, namespace: channel.namespace, release: endOf(subscription.release, release) };
  };

  return {
    url, linger, interest,
    subscribe: state.subscribe,
    getSnapshot: state.getSnapshot,
    channel: channelOf,
    on: (event, handler) => {
      const channel = home(event);
      // A function of its own, so that the same handler may be given twice.
      return endOf(channel.on(event, (payload, ...more) => handler(payload, ...more)), channel.retain());
    },
    command: (name, request, how) => {
      const channel = home(name);
      const release = channel.retain();
      return channel.ask(name, request, how).finally(release);
    },
    subscribeCase: (caseId) => interest({ subscribe: 'subscribe:case', unsubscribe: 'unsubscribe:case', data: { caseId } }),
    setToken: async (source) => {
      tokens.source = source;
      await replace(await tokens.get('refresh'));
      for (const channel of channels.values()) if (channel.getSnapshot().status === 'error') channel.connect();
    },
    connect: () => channels.forEach((channel) => channel.connect()),
    disconnect: () => channels.forEach((channel) => channel.close()),
  };
}

// What the page should show: a refusal before a loss, a loss before what is well, and what is closed last.
const order: readonly ConnectionStatus[] = Object.values(ConnectionStatus);

function pageOrigin(): string {
  const { origin = '' } = globalThis.location ?? {};
  return origin.startsWith('http') ? origin : 'http://localhost:3000';
}
