import { type Conversation, useRealtime, useWebSocket } from '@lexiflow/realtime/react';
import { useCallback, useEffect, useState } from 'react';

const SOON = 200; // ms, so that a burst asks once

/** The user's conversations, the last active first. */
export function useConversations() {
  const client = useRealtime();
  const { socket, isConnected } = useWebSocket({ namespace: '/messaging' });
  const [list, setList] = useState<readonly Conversation[] | null>(null);
  const [error, setError] = useState('');

  const load = useCallback(async () => {
    try {
      const { conversations } = await client.command('conversation:list', { limit: 50 });
      setList(conversations);
      setError('');
    } catch (e) {
      setError((e as Error).message);
    }
  }, [client]);

  useEffect(() => {
    if (!isConnected) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const soon = () => {
      clearTimeout(timer);
      timer = setTimeout(() => void load(), SOON);
    };
    const moves = ['conversation:updated', 'message:new', 'message:edited', 'message:deleted', 'message:read'];
    for (const event of moves) socket.on(event, soon);
    void load();
    return () => {
      clearTimeout(timer);
      for (const event of moves) socket.off(event, soon);
    };
  }, [socket, isConnected, load]);
  return { list, error, load };
}
