// What `lexiflow schema` says, against what a running system does, read by another implementation of
// JSON Schema than the one that publishes: ajv.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import specs from '@asyncapi/specs';
import Ajv from 'ajv';
import Ajv2020 from 'ajv/dist/2020.js';
import { Bus } from './lib/bus.mjs';
import { connect, ISO } from './lib/client.mjs';
import { run, up } from './lib/program.mjs';
import { eventually } from './lib/time.mjs';
import { someone, tokenOf } from './lib/token.mjs';

let server;
let bus;
let document; // AsyncAPI
let valid; // (name of a message, value) fails the test unless the value fits
before(async () => {
  server = await up(['--services', 'all', '--digest-window', '100ms', '--push-interval', '100ms']);
  bus = await Bus.connect(server.natsUrl);
  document = await printed(['schema', '--asyncapi']);
  const ajv = new Ajv2020({ strict: false, allErrors: true, formats: { 'date-time': ISO } });
  ajv.addSchema(document, 'bus');
  valid = (message, value) => {
    const check = ajv.getSchema(`bus#/components/messages/${message}/payload`);
    assert.ok(check, `there is no ${message}`);
    assert.ok(check(value), `${message} ${JSON.stringify(value)}: ${ajv.errorsText(check.errors)}`);
  };
});
after(async () => {
  await bus?.close();
  await server?.stop();
});

async function printed(args) {
  const p = await run(args);
  assert.equal(await p.end(), 0, p.log);
  return JSON.parse(p.log);
}

const token = (name) => name.replaceAll(':', '.');
const messages = (prefix) => Object.entries(document.components.messages)
  .filter(([id]) => id.startsWith(`${prefix}.`) && !id.includes('undeclared')).map(([, { name }]) => name);

test('the AsyncAPI document is one, by its own schema', () => {
  const check = new Ajv({ strict: false, allErrors: true, validateFormats: false }).compile(specs.schemasWithoutId['3.0.0']);
  assert.ok(check(document), JSON.stringify(check.errors));
  assert.ok(!check({ ...document, channels: { x: { adress: 'typo' } } }), 'the check notices a fault');
});

test('a schema that was saved to a file works alone', async () => {
  const check = new Ajv2020({ strict: false, formats: { 'date-time': ISO } }).compile(await printed(['schema', 'document:processed']));
  assert.ok(check({ documentId: 'd1', fileName: 'a.pdf', status: 'failed', error: 'too blurred', pages: 7 }), JSON.stringify(check.errors));
  for (const wrong of [{ status: 'done' }, { documentId: 7 }, { timestamp: 'today' }, { fileName: undefined }]) {
    const payload = JSON.parse(JSON.stringify({ documentId: 'd1', fileName: 'a.pdf', status: 'failed', ...wrong }));
    assert.ok(!check(payload), JSON.stringify(payload));
  }
});

test('the checks notice a fault', () => {
  assert.throws(() => valid('ack.ping', { success: 'yes' }), /boolean/);
  assert.throws(() => valid('event.document.processed', { documentId: 'd1', fileName: 'f', status: 'done' }), /allowed values/);
  assert.throws(() => valid('event.no.such', {}), /there is no/);
});

test('every declared command is acked as its schema says, and what is heard meanwhile fits too', async (t) => {
  const [ann, bob] = [someone('ann'), someone('bob')];
  const scope = 'case:* dashboard:firm';
  const a = await connect(t, server.url, '/ws', { user: ann, scope });
  const b = await connect(t, server.url, '/ws', { user: bob, scope });
  const heard = new Map(); // name → payloads
  for (const client of [a, b]) {
    for (const { name, args } of [...client.greeting, { name: 'connected', args: [client.welcome] }]) keep(name, args[0]);
    client.socket.onAny((name, payload) => keep(name, payload));
  }
  function keep(name, payload) { heard.set(name, [...heard.get(name) ?? [], payload]); }

  const asked = new Set();
  async function ask(client, name, request) {
    if (request !== undefined) valid(`request.${token(name)}`, request);
    const ack = await client.ask(name, ...(request === undefined ? [] : [request]));
    valid(`ack.${token(name)}`, ack);
    assert.notEqual(ack.success, false, `${name}: ${JSON.stringify(ack)}`);
    asked.add(name);
    return ack;
  }

  const caseId = `contract-${process.pid}`;
  await ask(a, 'subscribe:case', { caseId });
  await ask(a, 'notification:follow', { caseId });
  for (const client of [a, b]) await ask(client, 'join_room', { room: 'hall' });
  await ask(a, 'send_message', { room: 'hall', message: { any: ['thing'] } });
  await ask(b, 'leave_room', { room: 'hall' });
  await ask(b, 'join-room', 'hall');
  await ask(b, 'leave-room', 'hall');
  await ask(a, 'ping');
  await ask(a, 'auth:refresh', { token: tokenOf(ann, scope) });

  for (const request of [{ status: 'busy' }, { status: 'online' }]) await ask(b, 'presence:set-status', request);
  await ask(a, 'presence:subscribe', { userIds: [bob] });
  await ask(b, 'presence:set-activity', { activity: 'reading' });
  await ask(b, 'presence:clear-activity', {});
  await ask(b, 'presence:set-custom-status', { customStatus: 'in court' });
  await ask(b, 'presence:clear-custom-status');
  await ask(b, 'presence:heartbeat', { status: 'online', activity: 'reading' });
  await ask(b, 'presence:active');
  await ask(b, 'presence:idle');
  await ask(b, 'presence:update', { isOnline: true });
  await ask(a, 'presence:unsubscribe', { userIds: [bob] });

  const { conversationId } = await ask(a, 'conversation:create', { title: 'Smith', memberIds: [bob], clientId: 'c1' });
  for (const client of [a, b]) await ask(client, 'conversation:join', { conversationId });
  for (const name of ['typing:start', 'typing:stop']) await ask(b, name, { conversationId });
  await ask(b, 'typing', { conversationId, isTyping: true });
  const { messageId, message } = await ask(a, 'message:send', { conversationId, content: 'hello', attachments: ['doc-1'] });
  assert.match(message.timestamp, ISO);
  await ask(b, 'message:delivered', { conversationId, messageId });
  await ask(b, 'message:read', { conversationId, messageId });
  await ask(a, 'message:edit', { conversationId, messageId, content: 'hello again' });
  await ask(a, 'message:versions', { conversationId, messageId });
  for (const client of [a, b]) await ask(client, 'conversation:list', {});
  await ask(a, 'conversation:members', { conversationId, add: [someone('cyd')] });
  await ask(a, 'message:delete', { conversationId, messageId });
  for (const { timestamp } of (await ask(b, 'message:history', { conversationId, limit: 10 })).messages) assert.match(timestamp, ISO);
  await ask(b, 'conversation:leave', { conversationId });

  await bus.log(`lex.case.${caseId}.document.uploaded`, {
    documentId: 'd1', fileName: 'a.pdf', fileSize: 1, mimeType: 'application/pdf', uploadedBy: bob, uploadedAt: new Date().toISOString(),
  });
  await bus.log(`notify.user.${ann}`, { type: 'task_assigned', title: 'Draft', message: 'by noon' });
  const { id: notificationId } = await a.until('notification:new', ({ title }) => title === 'Draft');
  await ask(a, 'notification:mark-read', { notificationId });
  for (const { timestamp } of (await ask(a, 'notification:list', {})).notifications) assert.match(timestamp, ISO);
  await ask(a, 'notification:mark-unread', { notificationId });
  await ask(a, 'notification:mark-all-read');
  await ask(a, 'notification:preferences', { set: { muted: ['comment_added'], quietHours: { enabled: false, days: [] } } });
  await ask(a, 'notification:delete', { notificationId, wasUnread: false });
  await ask(a, 'notification:unfollow', { caseId });
  await ask(a, 'notifications:subscribe');
  await ask(a, 'notifications:unsubscribe');

  await ask(a, 'dashboard:subscribe', { types: ['metrics', 'activity', 'case-stats'] });
  await ask(a, 'dashboard:request-refresh', {});
  await ask(a, 'dashboard:unsubscribe', { types: ['activity'] });
  await ask(b, 'subscribe:case', { caseId, since: '0' });
  assert.ok((await ask(a, 'history', { room: `case:${caseId}`, limit: 5 })).events.length > 0);
  await ask(a, 'unsubscribe:case', { caseId });
  assert.deepEqual(messages('request').filter((name) => !asked.has(name)), [], 'commands that nobody tried');

  for (const refused of ['notification:mark-read', 'message:send', 'subscribe:case']) {
    const ack = await a.ask(refused, {});
    assert.equal(ack.success, false);
    const { Refusal } = document.components.schemas;
    for (const key of Object.keys(ack)) assert.ok(key in Refusal.properties, `${key} of a refusal`);
    for (const key of Refusal.required) assert.ok(key in ack, `a refusal has ${key}`);
  }

  // Written down on purpose: these must have been heard for the checks to mean anything.
  const expected = [
    'connected', 'user_joined', 'user_left', 'message', 'pong', 'presence:update', 'presence:bulk-update',
    'conversation:updated', 'typing:start', 'typing:stop', 'message:new', 'message:read', 'message:edited',
    'message:deleted', 'document:uploaded', 'notification:new', 'notification:read', 'notification:unread',
    'notification:all-read', 'notification:deleted', 'notification:count', 'dashboard:metrics',
  ];
  await eventually(() => expected.every((name) => heard.has(name)), () => `of ${expected} only ${[...heard.keys()]} came`);
  const declared = new Set(messages('event'));
  for (const [name, payloads] of heard) {
    assert.ok(declared.has(name), `${name} is declared`);
    for (const payload of payloads) {
      valid(`event.${token(name)}`, payload);
      assert.match(payload.timestamp ?? '', ISO, `timestamp of ${name} ${JSON.stringify(payload)}`);
    }
  }
});
