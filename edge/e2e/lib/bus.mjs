// The test's own place on NATS: it publishes what services would publish and answers what they would.

import assert from 'node:assert/strict';
import { connect, headers } from '@nats-io/transport-node';
import { within } from './time.mjs';

export class Bus {
  static async connect(url, options = {}) {
    const bus = new Bus();
    bus.nc = await connect({ servers: url, maxReconnectAttempts: -1, reconnectTimeWait: 50, ...options });
    return bus;
  }

  // log publishes to the log and returns the sequence that the stream gave it. A payload that is no
  // string or buffer is sent as JSON.
  async log(subject, payload, extra = {}) {
    const reply = await this.nc.request(subject, bytes(payload), { timeout: 5_000, headers: head(extra) });
    const ack = reply.json();
    assert.ok(ack.seq > 0, `publish ack of ${subject}: ${reply.string()}`);
    return ack;
  }

  // pub is a plain publish, as `nats pub` makes it.
  pub(subject, payload, extra = {}) {
    this.nc.publish(subject, bytes(payload), { headers: head(extra) });
  }

  // serve answers a subject until the test ends. answer gets the request and returns
  // {body, headers}, or nothing for no reply; what it was asked is kept in `.asked`.
  serve(t, subject, answer) {
    const asked = [];
    const sub = this.nc.subscribe(subject, {
      callback: async (error, message) => {
        if (error) throw error;
        const request = {
          subject: message.subject,
          body: message.data.length ? message.json() : undefined,
          header: (name) => message.headers?.get(name),
          values: (name) => message.headers?.values(name) ?? [],
        };
        asked.push(request);
        const reply = await answer(request);
        if (reply) message.respond(bytes(reply.body ?? ''), { headers: head(reply.headers ?? {}) });
      },
    });
    t.after(() => sub.unsubscribe());
    return { asked, stop: () => sub.unsubscribe(), ready: () => this.nc.flush() };
  }

  // collect keeps everything on a subject until the test ends.
  async collect(t, subject) {
    const seen = [];
    const waiters = new Set();
    const sub = this.nc.subscribe(subject, {
      callback: (error, message) => {
        seen.push(message);
        for (const wake of waiters) wake();
      },
    });
    t.after(() => sub.unsubscribe());
    await this.nc.flush();
    const atLeast = async (count) => {
      while (seen.length < count) await new Promise((resolve) => waiters.add(resolve));
      return seen;
    };
    return { seen, atLeast: (count) => within(atLeast(count), () => `${count} messages on ${subject}, ${seen.length} came`) };
  }

  async close() { await this.nc.close(); }
}

function bytes(payload) {
  return typeof payload === 'string' || payload instanceof Uint8Array ? payload : JSON.stringify(payload);
}

function head(values) {
  const h = headers();
  for (const [name, value] of Object.entries(values)) h.set(name, value);
  return h;
}
