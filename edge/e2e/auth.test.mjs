// Who may connect: the token is verified before CONNECT is answered, and "no" is CONNECT_ERROR.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { io } from 'socket.io-client';
import { Bus } from './lib/bus.mjs';
import { connect, dial, ISO } from './lib/client.mjs';
import { FLAGS } from './lib/flags.mjs';
import { edge, run, up } from './lib/program.mjs';
import { RawSocket } from './lib/raw.mjs';
import { pause, QUIET, within } from './lib/time.mjs';
import { SECRET, seconds, someone, token, tokenOf } from './lib/token.mjs';

const folder = mkdtempSync(join(tmpdir(), 'lexiflow-keys-'));
let server;
let bus;
before(async () => {
  server = await up();
  bus = await Bus.connect(server.natsUrl);
});
after(async () => {
  await bus?.close();
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const namespaces = ['/events', '/notifications', '/dashboard', '/messaging', '/', '/ws'];

for (const namespace of namespaces) {
  test(`connected says who one is on ${namespace}`, async (t) => {
    const user = someone();
    const client = await connect(t, server.url, namespace, { user });
    const { userId, socketId, namespace: label, timestamp, message } = client.welcome;
    assert.equal(userId, user);
    assert.equal(socketId, client.id);
    assert.equal(label, namespace.slice(1));
    assert.match(timestamp, ISO);
    if (namespace === '/events') assert.equal(typeof message, 'string');
  });
}

for (const transports of [['websocket'], ['polling']]) {
  const where = transports[0];
  test(`the token may come as auth.token, Bearer header or query: ${where}`, async (t) => {
    const user = someone();
    const good = tokenOf(user);
    const ways = {
      'auth.token': { token: good },
      'Bearer header': { token: null, extraHeaders: { Authorization: `Bearer ${good}` } },
      'query': { token: null, query: { token: good } },
      'auth before header': { token: good, extraHeaders: { Authorization: 'Bearer garbage' } },
      'header before query': { token: null, extraHeaders: { Authorization: `Bearer ${good}` }, query: { token: 'garbage' } },
    };
    for (const [way, options] of Object.entries(ways)) {
      const client = await connect(t, server.url, '/messaging', { transports, ...options });
      assert.equal(client.welcome.userId, user, way);
      client.close();
    }
  });

  test(`a bad token is refused with AUTH_FAILED, and the client gives up: ${where}`, async (t) => {
    for (const [fault, bad] of Object.entries(badTokens())) {
      const client = dial(t, server.url, '/events', { transports, token: bad, reconnection: true, reconnectionDelay: 1, reconnectionDelayMax: 5 });
      await mustRefuse(client, fault, bad);
    }
  });
}

function badTokens() {
  const good = token();
  const [head, body, mark] = good.split('.');
  const otherBody = token({ sub: 'admin' }).split('.')[1];
  return {
    'none at all': null,
    'an empty one': '',
    'a number': 7,
    'an object': { token: good },
    'garbage': 'garbage',
    'three dots': '...',
    'a wrong secret': token({}, { key: `${SECRET}x` }),
    'an expired one': token({ iat: seconds() - 100, exp: seconds() - 90 }),
    'one not valid yet': token({ nbf: seconds() + 600 }),
    'alg none': token({}, { alg: 'none' }),
    'alg none with a signature': `${token({}, { alg: 'none' }).split('.').slice(0, 2).join('.')}.${mark}`,
    'no signature': `${head}.${body}.`,
    'another body': `${head}.${otherBody}.${mark}`,
    'no user': token({ sub: undefined }),
    'an empty user': token({ sub: '' }),
    'type mfa': token({ type: 'mfa' }),
    'type reset': token({ type: 'reset' }),
    'type refresh': token({ type: 'refresh' }),
    'a huge user': token({ sub: 'x'.repeat(5_000) }),
    'a critical header': token({}, { header: { crit: ['exp'] } }),
  };
}

async function mustRefuse(client, fault, bad) {
  let tries = 0;
  client.socket.on('connect_error', () => tries++);
  client.socket.io.on('reconnect_attempt', () => tries++);
  const error = await client.refused().catch((cause) => { throw new Error(`${fault}: ${cause.message}`); });
  assert.equal(error.data?.code, 'AUTH_FAILED', `${fault}: ${error.message}`);
  assert.equal(typeof error.message, 'string');
  assert.notEqual(error.message, '');
  if (typeof bad === 'string' && bad.length > 10) assert.ok(!error.message.includes(bad), `${fault}: the message repeats the token`);
  assert.equal(client.socket.active, false, `${fault}: the client would try again`);
  assert.deepEqual(client.waiting, [], fault);
  client.close();
  assert.equal(tries, 1, fault);
}

test('a token with type access, without type, with userId instead of sub, and without exp is accepted', async (t) => {
  for (const claims of [{ type: 'access' }, { type: undefined }, { sub: undefined, userId: 'u-by-id' }, { exp: undefined }]) {
    const client = await connect(t, server.url, '/events', { token: token({ sub: someone(), ...claims }) });
    assert.equal(client.welcome.userId, claims.userId ?? client.welcome.userId);
  }
});

test('a refused client does not come back', async (t) => {
  const socket = io(`${server.url}/events`, {
    forceNew: true, transports: ['websocket'], auth: { token: 'garbage' }, reconnectionDelay: 1, reconnectionDelayMax: 2, randomizationFactor: 0,
  });
  t.after(() => socket.disconnect());
  const heard = [];
  for (const name of ['connect', 'connect_error', 'disconnect']) socket.on(name, () => heard.push(name));
  await within(new Promise((resolve) => socket.once('connect_error', resolve)), 'connect_error');
  await pause(QUIET);
  assert.deepEqual(heard, ['connect_error']);
});

test('one connection, many namespaces: each is judged by its own token', async (t) => {
  const options = { transports: ['websocket'], reconnection: false };
  const user = someone();
  const events = io(`${server.url}/events`, { ...options, forceNew: true, auth: { token: tokenOf(user) } });
  t.after(() => events.io._close());
  const heard = (socket, name) => within(new Promise((resolve) => socket.once(name, resolve)), `${name} of ${socket.nsp}`);
  await heard(events, 'connect');
  const messaging = events.io.socket('/messaging', { auth: { token: 'garbage' } });
  assert.equal((await heard(messaging, 'connect_error')).data.code, 'AUTH_FAILED');
  const dashboard = events.io.socket('/dashboard', { auth: { token: tokenOf(user) } });
  await heard(dashboard, 'connect');
  const unknown = events.io.socket('/nowhere', { auth: { token: tokenOf(user) } });
  const error = await heard(unknown, 'connect_error');
  assert.equal(error.message, 'Invalid namespace');
  assert.equal(error.data, undefined);
  assert.equal(new Set([events.id, dashboard.id, events.io.engine.id]).size, 3, 'three different ids');
  const ack = await within(events.emitWithAck('subscribe:case', { caseId: 'c1' }), 'ack');
  assert.equal(ack.status, 'subscribed');
});

test('unknown namespaces are refused by exact name', async (t) => {
  for (const name of ['/event', '/Events', '/events/', '/admin', '/messaging2', '/events?x=1']) {
    const raw = await RawSocket.open(server.url);
    t.after(() => raw.destroy());
    raw.text(`40${name},{"token":"${tokenOf(someone())}"}`);
    const answer = await raw.packet();
    assert.equal(answer, `44${name},{"message":"Invalid namespace"}`);
  }
});

test('events before CONNECT, or behind a refused one, never run', async (t) => {
  const service = bus.serve(t, 'cmd.early.bird', () => ({ body: { success: true } }));
  await service.ready();
  const good = `40/events,{"token":"${tokenOf(someone())}"}`;
  const attacks = {
    'before CONNECT': ['42/events,1["early:bird",{}]', good],
    'behind a refused CONNECT': ['40/events,{"token":"garbage"}', '42/events,1["early:bird",{}]'],
    'in another namespace': [good, '42/messaging,1["early:bird",{}]'],
    'behind an own DISCONNECT': [good, '41/events,', '42/events,1["early:bird",{}]'],
  };
  for (const [how, packets] of Object.entries(attacks)) {
    const raw = await RawSocket.open(server.url);
    t.after(() => raw.destroy());
    for (const packet of packets) raw.text(packet);
    await raw.closed().catch((error) => { throw new Error(`${how}: ${error.message}`); });
  }
  const client = await connect(t, server.url);
  assert.deepEqual(await client.ask('early:bird', { from: 'the right one' }), { success: true });
  assert.deepEqual(service.asked.map((request) => request.body), [{ from: 'the right one' }]);
});

const pairs = {
  RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: generateKeyPairSync('ed25519'),
};
const pem = (alg) => pairs[alg].publicKey.export({ type: 'spki', format: 'pem' });

function pemFile(alg) {
  const path = join(folder, `${alg}.pem`);
  writeFileSync(path, pem(alg));
  return path;
}

for (const alg of Object.keys(pairs)) {
  test(`${alg} by a PEM file, and nothing else with that key`, async (t) => {
    const e = await edge(server.natsUrl, [FLAGS.keyFile, pemFile(alg)], {});
    t.after(() => e.stop());
    const user = someone();
    const signed = (options) => token({ sub: user }, options);
    assert.equal((await connect(t, e.url, '/events', { token: signed({ alg, key: pairs[alg].privateKey }) })).welcome.userId, user);
    const otherAlg = alg === 'RS256' ? 'ES256' : 'RS256';
    const forged = {
      'HS256 by the PEM text': signed({ key: pem(alg) }),
      'HS256 by the PEM text, trimmed': signed({ key: pem(alg).trim() }),
      'HS256 by the DER bytes': signed({ key: pairs[alg].publicKey.export({ type: 'spki', format: 'der' }) }),
      'HS256 by an empty secret': signed({ key: '' }),
      'HS256 by the secret of others': signed({}),
      'alg none': signed({ alg: 'none' }),
      'another algorithm': signed({ alg: otherAlg, key: pairs[otherAlg].privateKey }),
      'another key': signed({ alg, key: another(alg) }),
    };
    for (const [fault, bad] of Object.entries(forged)) await mustRefuse(dial(t, e.url, '/events', { token: bad }), fault, bad);
  });
}

function another(alg) {
  if (alg === 'RS256') return generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  return alg === 'ES256' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey : generateKeyPairSync('ed25519').privateKey;
}

test('RS256, ES256 and EdDSA by a JWKS URL', async (t) => {
  const jwk = (alg, publicKey, kid = `k-${alg}`) => ({ ...publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig' });
  const keys = Object.entries(pairs).map(([alg, { publicKey }]) => jwk(alg, publicKey));
  let served = 0;
  const jwks = createServer((request, response) => {
    served++;
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify({ keys }));
  });
  jwks.listen(0, '127.0.0.1');
  await once(jwks, 'listening');
  t.after(() => jwks.close());
  const e = await edge(server.natsUrl, [FLAGS.jwksUrl, `http://127.0.0.1:${jwks.address().port}/jwks.json`], {});
  t.after(() => e.stop());
  assert.ok(served > 0, 'the keys were fetched');
  const sign = (alg, options = {}) => token({ sub: someone() }, { alg, key: pairs[alg].privateKey, header: { kid: `k-${alg}` }, ...options });
  for (const alg of Object.keys(pairs)) await connect(t, e.url, '/events', { token: sign(alg) });
  const forged = {
    'HS256 with the kid of the RSA key': token({}, { key: pem('RS256'), header: { kid: 'k-RS256' } }),
    'another key under a known kid': sign('RS256', { key: another('RS256') }),
    'the kid of another algorithm': sign('RS256', { header: { kid: 'k-ES256' } }),
    'alg none': token({}, { alg: 'none', header: { kid: 'k-RS256' } }),
  };
  for (const [fault, bad] of Object.entries(forged)) await mustRefuse(dial(t, e.url, '/events', { token: bad }), fault, bad);

  // A key that is not known may be a new one: the client is sent away once, comes back by itself, and is judged by the
  // keys of now.
  const again = { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 50 };
  const unknown = dial(t, e.url, '/events', { token: sign('RS256', { header: { kid: 'k-none' } }), ...again });
  assert.equal((await unknown.refused()).data.code, 'AUTH_FAILED');
  assert.ok(served > 1, 'the keys were fetched again');
});

test('a JWKS that gains a key is fetched again', async (t) => {
  const jwk = (alg, publicKey, kid) => ({ ...publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig' });
  const keys = [jwk('RS256', pairs.RS256.publicKey, 'old')];
  const jwks = createServer((request, response) => response.end(JSON.stringify({ keys })));
  jwks.listen(0, '127.0.0.1');
  await once(jwks, 'listening');
  t.after(() => jwks.close());
  const e = await edge(server.natsUrl, [FLAGS.jwksUrl, `http://127.0.0.1:${jwks.address().port}/`], {});
  t.after(() => e.stop());
  keys.push(jwk('ES256', pairs.ES256.publicKey, 'new'));
  const user = someone();
  const client = dial(t, e.url, '/events', {
    token: token({ sub: user }, { alg: 'ES256', key: pairs.ES256.privateKey, header: { kid: 'new' } }),
    reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 50,
  });
  await within(new Promise((resolve) => client.socket.on('connected', resolve)), 'connected with the new key');
});

test('without a key, or with two, the edge does not start: exit 2', async () => {
  const file = pemFile('RS256');
  const broken = join(folder, 'broken.pem');
  writeFileSync(broken, 'not a key');
  const secret = join(folder, 'private.pem');
  writeFileSync(secret, pairs.RS256.privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const starts = {
    'no key': [[], {}, /--jwt-secret/],
    'an empty secret': [[], { JWT_SECRET: '' }, /--jwt-secret/],
    'a secret and a file': [[FLAGS.keyFile, file], { JWT_SECRET: SECRET }, new RegExp(FLAGS.keyFile)],
    'no such file': [[FLAGS.keyFile, join(folder, 'absent.pem')], {}, new RegExp(FLAGS.keyFile)],
    'a file without a key': [[FLAGS.keyFile, broken], {}, new RegExp(FLAGS.keyFile)],
  };
  for (const [fault, [flags, env, names]] of Object.entries(starts)) {
    const p = await run(['edge', '--listen', '127.0.0.1:0', '--nats', server.natsUrl, ...flags], env);
    assert.equal(await p.end(), 2, `${fault}: ${p.log}`);
    assert.match(p.log, names, fault);
  }
});

test('bad flags and variables: an error that names them, exit 2', async () => {
  const starts = [
    [['--ping-interval', 'soon'], {}, /ping-interval/],
    [['--ping-timeout', '-3s'], {}, /ping-timeout/],
    [['--max-connections', 'many'], {}, /max-connections/],
    [['--max-connections-per-user', '-1'], {}, /max-connections-per-user/],
    [['--rate-limit', '1e9x'], {}, /rate-limit/],
    [['--access', 'all'], {}, /access/],
    [['--no-such-flag'], {}, /no-such-flag/],
    [['--listen', 'nonsense'], {}, /listen/],
    [[], { WS_MAX_CONNECTIONS_PER_USER: 'five' }, /WS_MAX_CONNECTIONS_PER_USER|max-connections-per-user/],
    [[], { REALTIME_PING_INTERVAL_MS: 'x' }, /REALTIME_PING_INTERVAL_MS|ping-interval/],
    [['a-word'], {}, /a-word|argument/],
  ];
  for (const [flags, env, names] of starts) {
    const p = await run(['edge', '--listen', '127.0.0.1:0', '--nats', server.natsUrl, ...flags], { JWT_SECRET: SECRET, ...env });
    assert.equal(await p.end(), 2, `${flags} ${JSON.stringify(env)}: ${p.log}`);
    assert.match(p.log, names);
  }
});

test('secrets and tokens do not reach the log', async (t) => {
  const good = tokenOf(someone());
  const client = await connect(t, server.url, '/events', { token: null, query: { token: good } });
  client.close();
  const bad = token({ type: 'reset' });
  await dial(t, server.url, '/events', { token: null, query: { token: bad } }).refused();
  for (const hidden of [SECRET, good, bad, good.split('.')[2]]) assert.ok(!server.log.includes(hidden));
});
