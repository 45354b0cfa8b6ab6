import { expect, test } from 'vitest';
import { useDashboard } from '@lexiflow/realtime/react';
import { client, eventually, outgoing, someone, theBus } from '../lib/page.js';
import { renderHook } from '../lib/render.js';

const firm = 'case:* dashboard:firm';

test('metrics, activity, figures and alerts, without asking', async () => {
  const bus = await theBus();
  const user = someone();
  const hook = renderHook(() => useDashboard(), client({ user, scope: firm }), undefined);
  await eventually(() => hook.current.metrics, 'metrics');
  const before = hook.current.metrics!.activeCases;
  const caseId = someone('case');
  const at = new Date().toISOString();
  await bus.log(`lex.case.${caseId}.case.created`, { caseId, caseNumber: 'C-1', title: 'Doe v. Roe', clientId: 'c', createdBy: user, createdAt: at });
  await bus.log(`lex.case.${caseId}.task.created`, { taskId: 't1', title: 'Draft', priority: 'high', createdBy: 'u', createdAt: at });
  await bus.log(`lex.case.${caseId}.task.completed`, { taskId: 't1', title: 'Draft', completedBy: 'u', completedAt: at });
  await bus.log('lex.all.all.system.alert', { id: 'a1', type: 'security', severity: 'critical', title: caseId, message: 'm' });
  await eventually(() => hook.current.metrics!.activeCases > before, 'one more case');
  await eventually(() => hook.current.caseStats.get(caseId)?.progress === 100, 'figures');
  await eventually(() => hook.current.activities.some((a) => a.caseId === caseId && a.type === 'task_completed'), 'activity');
  await eventually(() => hook.current.alerts.some(({ title }) => title === caseId), 'alert');
  expect(hook.current.isConnected).toBe(true);
});

test('who asks for little does not take it from who wants everything', async () => {
  const realtime = client({ scope: firm });
  const sent: [string, { types: string[] }][] = [];
  realtime.channel('/dashboard').socket.onAnyOutgoing((event: string, data: { types: string[] }) => sent.push([event, data]));
  const little = renderHook(() => useDashboard(), realtime, undefined);
  await eventually(() => little.current.metrics, 'connected');
  expect(await little.current.subscribe(['metrics'])).toEqual(['metrics']);
  expect(sent).toEqual([['dashboard:subscribe', { types: ['metrics'] }]]);
  const all = renderHook(() => useDashboard(), realtime, undefined);
  await eventually(() => sent.length === 2, 'everything else');
  expect(sent[1]).toEqual(['dashboard:subscribe', { types: ['activity', 'case-stats', 'team-activity', 'alert'] }]);
  all.unmount();
  await eventually(() => sent.length === 3, 'given back');
  expect(sent[2]).toEqual(['dashboard:unsubscribe', { types: ['activity', 'case-stats', 'team-activity', 'alert'] }]);
  expect(await little.current.unsubscribe(['metrics'])).toEqual([]);
});

test('who comes late has metrics too, and refresh brings them', async () => {
  const realtime = client({ scope: firm });
  const off = realtime.channel('/dashboard').retain();
  await eventually(() => realtime.channel('/dashboard').getSnapshot().userId, 'connected');
  const hook = renderHook(() => useDashboard(), realtime, undefined);
  await eventually(() => hook.current.metrics, 'metrics');
  const first = hook.current.metrics;
  const sent = outgoing(realtime, '/dashboard');
  await hook.current.refresh();
  await eventually(() => hook.current.metrics !== first, 'fresh ones');
  expect(sent).toEqual(['dashboard:request-refresh']);
  off();
});
