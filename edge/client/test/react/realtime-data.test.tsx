import { version } from 'react';
import { expect, test } from 'vitest';
import { useRealTimeData } from '@lexiflow/realtime/react';
import { client, eventually, is, outgoing, pause, someone, theBus, wire } from '../lib/page.js';
import { renderHook } from '../lib/render.js';

test('this project runs the React that it says', ({ task }) => {
  expect(version).toMatch(task.file.projectName === 'react 18.2' ? /^18\.2\./ : /^19\./);
});

test('inline subscribeData: one emit, whatever is rendered', async () => {
  const bus = await theBus();
  const realtime = client();
  const id = someone('case');
  const sent = outgoing(realtime, '/events');
  const hook = renderHook((_: number) => useRealTimeData<{ n: number }>({
    namespace: '/events', eventName: 'case:updated', subscribeEvent: 'subscribe:case', unsubscribeEvent: 'unsubscribe:case', subscribeData: { caseId: id },
    transform: (raw) => ({ n: raw.n }), onData: () => {},
  }), realtime, 0);
  expect(hook.current).toMatchObject({ data: null, isLoading: true, isSubscribed: false });
  await eventually(() => hook.current.isSubscribed, 'subscribed');
  for (let n = 1; n <= 20; n++) {
    hook.again(n);
    await pause(5);
  }
  await bus.log(`lex.case.${id}.case.updated`, { n: 7 });
  await eventually(() => hook.current.data?.n === 7, 'data');
  expect(hook.current).toMatchObject({ isLoading: false, isSubscribed: true, error: null });
  expect(hook.current.lastUpdate).toBeInstanceOf(Date);
  expect(sent).toEqual(['subscribe:case']);
  hook.unmount();
  await eventually(() => sent.length === 2, 'unsubscribed');
  expect(sent[1]).toBe('unsubscribe:case');
});

test('with an unsubscribeEvent it subscribes again after a reconnect that did not recover', async () => {
  const [line, bus] = [await wire(), await theBus()];
  const realtime = client({ url: line.url });
  const id = someone('case');
  const sent = outgoing(realtime, '/events');
  const hook = renderHook(() => useRealTimeData<any>({
    namespace: '/events', eventName: 'case:updated', subscribeEvent: 'subscribe:case', unsubscribeEvent: 'unsubscribe:case', subscribeData: { caseId: id },
  }), realtime, undefined);
  await eventually(() => hook.current.isSubscribed, 'subscribed');
  // The server does not know this session: what it subscribed to is gone.
  (realtime.channel('/events').socket as unknown as { _pid: string })._pid = 'AAAAAAAAAAAAAAAAAAAA';
  line.cut();
  await is(realtime, '/events', 'reconnecting');
  await eventually(() => !hook.current.isSubscribed, 'not subscribed while away');
  line.restore();
  await eventually(() => hook.current.isSubscribed, 'subscribed again');
  expect(realtime.channel('/events').getSnapshot().recovered).toBe(false);
  expect(sent).toEqual(['subscribe:case', 'subscribe:case']);
  await bus.log(`lex.case.${id}.case.updated`, { n: 9 });
  await eventually(() => hook.current.data?.n === 9, 'data');
});

test('two places on one connection each get their own case', async () => {
  const bus = await theBus();
  const realtime = client();
  const ids = [someone('case'), someone('case')] as const;
  const watch = (caseId: string) => renderHook(() => useRealTimeData<any>({
    namespace: '/events', eventName: 'case:updated', subscribeEvent: 'subscribe:case', unsubscribeEvent: 'unsubscribe:case', subscribeData: { caseId },
  }), realtime, undefined);
  const [one, two] = [watch(ids[0]), watch(ids[1])];
  await eventually(() => one.current.isSubscribed && two.current.isSubscribed, 'both');
  await bus.log(`lex.case.${ids[0]}.case.updated`, { n: 1 });
  await bus.log(`lex.case.${ids[1]}.case.updated`, { n: 2 });
  await eventually(() => two.current.data?.n === 2, 'two');
  expect(one.current.data?.n).toBe(1);
});

test('a refusal is an error, and no success', async () => {
  const realtime = client({ scope: 'case:other' });
  const errors: string[] = [];
  const id = someone('case');
  const hook = renderHook(() => useRealTimeData({
    namespace: '/events', eventName: 'case:updated', subscribeEvent: 'subscribe:case', subscribeData: { caseId: id },
    onError: (e) => errors.push(e.code),
  }), realtime, undefined);
  await eventually(() => hook.current.error, 'refused');
  expect(hook.current).toMatchObject({ isSubscribed: false, isLoading: false, data: null });
  expect(hook.current.error?.code).toBe('FORBIDDEN');
  await eventually(() => errors.length > 0, 'told'); // by an effect, which comes after the render that shows it
  expect(new Set(errors)).toEqual(new Set(['FORBIDDEN']));
});
