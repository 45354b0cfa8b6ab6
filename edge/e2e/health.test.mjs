// What operators see, what happens when NATS goes and comes back, and which pages may connect.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { Bus } from './lib/bus.mjs';
import { connect, dial } from './lib/client.mjs';
import { FLAGS } from './lib/flags.mjs';
import { dataFolder, edge, nats, run, up } from './lib/program.mjs';
import { Polling, RawSocket, request } from './lib/raw.mjs';
import { eventually, within } from './lib/time.mjs';
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

const json = async (url) => {
  const answer = await fetch(url);
  assert.match(answer.headers.get('content-type'), /application\/json/);
  return answer.json();
};
const statusOf = async (url) => (await fetch(url)).status;

test('/api/realtime/health: the seed\'s bare JSON with true numbers', async (t) => {
  const health = () => json(`${server.url}/api/realtime/health`);
  await eventually(async () => (await health()).connections === 0, 'no connections yet');
  const empty = await health();
  assert.equal(empty.status, 'healthy');
  assert.equal(empty.rooms, 0);
  for (const field of ['heapUsedMB', 'heapTotalMB']) assert.ok(empty.memory[field] > 0, field);
  assert.ok(!('data' in empty) && !('success' in empty), 'not wrapped');

  const [a, b] = [await connect(t, server.url), await connect(t, server.url)];
  const c = await connect(t, server.url, '/messaging');
  await a.subscribe('1');
  await b.subscribe('1');
  await b.subscribe('2');
  await a.ask('join_room', { room: 'hall' });
  const full = await health();
  assert.deepEqual([full.connections, full.rooms, full.status], [3, 3, 'healthy']);
  for (const client of [a, b, c]) assert.ok(!JSON.stringify(full).includes(client.user), 'no user ids');
  await b.ask('unsubscribe:case', { caseId: '1' });
  await b.ask('unsubscribe:case', { caseId: '2' });
  assert.equal((await health()).rooms, 2);
  for (const client of [a, b, c]) client.close();
  await eventually(async () => {
    const now = await health();
    return now.connections === 0 && now.rooms === 0 && now.status === 'healthy';
  }, 'everything given back');
});

test('/api/realtime/metrics: the seed\'s bare JSON with true numbers', async (t) => {
  const metrics = () => json(`${server.url}/api/realtime/metrics`);
  await eventually(async () => (await metrics()).connections.total === 0, 'nobody is left of other tests');
  const before = await metrics();
  assert.equal(before.connections.max, 10_000);
  assert.equal(before.rooms.maxRoomsPerUser, 50);
  assert.equal(before.rateLimits.maxEventsPerMinute, 100);
  const clients = [];
  for (let i = 0; i < 5; i++) clients.push(await connect(t, server.url, '/events', i < 2 ? { user: 'twice' } : {}));
  await clients[0].subscribe('7');
  await clients[1].subscribe('8');
  const now = await metrics();
  assert.equal(now.connections.total, before.connections.total + 5);
  assert.equal(now.connections.utilizationPercent, now.connections.total / 100);
  assert.equal(now.rooms.totalRooms, before.rooms.totalRooms + 2);
  assert.equal(now.rateLimits.activeClients, before.rateLimits.activeClients + 2);
  assert.ok(!JSON.stringify(now).includes('twice'));
});

test('/livez, /readyz and unknown paths', async () => {
  assert.equal(await statusOf(`${server.url}/livez`), 200);
  assert.equal(await statusOf(`${server.url}/readyz`), 200);
  assert.equal(await statusOf(`${server.url}/no/such/page`), 404);
  assert.ok([404, 405].includes((await fetch(`${server.url}/api/realtime/health`, { method: 'POST' })).status));
});

// counters reads /metrics: {name: {labels: value}}.
async function counters(url) {
  const text = await (await fetch(`${url}/metrics`)).text();
  const found = new Map();
  for (const line of text.split('\n')) {
    const match = line.match(/^(\w+)(?:\{(.*)\})? (\S+)$/);
    if (match) found.set(`${match[1]}{${match[2] ?? ''}}`, Number(match[3]));
  }
  return found;
}

test('/metrics counts every refusal under its reason', async (t) => {
  const refusals = {
    auth_failed: async () => dial(t, server.url, '/events', { token: 'garbage' }).refused(),
    unknown_namespace: async () => dial(t, server.url, '/nowhere').refused(),
    forbidden: async () => (await connect(t, server.url, '/events', { scope: '' })).ask('subscribe:case', { caseId: '1' }),
    invalid_event: async () => (await connect(t, server.url)).ask('a.b', {}),
    invalid_input: async () => (await connect(t, server.url)).ask('subscribe:case', {}),
    rate_limit_exceeded: async () => {
      const client = await connect(t, server.url);
      await Promise.all(Array.from({ length: 120 }, () => client.ask('unsubscribe:case', { caseId: '1' })));
    },
    user_connection_limit_exceeded: async () => {
      const user = someone();
      for (let i = 0; i < 5; i++) await connect(t, server.url, '/events', { user });
      await dial(t, server.url, '/events', { user }).refused();
    },
    origin: async () => request(`${server.url}/socket.io/?EIO=4&transport=polling`, { headers: { Origin: 'https://evil.example' } }),
    parse: async () => {
      const raw = await RawSocket.joined(server.url, tokenOf(someone()));
      raw.text('4nonsense');
      await raw.closed();
    },
  };
  for (const [reason, provoke] of Object.entries(refusals)) {
    const before = await counters(server.url);
    await provoke();
    const word = new RegExp(`reason="[^"]*(${reason}|${reason === 'parse' ? 'malformed' : reason})[^"]*"`);
    await eventually(async () => [...await counters(server.url)].some(([name, value]) => word.test(name) && value > (before.get(name) ?? 0)), `a counter for ${reason}`, 2_000);
  }
});

test('/metrics counts connections, deliveries and dead letters', async (t) => {
  const before = await counters(server.url);
  const client = await (await connect(t, server.url)).subscribe('m1');
  for (let i = 0; i < 10; i++) await bus.log('lex.case.m1.case.updated', { i });
  await bus.log('lex.case.m1.case.updated', '[1]');
  for (let i = 0; i < 10; i++) await client.next('case:updated');
  await eventually(async () => {
    const now = await counters(server.url);
    const grown = [...now].filter(([name, value]) => value - (before.get(name) ?? 0) >= 10 && /deliver|sent|out/.test(name));
    const dead = [...now].filter(([name, value]) => /dead/.test(name) && value > (before.get(name) ?? 0));
    return grown.length > 0 && dead.length > 0;
  }, 'delivery and dead letter counters', 2_000);
});

test('critical at the limit, degraded near it', async (t) => {
  const small = await up(['--max-connections', '20']);
  t.after(() => small.stop());
  const health = async () => (await (await fetch(`${small.url}/api/realtime/health`)).json());
  for (let i = 0; i < 18; i++) await connect(t, small.url);
  assert.equal((await health()).status, 'healthy');
  await connect(t, small.url);
  assert.equal((await health()).status, 'degraded', '95 %');
  await connect(t, small.url);
  const full = await health();
  assert.equal(full.status, 'critical');
  assert.ok(full.issues.length > 0);
});

test('NATS killed and back: clients stay, commands fail at once, events resume in order', async (t) => {
  let backbone = await nats();
  const gateway = await edge(backbone.natsUrl);
  t.after(async () => {
    await gateway.stop();
    await backbone.stop();
  });
  let outside = await Bus.connect(backbone.natsUrl);
  const clients = [];
  for (const transports of [['websocket'], ['polling']]) clients.push(await (await connect(t, gateway.url, '/events', { transports })).subscribe('k1'));
  for (let n = 0; n < 50; n++) await outside.log('lex.case.k1.case.updated', { n });
  await outside.close();

  await backbone.kill();
  await eventually(async () => await statusOf(`${gateway.url}/readyz`) === 503, 'not ready');
  assert.equal(await statusOf(`${gateway.url}/livez`), 200);
  const health = await (await fetch(`${gateway.url}/api/realtime/health`)).json();
  assert.equal(health.status, 'critical');
  assert.equal(health.connections, 2);
  for (const client of clients) {
    const start = Date.now();
    const ack = await client.ask('invoice:approve', {});
    assert.deepEqual([ack.success, ack.code], [false, 'UNAVAILABLE']);
    const join = await client.ask('subscribe:case', { caseId: 'k2' }); // who may enter is asked on NATS too
    if (join.status !== 'subscribed') assert.deepEqual([join.success, join.status, join.code], [false, 'error', 'UNAVAILABLE']);
    assert.ok(Date.now() - start < 1_500, 'at once');
    client.emit('ping');
  }

  backbone = await nats({ port: backbone.port, folder: backbone.folder });
  outside = await Bus.connect(backbone.natsUrl);
  t.after(() => outside.close());
  for (let n = 50; n < 150; n++) await outside.log('lex.case.k1.case.updated', { n });
  await eventually(async () => await statusOf(`${gateway.url}/readyz`) === 200, 'ready again', 10_000);
  for (const client of clients) await client.subscribe('k2');
  await outside.log('lex.case.k2.case.updated', { n: 150 });
  for (const client of clients) {
    for (let n = 0; n <= 150; n++) {
      const seen = n === 50 ? (await client.until('case:updated')) : await client.next('case:updated');
      assert.equal(seen.n, n, client.transport);
    }
    assert.equal(client.lost, undefined, 'stayed connected');
  }
  outside.serve(t, 'cmd.invoice.approve', () => ({ body: '{"success":true}' }));
  await outside.nc.flush();
  await eventually(async () => (await clients[0].ask('invoice:approve', {})).success, 'commands work again');
});

test('NATS away at start: the edge says so and serves when it comes', async (t) => {
  const first = await nats(); // to learn a free port
  const { port, folder } = first;
  await first.stop();
  const gateway = await run(['edge', '--listen', '127.0.0.1:0', '--nats', `nats://127.0.0.1:${port}`], { JWT_SECRET: SECRET });
  t.after(() => gateway.stop());
  await gateway.says(/nats/i, 'that it waits for NATS');
  const backbone = await nats({ port, folder });
  t.after(async () => { await gateway.stop(); await backbone.stop(); });
  const [, address] = await gateway.says(/http:\/\/(127\.0\.0\.1:\d+)/);
  await eventually(async () => await statusOf(`http://${address}/readyz`) === 200, 'ready', 10_000);
  await (await connect(t, `http://${address}`)).subscribe('1');
});

test('SIGTERM while NATS is away still ends cleanly', async () => {
  const gateway = await run(['edge', '--listen', '127.0.0.1:0', '--nats', 'nats://127.0.0.1:1'], { JWT_SECRET: SECRET });
  await gateway.says(/nats/i);
  gateway.child.kill('SIGTERM');
  assert.equal(await gateway.end(), 0, gateway.log);
});

test('SIGTERM: clients see a lost transport, not a dismissal', async (t) => {
  const p = await up();
  const clients = [];
  for (const transports of [['websocket'], ['polling']]) clients.push(await connect(t, p.url, '/events', { transports }));
  await p.stop();
  for (const client of clients) assert.match(await client.gone(), /^transport (close|error)$/);
});

test('a second server on one data directory refuses', async (t) => {
  const folder = dataFolder();
  const first = await nats({ folder });
  t.after(() => first.stop());
  const second = await run(['nats', '--nats-listen', '127.0.0.1:0', '--data-dir', folder]);
  assert.equal(await second.end(), 1, second.log);
  assert.ok(second.log.includes(folder), 'names the folder');
});

const listed = 'https://app.lexiflow.test';

test('Origin is checked on both transports, and CORS headers follow it', async (t) => {
  const p = await up([FLAGS.origins, `${listed},http://localhost:3000`]);
  t.after(() => p.stop());
  const host = new URL(p.url).host;
  const cases = [
    [undefined, true], [`http://${host}`, true], [listed, true], ['http://localhost:3000', true],
    ['https://evil.example', false], ['null', false], [`${listed}.evil.example`, false], ['http://app.lexiflow.test', false],
    [`https://evil.example/?${listed}`, false], ['https://APP.lexiflow.test', true],
  ];
  for (const [origin, allowed] of cases) {
    const headers = origin === undefined ? {} : { Origin: origin };
    const poll = await request(`${p.url}/socket.io/?EIO=4&transport=polling`, { headers });
    assert.equal(poll.status, allowed ? 200 : 403, `polling from ${origin}: ${poll.body}`);
    const ws = await RawSocket.open(p.url, { headers });
    t.after(() => ws.destroy());
    assert.equal(ws.status === 101, allowed, `websocket from ${origin}: ${ws.status}`);
    if (!allowed) {
      const { code, message } = JSON.parse(poll.body);
      assert.equal(code, 4);
      assert.equal(typeof message, 'string');
      assert.equal(poll.headers['access-control-allow-origin'], undefined);
    } else if (origin && origin !== `http://${host}`) {
      assert.equal(poll.headers['access-control-allow-origin'], origin);
      assert.match(poll.headers.vary ?? '', /origin/i);
    }
  }

  const page = await Polling.open(p.url, '/socket.io/', { Origin: listed });
  page.post(`40/events,{"token":"${tokenOf(someone())}"}`);
  for (const answer of [await page.get(), await page.post('3'), await request(`${page.base}&sid=unknown`, { headers: { Origin: listed } })]) {
    assert.equal(answer.headers['access-control-allow-origin'], listed);
    assert.notEqual(answer.headers['access-control-allow-origin'], '*');
  }
  const preflight = await request(`${p.url}/socket.io/?EIO=4&transport=polling`, {
    method: 'OPTIONS', headers: { Origin: listed, 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'authorization' },
  });
  assert.equal(preflight.status, 204);
  assert.equal(preflight.headers['access-control-allow-origin'], listed);
  assert.match(preflight.headers['access-control-allow-methods'], /POST/);
  assert.match(preflight.headers['access-control-allow-headers'], /authorization/i);

  const stolen = await request(`${page.base}&sid=${page.handshake.sid}`, { headers: { Origin: 'https://evil.example' } });
  assert.notEqual(stolen.status, 200, 'a session\'s later requests are checked too');
  const foreign = dial(t, p.url, '/events', { extraHeaders: { Origin: 'https://evil.example' } });
  assert.match((await foreign.refused()).message, /websocket error/);
});

test('--origins *, REALTIME_CORS_ORIGIN, and what is no origin', async (t) => {
  const any = await up([FLAGS.origins, '*']);
  t.after(() => any.stop());
  const poll = await request(`${any.url}/socket.io/?EIO=4&transport=polling`, { headers: { Origin: 'https://anyone.example' } });
  assert.equal(poll.status, 200);
  assert.equal(poll.headers['access-control-allow-origin'], 'https://anyone.example');

  const byName = await up([], { JWT_SECRET: SECRET, REALTIME_CORS_ORIGIN: `http://localhost:3000, ${listed}` });
  t.after(() => byName.stop());
  for (const [origin, status] of [[listed, 200], ['https://evil.example', 403]]) {
    assert.equal((await request(`${byName.url}/socket.io/?EIO=4&transport=polling`, { headers: { Origin: origin } })).status, status);
  }
  for (const wrong of ['not an origin', 'https://', 'https://a.example/page']) {
    const p = await run(['edge', '--listen', '127.0.0.1:0', '--nats', 'nats://127.0.0.1:1', FLAGS.origins, wrong], { JWT_SECRET: SECRET });
    assert.equal(await within(p.end(), 'ends', 5_000), 2, wrong);
    assert.match(p.log, /origins/);
  }
});

test('lexiflow token mints what the edge accepts', async (t) => {
  const user = someone();
  const p = await run(['token', '--user', user, '--scope', 'case:5'], { JWT_SECRET: SECRET });
  assert.equal(await p.end(), 0, p.log);
  const [minted] = p.log.match(/eyJ[\w-]+\.[\w-]+\.[\w-]+/);
  const client = await connect(t, server.url, '/events', { token: minted });
  assert.equal(client.welcome.userId, user);
  await client.subscribe('5');
  assert.equal((await client.ask('subscribe:case', { caseId: '6' })).code, 'FORBIDDEN');
});
