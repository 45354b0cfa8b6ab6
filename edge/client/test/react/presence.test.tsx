import { expect, test } from 'vitest';
import { formatLastSeen, getPresenceStatusDisplay, PresenceStatus, useMultiUserPresence, usePresence, useUserPresence, watchActivity } from '@lexiflow/realtime/react';
import { client, eventually, outgoing, pause, someone, theBus } from '../lib/page.js';
import { renderHook } from '../lib/render.js';

// Users who share a case's list see each other without asking.
async function sharing(...users: string[]): Promise<void> {
  await (await theBus()).log(`lex.case.${someone('case')}.access.changed`, { allow: users, deny: [], revision: 1 });
  const probe = client({ user: users[0]! });
  await eventually(async () => {
    probe.disconnect();
    const off = probe.channel('/events').retain();
    await eventually(() => probe.channel('/events').greeting('presence:bulk-update'), 'a snapshot');
    off();
    return probe.channel('/events').greeting('presence:bulk-update')!.users.length >= users.length;
  }, 'presence knows the list');
  probe.disconnect();
}

test('somebody watched: unknown, online, busy with a text, offline', async () => {
  const [ann, bob] = [someone('ann'), someone('bob')];
  const hook = renderHook(() => useUserPresence(ann), client({ user: bob }), undefined);
  expect(hook.current).toMatchObject({ presence: null, isOnline: false, isOffline: true, lastSeen: null });
  await eventually(() => hook.current.presence?.status === 'offline', 'known to be away');
  const hers = client({ user: ann });
  const mine = renderHook(() => usePresence(), hers, undefined);
  await eventually(() => hook.current.isOnline, 'online');
  await mine.current.setStatus(PresenceStatus.BUSY);
  await mine.current.setCustomStatus('In court');
  await eventually(() => hook.current.isBusy && hook.current.customStatus === 'In court', 'busy');
  await mine.current.setActivity('Reading a brief');
  await eventually(() => hook.current.currentActivity === 'Reading a brief', 'activity');
  expect(mine.current).toMatchObject({ myStatus: 'busy', myActivity: 'Reading a brief', myCustomStatus: 'In court' });
  await mine.current.setActivity(null);
  await eventually(() => hook.current.currentActivity === null, 'no activity');
  hers.disconnect();
  await eventually(() => hook.current.isOffline, 'offline');
});

test('an announcement that is older than what is known changes nothing', async () => {
  const [ann, bob] = [someone('ann'), someone('bob')];
  const hook = renderHook(() => useUserPresence(ann), client({ user: bob }), undefined);
  await eventually(() => hook.current.presence, 'known');
  const bus = await theBus();
  const say = (customStatus: string, second: number) => bus.pub(`state.presence.${ann}.presence.update`, {
    userId: ann, status: 'online', lastSeen: '2026-01-01T00:00:00.000Z', activeConnections: 1, customStatus, timestamp: `2026-01-01T00:00:0${second}.000Z`,
  });
  say('two', 2);
  await eventually(() => hook.current.customStatus === 'two', 'two');
  say('one', 1);
  say('three', 3);
  await eventually(() => hook.current.customStatus === 'three', 'three');
  expect(hook.history.map(({ customStatus }) => customStatus)).not.toContain('one');
});

test('how the user is on one device shows on the next from the start', async () => {
  const ann = someone('ann');
  const first = renderHook(() => usePresence(), client({ user: ann }), undefined);
  await eventually(() => first.current.isConnected, 'connected');
  await first.current.setStatus('busy');
  await first.current.setCustomStatus('In court');
  const second = renderHook(() => usePresence(), client({ user: ann }), undefined);
  await eventually(() => second.current.myStatus === 'busy' && second.current.myCustomStatus === 'In court', 'the same there');
  await second.current.setStatus('online');
  await eventually(() => first.current.myStatus === 'online', 'and here');
});

test('nobody is online of whom nothing is known', async () => {
  const hook = renderHook(() => usePresence(), client(), undefined);
  await eventually(() => hook.current.isConnected, 'connected');
  const stranger = someone();
  expect(hook.current.isUserOnline(stranger)).toBe(false);
  expect(hook.current.getPresence(stranger)).toBeNull();
  expect(hook.current.getMultiplePresence([stranger])).toEqual([{ userId: stranger, status: 'offline', lastSeen: '', activeConnections: 0 }]);
});

test('an inline list is subscribed to once, and only its differences later', async () => {
  const [ann, bob, eve] = [someone('ann'), someone('bob'), someone('eve')];
  const realtime = client();
  const asked: [string, unknown][] = [];
  realtime.channel('/events').socket.onAnyOutgoing((event: string, data: unknown) => event.startsWith('presence:') && asked.push([event, data]));
  const hook = renderHook((ids: string[]) => useMultiUserPresence([...ids]), realtime, [bob, ann, bob]);
  await eventually(() => hook.current.offlineCount === 2 && asked.length > 0, 'two');
  for (let n = 0; n < 10; n++) {
    hook.again(n % 2 ? [ann, bob] : [bob, ann]);
    await pause(5);
  }
  expect(hook.current.totalCount).toBe(2);
  hook.again([bob, eve]);
  await eventually(() => asked.length === 3, () => `asked ${JSON.stringify(asked)}`);
  expect(asked).toEqual([
    ['presence:subscribe', { userIds: [ann, bob] }], ['presence:subscribe', { userIds: [eve] }], ['presence:unsubscribe', { userIds: [ann] }],
  ]);
  const theirs = client({ user: eve });
  theirs.channel('/events').retain();
  await eventually(() => hook.current.onlineCount === 1, 'eve');
  expect(hook.current.presenceMap.get(eve)?.status).toBe('online');
});

test('who shares a case is seen without asking, also by who looks late', async () => {
  const [ann, bob] = [someone('ann'), someone('bob')];
  await sharing(ann, bob);
  const realtime = client({ user: ann });
  realtime.channel('/events').retain();
  await eventually(() => realtime.channel('/events').getSnapshot().userId, 'connected');
  const his = client({ user: bob });
  his.channel('/events').retain();
  await eventually(() => his.channel('/events').connected, 'bob');
  await pause(400); // presence says so while nobody listens here
  const hook = renderHook(() => usePresence(), realtime, undefined);
  await eventually(() => hook.current.isUserOnline(bob), 'bob is online');
  his.disconnect();
  await eventually(() => !hook.current.isUserOnline(bob), 'bob is gone');
});

test('what the server refuses is taken back', async () => {
  const hook = renderHook(() => usePresence(), client(), undefined);
  await eventually(() => hook.current.isConnected, 'connected');
  await hook.current.setCustomStatus('Here');
  await eventually(() => hook.current.myCustomStatus === 'Here', 'set');
  const long = 'x'.repeat(5_000);
  await expect(hook.current.setCustomStatus(long)).rejects.toMatchObject({ code: 'INVALID_INPUT' });
  expect(hook.history.some(({ myCustomStatus }) => myCustomStatus === long), 'shown at once').toBe(true);
  await eventually(() => hook.current.myCustomStatus === 'Here', 'taken back');
});

test('pointer and keys are active, a hidden page is idle, once for the page', async () => {
  const [ann, bob] = [someone('ann'), someone('bob')];
  const realtime = client({ user: ann });
  const sent = outgoing(realtime, '/events');
  const stop = watchActivity(realtime, { hiddenAfter: 50, repeatEvery: 1_500 });
  const one = renderHook(() => usePresence(), realtime, undefined);
  const two = renderHook(() => usePresence(), realtime, undefined);
  const other = renderHook(() => useUserPresence(ann), client({ user: bob }), undefined);
  await eventually(() => one.current.isConnected && two.current.isConnected && other.current.isOnline, 'online');
  const activity = () => sent.filter((e) => e === 'presence:active' || e === 'presence:idle');
  await eventually(() => activity().length === 1, 'says so when it connects');
  Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true });
  document.dispatchEvent(new Event('visibilitychange'));
  await eventually(() => other.current.isAway, 'away');
  Object.defineProperty(document, 'visibilityState', { value: 'visible', configurable: true });
  document.dispatchEvent(new Event('visibilitychange'));
  for (let n = 0; n < 50; n++) window.dispatchEvent(new Event('pointermove'));
  await eventually(() => other.current.isOnline, 'back');
  expect(activity()).toEqual(['presence:active', 'presence:idle', 'presence:active']);
  await pause(1_520);
  window.dispatchEvent(new Event('keydown'));
  window.dispatchEvent(new Event('keydown'));
  await eventually(() => activity().length === 4, 'said again after a while');
  stop();
});

test('places beat together: at once on connect and on a change, then regularly', async () => {
  const realtime = client();
  const sent = outgoing(realtime, '/events');
  const beats = () => sent.filter((e) => e === 'presence:heartbeat').length;
  const every = 2_000;
  const begun = Date.now();
  const hooks = [1, 2, 3].map(() => renderHook(() => usePresence({ heartbeatInterval: every }), realtime, undefined));
  const [hook] = hooks;
  await eventually(() => hooks.every(({ current }) => current.isConnected) && beats() === 1, 'one on connect');
  await hook?.current.setActivity('reading');
  await eventually(() => beats() === 2, 'one on a change');
  await eventually(() => beats() >= 4, 'regularly', 5 * every);
  // Places apart have half an interval between beats at least, and three of them would have had nine by now.
  expect(beats()).toBeLessThanOrEqual(2 + Math.ceil((Date.now() - begun) / (every / 2)));
  for (const { unmount } of hooks) unmount();
});

test('helpers', () => {
  expect(getPresenceStatusDisplay('busy')).toMatchObject({ color: 'red', label: 'Busy' });
  expect(Object.values(PresenceStatus).map((s) => getPresenceStatusDisplay(s).color)).toEqual(['green', 'yellow', 'red', 'gray']);
  const now = new Date('2026-01-10T12:00:00Z');
  const ago = (minutes: number) => formatLastSeen(new Date(now.getTime() - minutes * 60_000).toISOString(), now);
  expect([ago(0), ago(1), ago(59), ago(60), ago(23 * 60), ago(24 * 60), formatLastSeen('', now)]).toEqual(
    ['Just now', '1 minute ago', '59 minutes ago', '1 hour ago', '23 hours ago', '1 day ago', 'Never'],
  );
});
