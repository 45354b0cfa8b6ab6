import type { Realtime } from '../core/client.js';
import { shared } from '../core/shared.js';
import { ConversationStore } from './conversation.js';

export interface TypingState {
  /** Who types, without the user. */
  readonly typingUsers: readonly string[];
  /** Whether the user does. */
  readonly isTyping: boolean;
}

const EMPTY: TypingState = { typingUsers: [], isTyping: false };
const STOP_AFTER = 3_000; // ms after the last start of the user's own
const SAY_AGAIN = 2_500; // ms between two starts that are sent, however many keys are pressed
const FORGET_AFTER = 6_000; // ms after another's start; the server says the stop after 5 s, unless it gets lost

/** Who types in a conversation. */
export class TypingStore extends ConversationStore<TypingState> {
  readonly #forget = new Map<string, ReturnType<typeof setTimeout>>();
  #stopTimer: ReturnType<typeof setTimeout> | undefined;
  #said = 0;

  protected override start(): void {
    this.join();
    this.here('typing:start', ({ userId }) => this.#typing(userId));
    this.here('typing:stop', ({ userId }) => this.#stopped(userId));
    this.here('message:new', ({ senderId }) => this.#stopped(senderId));
    this.keep(() => {
      if (this.base.isTyping) this.#say('typing:stop');
      clearTimeout(this.#stopTimer);
      for (const timer of this.#forget.values()) clearTimeout(timer);
      this.#forget.clear();
      this.#said = 0;
    });
  }

  protected override connected(fresh: boolean): void {
    if (fresh) this.#said = 0;
  }

  readonly actions = {
    /** To be called with every key: the server hears of it now and then. */
    startTyping: (): void => {
      if (!this.running) return;
      if (!this.base.isTyping) this.merge({ isTyping: true });
      clearTimeout(this.#stopTimer);
      this.#stopTimer = setTimeout(this.actions.stopTyping, STOP_AFTER);
      if (Date.now() - this.#said < SAY_AGAIN) return;
      this.#said = Date.now();
      this.#say('typing:start');
    },

    stopTyping: (): void => {
      clearTimeout(this.#stopTimer);
      if (!this.base.isTyping) return;
      this.#said = 0;
      this.merge({ isTyping: false });
      this.#say('typing:stop');
    },
  };

  // Typing passes: what cannot be said now is not said later.
  #say(event: 'typing:start' | 'typing:stop'): void {
    if (this.channel.connected) this.ask(event, { conversationId: this.conversationId }).catch(() => {});
  }

  #typing(userId: string): void {
    if (userId === this.channel.getSnapshot().userId) return;
    clearTimeout(this.#forget.get(userId));
    this.#forget.set(userId, setTimeout(() => this.#stopped(userId), FORGET_AFTER));
    this.merge({ typingUsers: [...new Set(this.base.typingUsers).add(userId)] });
  }

  #stopped(userId: string): void {
    clearTimeout(this.#forget.get(userId));
    this.#forget.delete(userId);
    this.merge({ typingUsers: this.base.typingUsers.filter((id) => id !== userId) });
  }
}

/** Who types in one of the client's conversations. */
export function typingStore(client: Realtime, conversationId: string): TypingStore {
  return shared(client, `typing ${conversationId}`, () => new TypingStore(client, conversationId, EMPTY));
}
