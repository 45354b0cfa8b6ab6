import { expect, test } from 'vitest';
import type { Realtime } from '@lexiflow/realtime';
import { useMessages, useTypingIndicator } from '@lexiflow/realtime/react';
import { client, eventually, is, pause, someone, theBus, wire } from '../lib/page.js';
import { renderHook } from '../lib/render.js';

async function conversation(by: Realtime, ...memberIds: string[]): Promise<string> {
  return (await by.command('conversation:create', { title: 'Matter 7', memberIds })).conversationId;
}
const contents = (hook: { current: ReturnType<typeof useMessages> }) => hook.current.messages.map(({ content, status }) => [content, status]);

async function twoMembers() {
  const [ann, bob] = [someone('ann'), someone('bob')];
  const [a, b] = [client({ user: ann }), client({ user: bob })];
  const id = await conversation(a, bob);
  return { ann, bob, a, b, id };
}

test('sent, delivered, read; edited and deleted: the same for both', async () => {
  const { ann, bob, a, b, id } = await twoMembers();
  const hers = renderHook(() => useMessages(id), a, undefined);
  const his = renderHook(() => useMessages(id), b, undefined);
  await eventually(() => hers.current.conversation && his.current.conversation && !his.current.isLoading, 'loaded');
  const sent = await hers.current.send('Hello');
  expect(hers.history.some(({ messages }) => messages[0]?.status === 'sending'), 'shown at once').toBe(true);
  await eventually(() => his.current.messages.length === 1, 'arrived');
  expect(his.current).toMatchObject({ unreadCount: 1 });
  await eventually(() => contents(hers)[0]![1] === 'delivered', () => `delivered: ${JSON.stringify(contents(hers))}`);
  await his.current.markAsRead();
  await eventually(() => contents(hers)[0]![1] === 'read', 'read');
  expect(his.current.unreadCount).toBe(0);
  expect(hers.current.receipts.get(bob)?.read).toBe(sent.id);
  await hers.current.edit(sent.id, 'Hello!');
  await eventually(() => his.current.messages[0]!.content === 'Hello!' && his.current.messages[0]!.isEdited, 'edited');
  await hers.current.remove(sent.id);
  await eventually(() => his.current.messages[0]!.isDeleted, 'deleted');
  expect(hers.current.messages.map(({ content, senderId }) => [content, senderId])).toEqual([['', ann]]);
});

test('a page that is opened later knows which messages are the user’s own, and how far they came', async () => {
  const { ann, a, b, id } = await twoMembers();
  const { messageId } = await a.command('message:send', { conversationId: id, content: 'Mine' });
  await b.command('message:read', { conversationId: id, messageId });
  const later = renderHook(() => useMessages(id), client({ user: ann }), undefined);
  await eventually(() => later.current.messages[0]?.status === 'read', () => JSON.stringify(contents(later)));
  expect(later.current.unreadCount).toBe(0);
});

test('an edit of somebody else’s message shows, is refused, and is taken back', async () => {
  const { a, b, id } = await twoMembers();
  await a.command('message:send', { conversationId: id, content: 'Mine' });
  const his = renderHook(() => useMessages(id), b, undefined);
  await eventually(() => his.current.messages.length === 1, 'loaded');
  await expect(his.current.edit(his.current.messages[0]!.id, 'Yours')).rejects.toMatchObject({ code: 'FORBIDDEN' });
  expect(his.history.some(({ messages }) => messages[0]?.content === 'Yours'), 'shown at once').toBe(true);
  await eventually(() => his.current.messages[0]!.content === 'Mine', 'taken back');
});

test('history comes in pages, in order', async () => {
  const { a, b, id } = await twoMembers();
  for (let n = 1; n <= 60; n++) await a.command('message:send', { conversationId: id, content: `m${n}` });
  const his = renderHook(() => useMessages(id), b, undefined);
  await eventually(() => his.current.messages.length === 50 && his.current.unreadCount === 60, 'first page');
  expect(his.current.hasMore).toBe(true);
  await his.current.loadMore();
  await eventually(() => his.current.messages.length === 60, 'second page');
  expect(his.current.hasMore).toBe(false);
  expect(his.current.messages.map(({ content }) => content)).toEqual(Array.from({ length: 60 }, (_, n) => `m${n + 1}`));
});

test('a message sent while the connection is lost arrives, once', async () => {
  const line = await wire();
  const [ann, bob] = [someone('ann'), someone('bob')];
  const [a, b] = [client({ user: ann, url: line.url }), client({ user: bob })];
  const id = await conversation(a, bob);
  const hers = renderHook(() => useMessages(id), a, undefined);
  const his = renderHook(() => useMessages(id), b, undefined);
  await eventually(() => hers.current.conversation && his.current.conversation, 'loaded');
  // Lost with the answer under way: the server has the message, its author does not know.
  const one = hers.current.send('one');
  line.drop();
  line.cut();
  await is(a, '/messaging', 'reconnecting');
  const two = hers.current.send('two');
  await pause(50);
  expect(contents(hers)).toEqual([['one', 'sending'], ['two', 'sending']]);
  line.restore();
  await Promise.all([one, two]);
  await eventually(() => his.current.messages.length === 2, () => `both: ${JSON.stringify(contents(his))}`);
  await pause(100);
  expect(his.current.messages.map(({ content }) => content).sort()).toEqual(['one', 'two']);
  expect(hers.current.messages).toHaveLength(2);
});

test('what is refused stays, failed, and can be retried or discarded', async () => {
  const { a, id } = await twoMembers();
  const hers = renderHook(() => useMessages(id), a, undefined);
  await eventually(() => hers.current.conversation, 'loaded');
  await expect(hers.current.send('x'.repeat(10_001))).rejects.toMatchObject({ code: 'MESSAGE_TOO_LARGE' });
  await eventually(() => hers.current.messages[0]?.status === 'failed', 'failed');
  const { clientId } = hers.current.messages[0]!;
  await expect(hers.current.retry(clientId!)).rejects.toMatchObject({ code: 'MESSAGE_TOO_LARGE' });
  hers.current.discard(clientId!);
  await eventually(() => hers.current.messages.length === 0, 'discarded');
});

test('after a connection that was not recovered nothing is missing', async () => {
  const line = await wire();
  const [ann, bob] = [someone('ann'), someone('bob')];
  const [a, b] = [client({ user: ann }), client({ user: bob, url: line.url })];
  const id = await conversation(a, bob);
  await a.command('message:send', { conversationId: id, content: 'before' });
  const his = renderHook(() => useMessages(id), b, undefined);
  await eventually(() => his.current.messages.length === 1, 'loaded');
  (b.channel('/messaging').socket as unknown as { _pid: string })._pid = 'AAAAAAAAAAAAAAAAAAAA';
  line.cut();
  await is(b, '/messaging', 'reconnecting');
  await a.command('message:send', { conversationId: id, content: 'meanwhile' });
  line.restore();
  await eventually(() => his.current.messages.length === 2, 'both');
  expect(his.current.messages.map(({ content }) => content)).toEqual(['before', 'meanwhile']);
});

test('who may not read is told so', async () => {
  const { id } = await twoMembers();
  const eve = renderHook(() => useMessages(id), client(), undefined);
  await eventually(() => eve.current.error, 'an error');
  expect(eve.current.error!.code).toMatch(/FORBIDDEN|NOT_FOUND/);
  expect(eve.current).toMatchObject({ isLoading: false, messages: [] });
  const none = renderHook(() => useMessages(null), client(), undefined);
  expect(none.current).toMatchObject({ isConnected: false, messages: [] });
});

test('typing shows, stops by itself, and costs one event for many keys', async () => {
  const { ann, bob, a, b, id } = await twoMembers();
  const bus = await theBus();
  let asked = 0;
  const sub = bus.nc.subscribe('cmd.typing.start', { callback: () => asked++ }); // beside the service that answers
  await bus.nc.flush();
  const hers = renderHook(() => useTypingIndicator(id), a, undefined);
  const his = renderHook(() => useTypingIndicator(id), b, undefined);
  await is(a, '/messaging', 'connected');
  await is(b, '/messaging', 'connected');
  asked = 0;
  for (let key = 0; key < 20; key++) {
    his.current.startTyping();
    await pause(5);
  }
  await eventually(() => hers.current.typingUsers.length === 1, 'typing');
  expect(hers.current.typingUsers).toEqual([bob]);
  expect(his.current).toMatchObject({ isTyping: true, typingUsers: [] });
  await pause(50);
  expect(asked).toBe(1);
  await eventually(() => !his.current.isTyping && hers.current.typingUsers.length === 0, 'stops by itself');
  hers.current.startTyping();
  await eventually(() => his.current.typingUsers.includes(ann), 'the other way');
  hers.current.stopTyping();
  await eventually(() => his.current.typingUsers.length === 0, 'stopped');
  sub.unsubscribe();
});
