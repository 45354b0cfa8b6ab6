'use client';
import { messageStore } from '../stores/messages.js';
import { typingStore } from '../stores/typing.js';
import { useLive, useRealtime } from './context.js';
import { useConnection } from './useWebSocket.js';

/** The messages of one conversation, and what one does with them. Each change shows at once. */
export function useMessages(conversationId: string | null | undefined) {
  const client = useRealtime();
  const store = messageStore(client, conversationId ?? '');
  const state = useLive(store.view, !!conversationId);
  const isConnected = useConnection(client.channel('/messaging'), !!conversationId).status === 'connected';
  return { ...state, isConnected, ...store.actions };
}

/** Who types in a conversation, and saying that the user does. */
export function useTypingIndicator(conversationId: string | null | undefined) {
  const store = typingStore(useRealtime(), conversationId ?? '');
  return { ...useLive(store, !!conversationId), ...store.actions };
}
