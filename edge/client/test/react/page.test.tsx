import { expect, onTestFinished, test } from 'vitest';
import { pageRealtime, storedToken, useNotifications, useWebSocket } from '@lexiflow/realtime/react';
import { client, eventually, pause, serverUrl, someone, theBus, tokenOf, wire } from '../lib/page.js';
import { renderHook } from '../lib/render.js';

test('without a provider: the page’s origin, and the token in localStorage', async () => {
  (window as unknown as { happyDOM: { setURL(url: string): void } }).happyDOM.setURL(serverUrl());
  localStorage.removeItem('auth');
  expect(storedToken()).toBeNull();
  const user = someone();
  const hook = renderHook(() => [useNotifications(), useWebSocket({ namespace: '/notifications' })] as const, undefined, undefined);
  onTestFinished(() => pageRealtime().disconnect());
  await eventually(() => hook.current[1].status === 'error', 'nobody has signed in');
  expect(hook.current[1].error?.code).toBe('NO_TOKEN');
  localStorage.setItem('auth', JSON.stringify({ accessToken: tokenOf(user), token: 'not this one' }));
  await eventually(() => hook.current[0].isConnected, 'connected by itself');
  await (await theBus()).log(`notify.user.${user}`, { type: 'case_update', title: 't', message: 'm' });
  await eventually(() => hook.current[0].unreadCount === 1, 'a notification of that user');
  expect(pageRealtime()).toBe(pageRealtime());
  localStorage.setItem('auth', JSON.stringify({ token: 'a' }));
  expect(storedToken()).toBe('a');
  localStorage.setItem('auth', 'not json');
  expect(storedToken()).toBeNull();
});

test('one place lets go, the others stay connected; the last one closes', async () => {
  const line = await wire();
  const realtime = client({ url: line.url });
  const one = renderHook(() => useWebSocket({ namespace: '/events' }), realtime, undefined);
  const two = renderHook(() => useWebSocket({ namespace: '/events' }), realtime, undefined);
  await eventually(() => one.current.isConnected && two.current.isConnected, 'both');
  one.current.disconnect();
  await eventually(() => one.current.status === 'disconnected', 'one is not');
  await pause(400);
  expect(two.current.isConnected).toBe(true);
  one.current.connect();
  await eventually(() => one.current.isConnected, 'one is again');
  expect(line.opened).toBe(1);
  one.unmount();
  two.unmount();
  await eventually(() => line.open === 0, 'closed');
});

test('a change of route keeps the connection', async () => {
  const line = await wire();
  const realtime = client({ url: line.url });
  const before = renderHook(() => useNotifications(), realtime, undefined);
  await eventually(() => before.current.isConnected, 'connected');
  before.unmount();
  await pause(50);
  const after = renderHook(() => useNotifications(), realtime, undefined);
  expect(after.current.isConnected).toBe(true);
  await pause(400);
  expect(after.current.isConnected).toBe(true);
  expect(line.opened).toBe(1);
  expect(realtime.channel('/notifications').getSnapshot().connects).toBe(1);
});

test('who mounts on an open connection is told so, once', async () => {
  const realtime = client();
  realtime.channel('/events').retain();
  await eventually(() => realtime.channel('/events').connected, 'connected');
  const calls: string[] = [];
  renderHook(() => useWebSocket({ namespace: '/events', onConnect: () => calls.push('connect'), onReconnect: () => calls.push('reconnect') }), realtime, undefined);
  await pause(50);
  expect(calls).toEqual(['connect']);
});

test('a handler that throws neither stops the others nor makes its event come again', async () => {
  const [line, bus] = [await wire(), await theBus()];
  const user = someone();
  const realtime = client({ user, url: line.url });
  const thrown: string[] = [];
  const caught = (error: Error) => thrown.push(error.message);
  process.prependListener('uncaughtException', caught);
  const others = process.listeners('uncaughtException').slice(1);
  for (const other of others) process.off('uncaughtException', other);
  onTestFinished(() => {
    process.off('uncaughtException', caught);
    for (const other of others) process.on('uncaughtException', other);
  });
  const got: number[] = [];
  realtime.on('notice', () => { throw new Error('mine'); });
  realtime.on('notice', ({ n }) => got.push(n));
  await eventually(() => realtime.channel('/events').connected, 'connected');
  await bus.log(`lex.user.${user}.notice`, { n: 1 });
  await eventually(() => got.length === 1, 'heard');
  line.drop();
  await eventually(() => realtime.channel('/events').getSnapshot().connects === 2, 'again');
  await bus.log(`lex.user.${user}.notice`, { n: 2 });
  await eventually(() => got.length === 2, 'heard');
  expect(got).toEqual([1, 2]);
  expect(thrown).toEqual(['mine', 'mine']);
});
