// The domain services as frontends meet them: the official client, one program with everything in it.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { Bus } from './lib/bus.mjs';
import { connect, ISO } from './lib/client.mjs';
import { up } from './lib/program.mjs';
import { eventually } from './lib/time.mjs';
import { someone } from './lib/token.mjs';

let server;
let bus;
before(async () => {
  server = await up(['--services', 'all', '--idle-after', '2s', '--digest-window', '500ms', '--push-interval', '100ms']);
  bus = await Bus.connect(server.natsUrl);
});
after(async () => {
  await bus?.close();
  await server?.stop();
});

const ok = (ack, what = 'ack') => {
  assert.equal(ack?.success, true, `${what}: ${JSON.stringify(ack)}`);
  return ack;
};
const refused = (ack, code) => {
  assert.equal(ack?.success, false, JSON.stringify(ack));
  assert.equal(ack.code, code, JSON.stringify(ack));
};
const escape = (id) => id.replace(/[^A-Za-z0-9_-]/g, (c) => `=${c.charCodeAt(0).toString(16).toUpperCase()}`);
const notice = (n) => ({ type: 'case_update', title: `t${n}`, message: `m${n}`, priority: 'high' });

test('notifications: told, counted, read on every device', async (t) => {
  const user = someone();
  const one = await connect(t, server.url, '/notifications', { user });
  assert.ok(one.greeting.some(({ name, args }) => name === 'notification:count' && args[0].count === 0), 'count comes before connected');
  const two = await connect(t, server.url, '/notifications', { user });
  const other = await connect(t, server.url, '/notifications');
  await bus.log(`notify.user.${escape(user)}`, notice(1));
  const told = await one.until('notification:new');
  assert.equal(told.title, 't1');
  assert.equal(told.userId, user);
  assert.equal(told.priority, 'high');
  assert.match(told.createdAt, ISO);
  assert.match(told.timestamp, ISO);
  assert.equal((await one.until('notification:count')).count, 1);
  assert.equal((await two.until('notification:new')).id, told.id);
  assert.equal((await two.until('notification:count')).count, 1);

  assert.equal(ok(await one.ask('notification:mark-read', { notificationId: told.id })).unreadCount, 0);
  assert.equal(ok(await one.ask('notification:mark-read', { notificationId: told.id })).unreadCount, 0, 'marking twice counts once');
  const read = await two.until('notification:read');
  assert.equal(read.notificationId, told.id);
  assert.match(read.readAt, ISO);
  assert.equal((await two.until('notification:count')).count, 0);
  assert.equal(ok(await two.ask('notification:mark-unread', { notificationId: told.id })).unreadCount, 1);
  assert.equal((await one.until('notification:count', ({ count }) => count === 1)).count, 1);

  const page = ok(await one.ask('notification:list', { limit: 10 }));
  assert.deepEqual(page.notifications.map(({ id, read: isRead }) => [id, isRead]), [[told.id, false]]);
  assert.equal(ok(await one.ask('notification:mark-all-read')).unreadCount, 0);
  await two.until('notification:all-read');
  ok(await one.ask('notification:delete', { notificationId: told.id, wasUnread: true }));
  assert.equal((await two.until('notification:deleted')).notificationId, told.id);
  assert.equal(ok(await one.ask('notification:list', {})).unreadCount, 0, 'wasUnread is not believed');
  refused(await one.ask('notification:mark-read', {}), 'INVALID_INPUT');
  assert.ok(!other.waiting.some(({ name }) => name !== 'notification:count'), 'nobody else hears of it');
});

test('notifications: what is muted is kept and not pushed', async (t) => {
  const user = someone();
  const client = await connect(t, server.url, '/notifications', { user });
  ok(await client.ask('notification:preferences', { set: { muted: ['case_update'] } }));
  await bus.log(`notify.user.${escape(user)}`, notice(1));
  await client.until('notification:count', ({ count }) => count === 1);
  await bus.log(`notify.user.${escape(user)}`, { ...notice(2), priority: 'urgent' });
  assert.equal((await client.until('notification:new')).title, 't2');
  assert.equal(ok(await client.ask('notification:list', { unreadOnly: true })).notifications.length, 2);
});

test('notifications: what happens in a followed case, a burst as one', async (t) => {
  const [follower, other] = [await connect(t, server.url, '/notifications', { scope: 'case:*' }), await connect(t, server.url, '/notifications', { scope: 'case:other' })];
  const caseId = someone('case');
  ok(await follower.ask('notification:follow', { caseId }));
  refused(await other.ask('notification:follow', { caseId }), 'FORBIDDEN'); // without a scope for it
  for (const n of [1, 2, 3]) {
    await bus.log(`lex.case.${caseId}.document.uploaded`, { documentId: `d${n}`, fileName: `f${n}.pdf`, fileSize: n, mimeType: 'application/pdf', uploadedBy: 'u', uploadedAt: new Date().toISOString() });
  }
  const told = await follower.until('notification:new');
  assert.equal(told.relatedEntityId, caseId);
  assert.equal((await follower.until('notification:count')).count, 1, 'three events are one notification');
  ok(await follower.ask('notification:unfollow', { caseId }));
});

test('messaging: a conversation from its creation to a read receipt', async (t) => {
  const [ann, bob, eve] = [someone('ann'), someone('bob'), someone('eve')];
  const a = await connect(t, server.url, '/messaging', { user: ann });
  const b = await connect(t, server.url, '/messaging', { user: bob });
  const e = await connect(t, server.url, '/messaging', { user: eve });
  const { conversationId } = ok(await a.ask('conversation:create', { title: 'Matter 7', memberIds: [bob] }));

  const sent = ok(await a.ask('message:send', { conversationId, content: 'Hello', clientId: 'c-1' }));
  assert.match(sent.messageId, /^msg-/);
  const again = ok(await a.ask('message:send', { conversationId, content: 'Hello', clientId: 'c-1' }));
  assert.equal(again.messageId, sent.messageId, 'a retried clientId is the first message');
  const got = await b.until('message:new'); // bob has never joined: membership is enough
  assert.equal(got.id, sent.messageId);
  assert.equal(got.content, 'Hello');
  assert.equal(got.senderId, ann);
  assert.deepEqual(got.attachments, []);
  assert.match(got.createdAt, ISO);

  ok(await b.ask('typing:start', { conversationId }));
  const typing = await a.until('typing:start');
  assert.deepEqual([typing.conversationId, typing.userId], [conversationId, bob]);
  await eventually(() => a.waiting.some(({ name }) => name === 'typing:stop'), 'typing:stop by itself after 5 s', 10_000);
  const stopped = await a.until('typing:stop');
  assert.equal(stopped.userId, bob);

  ok(await b.ask('message:read', { conversationId, messageId: sent.messageId }));
  const receipt = await a.until('message:read');
  assert.deepEqual([receipt.messageId, receipt.userId], [sent.messageId, bob]);
  assert.match(receipt.readAt, ISO);
  const list = ok(await b.ask('conversation:list', {}));
  assert.equal(list.conversations.find(({ id }) => id === conversationId).unreadCount, 0);
  const page = ok(await b.ask('message:history', { conversationId, limit: 10 }));
  assert.deepEqual(page.messages.map(({ id }) => id), [sent.messageId]);

  for (const [name, body] of [
    ['message:send', { conversationId, content: 'x' }], ['message:history', { conversationId }],
    ['typing:start', { conversationId }], ['conversation:join', { conversationId }],
    ['message:read', { conversationId, messageId: sent.messageId }],
  ]) {
    const ack = await e.ask(name, body);
    assert.equal(ack.success, false, `${name}: ${JSON.stringify(ack)}`);
    assert.match(ack.code, /^(FORBIDDEN|NOT_FOUND)$/, name);
  }
  refused(await a.ask('message:send', { conversationId, content: 'x'.repeat(10_001) }), 'MESSAGE_TOO_LARGE');
  assert.equal((await a.ask('message:send', { conversationId })).success, false);

  ok(await a.ask('conversation:members', { conversationId, add: [eve] }));
  ok(await a.ask('message:send', { conversationId, content: 'Welcome' }));
  assert.equal((await e.until('message:new')).content, 'Welcome', 'a new member hears at once');
  ok(await a.ask('conversation:members', { conversationId, remove: [bob] }));
  ok(await a.ask('message:send', { conversationId, content: 'Without bob' }));
  await e.until('message:new', ({ content }) => content === 'Without bob');
  assert.ok(!b.waiting.some(({ args }) => args[0]?.content === 'Without bob'), 'who was taken out hears nothing');
  const edited = ok(await a.ask('message:edit', { conversationId, messageId: sent.messageId, content: 'Hello!' }));
  assert.equal(edited.message.content, 'Hello!');
  ok(await a.ask('message:delete', { conversationId, messageId: sent.messageId }));
});

test('presence: online, busy, away by idleness, offline with the last device', async (t) => {
  const [ann, bob] = [someone('ann'), someone('bob')];
  const watcher = await connect(t, server.url, '/events', { user: bob });
  ok(await watcher.ask('presence:subscribe', { userIds: [ann] }));
  const first = await watcher.until('presence:bulk-update');
  assert.deepEqual(first.users.map(({ userId, status }) => [userId, status]), [[ann, 'offline']]);
  const is = (status) => watcher.until('presence:update', (p) => p.userId === ann && p.status === status);

  const one = await connect(t, server.url, '/events', { user: ann });
  const online = await is('online');
  assert.equal(online.activeConnections, 1);
  assert.match(online.lastSeen, ISO);
  ok(await one.ask('presence:set-status', { status: 'busy' }));
  await is('busy');
  const two = await connect(t, server.url, '/events', { user: ann });
  assert.equal((await watcher.until('presence:update', (p) => p.userId === ann && p.activeConnections === 2)).status, 'busy');
  ok(await two.ask('presence:heartbeat', { status: 'online' }));
  ok(await two.ask('presence:set-custom-status', { customStatus: 'In court' }));
  assert.equal((await watcher.until('presence:update', (p) => p.customStatus === 'In court')).status, 'busy');
  ok(await two.ask('presence:set-status', { status: 'online' }));
  await is('online');
  two.close();
  await watcher.until('presence:update', (p) => p.userId === ann && p.activeConnections === 1);
  one.close();
  assert.equal((await is('offline')).activeConnections, 0);
  refused(await watcher.ask('presence:set-status', { status: 'asleep' }), 'INVALID_INPUT');

  const three = await connect(t, server.url, '/events', { user: ann });
  ok(await three.ask('presence:heartbeat', { status: 'online' }));
  await is('away'); // ann does nothing
  ok(await three.ask('presence:heartbeat', { status: 'online' }));
  await is('online');
  ok(await three.ask('presence:idle'));
  await is('away'); // says so herself, and from now on a heartbeat is no activity
  ok(await three.ask('presence:heartbeat', { status: 'online' }));
  ok(await three.ask('presence:active'));
  await is('online');
});

test('presence: who shares a conversation sees it on /messaging, strangers do not', async (t) => {
  const [ann, bob] = [someone('ann'), someone('bob')];
  const a = await connect(t, server.url, '/messaging', { user: ann });
  ok(await a.ask('conversation:create', { memberIds: [bob] }));
  const stranger = await connect(t, server.url, '/messaging');
  const watcher = await connect(t, server.url, '/messaging', { user: ann });
  const b = await connect(t, server.url, '/messaging', { user: bob });
  const seen = await watcher.until('presence:update', (p) => p.userId === bob && p.status === 'online');
  assert.match(seen.lastSeen, ISO);
  b.close();
  await watcher.until('presence:update', (p) => p.userId === bob && p.status === 'offline');
  assert.ok(!stranger.waiting.some(({ name, args }) => name === 'presence:update' && args[0].userId === bob), 'a stranger hears of bob');
});

test('the dialect of socketService on /', async (t) => {
  const [ann, bob] = [someone('ann'), someone('bob')];
  const a = await connect(t, server.url, '/', { user: ann });
  const b = await connect(t, server.url, '/', { user: bob });
  const { conversationId } = ok(await a.ask('conversation:create', { memberIds: [bob] }));
  ok(await b.ask('conversation:join', { conversationId }));
  b.emit('typing', { conversationId, isTyping: false }); // who speaks the dialect hears it
  b.emit('presence:update', { isOnline: true });
  ok(await b.ask('notifications:subscribe'));
  ok(await a.ask('typing', { conversationId, isTyping: true }));
  const typing = await b.until('user:typing');
  assert.deepEqual([typing.conversationId, typing.userId, typing.isTyping], [conversationId, ann, true]);
  ok(await a.ask('typing', { conversationId, isTyping: false }));
  assert.equal((await b.until('user:typing')).isTyping, false);
  const { messageId } = ok(await a.ask('message:send', { conversationId, content: 'Hi' }));
  assert.equal((await b.until('message:new')).id, messageId);
  b.emit('message:delivered', { conversationId, messageId });
  b.emit('message:read', { conversationId, messageId });
  assert.equal((await a.until('message:read')).userId, bob);
  await bus.log(`notify.user.${escape(bob)}`, notice(1));
  assert.equal((await b.until('notification:new')).title, 't1');
});

test('dashboard: metrics follow the log, types filter', async (t) => {
  const user = someone();
  const client = await connect(t, server.url, '/dashboard', { user, scope: 'case:* dashboard:firm' });
  const sub = ok(await client.ask('dashboard:subscribe', { types: ['metrics', 'activity'] }));
  assert.deepEqual([...sub.subscriptions].sort(), ['activity', 'metrics']);
  const before = await client.until('dashboard:metrics');
  const id = someone('case');
  await bus.log(`lex.case.${id}.case.created`, {
    caseId: id, caseNumber: 'C-1', title: 'Doe v. Roe', clientId: 'c', createdBy: user, createdAt: new Date().toISOString(),
  });
  const later = await client.until('dashboard:metrics', ({ activeCases }) => activeCases > before.activeCases);
  for (const key of ['pendingTasks', 'upcomingDeadlines', 'recentActivity']) assert.equal(typeof later[key], 'number', key);
  assert.match(later.timestamp, ISO);
  ok(await client.ask('dashboard:request-refresh'));
  await client.until('dashboard:metrics');
  refused(await client.ask('dashboard:subscribe', { types: 'metrics' }), 'INVALID_INPUT');
});

test('dashboard: activity and figures of the cases that one may see, alerts for all', async (t) => {
  const mine = someone('case');
  const types = ['activity', 'case-stats', 'alert'];
  const viewer = await connect(t, server.url, '/dashboard', { scope: `case:${mine}` });
  const stranger = await connect(t, server.url, '/dashboard', { scope: 'case:other' });
  ok(await viewer.ask('dashboard:subscribe', { types }));
  ok(await stranger.ask('dashboard:subscribe', { types }));
  const activities = []; // they and the figures come in any order
  viewer.socket.on('dashboard:activity', (activity) => activities.push(activity));
  const task = { taskId: 't1', title: 'Draft', priority: 'high', createdBy: 'u', createdAt: new Date().toISOString() };
  await bus.log(`lex.case.${mine}.task.created`, task);
  await bus.log(`lex.case.${mine}.task.created`, { ...task, taskId: 't2' });
  await bus.log(`lex.case.${mine}.task.completed`, { taskId: 't1', title: 'Draft', completedBy: 'u', completedAt: new Date().toISOString() });
  const stats = await viewer.until('dashboard:case-stats', ({ activeTasks, progress }) => activeTasks === 1 && progress === 50);
  assert.equal(stats.caseId, mine);
  const activity = await eventually(() => activities.find(({ type }) => type === 'task_completed'), 'activity');
  assert.equal(activity.caseId, mine);
  for (const key of ['id', 'title', 'description']) assert.equal(typeof activity[key], 'string', key);
  assert.match(activity.timestamp, ISO);
  await bus.log('lex.all.all.system.alert', { id: 'a1', type: 'security', severity: 'critical', title: 'Alert', message: 'm' });
  const alert = await viewer.until('dashboard:alert', ({ title }) => title === 'Alert');
  assert.deepEqual([alert.severity, alert.type], ['critical', 'security']);
  await stranger.until('dashboard:alert', ({ title }) => title === 'Alert');
  assert.ok(!stranger.waiting.some(({ args }) => args[0]?.caseId === mine), 'a stranger hears of the case');
});

test('every service is to be seen on the bus and by its readiness', async () => {
  await eventually(async () => (await fetch(`${server.url}/readyz`)).status === 200, 'ready');
  const seen = new Set();
  const sub = bus.nc.subscribe('_INBOX.info.e2e', { callback: (_, m) => seen.add(m.json().name) });
  bus.nc.publish('$SRV.INFO', '', { reply: '_INBOX.info.e2e' });
  await eventually(() => ['presence', 'notifyd', 'msgd', 'dashboardd'].every((name) => seen.has(name)), () => `services: ${[...seen]}`);
  sub.unsubscribe();
});
