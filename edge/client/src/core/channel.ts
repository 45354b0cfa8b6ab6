import type { Manager, Socket } from 'socket.io-client';
import type { ConnectionEvent } from '../generated/index.js';
import { asRealtimeError, lateError, passes, pauseAfter, RealtimeError, refusalOf, serverError } from './errors.js';
import { Interests } from './interests.js';
import { newClientId } from './json.js';
import { type Lease, lease } from './lease.js';
import { shared } from './shared.js';
import { type ConnectionState, DISCONNECTED } from './status.js';
import { callAll, Store } from './store.js';
import { claimsOf, type Tokens } from './tokens.js';
import type { AckOf, EventOf, RequestOf } from './types.js';

/** What a channel needs to know of its client. */
export interface ChannelContext {
  readonly manager: Manager;
  readonly tokens: Tokens;
  readonly linger: number;
  readonly timeout: number;
  /** Called with each token that a CONNECT was accepted with. */
  readonly accepted: (token: string) => void;
}

export interface EmitOptions {
  /** Milliseconds until the promise is rejected with TIMEOUT. */
  timeout?: number;
}

type Handler = (...args: any[]) => void;

// These carry a clientId, under which sending them again does nothing again. So a lost answer is asked for
// once more instead of being reported as "perhaps done".
const repeatable: readonly string[] = ['message:send', 'conversation:create'];

const FIRST_RETRY = 1_000; // ms after a refusal, doubling
const LAST_RETRY = 60_000;

/**
 * One namespace of the page's connection: its state, its events, its commands, what is subscribed to.
 * It is open while somebody holds it, and comes back by itself however long it was lost.
 */
export class Channel extends Store<ConnectionState> {
  readonly namespace: string;
  /** The client underneath, for what this class does not offer. It stays the same for ever. */
  readonly socket: Socket;
  readonly interests: Interests;

  readonly #context: ChannelContext;
  readonly #lease: Lease;
  readonly #greeting = new Map<string, unknown>(); // what came between CONNECT and `connected`
  #greeted = false;
  readonly #waiting = new Set<(error: RealtimeError) => void>(); // for an ack
  #ownToken: string | undefined; // of setToken: goes before the client's
  #ready: string | undefined; // asked for before there was a network connection, for the CONNECT behind it
  #tried: string | undefined; // the token of the last CONNECT
  #turn = 0; // the answer to an older question for a token must not be sent
  #refusals = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;

  constructor(namespace: string, context: ChannelContext) {
    super(DISCONNECTED);
    this.namespace = namespace;
    this.#context = context;
    // A little longer than what is subscribed to on it, so that a service hears that it was given up.
    this.#lease = lease(context.linger + 50, () => this.#open(), () => this.#close());
    this.socket = context.manager.socket(namespace, { auth: (answer: (data: object) => void) => this.#authenticate(answer) });
    this.interests = new Interests(this, context.linger);
    this.#listen();
  }

  get connected(): boolean {
    return this.socket.connected;
  }

  /** Keeps the namespace connected until the returned function is called, and a moment longer. */
  retain(): () => void {
    const release = this.#lease.take();
    if (this.getSnapshot().status === 'error') { // there may be a token now
      this.#refusals = 0;
      this.#tryAgain();
    }
    return release;
  }

  /** Closes now, whoever holds it; the next to retain opens it again. */
  close(): void {
    this.#lease.stop();
  }

  /** Connects again after a refusal, or after close for those who still hold it. */
  connect(): void {
    if (!this.#lease.held() || this.socket.active) return;
    this.#refusals = 0;
    if (!this.#lease.resume()) this.#open();
  }

  /** Uses this token here instead of the client's; null gives it back. Connected, it is replaced in place. */
  setToken(token: string | null): void {
    const next = token ?? undefined;
    if (next === this.#ownToken) return;
    this.#ownToken = next;
    this.#ready = undefined;
    if (next === undefined || next === this.#tried) return;
    if (this.connected) void this.refresh(next).catch(() => this.#reconnect());
    else if (this.getSnapshot().status === 'error') this.connect();
  }

  /** Replaces the token under the open connection. */
  async refresh(token: string): Promise<void> {
    await this.ask('auth:refresh', { token });
    this.#tried = token;
    this.#context.accepted(token);
  }

  /** Listens. Giving the same handler twice is listening once. */
  on<E extends string>(event: E, handler: (payload: EventOf<E>, ...more: any[]) => void): () => void {
    const guarded = guard(handler);
    if (!this.socket.listeners(event as string).includes(guarded)) this.socket.on(event as string, guarded as never);
    return () => this.off(event, handler);
  }

  once<E extends string>(event: E, handler: (payload: EventOf<E>, ...more: any[]) => void): () => void {
    this.socket.once(event as string, guard(handler) as never);
    return () => this.off(event, handler);
  }

  off(event: string, handler: Handler): void {
    this.socket.off(event, guard(handler));
  }

  /** What the server said by an event while it opened this connection: its snapshots, for who listens late. */
  greeting<E extends string>(event: E): EventOf<E> | undefined {
    return this.#greeting.get(event) as EventOf<E> | undefined;
  }

  /**
   * Emits and waits for the ack, whatever it says. While the connection is lost it waits for the next one,
   * but never longer than the timeout.
   */
  emit<C extends string>(event: C, data?: RequestOf<C>, { timeout = this.#context.timeout }: EmitOptions = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const { status, error } = this.getSnapshot();
      if (status === 'disconnected' || status === 'error') {
        return reject(this.#notConnected(error));
      }
      this.#waiting.add(reject);
      this.socket
        .timeout(timeout)
        .emitWithAck(event, ...(data === undefined ? [] : [data]))
        .then(resolve, (cause: Error) => {
          const late = cause.message.includes('timed out');
          reject(late ? lateError(event, timeout) : new RealtimeError('DISCONNECTED', `${event}: connection lost before the answer`));
        })
        .finally(() => this.#waiting.delete(reject));
    });
  }

  /** Emits a command and returns its ack; a refusal is thrown. */
  async ask<C extends string>(event: C, data?: RequestOf<C>, { timeout = this.#context.timeout }: EmitOptions = {}): Promise<AckOf<C>> {
    const deadline = Date.now() + timeout;
    const again = repeatable.includes(event);
    const request = again ? ({ clientId: newClientId(), ...(data as object) } as RequestOf<C>) : data;
    for (let wait = 100; ; wait *= 2) {
      const left = Math.max(deadline - Date.now(), 1);
      try {
        const ack = await this.emit(event, request, { timeout: left });
        const refusal = refusalOf(ack);
        if (refusal) throw refusal;
        return ack as AckOf<C>;
      } catch (error) {
        const e = asRealtimeError(error);
        const pause = pauseAfter(e, wait);
        if (!again || !passes(e) || Date.now() + pause >= deadline) throw e;
        await new Promise((done) => setTimeout(done, pause));
      }
    }
  }

  // After a refusal only another token is worth an attempt.
  #open(refusal?: RealtimeError): void {
    this.#withToken(refusal ? 'refused' : 'connect', (token) => {
      if (refusal && token === this.#tried) return this.#refused(refusal);
      this.#ready = token;
      this.patch({ status: 'connecting' });
      this.socket.connect();
    });
    if (!refusal) this.patch({ status: 'connecting' });
  }

  #close(): void {
    this.#turn++;
    clearTimeout(this.#retry);
    this.#refusals = 0;
    this.#down({ status: 'disconnected', error: null });
  }

  #reconnect(): void {
    this.#down({ status: 'connecting', error: null });
    if (this.#lease.held()) this.#open();
  }

  // What waits for a connection is not sent over one that somebody opens much later.
  #down(state: Pick<ConnectionState, 'status' | 'error'>): void {
    this.socket.disconnect();
    this.socket.sendBuffer = [];
    this.patch({ ...state, attempt: 0, socketId: null });
    this.interests.lost(false);
    for (const reject of [...this.#waiting]) reject(this.#notConnected(state.error));
  }

  #notConnected(error: RealtimeError | null): RealtimeError {
    return new RealtimeError('NOT_CONNECTED', error?.message ?? `${this.namespace} is not connected`, error);
  }

  // Of several that wait for a token the last goes on.
  #withToken(reason: 'connect' | 'refused', use: (token: string) => void): void {
    const turn = ++this.#turn;
    const token = this.#ownToken ?? this.#context.tokens.get(reason);
    Promise.resolve(token).then((t) => turn === this.#turn && use(t), (e: RealtimeError) => turn === this.#turn && this.#refused(e));
  }

  // Runs for each CONNECT. An answer that comes when the connection is another one would be a second CONNECT.
  #authenticate(answer: (data: object) => void): void {
    const { manager } = this.#context;
    const { engine } = manager;
    const use = (token: string) => {
      if (engine !== manager.engine) return;
      this.#tried = token;
      answer({ token });
    };
    const ready = this.#ready;
    this.#ready = undefined;
    if (ready === undefined) this.#withToken('connect', use);
    else use(ready);
  }

  #listen(): void {
    const { socket } = this;
    socket.onAny((event: string, payload: unknown) => {
      if (!this.#greeted) this.#greeting.set(event, payload);
    });
    socket.on('connect', () => {
      if (!socket.recovered) this.#greeting.clear();
      this.#greeted = false;
      this.#refusals = 0;
      const { connects, userId } = this.getSnapshot();
      const recovered = !!socket.recovered;
      const claims = claimsOf(this.#tried); // the server has accepted them, and says so only behind its first events
      this.patch({
        status: 'connected', error: null, attempt: 0, connects: connects + 1, recovered, missed: 0,
        socketId: socket.id ?? null, userId: claims.sub || claims.userId || userId,
      });
      if (this.#tried !== undefined) this.#context.accepted(this.#tried);
      this.interests.restore(recovered);
    });
    socket.on('connected', (welcome: Partial<ConnectionEvent> | undefined) => {
      this.#greeted = true;
      const { missed, position, userId } = this.getSnapshot();
      this.patch({ missed: welcome?.missed ?? missed, position: welcome?.to ?? position, userId: welcome?.userId ?? userId });
    });
    socket.on('error', (e: unknown) => this.patch({ error: serverError(e) }));
    socket.on('disconnect', (reason) => {
      if (reason === 'io client disconnect') return; // whoever did it sets the state
      this.interests.lost(socket.active);
      if (socket.active) {
        this.patch({ status: 'reconnecting', socketId: null });
      } else {
        this.#refused(this.getSnapshot().error ?? new RealtimeError('CONNECTION_REFUSED', 'closed by the server'), true);
      }
    });
    socket.on('connect_error', (e: Error & { data?: { code?: string } }) => {
      if (socket.active) {
        this.patch({ status: 'reconnecting', error: new RealtimeError('CONNECTION_FAILED', e.message) });
      } else {
        this.#refused(new RealtimeError(e.data?.code ?? 'CONNECTION_REFUSED', e.message, e.data));
      }
    });
    this.#context.manager.on('reconnect_attempt', (attempt) => {
      if (socket.active) this.patch({ status: 'reconnecting', attempt });
    });
  }

  // A refusal ends the attempt. It is tried again, ever more rarely, where something may have changed by
  // itself: another tab was closed, or there is another token.
  #refused(error: RealtimeError, again = mayChange(error)): void {
    this.#turn++;
    this.#down({ status: 'error', error });
    clearTimeout(this.#retry);
    if (!this.#lease.held() || !again) return;
    const wait = Math.min(FIRST_RETRY * 2 ** this.#refusals++, LAST_RETRY);
    this.#retry = setTimeout(() => this.#tryAgain(), wait * (0.75 + Math.random() / 2));
  }

  #tryAgain(): void {
    clearTimeout(this.#retry);
    const { error } = this.getSnapshot();
    this.#open(error && needsToken(error) ? error : undefined);
  }
}

const needsToken = ({ code }: RealtimeError): boolean => /TOKEN|^AUTH_FAILED$/.test(code);
const mayChange = (error: RealtimeError): boolean => needsToken(error) || /CONNECTION_(LIMIT|ERROR)/.test(error.code);

// A handler that throws would keep the client from noting the event's offset, and the event would come
// again after a reconnect.
function guard(handler: Handler): Handler {
  return shared(handler, 'guard', () => (...args) => callAll([handler], ...args));
}
