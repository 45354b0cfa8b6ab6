// Every limit of contract 2.2: full is a named refusal, and a place that is free is free at once.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { Bus } from './lib/bus.mjs';
import { connect, dial } from './lib/client.mjs';
import { edge, nats, up } from './lib/program.mjs';
import { Polling, RawSocket } from './lib/raw.mjs';
import { eventually, pause } from './lib/time.mjs';
import { SECRET, someone, tokenOf } from './lib/token.mjs';

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

// connectedSoon retries for half a second: the server may still be reading the other connection's end.
async function connectedSoon(t, url, namespace, options) {
  return eventually(() => connect(t, url, namespace, options), 'the place is free', 500);
}

test('--max-connections: one too many gets CONNECT_ERROR and stays away', async (t) => {
  const small = await up(['--max-connections', '3']);
  t.after(() => small.stop());
  const clients = [];
  for (let i = 0; i < 3; i++) clients.push(await connect(t, small.url));
  for (const transports of [['websocket'], ['polling']]) {
    const refused = dial(t, small.url, '/events', { transports });
    const error = await refused.refused();
    assert.equal(error.data.code, 'CONNECTION_LIMIT_EXCEEDED');
    assert.equal(typeof error.message, 'string');
    assert.equal(refused.socket.active, false);
    refused.close();
  }
  const metrics = await (await fetch(`${small.url}/api/realtime/metrics`)).json();
  assert.equal(metrics.connections.total, 3);
  assert.equal(metrics.connections.max, 3);
  assert.equal(metrics.connections.utilizationPercent, 100);
  clients.pop().close();
  await connectedSoon(t, small.url);
  assert.equal((await dial(t, small.url).refused()).data.code, 'CONNECTION_LIMIT_EXCEEDED');
});

test('five sockets of a user in a namespace; the sixth is refused and the place is free at once', async (t) => {
  const user = someone();
  const clients = [];
  for (let i = 0; i < 5; i++) clients.push(await connect(t, server.url, '/events', { user }));
  const sixth = dial(t, server.url, '/events', { user });
  assert.equal((await sixth.refused()).data.code, 'USER_CONNECTION_LIMIT_EXCEEDED');
  assert.equal(sixth.socket.active, false);
  for (const namespace of ['/notifications', '/dashboard', '/messaging']) await connect(t, server.url, namespace, { user });
  await connect(t, server.url, '/events');

  const goodbyes = [
    (client) => client.close(),
    (client) => client.socket.io.engine.transport.ws.terminate(),
    (client) => client.socket.io.engine.close(),
  ];
  for (const leave of goodbyes) {
    leave(clients.shift());
    clients.push(await connectedSoon(t, server.url, '/events', { user }));
    assert.equal((await dial(t, server.url, '/events', { user }).refused()).data.code, 'USER_CONNECTION_LIMIT_EXCEEDED');
  }
  await clients[0].subscribe('1');
});

test('five over two edges; a page that is loaded again, and an edge that is killed, turn nobody away', async (t) => {
  const server = await nats();
  const [one, two] = [await edge(server.natsUrl), await edge(server.natsUrl)];
  t.after(async () => {
    await one.kill();
    await two.kill();
    await server.stop();
  });
  const user = someone();
  const clients = [];
  for (const { url } of [one, two, one, two, one]) clients.push(await connect(t, url, '/events', { user }));
  // The edges tell each other every 200 ms.
  await pause(1000);
  for (const { url } of [one, two]) {
    const error = await dial(t, url, '/events', { user }).refused();
    assert.equal(error.data.code, 'USER_CONNECTION_LIMIT_EXCEEDED');
    assert.equal(error.data.currentConnections, 5);
  }
  for (const [i, { url }] of [two, one].entries()) { // each from one edge to the other, at once
    clients[i].close();
    clients[i] = await connect(t, url, '/events', { user });
  }
  await one.kill();
  await Promise.all([0, 1, 2].map(() => connect(t, two.url, '/events', { user })));
  assert.equal((await dial(t, two.url, '/events', { user }).refused()).data.code, 'USER_CONNECTION_LIMIT_EXCEEDED');
});

test('leaving a namespace frees the place while the connection stays', async (t) => {
  const user = someone();
  const raw = await RawSocket.joined(server.url, tokenOf(user));
  t.after(() => raw.destroy());
  for (let i = 0; i < 4; i++) await connect(t, server.url, '/events', { user });
  raw.text('41/events,');
  await connectedSoon(t, server.url, '/events', { user });
  raw.text(`40/events,{"token":"${tokenOf(user)}"}`);
  assert.match(await raw.packet(), /^44\/events,.*USER_CONNECTION_LIMIT_EXCEEDED/);
});

test('connections that never join a namespace take no place of a user', async (t) => {
  const user = someone();
  for (let i = 0; i < 8; i++) {
    const raw = await RawSocket.open(server.url, { headers: { Authorization: `Bearer ${tokenOf(user)}` } });
    t.after(() => raw.destroy());
  }
  for (let i = 0; i < 5; i++) await connect(t, server.url, '/events', { user });
});

test('clients that go while they connect leave no ghosts', async (t) => {
  const user = someone();
  for (let i = 0; i < 12; i++) {
    const raw = await RawSocket.open(server.url);
    raw.text(`40/events,{"token":"${tokenOf(user)}"}`);
    raw.destroy();
  }
  const clients = [];
  for (let i = 0; i < 5; i++) clients.push(await connectedSoon(t, server.url, '/events', { user }));
});

test('WS_MAX_CONNECTIONS_PER_USER is honoured, and a flag counts more', async (t) => {
  for (const [flags, most] of [[[], 2], [['--max-connections-per-user', '3'], 3]]) {
    const small = await up(flags, { JWT_SECRET: SECRET, WS_MAX_CONNECTIONS_PER_USER: '2' });
    t.after(() => small.stop());
    const user = someone();
    for (let i = 0; i < most; i++) await connect(t, small.url, '/events', { user });
    assert.equal((await dial(t, small.url, '/events', { user }).refused()).data.code, 'USER_CONNECTION_LIMIT_EXCEEDED');
  }
});

test('fifty rooms a user, by default', async (t) => {
  const client = await connect(t, server.url);
  for (let i = 0; i < 50; i++) await client.subscribe(`c${i}`);
  const { error, ...ack } = await client.ask('subscribe:case', { caseId: 'one-more' });
  assert.equal(typeof error, 'string');
  assert.deepEqual(ack, { status: 'error', success: false, code: 'ROOM_LIMIT_EXCEEDED', currentRoomCount: 50 });
  await client.subscribe('c7');
  await bus.log('lex.case.one-more.case.updated', { n: 1 });
  await bus.log('lex.case.c7.case.updated', { n: 2 });
  assert.equal((await client.next('case:updated')).n, 2, 'and no error event for subscribe:case');
});

test('rooms are counted once for all devices of a user', async (t) => {
  const small = await up(['--max-rooms-per-user', '2']);
  t.after(() => small.stop());
  const user = someone();
  const [a, b] = [await connect(t, small.url, '/events', { user }), await connect(t, small.url, '/events', { user })];
  const full = async (client, what) => {
    const ack = await client.ask('subscribe:case', { caseId: 'third' });
    assert.equal(ack.code, 'ROOM_LIMIT_EXCEEDED', what);
    assert.equal(ack.currentRoomCount, 2, what);
  };
  await a.subscribe('1');
  await a.subscribe('2');
  await full(a, 'two cases');
  await full(b, 'the other device');
  await b.subscribe('1');
  await b.subscribe('2');
  await a.ask('unsubscribe:case', { caseId: '1' });
  await full(a, 'the other device still watches');
  await a.ask('unsubscribe:case', { caseId: '1' });
  await full(a, 'leaving twice frees nothing');
  await a.ask('unsubscribe:case', { caseId: '2' });
  a.close();
  await full(b, 'the first device is gone');
  await b.ask('unsubscribe:case', { caseId: '1' });
  await b.subscribe('third');

  const ack = await b.ask('join_room', { room: 'hall' });
  assert.equal(ack.success, false);
  assert.equal(ack.code, 'ROOM_LIMIT_EXCEEDED');
  const error = await b.next('error');
  assert.equal(error.code, 'ROOM_LIMIT_EXCEEDED');
  assert.equal(error.currentRoomCount, 2);
  assert.equal(typeof error.message, 'string');

  b.close();
  const c = await connect(t, small.url, '/events', { user });
  await eventually(async () => (await c.ask('subscribe:case', { caseId: '8' })).status === 'subscribed', 'all places are free', 500);
  await c.subscribe('9');
  const stranger = await connect(t, small.url);
  await stranger.subscribe('1');
  await stranger.subscribe('2');
});

test('the limit of a message is announced, and larger ones end the connection', async (t) => {
  const witness = await (await connect(t, server.url)).subscribe('1');
  const text = (bytes) => 'x'.repeat(bytes);

  const raw = await RawSocket.joined(server.url, tokenOf(someone()));
  t.after(() => raw.destroy());
  assert.equal(raw.handshake.maxPayload, 1_048_576);
  const frameOf = (bytes) => {
    const head = '42/events,1["nobody:home",{"t":"';
    return `${head}${text(bytes - head.length - 3)}"}]`;
  };
  raw.text(frameOf(1_048_576));
  assert.match(await raw.packet(), /^43\/events,1\[.*UNAVAILABLE/);
  raw.text(frameOf(1_048_577));
  assert.equal(await raw.closed(), 1009);

  const polling = await Polling.open(server.url);
  const answer = await polling.post(`4${text(1_048_576)}`);
  assert.equal(answer.status, 413);

  for (const transports of [['websocket'], ['polling']]) {
    const client = await connect(t, server.url, '/events', { transports });
    client.emit('nobody:home', { t: text(1_100_000) });
    assert.match(await client.gone(), /^transport (close|error)$/);
  }
  await bus.log('lex.case.1.case.updated', { n: 1 });
  assert.equal((await witness.next('case:updated')).n, 1);
});

test('--max-payload', async (t) => {
  const small = await up(['--max-payload', '2KiB']);
  t.after(() => small.stop());
  const raw = await RawSocket.joined(small.url, tokenOf(someone()));
  t.after(() => raw.destroy());
  assert.equal(raw.handshake.maxPayload, 2048);
  raw.text(`42/events,["nobody:home","${'x'.repeat(2048)}"]`);
  assert.equal(await raw.closed(), 1009);
});

test('ten attachments are decoded and refused as an answer, eleven end the connection', async (t) => {
  const client = await connect(t, server.url);
  const buffers = Array.from({ length: 10 }, (_, i) => Buffer.from([i]));
  const ack = await client.ask('nobody:home', ...buffers);
  assert.equal(ack.success, false);
  assert.equal(ack.code, 'INVALID_INPUT');
  await client.subscribe('1');
  client.emit('nobody:home', ...buffers, Buffer.from([10]));
  assert.match(await client.gone(), /^transport close$/);
});

test('the handshake announces the configured heartbeat', async (t) => {
  const raw = await RawSocket.open(server.url);
  t.after(() => raw.destroy());
  assert.deepEqual({ ...raw.handshake, sid: 'x' }, { sid: 'x', upgrades: [], pingInterval: 25_000, pingTimeout: 60_000, maxPayload: 1_048_576 });
  const fast = await up(['--ping-interval', '200ms', '--ping-timeout', '300ms']);
  t.after(() => fast.stop());
  const silent = await RawSocket.joined(fast.url, tokenOf(someone()));
  t.after(() => silent.destroy());
  assert.equal(silent.handshake.pingInterval, 200);
  assert.equal(silent.handshake.pingTimeout, 300);
  assert.equal(await silent.message(), '2');
  await silent.closed();
  const answers = await connect(t, fast.url);
  let pings = 0;
  answers.socket.io.on('ping', () => pings++);
  await eventually(() => pings >= 4, 'pings answered');
  assert.equal(answers.lost, undefined);
});
