// What microservices publish reaches the clients that watch: any event name, every transport, every
// namespace that carries it, in order, once.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { Bus } from './lib/bus.mjs';
import { connect, ISO } from './lib/client.mjs';
import { edge, nats, run, up } from './lib/program.mjs';
import { eventually, PATIENCE, within } from './lib/time.mjs';
import { someone } from './lib/token.mjs';

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
const someCase = () => `${process.pid}-${++count}`;

// Contract 5.3, and one name that nobody declared.
const published = [
  ['case.created', { caseNumber: '2024-17', title: 'Smith v. Jones', clientId: 'c9', createdBy: 'u7', createdAt: '2024-05-01T10:00:00.000Z' }],
  ['case.updated', { caseNumber: '2024-17', changes: { title: { old: 'a', new: 'b' } }, updatedBy: 'u7', updatedAt: '2024-05-01T10:00:01.000Z' }],
  ['case.deleted', { caseNumber: '2024-17', deletedBy: 'u7', deletedAt: '2024-05-01T10:00:02.000Z' }],
  ['document.uploaded', { documentId: 'd1', fileName: 'brief.pdf' }],
  ['document.processed', { documentId: 'd1', fileName: 'brief.pdf', status: 'success', metadata: { pages: 12 } }],
  ['docket.entry.added', { entryId: 'e1', entryNumber: 4, description: 'Motion — «прошение» 🏛', filedDate: '2024-05-01', documentCount: 0 }],
  ['invoice.sent', { invoiceId: 'i1', lines: [{ hours: 1.5 }, null, true] }],
];

const transports = {
  'polling only': ['polling'],
  'websocket only': ['websocket'],
  'polling, then upgrade': ['polling', 'websocket'],
  'websocket and polling listed': ['websocket', 'polling'],
};

for (const [how, list] of Object.entries(transports)) {
  test(`every case event arrives, completed: ${how}`, async (t) => {
    const caseId = someCase();
    const client = await connect(t, server.url, '/events', { transports: list });
    await client.subscribe(caseId);
    for (const [event, payload] of published) await bus.log(`lex.case.${caseId}.${event}`, payload);
    for (const [event, payload] of published) {
      const got = await client.next(event.replaceAll('.', ':'));
      assert.match(got.timestamp, ISO);
      assert.deepEqual(got, { ...payload, caseId, timestamp: got.timestamp });
    }
    await eventually(() => client.transport === list.at(list.length === 2 && list[0] === 'polling' ? 1 : 0), 'the final transport');
  });
}

test('events before, during and after the upgrade arrive once and in order', async (t) => {
  const caseId = someCase();
  const client = await connect(t, server.url, '/events', { transports: ['polling', 'websocket'] });
  await client.subscribe(caseId);
  let n = 0;
  do {
    for (let i = 0; i < 20; i++) bus.pub(`lex.case.${caseId}.step.done`, { n: n++ });
    await bus.nc.flush();
  } while (client.transport === 'polling' && n < 20_000);
  await bus.log(`lex.case.${caseId}.step.done`, { n: n++ });
  for (let i = 0; i < n; i++) assert.equal((await client.next('step:done')).n, i);
  assert.equal(client.transport, 'websocket');
});

test('timestamp and caseId of the producer stay as they are', async (t) => {
  const caseId = someCase();
  const client = await (await connect(t, server.url)).subscribe(caseId);
  const payload = { documentId: 'd1', timestamp: '2020-01-01T00:00:00.000Z', caseId: 'another' };
  await bus.log(`lex.case.${caseId}.document.uploaded`, payload);
  assert.deepEqual(await client.next('document:uploaded'), payload);
  await bus.log(`lex.case.${caseId}.document.uploaded`, '{}');
  const empty = await client.next('document:uploaded');
  assert.deepEqual(Object.keys(empty).sort(), ['caseId', 'timestamp']);
});

test('a plain publish of any NATS client is enough', async (t) => {
  const client = await (await connect(t, server.url)).subscribe('123');
  bus.pub('lex.case.123.document.uploaded', '{"documentId":"d1","fileName":"brief.pdf"}');
  const got = await client.next('document:uploaded');
  assert.deepEqual(got, { documentId: 'd1', fileName: 'brief.pdf', caseId: '123', timestamp: got.timestamp });
});

test('lexiflow publish: the same from a shell', async (t) => {
  const caseId = someCase();
  const client = await (await connect(t, server.url)).subscribe(caseId);
  const p = await run(['publish', '--nats', server.natsUrl, 'case', caseId, 'document:uploaded', '{"documentId":"d9"}']);
  assert.equal(await p.end(), 0, p.log);
  assert.equal((await client.next('document:uploaded')).documentId, 'd9');

  for (const [fault, args] of [
    ['no payload object', ['case', caseId, 'document:uploaded', '[1]']],
    ['an unknown kind', ['planet', caseId, 'document:uploaded', '{}']],
    ['a name with a wildcard', ['case', caseId, 'document:*', '{}']],
    ['too few words', ['case', caseId]],
  ]) {
    const wrong = await run(['publish', '--nats', server.natsUrl, ...args]);
    assert.equal(await wrong.end(), 2, `${fault}: ${wrong.log}`);
  }
  await bus.log(`lex.case.${caseId}.fence.reached`, {});
  await client.next('fence:reached');
});

test('ids with any byte are escaped in the subject and whole on the wire', async (t) => {
  const user = someone('auth0|a@b.c>*');
  const client = await connect(t, server.url, '/events', { user });
  await client.subscribe('a@b.c *>');
  await bus.log('lex.case.a=40b=2Ec=20=2A=3E.document.uploaded', {});
  assert.equal((await client.next('document:uploaded')).caseId, 'a@b.c *>');
  const escaped = user.replaceAll(/[^A-Za-z0-9_-]/g, (c) => `=${c.charCodeAt(0).toString(16).toUpperCase()}`);
  await bus.log(`lex.user.${escaped}.system.alert`, { id: 's1' });
  assert.equal((await client.next('system:alert')).id, 's1');
});

test('the aliases / and /ws carry every event name, /events only its own', async (t) => {
  const caseId = someCase();
  const root = await (await connect(t, server.url, '/')).subscribe(caseId);
  const ws = await (await connect(t, server.url, '/ws')).subscribe(caseId);
  const events = await (await connect(t, server.url, '/events')).subscribe(caseId);
  await bus.log(`lex.case.${caseId}.message.new`, { id: 'm1' });
  await bus.log(`lex.case.${caseId}.notification.new`, { id: 'n1' });
  await bus.log(`lex.case.${caseId}.dashboard.alert`, { id: 'a1' });
  await bus.log(`lex.case.${caseId}.document.uploaded`, { documentId: 'd1' });
  for (const alias of [root, ws]) {
    for (const name of ['message:new', 'notification:new', 'dashboard:alert', 'document:uploaded']) await alias.next(name);
  }
  await events.next('document:uploaded');
});

test('a user is reached in the namespaces that the event belongs to', async (t) => {
  const user = someone();
  const at = {};
  for (const namespace of ['/events', '/notifications', '/dashboard', '/messaging', '/', '/ws']) {
    at[namespace] = await connect(t, server.url, namespace, { user });
  }
  const stranger = await connect(t, server.url, '/');
  const homes = {
    'notification.new': ['/notifications'], 'notification': ['/events'], 'dashboard.metrics': ['/dashboard'],
    'message.new': ['/messaging'], 'presence.update': ['/events', '/messaging'], 'system.alert': ['/events'],
  };
  for (const event of Object.keys(homes)) await bus.log(`lex.user.${user}.${event}`, { of: event });
  const fences = { '/events': 'fence.reached', '/notifications': 'notification.fence', '/dashboard': 'dashboard.fence', '/messaging': 'message.fence' };
  for (const fence of Object.values(fences)) await bus.log(`lex.all.all.${fence}`, {});
  const name = (event) => event.replaceAll('.', ':');
  for (const [namespace, client] of Object.entries(at)) {
    const alias = !(namespace in fences);
    for (const [event, where] of Object.entries(homes)) {
      if (alias || where.includes(namespace)) assert.equal((await client.next(name(event))).of, event, namespace);
    }
    for (const fence of alias ? Object.values(fences) : [fences[namespace]]) await client.next(name(fence));
  }
  await stranger.next('fence:reached');
});

test('two clients get the event, and unsubscribe stops it for one', async (t) => {
  const [one, other] = [someCase(), someCase()];
  const a = await (await (await connect(t, server.url)).subscribe(one)).subscribe(other);
  const b = await (await connect(t, server.url)).subscribe(one);
  await bus.log(`lex.case.${one}.case.updated`, { n: 1 });
  assert.equal((await a.next('case:updated')).n, 1);
  assert.equal((await b.next('case:updated')).n, 1);
  assert.deepEqual(await a.ask('unsubscribe:case', { caseId: one }), { status: 'unsubscribed', caseId: one });
  await bus.log(`lex.case.${one}.case.updated`, { n: 2 });
  await bus.log(`lex.case.${other}.case.updated`, { n: 3 });
  assert.equal((await a.next('case:updated')).n, 3);
  assert.equal((await b.next('case:updated')).n, 2);
});

test('another case does not leak, and neither does one whose id begins alike', async (t) => {
  const caseId = someCase();
  const client = await (await connect(t, server.url)).subscribe(caseId);
  for (const other of [`${caseId}1`, caseId.slice(0, -1) || 'x', caseId.toUpperCase() + 'X']) {
    await bus.log(`lex.case.${other}.document.uploaded`, { of: other });
  }
  await bus.log(`lex.conversation.${caseId}.document.uploaded`, { of: 'conversation' });
  await bus.log(`lex.room.${caseId}.document.uploaded`, { of: 'room' });
  await bus.log(`lex.case.${caseId}.document.uploaded`, { of: caseId });
  assert.equal((await client.next('document:uploaded')).of, caseId);
});

test('one Nats-Msg-Id is one delivery', async (t) => {
  const caseId = someCase();
  const client = await (await connect(t, server.url)).subscribe(caseId);
  const id = { 'Nats-Msg-Id': `m-${caseId}` };
  const first = await bus.log(`lex.case.${caseId}.document.uploaded`, { n: 1 }, id);
  const again = await bus.log(`lex.case.${caseId}.document.uploaded`, { n: 1 }, id);
  assert.equal(again.duplicate, true);
  assert.equal(again.seq, first.seq);
  await bus.log(`lex.case.${caseId}.fence.reached`, {});
  await client.next('document:uploaded');
  await client.next('fence:reached');
});

test('1,000 events arrive in order on both transports', async (t) => {
  const caseId = someCase();
  const clients = await Promise.all([['polling'], ['websocket']].map(async (list) => {
    const client = await connect(t, server.url, '/events', { transports: list });
    return client.subscribe(caseId);
  }));
  const subjects = ['document.uploaded', 'case.updated', 'invoice.sent'];
  for (let n = 0; n < 1_000; n++) bus.pub(`lex.case.${caseId}.${subjects[n % 3]}`, { n });
  for (const client of clients) {
    for (let n = 0; n < 1_000; n++) {
      assert.equal((await client.next(subjects[n % 3].replace('.', ':'))).n, n);
    }
  }
});

test('Lex-Except leaves out one socket or all sockets of a user', async (t) => {
  const caseId = someCase();
  const user = someone('except|');
  const join = async (who) => (await connect(t, server.url, '/events', { user: who })).subscribe(caseId);
  const [a1, a2, b] = [await join(user), await join(user), await join(someone())];
  await bus.log(`lex.case.${caseId}.case.updated`, { n: 1 }, { 'Lex-Except': a1.id });
  await bus.log(`lex.case.${caseId}.case.updated`, { n: 2 }, { 'Lex-Except': `user.${user.replace('|', '=7C')}` });
  await bus.log(`lex.case.${caseId}.case.updated`, { n: 3 });
  const got = async (client, ...expected) => {
    for (const n of expected) assert.equal((await client.next('case:updated')).n, n);
  };
  await got(a1, 3);
  await got(a2, 1, 3);
  await got(b, 1, 2, 3);
});

test('gauges and passing events arrive too, and are not stored', async (t) => {
  const caseId = someCase();
  const client = await (await connect(t, server.url)).subscribe(caseId);
  bus.pub(`state.case.${caseId}.progress.changed`, { percent: 40 });
  const gauge = await client.next('progress:changed');
  assert.deepEqual(gauge, { percent: 40, caseId, timestamp: gauge.timestamp });
  assert.match(gauge.timestamp, ISO);
  bus.pub(`live.case.${caseId}.collaboration.cursor`, { documentId: 'd1', userId: 'u7', cursorPosition: { line: 3, column: 4 } });
  const cursor = await client.next('collaboration:cursor');
  assert.equal(cursor.cursorPosition.line, 3);
  assert.equal(cursor.caseId, caseId);
  bus.pub(`live.case.${caseId}.collaboration.cursor`, { n: 1 }, { 'Lex-Except': client.id });
  bus.pub(`live.case.${caseId}.collaboration.cursor`, { n: 2 });
  assert.equal((await client.next('collaboration:cursor')).n, 2);
});

test('what is not a JSON object, or too large, goes to the dead letters and the stream goes on', async (t) => {
  const caseId = someCase();
  const client = await (await connect(t, server.url)).subscribe(caseId);
  const dead = await bus.collect(t, 'deadletter.>');
  const faulty = {
    'an array': '[1]', 'a string': '"x"', 'a number': '7', 'null': 'null', 'nothing': '', 'no JSON': '{"a":', 'two values': '{}{}',
    'bad UTF-8': Buffer.from([0x7b, 0x22, 0x61, 0x22, 0x3a, 0x22, 0xff, 0x22, 0x7d]),
    'deep': `{"a":${'['.repeat(5_000)}${']'.repeat(5_000)}}`,
    'more than 1 MiB': JSON.stringify({ text: 'x'.repeat(1_200_000) }),
  };
  for (const payload of Object.values(faulty)) await bus.log(`lex.case.${caseId}.document.uploaded`, payload);
  await bus.log(`lex.case.${caseId}.document.uploaded`, { good: true });
  assert.equal((await client.next('document:uploaded')).good, true);
  const seen = await dead.atLeast(Object.keys(faulty).length);
  assert.equal(seen.length, Object.keys(faulty).length);
  for (const message of seen) assert.match(message.subject, /^deadletter\.[a-z0-9_-]+$/);
});

test('subjects that no builder makes are passed over', async (t) => {
  const caseId = someCase();
  const client = await (await connect(t, server.url)).subscribe(caseId);
  for (const subject of [
    `lex.case.${caseId}`, 'lex', 'lex.case', `lex.planet.${caseId}.document.uploaded`, 'lex.case.=61.document.uploaded',
    'lex.case.=zz.document.uploaded', `lex.case.${caseId}.document.up=20loaded`, `lex.case.${caseId}.${'x'.repeat(200)}`,
    `lex.metric.${caseId}.revenue`, `state.case.${caseId}`, `live.planet.${caseId}.a.b`,
  ]) bus.pub(subject, { n: 1 });
  await bus.log(`lex.case.${caseId}.document.uploaded`, { n: 2 });
  assert.equal((await client.next('document:uploaded')).n, 2);
});

test('a room left empty is subscribed anew', async (t) => {
  const caseId = someCase();
  const client = await connect(t, server.url);
  for (let round = 0; round < 3; round++) {
    await client.subscribe(caseId);
    await bus.log(`lex.case.${caseId}.case.updated`, { round });
    assert.equal((await client.next('case:updated')).round, round);
    await client.ask('unsubscribe:case', { caseId });
    await bus.log(`lex.case.${caseId}.case.updated`, { missed: true });
  }
});

test('separate processes: one NATS, two edges, one log', async (t) => {
  const backbone = await nats();
  t.after(() => backbone.stop());
  const edges = await Promise.all([edge(backbone.natsUrl), edge(backbone.natsUrl)]);
  t.after(() => Promise.all(edges.map((e) => e.stop())));
  const outside = await Bus.connect(backbone.natsUrl);
  t.after(() => outside.close());

  const caseId = someCase();
  const [a, b] = await Promise.all(edges.map(async (e) => (await connect(t, e.url)).subscribe(caseId)));
  for (let n = 0; n < 300; n++) outside.pub(`lex.case.${caseId}.case.updated`, { n });
  for (const client of [a, b]) {
    for (let n = 0; n < 300; n++) assert.equal((await client.next('case:updated')).n, n);
  }

  assert.deepEqual(await a.ask('join_room', { room: 'hall' }), { success: true });
  assert.equal((await a.next('user_joined')).participantCount, 1);
  // Edges tell each other how many members they have: within moments, not at once.
  await eventually(async () => {
    assert.deepEqual(await b.ask('join_room', { room: 'hall' }), { success: true });
    const seen = [];
    for (const client of [a, b]) seen.push(await client.until('user_joined', ({ socketId }) => socketId === b.id));
    if (seen.every((joined) => joined.participantCount === 2)) return true;
    await b.ask('leave_room', { room: 'hall' });
    await a.until('user_left');
  }, 'both edges count two', 1_000);
  assert.deepEqual(await a.ask('send_message', { room: 'hall', message: 'hello' }), { success: true });
  for (const client of [a, b]) assert.equal((await client.until('message')).message, 'hello');
  b.close();
  const left = await a.until('user_left');
  assert.equal(left.participantCount, 1);
});

test('the first minute: address, page, demo token and a line to try', async (t) => {
  const p = await up([], {}); // no secret given: `up` makes one for the demo
  t.after(() => p.stop());
  const page = await fetch(p.url);
  assert.equal(page.status, 200);
  assert.match(page.headers.get('content-type'), /text\/html/);
  assert.match(await page.text(), /<html/i);
  const [token] = p.log.match(/eyJ[\w-]+\.[\w-]+\.[\w-]+/);
  assert.match(p.log, /publish case \S+ document:uploaded/);
  const client = await connect(t, p.url, '/events', { token });
  await client.subscribe('123');
  const again = await run(['up', '--listen', '127.0.0.1:0', '--nats-listen', '127.0.0.1:0', '--data-dir', p.args.at(p.args.indexOf('--data-dir') + 1)]);
  assert.equal(await again.end(), 1, `a second server on one data directory: ${again.log}`);
});

test('publishing while NATS is not there ends with an error, not for ever', async () => {
  const p = await run(['publish', '--nats', 'nats://127.0.0.1:1', 'case', '1', 'a:b', '{}']);
  assert.equal(await within(p.end(), 'publish gives up', 3 * PATIENCE), 1, p.log);
});
