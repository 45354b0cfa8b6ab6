// Official clients behind a balancer that gives every request to an edge at random: no stickiness, in any
// transport mode, also while edges are killed and drained under them. What was published is compared with
// what each client received: lost 0, twice 0, out of order 0.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import parser from 'socket.io-msgpack-parser';
import { io } from 'socket.io-client';
import { RequestBalancer } from './lib/balancer.mjs';
import { Bus } from './lib/bus.mjs';
import { edge, nats } from './lib/program.mjs';
import { eventually, pause, within } from './lib/time.mjs';
import { someone, tokenOf } from './lib/token.mjs';

const modes = { polling: ['polling'], upgrade: ['polling', 'websocket'], websocket: ['websocket'] };

// office is a bus, some edges and the balancer before them.
async function office(t, count) {
  const server = await nats();
  const bus = await Bus.connect(server.natsUrl);
  const balancer = await new RequestBalancer().listen();
  const edges = [];
  t.after(async () => {
    balancer.close();
    await bus.close();
    for (const e of edges) await e.kill();
    await server.stop();
  });
  const start = async () => {
    const e = await edge(server.natsUrl);
    edges.push(e);
    balancer.add(e);
    return e;
  };
  for (let i = 0; i < count; i++) await start();
  let published = 0;
  const publish = async (n, size = 0) => {
    for (let i = 0; i < n; i++) await bus.log('lex.case.1.case.updated', { n: published++, ...(size && { text: 'x'.repeat(size) }) });
  };
  return { bus, balancer, edges, start, publish, published: () => published };
}

// client is an official client in the room case:1 with everything that it got.
async function client(t, url, transports, options = {}) {
  const socket = io(`${url}/events`, {
    transports, auth: { token: tokenOf(someone()) }, forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 100, ...options,
  });
  t.after(() => socket.disconnect());
  const c = { socket, got: [], recovered: [], lost: [] };
  socket.on('case:updated', ({ n }) => c.got.push(n));
  socket.on('connect', () => c.recovered.push(socket.recovered));
  socket.on('disconnect', (reason) => c.lost.push(reason));
  c.ask = (event, ...args) => within(new Promise((done) => socket.emit(event, ...args, done)), `ack of ${event}`);
  assert.equal((await c.ask('subscribe:case', { caseId: '1' })).status, 'subscribed');
  return c;
}

// check compares what was published since a client joined with what it got.
async function check(clients, published) {
  await eventually(() => clients.every((c) => c.got.at(-1) === published - 1),
    () => `all ${published} events; ${JSON.stringify(clients.map((c) => [c.got.at(-1), c.socket.connected, c.recovered, c.lost]))}`, 20_000);
  for (const [i, c] of clients.entries()) {
    const wrong = c.got.findIndex((n, at) => n !== c.got[0] + at); // each once, in order
    assert.equal(wrong, -1, `client ${i} got ${c.got.slice(wrong - 2, wrong + 3)}; recovered ${c.recovered}, lost ${c.lost}`);
  }
}

async function metric(e, name) {
  const text = await (await fetch(`${e.url}/metrics`)).text();
  let sum = 0;
  for (const [, value] of text.matchAll(new RegExp(`^lexiflow_edge_${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))) sum += Number(value);
  return sum;
}

for (const [mode, transports] of Object.entries(modes)) {
  for (const [form, options] of Object.entries({ json: {}, msgpack: { parser } })) {
    test(`${mode}, ${form}: any edge serves any request`, async (t) => {
      const o = await office(t, 3);
      const { ready } = o.bus.serve(t, 'cmd.desk.echo', ({ body }) => ({ body: { success: true, size: body.text.length, text: body.text } }));
      await ready();
      // On polling MessagePack travels in base64, and a POST has the limit of a message.
      const largest = form === 'msgpack' ? 750_000 : 1_000_000;
      const stop = { now: false };
      const publishing = (async () => {
        while (!stop.now) {
          await o.publish(5);
          await pause(2);
        }
      })();
      // They join, and upgrade, while events are on their way.
      const clients = await Promise.all(Array.from({ length: 4 }, () => client(t, o.balancer.url, transports, options)));
      for (let i = 0; i < 10; i++) {
        await Promise.all(clients.map(async (c) => {
          const text = `${i}`.repeat(i === 0 ? largest : 1000);
          const ack = await c.ask('desk:echo', { text });
          assert.equal(ack.size, text.length);
          assert.ok(ack.text === text, 'the ack is that of another command');
        }));
      }
      assert.equal((await clients[0].ask('desk:echo', Buffer.from([1, 2, 3]))).success, false, 'an attachment is refused, and acked');
      stop.now = true;
      await publishing;
      await o.publish(2, 400_000); // below what may wait for one client
      await check(clients, o.published());
      for (const c of clients) {
        assert.deepEqual(c.recovered, [false], `one connection; lost ${c.lost}`);
        assert.equal(c.socket.io.engine.transport.name, transports.at(-1));
      }
      const sums = async (name) => (await Promise.all(o.edges.map((e) => metric(e, name)))).reduce((a, b) => a + b);
      assert.equal(await sums('forwarded_polls_total') > 0, mode !== 'websocket');
      t.diagnostic(`forwarded ${await sums('forwarded_polls_total')}, moves ${await sums('moves_total')}`);
    });
  }
}

for (const [mode, transports] of Object.entries(modes)) {
  for (const [way, end] of Object.entries({ 'killed with -9': (e) => e.kill(), drained: (e) => e.stop() })) {
    test(`${mode}: edges are ${way} under clients`, { timeout: 120_000 }, async (t) => {
      const o = await office(t, 2);
      const clients = await Promise.all(Array.from({ length: 6 }, () => client(t, o.balancer.url, transports)));
      await o.publish(5);
      for (let round = 0; round < 3; round++) {
        await o.start();
        let over = false;
        const publishing = (async () => {
          while (!over) await o.publish(1).then(() => pause(3));
        })();
        const oldest = o.edges[round];
        await pause(20 + Math.random() * 100);
        if (way === 'drained') {
          // The balancer hears of it as balancers do, from /readyz; until then it goes on sending.
          setTimeout(() => o.balancer.remove(oldest), 100);
        } else {
          setTimeout(() => o.balancer.remove(oldest), 50);
        }
        await end(oldest);
        await pause(200);
        over = true;
        await publishing;
        await check(clients, o.published());
      }
      await o.publish(5);
      await check(clients, o.published());
      for (const c of clients) {
        assert.ok(c.recovered.slice(1).every(Boolean), `every session goes on: ${c.recovered}, lost ${c.lost}`);
      }
      t.diagnostic(`reconnects ${clients.map((c) => c.recovered.length - 1)}`);
    });
  }
}
