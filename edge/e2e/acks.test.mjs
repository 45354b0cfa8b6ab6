// Commands: every event with an ack id is answered, by a service on NATS or by a named refusal.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { Bus } from './lib/bus.mjs';
import { connect, ISO } from './lib/client.mjs';
import { up } from './lib/program.mjs';
import { gate, within } from './lib/time.mjs';
import { someone, tokenOf } from './lib/token.mjs';

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

let count = 0;
const unique = (word) => `${word}${++count}`;
const refused = (ack, code, what) => {
  assert.equal(ack?.success, false, `${what}: ${JSON.stringify(ack)}`);
  assert.equal(ack.code, code, `${what}: ${JSON.stringify(ack)}`);
  assert.equal(typeof ack.error, 'string', what);
  assert.notEqual(ack.error, '', what);
};

for (const transports of [['websocket'], ['polling']]) {
  test(`an event that no service answers is acked at once: ${transports[0]}`, async (t) => {
    const client = await connect(t, server.url, '/events', { transports });
    const start = Date.now();
    refused(await client.ask('nobody:home', { a: 1 }), 'UNAVAILABLE', 'object');
    refused(await client.ask('nobody:home'), 'UNAVAILABLE', 'no payload');
    refused(await client.ask('nobody:home', 'text'), 'UNAVAILABLE', 'string');
    refused(await client.ask('nobody:home', 1, [2], null), 'UNAVAILABLE', 'several arguments');
    const asCase = await client.ask('archive:case', { caseId: '1' });
    refused(asCase, 'UNAVAILABLE', '*:case');
    assert.equal(asCase.status, 'error');
    assert.ok(Date.now() - start < 4_500, 'at once, not after a timeout');
  });
}

test('invalid event names are acked with INVALID_EVENT and reach no subject', async (t) => {
  const client = await connect(t, server.url, '/events');
  const { asked, ready } = bus.serve(t, 'cmd.>', () => ({ body: '"reached"' }));
  await ready();
  const names = ['', ' ', 'a.b', 'a b', '*', '>', 'cmd.>', 'a:*', 'a::b', ':a', 'a:', 'ä', 'a\n', 'a\u0000b', '$SYS:x', 'a/b', '🏛', 'x'.repeat(129), '__proto__ '];
  for (const name of names) refused(await client.ask(name, {}), 'INVALID_EVENT', JSON.stringify(name));
  for (const name of ['x'.repeat(128), '__proto__', 'A-b_9:c']) assert.equal(await client.ask(name, {}), 'reached', name);
  assert.deepEqual(asked.map(({ subject }) => subject), [`cmd.${'x'.repeat(128)}`, 'cmd.__proto__', 'cmd.A-b_9.c']);
});

test('an event of another namespace is acked and refused', async (t) => {
  const wrong = {
    '/events': ['notification:mark-read', 'message:send', 'typing:start', 'conversation:join', 'dashboard:subscribe'],
    '/notifications': ['message:send', 'subscribe:case', 'join_room', 'ping:case'],
    '/dashboard': ['notification:mark-read', 'presence:heartbeat'],
    '/messaging': ['subscribe:case', 'dashboard:subscribe', 'send_message'],
  };
  const { asked, ready } = bus.serve(t, 'cmd.>', () => ({ body: '"reached"' }));
  await ready();
  for (const [namespace, names] of Object.entries(wrong)) {
    const client = await connect(t, server.url, namespace);
    for (const name of names) refused(await client.ask(name, { caseId: '1' }), 'INVALID_EVENT', `${name} on ${namespace}`);
  }
  assert.deepEqual(asked, []);
  const right = {
    '/events': ['invoice:x', 'presence:x', 'notification'], '/notifications': ['notification:x'], '/dashboard': ['dashboard:x'],
    '/messaging': ['message:x', 'typing:x', 'conversation:x', 'presence:x'],
    '/': ['notification:x', 'message:x', 'dashboard:x', 'invoice:x'], '/ws': ['notification:x', 'message:x', 'dashboard:x', 'invoice:x'],
  };
  for (const [namespace, names] of Object.entries(right)) {
    const client = await connect(t, server.url, namespace);
    for (const name of names) assert.equal(await client.ask(name, {}), 'reached', `${name} on ${namespace}`);
  }
});

test('the 101st event within a minute is refused, acked, and announced once a second at most', async (t) => {
  const client = await connect(t, server.url);
  const other = await connect(t, server.url, '/events', { user: client.user });
  const start = Date.now();
  const acks = await Promise.all(Array.from({ length: 130 }, () => client.ask('unsubscribe:case', { caseId: '1' })));
  const elapsed = (Date.now() - start) / 1000;
  const passed = acks.filter((ack) => ack.status === 'unsubscribed').length;
  assert.ok(passed >= 100 && passed <= 101 + elapsed * 100 / 60, `${passed} passed in ${elapsed} s`);
  for (const ack of acks.slice(passed)) {
    refused(ack, 'RATE_LIMIT_EXCEEDED', 'refused');
    assert.equal(ack.status, 'error');
  }
  const error = await client.next('error');
  assert.equal(error.code, 'RATE_LIMIT_EXCEEDED');
  assert.equal(typeof error.message, 'string');
  assert.match(error.timestamp, ISO);
  assert.ok(Number.isInteger(error.retryAfter) && error.retryAfter >= 1, `retryAfter ${error.retryAfter}`);
  assert.ok(client.waiting.length <= elapsed, 'one error event a second at most');
  client.emit('ping'); // heartbeats and typing are a class of their own
  await client.until('pong');
  await other.subscribe('1'); // per client
});

test('a service answers: its reply is the ack', async (t) => {
  const namespace = unique('invoice');
  const replies = {
    object: { success: true, total: 12.5, 'ünïcode': ['🏛', null] }, array: [1, 2], number: 7, string: 'done', false: false, null: null,
    big: { text: 'x'.repeat(300_000) },
  };
  bus.serve(t, `cmd.${namespace}.approve`, ({ body }) => ({ body: body.want === 'nothing' ? '' : JSON.stringify(replies[body.want]) }));
  await bus.nc.flush();
  for (const transports of [['websocket'], ['polling']]) {
    const client = await connect(t, server.url, '/events', { transports });
    for (const [want, reply] of Object.entries(replies)) assert.deepEqual(await client.ask(`${namespace}:approve`, { want }), reply, want);
    assert.deepEqual(await client.ask(`${namespace}:approve`, { want: 'nothing' }), { success: true });
  }
});

test('the payload reaches the service as the client sent it', async (t) => {
  const word = unique('shape');
  const { asked } = bus.serve(t, `cmd.${word}`, () => ({ body: '{}' }));
  await bus.nc.flush();
  const client = await connect(t, server.url);
  const sent = [[{ a: { b: ['c', 1e21, -0.5] } }], ['text'], [7], [[1]], [], ['one', { two: 2 }, 3], [null]];
  for (const args of sent) await client.ask(word, ...args);
  assert.deepEqual(asked.map(({ body }) => body), [{ a: { b: ['c', 1e21, -0.5] } }, 'text', 7, [1], {}, ['one', { two: 2 }, 3], null]);
});

test('an error reply is a negative ack with its code', async (t) => {
  const word = unique('invoice');
  bus.serve(t, `cmd.${word}.>`, ({ body }) => ({ body: '', headers: { 'Nats-Service-Error-Code': body.code, 'Nats-Service-Error': `said ${body.code}` } }));
  await bus.nc.flush();
  const client = await connect(t, server.url);
  for (const code of ['FORBIDDEN', 'NOT_FOUND', 'CONFLICT', 'MY_OWN_CODE', '404']) {
    const ack = await client.ask(`${word}:approve`, { code });
    refused(ack, code, code);
    assert.equal(ack.error, `said ${code}`);
    assert.equal('status' in ack, false);
  }
  const asCase = await client.ask(`${word}:case`, { code: 'FORBIDDEN' });
  assert.equal(asCase.status, 'error');
});

test('a reply that is no JSON is INTERNAL and tells nothing', async (t) => {
  const word = unique('broken');
  bus.serve(t, `cmd.${word}`, ({ body }) => ({ body: body.reply, headers: body.headers }));
  await bus.nc.flush();
  const client = await connect(t, server.url);
  for (const body of [{ reply: 'stack trace: line 7' }, { reply: 'no json', headers: { 'Lex-Events': '1' } }, { reply: '[1]', headers: { 'Lex-Events': '1' } }]) {
    const ack = await client.ask(word, body);
    refused(ack, 'INTERNAL', JSON.stringify(body));
    assert.ok(!ack.error.includes('stack trace'));
  }
});

test('a service joins and leaves rooms of the socket', async (t) => {
  const word = unique('desk');
  const [one, two] = [`${process.pid}a`, `${process.pid}b`];
  bus.serve(t, `cmd.${word}.>`, ({ subject }) => (subject.endsWith('.enter')
    ? { body: '{"success":true}', headers: { 'Lex-Join': `case.${one}, team.=E2` } }
    : { body: '{"success":true}', headers: { 'Lex-Leave': `case.${one},team.=E2`, 'Lex-Join': `case.${two}` } }));
  await bus.nc.flush();
  const client = await connect(t, server.url, '/events', { scope: '' });
  const bystander = await connect(t, server.url, '/events', { user: client.user, scope: '' });
  const publish = async (n) => {
    await bus.log(`lex.case.${one}.case.updated`, { room: one, n });
    await bus.log(`lex.team.=E2.task.created`, { room: 'team', n });
    await bus.log(`lex.case.${two}.case.updated`, { room: two, n });
    await bus.log('lex.all.all.fence.reached', { n });
  };
  const heard = async (who) => {
    const rooms = [];
    for (;;) {
      const event = await who.take();
      if (event.name === 'fence:reached') return rooms;
      rooms.push(event.args[0].room);
    }
  };
  await publish(0);
  assert.deepEqual(await heard(client), []);
  assert.deepEqual(await client.ask(`${word}:enter`, {}), { success: true });
  await publish(1);
  assert.deepEqual(await heard(client), [one, 'team']);
  await client.ask(`${word}:change`, {});
  await publish(2);
  assert.deepEqual(await heard(client), [two]);
  for (let i = 0; i < 3; i++) assert.deepEqual(await heard(bystander), [], 'that socket alone');
});

test('a reply with events: join, then ack, then events, for that socket alone', async (t) => {
  const word = unique('open');
  const caseId = `${process.pid}-${word}`;
  bus.serve(t, `cmd.${word}`, () => ({
    headers: { 'Lex-Events': '1', 'Lex-Join': `case.${caseId}` },
    body: { ack: { success: true, n: 1 }, events: [{ event: 'first:thing', data: { n: 1 } }, { event: 'second:thing', data: { n: 2 } }] },
  }));
  await bus.nc.flush();
  const client = await connect(t, server.url);
  const other = await connect(t, server.url, '/events', { user: client.user });
  const order = [];
  client.socket.onAny((name) => order.push(name));
  const ack = await within(new Promise((resolve) => client.socket.emit(word, {}, (value) => { order.push('ack'); resolve(value); })), 'ack');
  assert.deepEqual(ack, { success: true, n: 1 });
  assert.equal((await client.next('first:thing')).n, 1);
  assert.equal((await client.next('second:thing')).n, 2);
  await bus.log(`lex.case.${caseId}.case.updated`, {});
  await client.next('case:updated');
  assert.deepEqual(order, ['ack', 'first:thing', 'second:thing', 'case:updated']);
  await bus.log('lex.all.all.fence.reached', {});
  await other.next('fence:reached');
});

test('hello: what a service says comes before connected', async (t) => {
  const user = someone();
  const caseId = `${process.pid}-hello`;
  const { asked, ready } = bus.serve(t, 'hello.notifications', (request) => ({
    headers: { 'Lex-Events': '1', 'Lex-Service': 'e2e', 'Lex-Join': `case.${caseId}` },
    body: { events: [{ event: 'notification:count', data: { count: 3, userId: request.header('Lex-User') } }] },
  }));
  await ready();
  for (let i = 0; i < 2; i++) {
    const client = await connect(t, server.url, '/notifications', { user, scope: 'x:y' });
    assert.deepEqual(client.greeting.map(({ name, args }) => [name, args[0]]), [['notification:count', { count: 3, userId: user }]]);
    const request = asked.at(-1);
    assert.deepEqual(['Lex-User', 'Lex-Socket', 'Lex-Scope'].map(request.header), [user, client.id, 'x:y']);
    await bus.log(`lex.case.${caseId}.notification.new`, { n: i });
    assert.equal((await client.until('notification:new')).n, i);
  }
  const elsewhere = await connect(t, server.url, '/dashboard', { user });
  assert.deepEqual(elsewhere.greeting, []);
});

for (const [namespace, subject] of [['/', 'hello.root'], ['/ws', 'hello.ws'], ['/messaging', 'hello.messaging']]) {
  test(`hello of ${namespace} is asked on ${subject}; its refusal or silence does not stop the client`, async (t) => {
    const failing = bus.serve(t, subject, () => ({ body: '', headers: { 'Nats-Service-Error-Code': 'INTERNAL', 'Nats-Service-Error': 'x', 'Lex-Service': 'bad' } }));
    await failing.ready();
    const client = await connect(t, server.url, namespace);
    assert.deepEqual(client.greeting, []);
    assert.equal(failing.asked.length, 1);
    failing.stop();
    const silent = bus.serve(t, subject, () => undefined);
    await silent.ready();
    await connect(t, server.url, namespace);
    assert.equal(silent.asked.length, 1);
  });
}

test('services learn the identity from the token, never from the payload or the query', async (t) => {
  const word = unique('whoami');
  const { asked } = bus.serve(t, `cmd.${word}`, () => ({ body: '{}' }));
  await bus.nc.flush();
  const user = someone('mallory|');
  const client = await connect(t, server.url, '/events', {
    token: tokenOf(user, 'case:1 dashboard:firm'), query: { userId: 'admin', 'Lex-User': 'admin' },
    extraHeaders: { 'Lex-User': 'admin', 'X-User': 'admin' },
  });
  await client.ask(word, { userId: 'admin', 'Lex-User': 'admin', headers: { 'Lex-User': 'admin' } }, { 'Lex-User': 'admin' });
  const [request] = asked;
  assert.deepEqual(request.values('Lex-User'), [user]);
  assert.deepEqual(request.values('Lex-Socket'), [client.id]);
  assert.deepEqual(request.values('Lex-Scope'), ['case:1 dashboard:firm']);
  assert.equal(request.values('Lex-Edge').length, 1);
  assert.notEqual(request.header('Lex-Edge'), '');
  assert.deepEqual(request.body[0], { userId: 'admin', 'Lex-User': 'admin', headers: { 'Lex-User': 'admin' } });
});

test('a scope with a line break forges no header', async (t) => {
  const word = unique('lines');
  const { asked } = bus.serve(t, `cmd.${word}`, () => ({ body: '{}' }));
  await bus.nc.flush();
  const client = await connect(t, server.url, '/events', { token: tokenOf('honest', 'case:1\r\nLex-User: admin\r\nX: y') }).catch(() => undefined);
  if (!client) return; // refused: fine too
  await client.ask(word, {});
  for (const request of asked) assert.deepEqual(request.values('Lex-User'), ['honest']);
});

test('no reply in time is TIMEOUT, and a late reply changes nothing', async (t) => {
  const word = unique('slow');
  const late = gate();
  const { asked } = bus.serve(t, `cmd.${word}`, async ({ body }) => {
    if (body.n === 1) await late.passed;
    return { body: { n: body.n } };
  });
  await bus.nc.flush();
  const client = await connect(t, server.url);
  const start = Date.now();
  refused(await within(client.socket.emitWithAck(word, { n: 1 }), 'TIMEOUT', 8_000), 'TIMEOUT', 'slow');
  assert.ok(Date.now() - start >= 4_500);
  late.open();
  assert.deepEqual(await client.ask(word, { n: 2 }), { n: 2 });
  assert.equal(asked.length, 2, 'never retried');
});

test('commands with the same first token go one after another, others do not wait', async (t) => {
  const word = unique('lane');
  const hold = gate();
  const order = [];
  bus.serve(t, `cmd.${word}.>`, async ({ body }) => {
    order.push(`start ${body.n}`);
    if (body.n === 0) await hold.passed;
    order.push(`end ${body.n}`);
    return { body: { n: body.n } };
  });
  bus.serve(t, `cmd.x${word}.>`, () => ({ body: '{"free":true}' }));
  await bus.nc.flush();
  const client = await connect(t, server.url);
  const other = await connect(t, server.url);
  const acks = Array.from({ length: 10 }, (_, n) => client.ask(`${word}:${n % 2 ? 'odd' : 'even'}`, { n }));
  assert.deepEqual(await client.ask(`x${word}:y`, {}), { free: true });
  assert.deepEqual(await other.ask(`${word}:even`, { n: 'other' }), { n: 'other' });
  assert.deepEqual(order, ['start 0', 'start other', 'end other']);
  hold.open();
  assert.deepEqual(await Promise.all(acks), Array.from({ length: 10 }, (_, n) => ({ n })));
  assert.deepEqual(order.slice(3), ['end 0', ...Array.from({ length: 9 }, (_, i) => [`start ${i + 1}`, `end ${i + 1}`]).flat()]);
});

test('a burst within the rate limit passes whole, in order, also across an upgrade', async (t) => {
  for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']]) {
    const word = unique('burst');
    const { asked, ready } = bus.serve(t, `cmd.${word}`, ({ body }) => ({ body: { n: body.n } }));
    await ready();
    const client = await connect(t, server.url, '/events', { transports });
    const acks = await Promise.all(Array.from({ length: 100 }, (_, n) => client.ask(word, { n })));
    const inOrder = Array.from({ length: 100 }, (_, n) => ({ n }));
    assert.deepEqual(acks, inOrder, `acks over ${transports}`);
    assert.deepEqual(asked.map(({ body }) => body), inOrder, `what the service saw over ${transports}`);
  }
});

test('presence:heartbeat is sent on once for a socket, then answered by the edge', async (t) => {
  const { asked, ready } = bus.serve(t, 'cmd.presence.>', () => ({ body: '{"success":true}' }));
  await ready();
  const client = await connect(t, server.url);
  for (let i = 0; i < 5; i++) assert.deepEqual(await client.ask('presence:heartbeat', { status: 'online' }), { success: true });
  await client.ask('presence:set-status', { status: 'busy' });
  assert.deepEqual(asked.map(({ subject }) => subject), ['cmd.presence.heartbeat', 'cmd.presence.set-status']);
  const second = await connect(t, server.url, '/events', { user: client.user });
  await second.ask('presence:heartbeat', { status: 'online' });
  assert.equal(asked.length, 3, 'each socket once');
});

test('ping is answered by the edge and never sent on', async (t) => {
  const seen = await bus.collect(t, 'cmd.ping');
  const client = await connect(t, server.url, '/ws');
  assert.deepEqual(await client.ask('ping'), { success: true });
  await client.until('pong');
  assert.equal(seen.seen.length, 0);
});

test('several services may serve one command: one of a queue group gets it', async (t) => {
  const word = unique('shared');
  const calls = [0, 0];
  for (const i of [0, 1]) {
    const sub = bus.nc.subscribe(`cmd.${word}`, { queue: 'workers', callback: (error, m) => { calls[i]++; m.respond('{}'); } });
    t.after(() => sub.unsubscribe());
  }
  await bus.nc.flush();
  const client = await connect(t, server.url);
  for (let i = 0; i < 20; i++) await client.ask(word, {});
  assert.equal(calls[0] + calls[1], 20);
});

test('a client that leaves while a command is in flight harms nobody', async (t) => {
  const word = unique('gone');
  const hold = gate();
  bus.serve(t, `cmd.${word}`, async () => {
    await hold.passed;
    return { body: '{"success":true}', headers: { 'Lex-Join': 'case.ghost' } };
  });
  await bus.nc.flush();
  const goes = await connect(t, server.url);
  for (let i = 0; i < 5; i++) goes.emit(word, {});
  goes.close();
  hold.open();
  const stays = await connect(t, server.url);
  assert.deepEqual(await stays.ask(word, {}), { success: true });
  await bus.log('lex.case.ghost.case.updated', {});
  await stays.next('case:updated');
});
