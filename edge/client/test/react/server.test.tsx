// @vitest-environment node
import { StrictMode } from 'react';
import { renderToString } from 'react-dom/server';
import { expect, test } from 'vitest';
import {
  createRealtime, RealtimeProvider, useDashboard, useMessages, useMultiUserPresence, useNotifications, usePresence, useRealTimeData, useTypingIndicator,
  useUserPresence, useWebSocket, useWebSocketEvent,
} from '@lexiflow/realtime/react';

function Everything() {
  const { status, socket } = useWebSocket({ namespace: '/events', auth: { token: 'x' } });
  useWebSocketEvent(socket, 'x', () => {});
  const { isLoading, data } = useRealTimeData<number>({ namespace: '/events', eventName: 'x', subscribeEvent: 'subscribe:case', subscribeData: { caseId: '1' }, initialData: 7 });
  const { notifications, unreadCount } = useNotifications();
  const { metrics, activities } = useDashboard();
  const { typingUsers } = useTypingIndicator('c1');
  const { messages } = useMessages('c1');
  const { myStatus, isUserOnline } = usePresence();
  const { isOffline } = useUserPresence('u1');
  const { totalCount } = useMultiUserPresence(['u1', 'u2']);
  return <p>{JSON.stringify([
    status, isLoading, data, notifications, unreadCount, metrics, activities, typingUsers, messages, myStatus, isUserOnline('u1'), isOffline, totalCount,
  ])}</p>;
}

const expected = '<p>[&quot;disconnected&quot;,false,7,[],0,null,[],[],[],&quot;online&quot;,false,true,2]</p>';

test('a server renders all of it without a window, with and without a provider', () => {
  expect(typeof window).toBe('undefined');
  expect(renderToString(<StrictMode><Everything /></StrictMode>)).toBe(expected);
  const client = createRealtime({ getToken: () => { throw new Error('a server does not connect'); } });
  expect(renderToString(<RealtimeProvider client={client}><Everything /></RealtimeProvider>)).toBe(expected);
  expect(client.getSnapshot().status).toBe('disconnected');
});
