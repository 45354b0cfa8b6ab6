// Rooms: who may enter, who hears of it, and that nobody can pretend to be another.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { Bus } from './lib/bus.mjs';
import { connect, ISO } from './lib/client.mjs';
import { up } from './lib/program.mjs';
import { RawSocket } from './lib/raw.mjs';
import { someone, token, tokenOf } from './lib/token.mjs';

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
const someRoom = () => `room-${process.pid}-${++count}`;
const refused = (ack, code) => {
  assert.equal(ack.success, false, JSON.stringify(ack));
  assert.equal(ack.code, code, JSON.stringify(ack));
  assert.equal(typeof ack.error, 'string');
};

test('subscribe:case and unsubscribe:case answer as the original, and twice is once', async (t) => {
  const client = await connect(t, server.url);
  for (let i = 0; i < 3; i++) await client.subscribe('42');
  await bus.log('lex.case.42.case.updated', { n: 1 });
  await client.next('case:updated');
  for (let i = 0; i < 3; i++) {
    assert.deepEqual(await client.ask('unsubscribe:case', { caseId: '42' }), { status: 'unsubscribed', caseId: '42' });
  }
  await bus.log('lex.case.42.case.updated', { n: 2 });
  await client.subscribe('43');
  await bus.log('lex.case.43.case.updated', { n: 3 });
  assert.equal((await client.next('case:updated')).n, 3);
});

test('events of one socket take effect in the order in which they were sent', async (t) => {
  for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']]) {
    const client = await connect(t, server.url, '/events', { transports });
    const [caseId, room] = [someRoom(), someRoom()];
    const acks = [];
    for (let i = 0; i < 15; i++) {
      acks.push(client.ask('subscribe:case', { caseId }), client.ask('unsubscribe:case', { caseId }));
    }
    acks.push(client.ask('subscribe:case', { caseId }));
    acks.push(client.ask('join_room', { room }), client.ask('send_message', { room, message: 1 }), client.ask('leave_room', { room }), client.ask('send_message', { room, message: 2 }));
    const said = (await Promise.all(acks)).map((ack) => ack.status ?? ack.success);
    const pairs = Array.from({ length: 15 }, () => ['subscribed', 'unsubscribed']).flat();
    assert.deepEqual(said, [...pairs, 'subscribed', true, true, true, false], String(transports));
    await bus.log(`lex.case.${caseId}.case.updated`, { once: true });
    assert.equal((await client.until('case:updated')).once, true);
    client.emit('unsubscribe:case', { caseId });
    client.emit('subscribe:case', { caseId });
    await client.ask('unsubscribe:case', { caseId });
    await bus.log(`lex.case.${caseId}.case.updated`, { once: false });
    await bus.log(`lex.user.${client.user}.fence.reached`, {});
    for (;;) {
      const { name } = await client.take();
      assert.notEqual(name, 'case:updated');
      if (name === 'fence:reached') break;
    }
  }
});

test('subscribe:case and unsubscribe:case refuse what is no case id', async (t) => {
  const client = await connect(t, server.url);
  const faulty = [[{}], [], [null], [{ caseId: 7 }], [{ caseId: null }], [{ caseId: '' }], [{ caseId: ['1'] }], [{ caseId: 'x'.repeat(129) }], ['1'], [[{ caseId: '1' }]], [{ caseid: '1' }]];
  for (const event of ['subscribe:case', 'unsubscribe:case']) {
    for (const args of faulty) {
      const ack = await client.ask(event, ...args);
      refused(ack, 'INVALID_INPUT');
      assert.equal(ack.status, 'error', JSON.stringify(args));
    }
  }
});

test('member access: a case needs a scope of the token', async (t) => {
  const user = someone();
  const scopes = {
    'none': ['', false],
    'this case': ['case:123', true],
    'among others': ['case:1 dashboard:firm case:123', true],
    'every case': ['case:*', true],
    'another case': ['case:1234', false],
    'a prefix': ['case:12', false],
    'another kind': ['room:123 user:123', false],
    'no separator': ['case', false],
    'upper case': ['CASE:123', false],
  };
  for (const [name, [scope, allowed]] of Object.entries(scopes)) {
    const client = await connect(t, server.url, '/events', { user, scope });
    const ack = await client.ask('subscribe:case', { caseId: '123' });
    if (allowed) assert.deepEqual(ack, { status: 'subscribed', caseId: '123', offset: ack.offset }, name);
    else {
      refused(ack, 'FORBIDDEN');
      assert.equal(ack.status, 'error', name);
    }
    client.close();
  }
});

test('what was refused is not heard', async (t) => {
  const client = await connect(t, server.url, '/events', { scope: 'case:9' });
  refused(await client.ask('subscribe:case', { caseId: '8' }), 'FORBIDDEN');
  refused(await client.ask('join_room', { room: 'case:8' }), 'FORBIDDEN');
  await client.subscribe('9');
  await bus.log('lex.case.8.case.updated', { n: 8 });
  await bus.log('lex.case.9.case.updated', { n: 9 });
  assert.equal((await client.next('case:updated')).n, 9);
});

test('--access open lets everyone watch, as the original did', async (t) => {
  const open = await up(['--access', 'open']);
  t.after(() => open.stop());
  const client = await connect(t, open.url, '/events', { token: token({ sub: someone() }) });
  await client.subscribe('123');
  refused(await client.ask('join_room', { room: 'user:somebody-else' }), 'FORBIDDEN');
});

test('join_room, send_message, leave_room: what everyone sees', async (t) => {
  const room = someRoom();
  const a = await connect(t, server.url);
  const b = await connect(t, server.url);

  assert.deepEqual(await a.ask('join_room', { room }), { success: true });
  const first = await a.next('user_joined');
  assert.match(first.timestamp, ISO);
  assert.deepEqual(first, { room, socketId: a.id, userId: a.user, participantCount: 1, timestamp: first.timestamp });

  assert.deepEqual(await b.ask('join_room', { room }), { success: true });
  for (const client of [a, b]) {
    const { timestamp, ...joined } = await client.next('user_joined');
    assert.match(timestamp, ISO);
    assert.deepEqual(joined, { room, socketId: b.id, userId: b.user, participantCount: 2 });
  }

  for (const message of ['hello', { text: 'hi', n: [1, null] }, 7, false, ['a'], '«прошение» 🏛']) {
    assert.deepEqual(await a.ask('send_message', { room, message }), { success: true });
    for (const client of [a, b]) {
      const got = await client.next('message');
      assert.equal(got.from, a.id);
      assert.equal(got.userId, a.user);
      assert.deepEqual(got.message, message);
      assert.match(got.timestamp, ISO);
    }
  }

  assert.deepEqual(await b.ask('leave_room', { room }), { success: true });
  const { timestamp, ...left } = await a.next('user_left');
  assert.match(timestamp, ISO);
  assert.deepEqual(left, { room, socketId: b.id, userId: b.user, participantCount: 1 });

  await a.ask('send_message', { room, message: 'alone' });
  await a.next('message');
  assert.deepEqual(b.waiting, []);
});

test('a repeated join announces nobody twice, and a stranger\'s leave nobody at all', async (t) => {
  const room = someRoom();
  const a = await connect(t, server.url);
  const b = await connect(t, server.url);
  for (let i = 0; i < 3; i++) assert.deepEqual(await a.ask('join_room', { room }), { success: true });
  for (let i = 0; i < 3; i++) assert.deepEqual(await b.ask('leave_room', { room }), { success: true });
  assert.deepEqual(await b.ask('join_room', { room }), { success: true });
  assert.equal((await a.next('user_joined')).participantCount, 1);
  const second = await a.next('user_joined');
  assert.equal(second.socketId, b.id);
  assert.equal(second.participantCount, 2);
});

test('a lost member is announced, whether it said goodbye or not', async (t) => {
  const room = someRoom();
  const stays = await connect(t, server.url);
  await stays.ask('join_room', { room });
  await stays.next('user_joined');
  const goodbyes = {
    'disconnect': (client) => client.close(),
    'transport closed': (client) => client.socket.io.engine.close(),
    'connection cut': (client) => client.socket.io.engine.transport.ws.terminate(),
  };
  for (const [how, leave] of Object.entries(goodbyes)) {
    const goes = await connect(t, server.url);
    await goes.ask('join_room', { room });
    assert.equal((await stays.next('user_joined')).participantCount, 2, how);
    const { id } = goes;
    leave(goes);
    const left = await stays.next('user_left');
    assert.equal(left.socketId, id, how);
    assert.equal(left.userId, goes.user);
    assert.equal(left.room, room);
    assert.equal(left.participantCount, 1, how);
  }
});

test('two devices of one user are two participants', async (t) => {
  const room = someRoom();
  const user = someone();
  const [a, b] = [await connect(t, server.url, '/events', { user }), await connect(t, server.url, '/events', { user })];
  await a.ask('join_room', { room });
  await a.next('user_joined');
  await b.ask('join_room', { room });
  assert.equal((await a.next('user_joined')).participantCount, 2);
  b.close();
  assert.equal((await a.next('user_left')).participantCount, 1);
});

test('identity comes from the token alone', async (t) => {
  const room = someRoom();
  const victim = someone('victim');
  const a = await connect(t, server.url);
  await a.ask('join_room', { room });
  await a.next('user_joined');
  const forger = await connect(t, server.url, '/events', { query: { userId: victim }, token: tokenOf('forger') });
  await forger.ask('join_room', { room, userId: victim, socketId: 'x', participantCount: 99 });
  const joined = await a.next('user_joined');
  assert.deepEqual([joined.userId, joined.socketId, joined.participantCount], ['forger', forger.id, 2]);
  await forger.ask('send_message', { room, message: 'psst', userId: victim, from: a.id, timestamp: 'never', event: 'case:deleted' });
  const message = await a.next('message');
  assert.deepEqual([message.userId, message.from, message.message], ['forger', forger.id, 'psst']);
  assert.match(message.timestamp, ISO);
  await forger.ask('leave_room', { room, userId: victim });
  assert.equal((await a.next('user_left')).userId, 'forger');
  await bus.log(`lex.user.${victim}.system.alert`, { secret: true });
  await bus.log('lex.user.forger.system.alert', { secret: false });
  assert.equal((await forger.until('system:alert')).secret, false);
});

test('reserved room names are refused or harmless', async (t) => {
  const victim = await connect(t, server.url);
  const attacker = await connect(t, server.url, '/events', { scope: '' });
  const reserved = ['user', 'case', 'conversation', 'dashboard', 'presence', 'team', 'metric'];
  for (const kind of reserved) {
    for (const event of ['join_room', 'join-room']) refused(await attacker.ask(event, event === 'join_room' ? { room: `${kind}:${victim.user}` } : `${kind}:${victim.user}`), 'FORBIDDEN');
    refused(await attacker.ask('send_message', { room: `${kind}:${victim.user}`, message: 'x' }), 'FORBIDDEN');
  }
  for (const room of [victim.id, victim.user, 'all', `user.${victim.user}`, `User:${victim.user}`, ` user:${victim.user}`]) {
    await attacker.ask('join_room', { room }); // a generic room by that name, or a refusal
  }
  await bus.log(`lex.user.${victim.user}.system.alert`, { secret: true });
  assert.equal((await victim.next('system:alert')).secret, true);
  await bus.log(`lex.user.${attacker.user}.fence.reached`, {});
  for (;;) {
    const event = await attacker.take();
    if (event.name === 'fence:reached') break;
    assert.equal(event.name, 'user_joined', JSON.stringify(event));
  }
});

test('only members speak in a room', async (t) => {
  const room = someRoom();
  const member = await connect(t, server.url);
  const outsider = await connect(t, server.url);
  await member.ask('join_room', { room });
  await member.next('user_joined');
  refused(await outsider.ask('send_message', { room, message: 'injected' }), 'FORBIDDEN');
  outsider.emit('send_message', { room, message: 'injected' });
  const error = await outsider.until('error');
  assert.equal(error.code, 'FORBIDDEN');
  assert.equal(typeof error.message, 'string');
  assert.match(error.timestamp, ISO);
  await outsider.ask('join_room', { room });
  await outsider.ask('leave_room', { room });
  refused(await outsider.ask('send_message', { room, message: 'injected' }), 'FORBIDDEN');
  await member.ask('send_message', { room, message: 'mine' });
  assert.equal((await member.until('message')).message, 'mine');
});

test('join_room, leave_room and send_message refuse what is no room or no message', async (t) => {
  const client = await connect(t, server.url);
  const rooms = [[], [{}], [null], [{ room: '' }], [{ room: 7 }], [{ room: 'x'.repeat(101) }], [{ room: ['a'] }], [true]];
  for (const event of ['join_room', 'leave_room', 'send_message']) {
    for (const args of rooms) refused(await client.ask(event, ...args), 'INVALID_INPUT');
  }
  const room = 'x'.repeat(100);
  assert.deepEqual(await client.ask('join_room', { room }), { success: true });
  for (const message of [undefined, null, '']) refused(await client.ask('send_message', { room, message }), 'INVALID_INPUT');
});

for (const namespace of ['/', '/ws']) {
  test(`the dialect of websocketClient on ${namespace}: bare room names, ping and pong`, async (t) => {
    const room = someRoom();
    const client = await connect(t, server.url, namespace);
    assert.deepEqual(await client.ask('join-room', room), { success: true });
    assert.equal((await client.next('user_joined')).room, room);
    assert.deepEqual(await client.ask('join_room', { room }), { success: true });
    const { success, error } = await client.ask('join-room', '');
    assert.equal(success, false);
    assert.equal(typeof error, 'string');
    assert.equal((await client.next('error')).code, 'INVALID_INPUT');
    assert.deepEqual(await client.ask('leave-room', room), { success: true });
    client.emit('ping');
    await client.next('pong');
    client.emit('ping', {});
    await client.next('pong');
  });
}

test('names with any byte are rooms, and stay apart', async (t) => {
  const base = someRoom();
  const client = await connect(t, server.url);
  const names = [`${base} a`, `${base}.a`, `${base}*`, `${base}>`, `${base}/ä🏛`, `${base}=2E`, `room:${base}`, `${base}\u0000`, `"${base}"`];
  for (const room of names) {
    assert.deepEqual(await client.ask('join_room', { room }), { success: true }, room);
    assert.equal((await client.next('user_joined')).room, room);
  }
  for (const room of names) {
    await client.ask('send_message', { room, message: room });
    assert.equal((await client.next('message')).message, room);
  }
});

test('the room events belong to /events and the aliases', async (t) => {
  const room = someRoom();
  for (const namespace of ['/messaging', '/notifications', '/dashboard']) {
    const client = await connect(t, server.url, namespace);
    refused(await client.ask('join_room', { room }), 'INVALID_EVENT');
    refused(await client.ask('subscribe:case', { caseId: '1' }), 'INVALID_EVENT');
  }
});

test('every event ends with an object on the wire', async (t) => {
  const raw = await RawSocket.joined(server.url, tokenOf(someone()));
  t.after(() => raw.destroy());
  raw.text('42/events,["ping"]');
  raw.text('42/events,["join_room",{"room":"wire"}]');
  raw.text('42/events,["send_message",{"room":"wire","message":"a string"}]');
  raw.text('42/events,["send_message",{"room":"elsewhere","message":"a string"}]');
  const seen = new Set();
  while (seen.size < 4) {
    const packet = await raw.packet();
    assert.match(packet, /^42\/events,\[/);
    const event = JSON.parse(packet.slice('42/events,'.length));
    seen.add(event[0]);
    // What is in the log carries its offset, which is the only string that may stand there.
    if (event[0] === 'message') assert.match(event.pop(), /^\d+$/, packet);
    assert.equal(typeof event.at(-1), 'object', packet);
  }
  assert.deepEqual([...seen].sort(), ['error', 'message', 'pong', 'user_joined']);
});
