'use client';
import { messageStore } from '../stores/messages.js';
import { typingStore } from '../stores/typing.js';
import { useConnected, useLive, useRealtime } from './context.js';

/** The messages of one conversation, and what one does with them. Each change shows at once. */
export function useMessages(conversationId: string | null | undefined) {
  const store = messageStore(useRealtime(), conversationId ?? '');
  const state = useLive(store, !!conversationId);
  const isConnected = useConnected('/messaging', !!conversationId);
  return { ...state, isConnected, ...store.actions };
}

/** Who types in a conversation, and saying that the user does. */
export function useTypingIndicator(conversationId: string | null | undefined) {
  const store = typingStore(useRealtime(), conversationId ?? '');
  return { ...useLive(store, !!conversationId), ...store.actions };
}
