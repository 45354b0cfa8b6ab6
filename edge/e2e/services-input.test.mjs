// What clients send that they should not: every command of the services answers nonsense with a code
// of its sender's making, soon, and works for everybody afterwards.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { connect } from './lib/client.mjs';
import { up } from './lib/program.mjs';
import { someone } from './lib/token.mjs';

let server;
before(async () => { server = await up(['--services', 'all', '--rate-limit', '1000000', '--max-payload', '2MiB']); });
after(async () => { await server?.stop(); });

const COMMANDS = {
  '/notifications': [
    'notification:mark-read', 'notification:mark-unread', 'notification:mark-all-read', 'notification:delete', 'notification:list',
    'notification:preferences', 'notification:follow', 'notification:unfollow',
  ],
  '/messaging': [
    'conversation:create', 'conversation:list', 'conversation:members', 'conversation:join', 'conversation:leave',
    'message:send', 'message:read', 'message:delivered', 'message:history', 'message:edit', 'message:delete', 'message:versions',
    'typing:start', 'typing:stop',
  ],
  '/events': [
    'presence:set-status', 'presence:set-activity', 'presence:clear-activity', 'presence:set-custom-status', 'presence:clear-custom-status',
    'presence:heartbeat', 'presence:active', 'presence:idle', 'presence:subscribe', 'presence:unsubscribe',
  ],
  '/dashboard': ['dashboard:subscribe', 'dashboard:unsubscribe', 'dashboard:request-refresh'],
  '/': ['typing', 'presence:update', 'notifications:subscribe', 'notifications:unsubscribe'],
};

const long = 'x'.repeat(1_000_000);
const FIELDS = [
  'notificationId', 'caseId', 'conversationId', 'messageId', 'content', 'memberIds', 'userIds', 'types', 'status', 'activity', 'customStatus',
  'limit', 'cursor', 'before', 'set', 'add', 'remove', 'title', 'attachments', 'clientId', 'isTyping', 'isOnline',
];
const all = (value) => Object.fromEntries(FIELDS.map((field) => [field, value]));
const NONSENSE = {
  nothing: [], null: [null], 'a number': [7], 'a string': ['x'], 'an array': [[]], 'an empty object': [{}], 'two arguments': [{}, {}],
  numbers: [all(-1)], 'huge numbers': [all(1e308)], nulls: [all(null)], objects: [all({ a: {} })], lists: [all([[], {}, null])],
  'empty strings': [all('')], wildcards: [all('*.>')], 'line breaks': [all('a\r\nb\u0000')], 'lists of wildcards': [all(['>', '*', '', ' '])],
  'a long string': [{ conversationId: long, content: long.slice(0, 100) }], 'a long text': [{ conversationId: 'c', content: long }],
  'a hundred thousand users': [{ memberIds: Array(100_000).fill('u'), userIds: Array.from({ length: 100_000 }, (_, i) => `u${i}`) }],
  'keys of prototypes': [JSON.parse('{"__proto__":{"a":1},"constructor":7,"conversationId":"__proto__","notificationId":"__proto__"}')],
  'ids of others': [{ conversationId: 'conv-0', messageId: 'msg-0', notificationId: 'n-0' }],
};
const BLAMED = /^(INVALID_INPUT|INVALID_MESSAGE|INVALID_EVENT|MESSAGE_TOO_LARGE|FORBIDDEN|NOT_FOUND|CONFLICT|ROOM_LIMIT_EXCEEDED)$/;

for (const [namespace, commands] of Object.entries(COMMANDS)) {
  for (const command of commands) {
    test(`${command} answers nonsense`, async (t) => {
      const client = await connect(t, server.url, namespace);
      for (const [name, args] of Object.entries(NONSENSE)) {
        const ack = await client.ask(command, ...args);
        assert.equal(typeof ack?.success, 'boolean', `${name}: ${JSON.stringify(ack)}`);
        if (!ack.success) {
          assert.match(ack.code, BLAMED, `${name}: ${JSON.stringify(ack).slice(0, 300)}`);
          assert.ok(typeof ack.error === 'string' && ack.error.length > 0 && ack.error.length < 500, `${name}: ${JSON.stringify(ack).slice(0, 600)}`);
        }
      }
    });
  }
}

test('and everything works afterwards', async (t) => {
  assert.equal((await fetch(`${server.url}/readyz`)).status, 200);
  const user = someone();
  const messages = await connect(t, server.url, '/messaging', { user });
  const made = await messages.ask('conversation:create', { memberIds: [] });
  assert.equal(made.success, true, JSON.stringify(made));
  const sent = await messages.ask('message:send', { conversationId: made.conversationId, content: 'x' });
  assert.equal(sent.success, true, JSON.stringify(sent));
  const bell = await connect(t, server.url, '/notifications', { user });
  assert.equal((await bell.ask('notification:list', {})).success, true);
  const events = await connect(t, server.url, '/events', { user });
  assert.equal((await events.ask('presence:set-status', { status: 'busy' })).success, true);
  const board = await connect(t, server.url, '/dashboard', { user });
  assert.equal((await board.ask('dashboard:subscribe', { types: ['metrics'] })).success, true);
});
