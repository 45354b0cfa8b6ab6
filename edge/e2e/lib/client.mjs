// The official Socket.IO client with a memory: every event is kept in order until a test takes it, so
// "nothing else came" is checked by what comes next and not by waiting.

import assert from 'node:assert/strict';
import { io } from 'socket.io-client';
import { PATIENCE, within } from './time.mjs';
import { someone, tokenOf } from './token.mjs';

export class Client {
  constructor(url, namespace, { user = someone(), scope, token = tokenOf(user, scope), ...options } = {}) {
    this.user = user;
    this.waiting = []; // events that no test has taken yet
    this.wake = () => {};
    this.socket = io(url + namespace, {
      forceNew: true, reconnection: false, transports: ['websocket'], timeout: PATIENCE,
      ...(token === null ? {} : { auth: { token } }), ...options,
    });
    this.socket.onAny((name, ...args) => {
      this.waiting.push({ name, args });
      this.wake();
    });
    this.socket.on('disconnect', (reason) => (this.lost = reason));
  }

  get id() { return this.socket.id; }
  get transport() { return this.socket.io.engine.transport.name; }

  // connected waits for CONNECT and for the event that ends the opening exchange; `greeting` is what
  // came before it.
  async connected() {
    await within(Promise.race([
      heard(this.socket, 'connect'),
      heard(this.socket, 'connect_error').then(([error]) => {
        throw new Error(`connect_error: ${error.message} ${JSON.stringify(error.data ?? {})}`);
      }),
    ]), 'connect');
    this.greeting = [];
    for (;;) {
      const event = await this.take();
      if (event.name === 'connected') {
        this.welcome = event.args[0];
        return this;
      }
      this.greeting.push(event);
    }
  }

  // refused waits for CONNECT_ERROR and returns what the client's handler gets.
  async refused() {
    const came = heard(this.socket, 'connect').then(() => { throw new Error('was accepted'); });
    const [error] = await within(Promise.race([heard(this.socket, 'connect_error'), came]), 'connect_error');
    return error;
  }

  // take returns the next event, whatever it is.
  async take(what = 'any event') {
    const next = async () => {
      while (this.waiting.length === 0) await new Promise((resolve) => (this.wake = resolve));
    };
    await within(next(), () => `${what}; socket ${this.lost ? `lost by ${this.lost}` : 'is open'}`);
    const event = this.waiting.shift();
    endsWithObject(this.socket, event);
    return event;
  }

  // next returns the payload of the next event, which must have this name: whatever came in between
  // fails the test.
  async next(name) {
    const event = await this.take(name);
    assert.equal(event.name, name, `next event; it carries ${JSON.stringify(event.args)}`);
    return event.args[0];
  }

  // until skips to an event.
  async until(name, where = () => true) {
    for (;;) {
      const event = await this.take(name);
      if (event.name === name && where(event.args[0])) return event.args[0];
    }
  }

  emit(name, ...args) { this.socket.emit(name, ...args); }

  // ask emits and returns the ack; no ack in time fails.
  async ask(name, ...args) {
    return within(new Promise((resolve) => this.socket.emit(name, ...args, resolve)), `ack of ${name}`);
  }

  async subscribe(caseId) {
    const { offset, ...ack } = await this.ask('subscribe:case', { caseId });
    assert.deepEqual(ack, { status: 'subscribed', caseId });
    assert.match(offset, /^\d+$/, 'where the subscription begins');
    return this;
  }

  // gone waits until the connection is lost and returns the reason.
  async gone() {
    if (this.lost) return this.lost;
    return (await within(heard(this.socket, 'disconnect'), 'disconnect'))[0];
  }

  close() { this.socket.disconnect(); }
}

// heard is the first emission of a client-side event. node:events' once would end at a server's `error`.
const heard = (socket, name) => new Promise((resolve) => socket.once(name, (...args) => resolve(args)));

// A string at the end of an event becomes the client's recovery offset, so only an offset may stand
// there, and only in a session that has a pid (contract 8, B18).
function endsWithObject(socket, { name, args }) {
  const last = args.at(-1);
  if (socket._pid && args.length > 1 && typeof last === 'string') {
    assert.match(last, /^\d+$/, `offset of ${name}`);
    args.pop();
  }
  assert.ok(args.at(-1) !== null && typeof args.at(-1) === 'object', `${name} ends with ${JSON.stringify(args)}`);
}

// connect opens a client that goes away with the test.
export async function connect(t, url, namespace = '/events', options = {}) {
  const client = dial(t, url, namespace, options);
  return client.connected();
}

// dial is connect without waiting.
export function dial(t, url, namespace = '/events', options = {}) {
  const client = new Client(url, namespace, options);
  t.after(() => client.close());
  return client;
}

export const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
