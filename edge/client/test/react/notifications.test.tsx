import { expect, inject, test } from 'vitest';
import { useNotifications } from '@lexiflow/realtime/react';
import { busOf, client, eventually, is, outgoing, someone, theBus, wire } from '../lib/page.js';
import { renderHook } from '../lib/render.js';

const escape = (id: string) => id.replace(/[^A-Za-z0-9_-]/g, (c) => `=${c.charCodeAt(0).toString(16).toUpperCase()}`);
const notice = (n: number) => ({ type: 'case_update', title: `t${n}`, message: `m${n}`, priority: 'high' });
const tell = async (user: string, n: number) => (await theBus()).log(`notify.user.${escape(user)}`, notice(n));
const shown = (hook: { current: ReturnType<typeof useNotifications> }) => hook.current.notifications.map(({ title, read }) => [title, read]);

// One user on two devices.
function devices() {
  const user = someone();
  const [one, two] = [client({ user }), client({ user })];
  const first = renderHook(() => useNotifications(), one, undefined);
  const second = renderHook(() => useNotifications(), two, undefined);
  return { user, one, two, first, second };
}

test('told, read, unread, all read and deleted, on every device', async () => {
  const { user, first, second } = devices();
  await eventually(() => first.current.isConnected && second.current.isConnected, 'connected');
  for (const n of [1, 2, 3]) await tell(user, n);
  await eventually(() => first.current.unreadCount === 3 && second.current.notifications.length === 3, 'three');
  expect(shown(first)).toEqual([['t3', false], ['t2', false], ['t1', false]]);
  const [newest, , oldest] = first.current.notifications;
  expect((await first.current.markAsRead(oldest!.id)).unreadCount).toBe(2);
  await eventually(() => second.current.unreadCount === 2 && second.current.notifications[2]!.read, 'read there too');
  await second.current.markAsUnread(oldest!.id);
  await eventually(() => first.current.unreadCount === 3 && !first.current.notifications[2]!.read, 'unread here too');
  // The original did not listen to notification:all-read.
  await first.current.markAllAsRead();
  await eventually(() => second.current.unreadCount === 0 && second.current.notifications.every(({ read }) => read), 'all read there');
  await second.current.deleteNotification(newest!.id);
  await eventually(() => first.current.notifications.length === 2, 'deleted here');
  expect(shown(first)).toEqual([['t2', true], ['t1', true]]);
});

test('what was kept is there from the start, page by page', async () => {
  const user = someone();
  for (let n = 1; n <= 25; n++) await tell(user, n);
  const probe = client({ user });
  await eventually(async () => (await probe.command('notification:list', {})).unreadCount === 25, 'kept');
  const hook = renderHook(() => useNotifications(), client({ user }), undefined);
  await eventually(() => hook.current.notifications.length === 20, 'first page');
  expect(hook.current).toMatchObject({ unreadCount: 25, hasMore: true });
  await hook.current.loadMore();
  await eventually(() => hook.current.notifications.length === 25, 'second page');
  expect(hook.current.hasMore).toBe(false);
  expect(shown(hook)[24]).toEqual(['t1', false]);
});

test('shows at once, and takes back what was refused', async () => {
  const bus = await busOf(inject('bareNatsUrl')); // without the service that could do it
  const user = someone();
  const hook = renderHook(() => useNotifications(), client({ user, url: inject('bareUrl') }), undefined);
  await eventually(() => hook.current.isConnected && hook.current.error?.code === 'UNAVAILABLE', 'no history');
  await bus.log(`lex.user.${user}.notification.new`, { id: 'n1', ...notice(1), createdAt: new Date().toISOString() });
  await bus.log(`lex.user.${user}.notification.count`, { count: 1 });
  await eventually(() => hook.current.unreadCount === 1 && hook.current.notifications.length === 1, 'one');
  for (const [what, act] of Object.entries({
    read: () => hook.current.markAsRead('n1'), all: () => hook.current.markAllAsRead(), deleted: () => hook.current.deleteNotification('n1'),
  })) {
    const seen = hook.history.length;
    await expect(act()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(hook.history.slice(seen).some((r) => r.unreadCount === 0), `${what}: shown at once`).toBe(true);
    await eventually(() => hook.current.unreadCount === 1 && hook.current.notifications[0]?.read === false, `${what}: taken back`);
  }
});

test('after a connection that was not recovered, the list is what the server has', async () => {
  const line = await wire();
  const user = someone();
  const realtime = client({ user, url: line.url });
  const hook = renderHook(() => useNotifications(), realtime, undefined);
  await tell(user, 1);
  await eventually(() => hook.current.notifications.length === 1, 'one');
  const sent = outgoing(realtime, '/notifications');
  (realtime.channel('/notifications').socket as unknown as { _pid: string })._pid = 'AAAAAAAAAAAAAAAAAAAA';
  line.cut();
  await is(realtime, '/notifications', 'reconnecting');
  await tell(user, 2);
  const other = client({ user });
  await eventually(async () => (await other.command('notification:list', {})).notifications.length === 2, 'kept');
  await other.command('notification:mark-read', { notificationId: hook.current.notifications[0]!.id });
  line.restore();
  await eventually(() => hook.current.notifications.length === 2 && hook.current.unreadCount === 1, 'all of it');
  expect(shown(hook)).toEqual([['t2', false], ['t1', true]]);
  expect(sent).toEqual(['notification:list']);
});
