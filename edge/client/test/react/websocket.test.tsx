import { expect, test } from 'vitest';
import { useDashboard, useMultiUserPresence, useNotifications, usePresence, useTypingIndicator, useUserPresence, useWebSocket, useWebSocketEvent } from '@lexiflow/realtime/react';
import { client, eventually, pause, someone, theBus, token, tokenOf, wire } from '../lib/page.js';
import { renderHook } from '../lib/render.js';

test('every hook of a page shares one engine connection', async () => {
  const line = await wire();
  const realtime = client({ url: line.url });
  const user = someone();
  const hook = renderHook(() => [
    useWebSocket({ namespace: '/events' }).isConnected, useWebSocket({ namespace: '/events' }).isConnected, usePresence().isConnected,
    useUserPresence(user).isOffline, useMultiUserPresence([user]).totalCount === 1, useNotifications().isConnected,
    useDashboard().isConnected, useTypingIndicator('c1').typingUsers.length === 0, useWebSocket({ namespace: '/messaging' }).isConnected,
  ], realtime, undefined);
  await eventually(() => hook.current.every(Boolean), () => `all connected: ${hook.current}`);
  expect(line.opened).toBe(1);
});

test('isReconnecting while the connection is lost, for as long as it takes; then recovered', async () => {
  const line = await wire();
  const realtime = client({ url: line.url });
  const calls: string[] = [];
  const hook = renderHook(() => useWebSocket({
    namespace: '/events',
    onConnect: () => calls.push('connect'),
    onDisconnect: (reason) => calls.push(`disconnect ${reason}`),
    onReconnect: (n) => calls.push(n > 0 ? 'reconnect' : 'reconnect without an attempt'),
    onError: (e) => calls.push(`error ${e.code}`),
  }), realtime, undefined);
  expect(hook.current).toMatchObject({ status: 'connecting', isConnecting: true, isConnected: false });
  await eventually(() => hook.current.isConnected, 'connected');
  line.cut();
  await eventually(() => hook.current.isReconnecting, 'reconnecting');
  expect(hook.current).toMatchObject({ status: 'reconnecting', isConnected: false });
  // The original gave up after five attempts.
  await eventually(() => hook.current.reconnectAttempt >= 8, 'attempts', 10_000);
  expect(hook.current.error?.code).toBe('CONNECTION_FAILED');
  line.restore();
  await eventually(() => hook.current.isConnected, 'connected again');
  expect(hook.current).toMatchObject({ recovered: true, reconnectAttempt: 0, error: null });
  expect(calls.filter((c) => !c.startsWith('error'))).toEqual(['connect', 'disconnect transport close', 'connect', 'reconnect']);
  expect(new Set(calls.filter((c) => c.startsWith('error')))).toEqual(new Set(['error CONNECTION_FAILED']));
});

test('inline auth and callbacks do not reconnect', async () => {
  const line = await wire();
  const realtime = client({ url: line.url });
  const mine = tokenOf(someone());
  const hook = renderHook((n: number) => useWebSocket({
    namespace: '/events', auth: { token: mine }, onConnect: () => n, onDisconnect: () => n, onError: () => n, onReconnect: () => n,
  }), realtime, 0);
  await eventually(() => hook.current.isConnected, 'connected');
  const { socket } = hook.current;
  const { id } = socket;
  for (let n = 1; n <= 10; n++) {
    hook.again(n);
    await pause(5);
  }
  expect(hook.current.socket).toBe(socket);
  expect(socket.id).toBe(id);
  expect(realtime.channel('/events').getSnapshot().connects).toBe(1);
  expect(line.opened).toBe(1);
});

test('another token takes the place of the one before, in place', async () => {
  const line = await wire();
  const user = someone();
  const realtime = client({ url: line.url, getToken: null });
  const hook = renderHook((auth: string) => useWebSocket({ namespace: '/events', auth: { token: auth } }), realtime, tokenOf(user));
  await eventually(() => hook.current.isConnected, 'connected');
  hook.again(token({ sub: user, scope: 'case:late' }));
  await eventually(async () => {
    const ack: any = await hook.current.emit('subscribe:case', { caseId: 'late' });
    return ack.status === 'subscribed';
  }, 'the new scope');
  expect(line.opened).toBe(1);
});

test('on and once from before the connection are kept, and gone with the component', async () => {
  const [line, bus] = [await wire(), await theBus()];
  const realtime = client({ url: line.url });
  const got: string[] = [];
  const user = someone();
  const mine = tokenOf(user);
  const handler = () => got.push('on');
  const single = () => got.push('once');
  const hook = renderHook(() => useWebSocket({ namespace: '/events', autoConnect: false, auth: { token: mine } }), realtime, undefined);
  hook.current.on('notice', handler);
  hook.current.once('notice', single);
  hook.current.connect();
  await eventually(() => hook.current.isConnected, 'connected');
  await bus.log(`lex.user.${user}.notice`, {});
  await eventually(() => got.length === 2, () => `both, got ${got}`);
  line.drop();
  await eventually(() => realtime.channel('/events').getSnapshot().connects === 2, 'connected again');
  await bus.log(`lex.user.${user}.notice`, {});
  await eventually(() => got.length === 3, () => `one more, got ${got}`);
  expect(got).toEqual(['on', 'once', 'on']);
  hook.unmount();
  expect(realtime.channel('/events').socket.listeners('notice')).toEqual([]);
});

test('emit: acks as they are, and a rejection where there is none', async () => {
  const [line, bus] = [await wire(), await theBus()];
  const realtime = client({ url: line.url, timeout: 400 });
  const hook = renderHook(() => useWebSocket({ namespace: '/events', autoConnect: false }), realtime, undefined);
  await expect(hook.current.emit('ping')).rejects.toMatchObject({ code: 'NOT_CONNECTED' });
  hook.current.connect();
  await eventually(() => hook.current.isConnected, 'connected');
  expect(await hook.current.emit('ping')).toEqual({ success: true });
  expect(await hook.current.emit('nobody:answers')).toMatchObject({ success: false, code: 'UNAVAILABLE' });
  const sub = bus.nc.subscribe('cmd.slow.one', { callback: () => {} }); // somebody who never answers
  await bus.nc.flush();
  await expect(hook.current.emit('slow:one', {})).rejects.toMatchObject({ code: 'TIMEOUT' });
  const lost = hook.current.emit('slow:one', {}, { timeout: 5_000 });
  await pause(50);
  line.drop();
  await expect(lost).rejects.toMatchObject({ code: 'DISCONNECTED' });
  sub.unsubscribe();
});

test('useWebSocketEvent listens once, with the newest handler', async () => {
  const bus = await theBus();
  const user = someone();
  const realtime = client({ user });
  const got: number[] = [];
  const hook = renderHook((n: number) => {
    const { socket, isConnected } = useWebSocket({ namespace: '/events' });
    useWebSocketEvent(socket, 'notice', () => got.push(n));
    return isConnected;
  }, realtime, 1);
  await eventually(() => hook.current, 'connected');
  hook.again(2);
  await bus.log(`lex.user.${user}.notice`, {});
  await eventually(() => got.length > 0, 'heard');
  expect(got).toEqual([2]);
  expect(realtime.channel('/events').socket.listeners('notice').length).toBe(1);
});

test('a refused token is an error with its code, and no token is no connection', async () => {
  const line = await wire();
  const refused = client({ url: line.url, getToken: 'not a token' });
  const hook = renderHook(() => useWebSocket({ namespace: '/events' }), refused, undefined);
  await eventually(() => hook.current.status === 'error', 'refused');
  expect(hook.current.error?.code).toBe('AUTH_FAILED');
  const opened = line.opened;
  const none = client({ url: line.url, getToken: () => null });
  const other = renderHook(() => useWebSocket({ namespace: '/events' }), none, undefined);
  await eventually(() => other.current.status === 'error', 'no token');
  expect(other.current.error?.code).toBe('NO_TOKEN');
  expect(line.opened).toBe(opened);
});
