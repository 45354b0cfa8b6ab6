// The program edge/conformance as a process, and a WebSocket to it that remembers.

import { test as attempt } from 'node:test';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import WebSocket from 'ws';
import { programs } from './build.mjs';
import { Process } from './program.mjs';
import { eventually, within } from './time.mjs';

// A pong must come within 200 ms here, so a machine that halts for longer breaks any of these tests without anybody being
// wrong. Each may be tried three times.
export function test(name, body) {
  attempt(name, async (t) => {
    for (let tries = 1; ; tries++) {
      try {
        return await body(t);
      } catch (error) {
        if (tries === 3) throw error;
        t.diagnostic(`again, after: ${error.message}`);
      }
    }
  });
}

async function freePort() {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

export async function start(mode, path, flags = []) {
  const address = `127.0.0.1:${await freePort()}`;
  const p = new Process((await programs()).conformance, ['--listen', address, '--mode', mode, ...flags]);
  p.url = `http://${address}`;
  p.path = path;
  await eventually(async () => (await fetch(p.url + path)).status === 400, `${mode} answers; it said: ${p.log}`, 10_000);
  return p;
}

// Wire is the WebSocket of the `ws` package with a queue.
export class Wire {
  constructor(p, query = 'EIO=4&transport=websocket') {
    this.ws = new WebSocket(`${p.url.replace('http', 'ws')}${p.path}?${query}`);
    this.queue = [];
    this.wake = () => {};
    this.ws.on('message', (data, binary) => { this.queue.push(binary ? data : data.toString()); this.wake(); });
    this.ws.on('error', (error) => (this.error = error));
    this.closed = new Promise((resolve) => this.ws.on('close', (code) => { this.done = true; this.wake(); resolve(code); }));
  }

  async opened() { await within(once(this.ws, 'open'), 'open'); return this; }
  send(...messages) { for (const message of messages) this.ws.send(message); }

  // end waits for the server's close while heartbeats are answered, so that a ping timeout is no close.
  end(ms = 2_000) {
    const answer = (message) => message === '2' && this.ws.readyState === WebSocket.OPEN && this.send('3');
    this.queue.forEach(answer);
    this.ws.on('message', (data, binary) => answer(binary ? data : data.toString()));
    return within(this.closed, 'close', ms);
  }

  async next() {
    const wait = async () => {
      while (this.queue.length === 0) {
        if (this.done) throw new Error('closed');
        await new Promise((resolve) => (this.wake = resolve));
      }
      return this.queue.shift();
    };
    return within(wait(), 'a message', 2_000);
  }

  // said is the next message that is not a heartbeat.
  async said() {
    for (;;) {
      const message = await this.next();
      if (message !== '2') return message;
      this.send('3');
    }
  }
}

export const exactly = (handshake, upgrades) => {
  assert.deepEqual(Object.keys(handshake).sort(), ['maxPayload', 'pingInterval', 'pingTimeout', 'sid', 'upgrades']);
  assert.equal(typeof handshake.sid, 'string');
  assert.deepEqual({ ...handshake, sid: '' }, { sid: '', upgrades, pingInterval: 300, pingTimeout: 200, maxPayload: 1_000_000 });
};
