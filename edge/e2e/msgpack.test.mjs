// Clients with socket.io-msgpack-parser: recognised by their first packet, in the same rooms and before
// the same services as everybody else.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import parser from 'socket.io-msgpack-parser';
import { Bus } from './lib/bus.mjs';
import { connect as connectClient, dial as dialClient, ISO } from './lib/client.mjs';
import { current } from './lib/golden.mjs';
import { up } from './lib/program.mjs';
import { BINARY, Polling, RawSocket } from './lib/raw.mjs';
import { eventually, within } from './lib/time.mjs';
import { someone, tokenOf } from './lib/token.mjs';

const modes = { websocket: ['websocket'], polling: ['polling'], upgrade: ['polling', 'websocket'] };

let server;
let bus;
before(async () => {
  server = await up();
  bus = await Bus.connect(server.natsUrl);
});
after(async () => {
  await bus?.close();
  await server?.stop();
});

const connect = (t, namespace = '/events', options = {}) => connectClient(t, server.url, namespace, { parser, ...options });
const dial = (t, namespace, options = {}) => dialClient(t, server.url, namespace, { parser, ...options });

let count = 0;
const unique = (word) => `${word}${process.pid}-${++count}`;

test('the golden packets of the Go tests are what the official parsers write', () => {
  assert.ok(current(), 'run node lib/golden.mjs');
});

for (const [mode, transports] of Object.entries(modes)) {
  test(`${mode}: connect, room beside JSON clients, acks, errors, ping`, async (t) => {
    const word = unique('desk');
    const { asked, ready } = bus.serve(t, `cmd.${word}.>`, ({ body }) => ({ body: { success: true, body } }));
    await ready();
    const user = someone();
    const binary = await connect(t, '/events', { transports, user });
    const text = await connectClient(t, server.url, '/events', { transports });
    assert.equal(binary.welcome.userId, user);
    assert.equal(binary.welcome.socketId, binary.id);
    assert.match(binary.welcome.timestamp, ISO);

    const caseId = unique('case');
    await binary.subscribe(caseId);
    await text.subscribe(caseId);
    const payloads = [
      { documentId: 'd1', fileName: 'brief é 🏛.pdf', size: 70_000, pages: [1, -1, 2.5], nested: { a: [], b: {}, c: null, d: true } },
      { text: 'x'.repeat(300) }, { list: Array.from({ length: 20 }, (_, i) => ({ i })) }, { big: 'é'.repeat(70_000) },
      { numbers: [0, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32, 2 ** 53 - 1, -32, -33, -128, -129, -(2 ** 31), -(2 ** 40), 1e21, 1e-7] },
    ];
    for (const payload of payloads) {
      await bus.log(`lex.case.${caseId}.document.uploaded`, payload);
      const got = [await binary.next('document:uploaded'), await text.next('document:uploaded')];
      for (const { timestamp, ...event } of got) {
        assert.match(timestamp, ISO);
        assert.deepEqual(event, { ...payload, caseId });
      }
      assert.equal(got[0].timestamp, got[1].timestamp);
    }
    bus.pub(`state.case.${caseId}.case.viewers`, { n: 1 });
    bus.pub(`live.case.${caseId}.case.cursor`, { n: 2 });
    await bus.nc.flush();
    const passing = [await binary.take(), await binary.take()]; // in either order
    assert.deepEqual(passing.map(({ name, args }) => [name, args[0].n]).sort(), [['case:cursor', 2], ['case:viewers', 1]]);

    const body = { when: new Date(1_700_000_000_123), gone: undefined, not: NaN, list: [undefined, 1.5, -7, 2 ** 40], name: 'ünïcode 🏛' };
    const asJSON = JSON.parse(JSON.stringify(body));
    assert.deepEqual(await binary.ask(`${word}:create`, body), { success: true, body: asJSON });
    assert.deepEqual(asked[0].body, asJSON);
    assert.deepEqual(await binary.ask(`${word}:create`, 'one', { two: 2 }), { success: true, body: ['one', { two: 2 }] });
    assert.deepEqual(await binary.ask(`${word}:create`), { success: true, body: {} });
    await Promise.all(Array.from({ length: 30 }, async (_, n) => assert.equal((await binary.ask(`${word}:create`, { n })).body.n, n)));

    const refused = await binary.ask('nobody:home', {});
    assert.equal(refused.code, 'UNAVAILABLE');
    assert.equal((await binary.ask('a.b', {})).code, 'INVALID_EVENT');
    binary.emit('a.b', {});
    const error = await binary.next('error');
    assert.equal(error.code, 'INVALID_EVENT');
    assert.match(error.timestamp, ISO);
    assert.deepEqual(await binary.ask('ping'), { success: true });
    assert.match((await binary.next('pong')).timestamp, ISO);
    await eventually(() => binary.transport === transports.at(-1), 'the upgrade');
    assert.deepEqual(await binary.ask('unsubscribe:case', { caseId }), { status: 'unsubscribed', caseId });
  });

  test(`${mode}: refusals of CONNECT`, async (t) => {
    const error = await dial(t, '/events', { transports, token: 'garbage' }).refused();
    assert.match(error.message, /^Authentication failed/);
    assert.deepEqual(error.data, { code: 'AUTH_FAILED' });
    const missing = await dial(t, '/events', { transports, token: null }).refused();
    assert.equal(missing.data.code, 'AUTH_FAILED');
    const nowhere = await dial(t, '/nowhere', { transports }).refused();
    assert.equal(nowhere.message, 'Invalid namespace');
    assert.equal(nowhere.data, undefined);
  });

  test(`${mode}: a binary argument is refused with an ack, and the client stays`, async (t) => {
    const client = await connect(t, '/events', { transports });
    const faulty = [[Buffer.from([1, 2, 3])], [{ file: Buffer.alloc(1000) }], [new Uint8Array([1]).buffer], [{}, Buffer.alloc(0)]];
    for (const args of faulty) {
      const ack = await client.ask('document:attach', ...args);
      assert.equal(ack.success, false);
      assert.equal(ack.code, 'INVALID_INPUT');
      assert.equal((await client.next('error')).code, 'INVALID_INPUT');
    }
    await client.subscribe(unique('case'));
  });
}

test('the token may come from header or query: CONNECT without data', async (t) => {
  const user = someone();
  const good = tokenOf(user);
  for (const options of [{ extraHeaders: { Authorization: `Bearer ${good}` } }, { query: { token: good } }]) {
    const client = await connect(t, '/events', { token: null, ...options });
    assert.equal(client.welcome.userId, user);
    client.close();
  }
});

test('several namespaces over one connection, left and joined again', async (t) => {
  const user = someone();
  const first = await connect(t, '/events', { user, multiplex: true, forceNew: false });
  const { io } = first.socket;
  const second = io.socket('/messaging', { auth: { token: tokenOf(user) } });
  t.after(() => second.disconnect());
  const welcomed = new Promise((resolve) => second.on('connected', resolve));
  assert.equal((await within(welcomed, 'the second namespace')).namespace, 'messaging');
  first.socket.disconnect();
  const again = new Promise((resolve) => first.socket.once('connect', resolve));
  first.socket.connect();
  await within(again, 'the first namespace again');
  await first.subscribe(unique('case'));
  assert.ok(second.connected);
});

test('a cut connection is resumed: what was missed arrives once and in order', async (t) => {
  const client = await connect(t, '/events', { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 50 });
  const caseId = unique('case');
  await client.subscribe(caseId);
  await bus.log(`lex.case.${caseId}.case.updated`, { n: 0 });
  assert.equal((await client.next('case:updated')).n, 0);
  const { id } = client;
  for (let round = 0; round < 3; round++) {
    const back = within(new Promise((resolve) => client.socket.once('connect', resolve)), 'the resumed connection');
    client.socket.io.engine.close();
    for (let n = 1; n <= 5; n++) await bus.log(`lex.case.${caseId}.case.updated`, { n: 5 * round + n });
    await back;
    assert.ok(client.socket.recovered);
    assert.equal(client.id, id);
    for (let n = 1; n <= 5;) {
      const { name, args } = await client.take();
      if (name === 'connected') continue;
      assert.deepEqual([name, args[0].n], ['case:updated', 5 * round + n++]);
    }
  }
});

test('an event without ack reaches its service', async (t) => {
  const word = unique('silent');
  const seen = await bus.collect(t, `cmd.${word}`);
  (await connect(t)).emit(word, { a: 1 });
  const [message] = await seen.atLeast(1);
  assert.deepEqual(message.json(), { a: 1 });
});

// counted reads lexiflow_edge_refusals_total{reason="…"}.
async function counted(reason) {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  return Number(text.match(new RegExp(`^lexiflow_edge_refusals_total\\{reason="${reason}"\\} (\\d+)$`, 'm'))?.[1] ?? 0);
}

const encode = (packet) => new parser.Encoder().encode(packet)[0];
const event = (...data) => encode({ type: 2, nsp: '/events', data });

// joined opens a WebSocket and joins with a MessagePack packet.
async function joined(t) {
  const raw = await RawSocket.open(server.url);
  t.after(() => raw.destroy());
  raw.binary(encode({ type: 0, nsp: '/events', data: { token: tokenOf(someone()) } }));
  const answer = await raw.message(BINARY);
  assert.equal(answer[0] & 0xf0, 0x80, 'a map');
  await raw.message(BINARY); // connected
  return raw;
}

const malformed = {
  'noise': [Buffer.from([1, 2, 3]), 'msgpack_packet'],
  'an empty message': [Buffer.alloc(0), 'msgpack_truncated'],
  'cut short': [event('x', { a: 1 }).subarray(0, -1), 'msgpack_truncated'],
  'a trailing byte': [Buffer.concat([event('x'), Buffer.from([0])]), 'msgpack_trailing'],
  'an array of 4 Gi': [Buffer.concat([event('x').subarray(0, -3), Buffer.from([0xdd, 255, 255, 255, 255])]), 'msgpack_truncated'],
  'type 5': [encode({ type: 5, nsp: '/events', data: ['x'] }), 'packet_type'],
  'no namespace': [encode({ type: 2, data: ['x'] }), 'namespace'],
  'a nil id': [encode({ type: 2, nsp: '/events', id: null, data: ['x'] }), 'ack_id'],
  'nil data': [encode({ type: 2, nsp: '/events', data: null }), 'payload'],
  'a reserved name': [event('disconnect'), 'reserved_event'],
  'too deep': [event('x', Array.from({ length: 200 }).reduce((inner) => [inner], 1)), 'depth'],
  'more JSON than a message may have': [event('x', Array(400_000).fill(false)), 'too_large'],
};

for (const [name, [bytes, reason]] of Object.entries(malformed)) {
  test(`malformed: ${name} closes the connection and is counted`, async (t) => {
    const raw = await joined(t);
    const before = await counted(`malformed_${reason}`);
    raw.binary(bytes);
    await raw.closed();
    assert.equal(await counted(`malformed_${reason}`), before + 1);
  });
}

test('nobody changes the form: text after MessagePack, binary after text', async (t) => {
  const binary = await joined(t);
  let before = await counted('malformed_unexpected_text');
  binary.text('42/events,["ping"]');
  await binary.closed();
  assert.equal(await counted('malformed_unexpected_text'), before + 1);
  const text = await RawSocket.joined(server.url, tokenOf(someone()));
  t.after(() => text.destroy());
  before = await counted('malformed_unexpected_binary');
  text.binary(event('ping'));
  await text.closed();
  assert.equal(await counted('malformed_unexpected_binary'), before + 1);
});

test('malformed over polling ends that session', async () => {
  const session = await Polling.open(server.url);
  await session.post(`b${Buffer.from([1, 2, 3]).toString('base64')}`);
  await eventually(async () => (await session.get()).status === 400, 'the session is gone');
});

test('six clients of both forms hear everything in the order of the log', async (t) => {
  const clients = await Promise.all(Array.from({ length: 6 }, (_, i) => (i % 2 ? connect(t) : connectClient(t, server.url))));
  const caseId = unique('case');
  for (const client of clients) await client.subscribe(caseId);
  for (let n = 0; n < 50; n++) await bus.log(`lex.case.${caseId}.case.updated`, { n });
  for (let n = 0; n < 50; n++) {
    for (const client of clients) assert.equal((await client.next('case:updated')).n, n);
  }
});
