// The program at the shell: what people type, and what operators configure.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { Bus } from './lib/bus.mjs';
import { connect, dial } from './lib/client.mjs';
import { run, up } from './lib/program.mjs';
import { RawSocket } from './lib/raw.mjs';
import { eventually } from './lib/time.mjs';
import { SECRET, someone, token, tokenOf } from './lib/token.mjs';

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

test('lexiflow listen prints what a client gets', async (t) => {
  const caseId = `listen-${process.pid}`;
  const p = await run(['listen', '--url', server.url, '--case', caseId, '--count', '2', '--for', '20s'], { JWT_SECRET: SECRET });
  t.after(() => p.kill());
  const watching = async () => (await (await fetch(`${server.url}/api/realtime/health`)).json()).rooms === 1;
  await eventually(watching, () => `it watches the case; it said: ${p.log}`);
  await bus.log(`lex.case.${caseId}.document.uploaded`, { documentId: 'd1' });
  await bus.log(`lex.case.${caseId}.invoice.sent`, { invoiceId: 'i1' });
  assert.equal(await p.end(), 0, p.log);
  assert.match(p.log, /document:uploaded.*"documentId":\s*"d1"/);
  assert.match(p.log, /invoice:sent.*"invoiceId":\s*"i1"/);
});

test('lexiflow listen with a bad token, or with nobody there, ends with 1', async () => {
  for (const args of [['--url', server.url, '--token', 'garbage'], ['--url', 'http://127.0.0.1:1', '--token', 'x', '--timeout', '1s']]) {
    const p = await run(['listen', '--case', '1', ...args], {});
    assert.equal(await p.end(), 1, p.log);
    assert.notEqual(p.log.trim(), '');
  }
});

test('lexiflow config shows every setting and its origin, and hides secrets', async () => {
  const p = await run(['config'], { JWT_SECRET: SECRET, WS_MAX_ROOMS_PER_USER: '7' });
  assert.equal(await p.end(), 0, p.log);
  assert.ok(!p.log.includes(SECRET));
  for (const flag of ['jwt-secret', 'access', 'max-connections', 'max-rooms-per-user', 'rate-limit', 'ping-interval', 'listen', 'nats']) {
    assert.match(p.log, new RegExp(`\\b${flag}\\b`), flag);
  }
  assert.match(p.log, /max-rooms-per-user.*\b7\b.*WS_MAX_ROOMS_PER_USER|WS_MAX_ROOMS_PER_USER.*\b7\b/);
});

test('version, help and completion', async () => {
  for (const args of [['version'], ['--help'], ['edge', '--help'], ['completion', 'bash']]) {
    const p = await run(args);
    assert.equal(await p.end(), 0, `${args}: ${p.log}`);
    assert.notEqual(p.log, '');
  }
  for (const args of [[], ['fly'], ['up', '--no-such-flag'], ['token', 'verify']]) {
    const p = await run(args);
    assert.equal(await p.end(), 2, `${args}: ${p.log}`);
  }
});

test('--no-query-token refuses ?token= and nothing else', async (t) => {
  const strict = await up(['--no-query-token']);
  t.after(() => strict.stop());
  const good = tokenOf(someone());
  const refused = dial(t, strict.url, '/events', { token: null, query: { token: good } });
  assert.equal((await refused.refused()).data.code, 'AUTH_FAILED');
  await connect(t, strict.url, '/events', { token: null, extraHeaders: { Authorization: `Bearer ${good}` } });
});

test('--ops-listen takes the metrics from the public address', async (t) => {
  const p = await up(['--ops-listen', '127.0.0.1:0', '--log-format', 'text']);
  t.after(() => p.stop());
  const others = [...p.log.matchAll(/127\.0\.0\.1:(\d+)/g)].map(([address]) => address);
  const kept = [p.url, p.natsUrl].map((url) => new URL(url).host);
  const ops = others.find((address) => !kept.includes(address));
  assert.ok(ops, `the log names the address: ${p.log}`);
  assert.equal((await fetch(`${p.url}/metrics`)).status, 404);
  for (const path of ['/metrics', '/livez', '/readyz', '/api/realtime/health']) assert.equal((await fetch(`http://${ops}${path}`)).status, 200, path);
});

test('the original\'s variables keep their names', async (t) => {
  const p = await up([], {
    JWT_SECRET: SECRET, REALTIME_PING_INTERVAL_MS: '1000', REALTIME_PING_TIMEOUT_MS: '2000', REALTIME_MAX_HTTP_BUFFER_SIZE: '500000',
    WS_MAX_GLOBAL_CONNECTIONS: '77', WS_MAX_ROOMS_PER_USER: '3', WS_RATE_LIMIT_EVENTS_PER_MINUTE: '9',
  });
  t.after(() => p.stop());
  const raw = await RawSocket.open(p.url);
  t.after(() => raw.destroy());
  assert.deepEqual([raw.handshake.pingInterval, raw.handshake.pingTimeout, raw.handshake.maxPayload], [1000, 2000, 500_000]);
  const { connections, rooms, rateLimits } = await (await fetch(`${p.url}/api/realtime/metrics`)).json();
  assert.deepEqual([connections.max, rooms.maxRoomsPerUser, rateLimits.maxEventsPerMinute], [77, 3, 9]);
});

test('a client whose connection breaks comes back by itself', async (t) => {
  const client = await connect(t, server.url, '/events', { reconnection: true, reconnectionDelay: 10, reconnectionDelayMax: 20 });
  await client.subscribe('1');
  for (let round = 0; round < 3; round++) {
    client.socket.io.engine.transport.ws.terminate();
    const { socketId } = await client.next('connected');
    assert.equal(socketId, client.id);
    await client.subscribe('1');
    await bus.log('lex.case.1.case.updated', { round });
    assert.equal((await client.next('case:updated')).round, round);
  }
});

test('auth:refresh takes a newer token of the same user', async (t) => {
  const user = someone();
  const client = await connect(t, server.url, '/events', { user, scope: 'case:1' });
  assert.equal((await client.ask('subscribe:case', { caseId: '2' })).code, 'FORBIDDEN');
  const ack = await client.ask('auth:refresh', { token: tokenOf(user, 'case:1 case:2') });
  assert.equal(ack.success, true);
  assert.ok(new Date(ack.expiresAt) > new Date());
  await client.subscribe('2');
  for (const bad of ['garbage', tokenOf(someone()), token({ sub: user, type: 'reset' }), undefined]) {
    const { success, code } = await client.ask('auth:refresh', { token: bad });
    assert.equal(success, false);
    assert.match(code, /^(AUTH_FAILED|INVALID_INPUT)$/);
  }
  await client.subscribe('1');
});
