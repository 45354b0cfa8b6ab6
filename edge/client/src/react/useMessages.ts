'use client';
import { useMemo } from 'react';
import { messageStore } from '../stores/messages.js';
import { typingStore } from '../stores/typing.js';
import { useLive, useRealtime } from './context.js';
import { useConnection } from './useWebSocket.js';

/** The messages of one conversation, and what one does with them. Each change shows at once. */
export function useMessages(conversationId: string | null | undefined) {
  const client = useRealtime();
  const store = messageStore(client, conversationId ?? '');
  const state = useLive(useMemo(() => ({ subscribe: store.subscribe, getSnapshot: store.getView }), [store]), store.getInitialView, !!conversationId);
  const isConnected = useConnection(client.channel('/messaging'), !!conversationId).status === 'connected';
  const actions = useMemo(() => ({
    /** Resolves with the stored message. What failed stays in the list, to be retried or discarded. */
    send: (content: string, attachments?: readonly string[]) => store.send(content, attachments),
    retry: (clientId: string) => store.retry(clientId),
    discard: (clientId: string) => store.discard(clientId),
    edit: (messageId: string, content: string) => store.edit(messageId, content),
    remove: (messageId: string) => store.remove(messageId),
    /** Everything up to this message, by default the newest. */
    markAsRead: (messageId?: string) => store.markAsRead(messageId),
    loadMore: () => store.loadMore(),
  }), [store]);
  return { ...state, isConnected, ...actions };
}

/** Who types in a conversation, and saying that the user does. */
export function useTypingIndicator(conversationId: string | null | undefined) {
  const store = typingStore(useRealtime(), conversationId ?? '');
  const { typingUsers, isTyping } = useLive(store, store.getInitialSnapshot, !!conversationId);
  const actions = useMemo(() => ({
    /** To be called with every key; the stop comes by itself. */
    startTyping: () => store.startTyping(),
    stopTyping: () => store.stopTyping(),
  }), [store]);
  return { typingUsers, isTyping, ...actions };
}
