import { Manager } from 'socket.io-client';
import { namespacesOf } from '../generated/index.js';
import { Channel, type EmitOptions } from './channel.js';
import { RealtimeError } from './errors.js';
import type { Interest, Subscription } from './interests.js';
import type { ConnectionState, ConnectionStatus } from './status.js';
import { type Readable, Store } from './store.js';
import { type Refresher, refresher } from './refresher.js';
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
  return new Client(options);
}

class Client implements Realtime {
  readonly url: string;
  readonly linger: number;
  readonly getSnapshot: () => RealtimeState;
  readonly subscribe: (listener: () => void) => () => void;

  readonly #manager: Manager;
  readonly #tokens: Tokens;
  readonly #refresher: Refresher;
  readonly #timeout: number;
  readonly #channels = new Map<string, Channel>();
  readonly #state = new Store<RealtimeState>({ status: 'disconnected', error: null, namespaces: {} });

  constructor(options: RealtimeOptions) {
    this.url = options.url ?? pageOrigin();
    this.linger = options.linger ?? 250;
    this.#timeout = options.timeout ?? 10_000;
    this.getSnapshot = this.#state.getSnapshot;
    this.subscribe = this.#state.subscribe;
    this.#tokens = new Tokens(options.getToken);
    this.#refresher = refresher(this.#tokens, options.refreshBefore ?? 60_000, (token) => this.#replace(token));
    this.#manager = new Manager(this.url, {
      autoConnect: false,
      path: options.path ?? '/socket.io/',
      transports: options.transports ?? ['websocket', 'polling'],
      tryAllTransports: true,
      reconnectionDelay: options.reconnectionDelay ?? 500,
      reconnectionDelayMax: options.reconnectionDelayMax ?? 5_000,
      timeout: options.connectTimeout ?? 20_000,
    });
  }

  channel(namespace: string): Channel {
    const name = namespace.startsWith('/') ? namespace : `/${namespace}`;
    let channel = this.#channels.get(name);
    if (!channel) {
      channel = new Channel(name, {
        manager: this.#manager, tokens: this.#tokens, linger: this.linger, timeout: this.#timeout,
        accepted: (token) => this.#refresher.accepted(token),
      });
      this.#channels.set(name, channel);
      channel.subscribe(() => this.#summarise());
      channel.socket.on('connected', (welcome?: { timestamp?: string }) => this.#refresher.clock(welcome?.timestamp ?? ''));
    }
    return channel;
  }

  on<E extends string>(event: E, handler: (payload: EventOf<E>, ...more: any[]) => void): () => void {
    const channel = this.#home(event);
    // A function of its own, so that the same handler may be given twice.
    const off = channel.on(event, (payload, ...more) => handler(payload, ...more));
    const release = channel.retain();
    return () => {
      off();
      release();
    };
  }

  async command<C extends string>(name: C, request?: RequestOf<C>, options?: EmitOptions): Promise<AckOf<C>> {
    const channel = this.#home(name);
    const release = channel.retain();
    try {
      return await channel.ask(name, request, options);
    } finally {
      release();
    }
  }

  interest(interest: Interest, namespace?: string): HeldSubscription {
    const channel = namespace === undefined ? this.#home(interest.subscribe) : this.channel(namespace);
    const releaseChannel = channel.retain();
    const subscription = channel.interests.acquire(interest);
    return {
      ...subscription,
      namespace: channel.namespace,
      release: () => {
        subscription.release();
        releaseChannel();
      },
    };
  }

  subscribeCase(caseId: string): HeldSubscription {
    return this.interest({ subscribe: 'subscribe:case', unsubscribe: 'unsubscribe:case', data: { caseId } });
  }

  async setToken(source: TokenSource): Promise<void> {
    this.#tokens.source = source;
    const token = await this.#tokens.get('refresh');
    await this.#replace(token);
    for (const channel of this.#channels.values()) {
      if (channel.getSnapshot().status === 'error') channel.connect();
    }
  }

  disconnect(): void {
    for (const channel of this.#channels.values()) channel.close();
  }

  connect(): void {
    for (const channel of this.#channels.values()) channel.connect();
  }

  // One namespace is enough: the server takes the token for all of the user's on this connection.
  async #replace(token: string): Promise<void> {
    for (const channel of this.#channels.values()) {
      if (channel.connected) return channel.refresh(token);
    }
  }

  #home(event: string): Channel {
    return this.channel(namespacesOf(event)[0]!);
  }

  #summarise(): void {
    const namespaces: Record<string, ConnectionState> = {};
    let worst: ConnectionState | undefined;
    for (const [name, channel] of this.#channels) {
      const state = channel.getSnapshot();
      namespaces[name] = state;
      if (severity(state) > (worst ? severity(worst) : 0)) worst = state;
    }
    const status = worst?.status ?? 'disconnected';
    if (status === 'disconnected') this.#refresher.stop();
    this.#state.set({ status, error: worst?.error ?? null, namespaces });
  }
}

// What the page should show: a refusal before a loss, a loss before what is well, and what is closed last.
const order: readonly ConnectionStatus[] = ['disconnected', 'connected', 'connecting', 'reconnecting', 'error'];
const severity = ({ status }: ConnectionState): number => order.indexOf(status);

function pageOrigin(): string {
  return typeof location === 'undefined' || !/^https?:/.test(location.origin) ? 'http://localhost:3000' : location.origin;
}
