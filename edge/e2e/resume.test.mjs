// Connection state recovery as the official client does it: edges are killed under it, and what was
// published meanwhile arrives once, in order, on another edge.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import net from 'node:net';
import { once } from 'node:events';
import { io } from 'socket.io-client';
import { Bus } from './lib/bus.mjs';
import { edge, nats } from './lib/program.mjs';
import { eventually, within } from './lib/time.mjs';
import { someone, tokenOf } from './lib/token.mjs';

// Balancer is a TCP proxy that gives each connection to one of its targets at random.
class Balancer {
  constructor() {
    this.targets = new Set();
    this.pairs = new Set();
    this.server = net.createServer((client) => {
      const list = [...this.targets];
      const port = list[Math.floor(Math.random() * list.length)];
      if (port === undefined) return void client.destroy();
      const target = net.connect(port, '127.0.0.1');
      const pair = { client, target, port };
      this.pairs.add(pair);
      for (const [from, to] of [[client, target], [target, client]]) {
        from.on('error', () => {});
        from.on('close', () => { this.pairs.delete(pair); to.destroy(); });
        from.pipe(to);
      }
    });
  }

  async listen() {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    this.url = `http://127.0.0.1:${this.server.address().port}`;
    return this;
  }

  // cut loses every connection without a word to the edges' sockets above TCP.
  cut() { for (const { client, target } of this.pairs) { client.destroy(); target.destroy(); } }
  close() { this.cut(); this.server.close(); }
}

const port = (p) => Number(new URL(p.url).port);

for (const transports of [['websocket'], ['polling', 'websocket']]) {
  test(`nothing is lost or doubled over killed edges: ${transports}`, async (t) => {
    const server = await nats();
    const bus = await Bus.connect(server.natsUrl);
    const balancer = await new Balancer().listen();
    let edges = [];
    t.after(async () => {
      balancer.close();
      await bus.close();
      for (const e of edges) await e.kill();
      await server.stop();
    });
    const start = async () => {
      const e = await edge(server.natsUrl);
      edges.push(e);
      return e;
    };
    const user = someone();
    let current = await start();
    balancer.targets.add(port(current));
    const socket = io(`${balancer.url}/events`, {
      transports, auth: { token: tokenOf(user) }, reconnectionDelay: 20, reconnectionDelayMax: 100,
    });
    t.after(() => socket.disconnect());
    const got = [];
    const recovered = [];
    socket.on('case:updated', ({ n }) => got.push(n));
    socket.on('connect', () => recovered.push(socket.recovered));
    await within(once(socket, 'connect'), 'connect');
    const ack = await within(new Promise((done) => socket.emit('subscribe:case', { caseId: '1' }, done)), 'ack');
    assert.equal(ack.status, 'subscribed');

    let published = 0;
    const publish = async (count) => {
      for (let i = 0; i < count; i++) await bus.log('lex.case.1.case.updated', { n: published++ });
    };
    const all = () => within(eventually(() => got.length >= published, () => `${published} events, ${got.length} came`), 'events', 15_000);
    await publish(5);
    for (let round = 0; round < 3; round++) {
      const next = await start();
      const busy = publish(60);
      balancer.targets.clear();
      if (round === 1) balancer.cut(); // the network, and the edge lives on
      else await current.kill(); // the edge, with -9
      await publish(20);
      balancer.targets.add(port(next));
      await busy;
      await all();
      current = next;
    }
    await publish(5);
    await all();
    assert.deepEqual(got, Array.from({ length: published }, (_, n) => n), 'each once, in order');
    assert.deepEqual(recovered, [false, true, true, true], 'socket.recovered');
  });
}

test('a client that never received an event resumes too', async (t) => {
  const server = await nats();
  const bus = await Bus.connect(server.natsUrl);
  const one = await edge(server.natsUrl);
  const balancer = await new Balancer().listen();
  balancer.targets.add(port(one));
  t.after(async () => {
    balancer.close();
    await bus.close();
    await one.kill();
    await server.stop();
  });
  const user = someone();
  const socket = io(`${balancer.url}/notifications`, {
    transports: ['websocket'], auth: { token: tokenOf(user) }, reconnectionDelay: 20, reconnectionDelayMax: 50,
  });
  t.after(() => socket.disconnect());
  const got = [];
  socket.on('notification:new', ({ n }) => got.push(n));
  await within(once(socket, 'connected'), 'connected');
  balancer.targets.clear();
  balancer.cut();
  await bus.log(`lex.user.${user}.notification.new`, { n: 1 });
  balancer.targets.add(port(one));
  await eventually(() => got.length === 1, 'the missed event');
  assert.equal(socket.recovered, true);
});

test('a client that keeps its own cursor subscribes since it, and pages backward', async (t) => {
  const server = await nats();
  const bus = await Bus.connect(server.natsUrl);
  const one = await edge(server.natsUrl);
  t.after(async () => {
    await bus.close();
    await one.kill();
    await server.stop();
  });
  for (let n = 0; n < 12; n++) await bus.log('lex.case.7.document.uploaded', { n });
  const socket = io(`${one.url}/events`, { transports: ['websocket'], auth: { token: tokenOf(someone()) } });
  t.after(() => socket.disconnect());
  const got = [];
  socket.on('document:uploaded', (data, position, offset = position) => got.push({ n: data.n, position, offset }));
  const ask = (event, body) => within(socket.timeout(5000).emitWithAck(event, body), event);
  const ack = await ask('subscribe:case', { caseId: '7', since: '4' });
  assert.deepEqual(ack, { status: 'subscribed', caseId: '7', offset: '12', recovered: true });
  await bus.log('lex.case.7.document.uploaded', { n: 12 });
  await eventually(() => got.length === 9, 'missed and live events');
  assert.deepEqual(got.map(({ n }) => n), [4, 5, 6, 7, 8, 9, 10, 11, 12]);
  assert.deepEqual(got.map(({ position }) => Number(position)), [5, 6, 7, 8, 9, 10, 11, 12, 13], "each event's own position");
  assert.deepEqual(got.map(({ offset }) => Number(offset)), [...Array(8).fill(12), 13], 'the offset of the session does not go back');

  const pages = [];
  for (let before, page; !page?.complete; before = page.before) {
    page = await ask('history', { room: 'case:7', limit: 5, ...(before && { before }) });
    assert.equal(page.success, true);
    pages.unshift(...page.events);
  }
  assert.deepEqual(pages.map(({ event, data, offset }) => [event, data.n, data.caseId, offset]),
    Array.from({ length: 13 }, (_, n) => ['document:uploaded', n, '7', String(n + 1)]));
});
