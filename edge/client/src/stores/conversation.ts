import type { Realtime } from '../core/client.js';
import type { EventMap } from '../generated/index.js';
import { LiveStore } from './live.js';

type ConversationEventName = { [E in keyof EventMap]: EventMap[E] extends { conversationId: string } ? E : never }[keyof EventMap];

/** State of one conversation. */
export abstract class ConversationStore<S, Shown = S> extends LiveStore<S, Shown> {
  protected readonly conversationId: string;

  constructor(client: Realtime, conversationId: string, initial: S, view?: (state: S) => Shown) {
    super(client, '/messaging', initial, view);
    this.conversationId = conversationId;
  }

  // Whoever is in the conversation is in its room from CONNECT on. Joining is for those who left it, and
  // there is no leaving: other parts of the page may listen to the same room.
  protected join(): void {
    this.keep(this.channel.interests.acquire({ subscribe: 'conversation:join', data: { conversationId: this.conversationId } }).release);
  }

  /** Listens to an event of this conversation. */
  protected here<E extends ConversationEventName>(event: E, handler: (payload: EventMap[E]) => void): void {
    this.on(event, (payload) => {
      if (payload.conversationId === this.conversationId) handler(payload);
    });
  }
}
