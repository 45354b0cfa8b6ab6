import type { Realtime } from '../core/client.js';
import { asRealtimeError, RealtimeError } from '../core/errors.js';
import { newClientId } from '../core/json.js';
import { shared } from '../core/shared.js';
import type { Conversation, Message, MessageEditRequest, MessageEvent, MessageSendRequest } from '../generated/index.js';
import { ConversationStore } from './conversation.js';
import type { Change } from './live.js';

/** How far a message of the user's own has come. */
export type MessageStatus = 'sending' | 'sent' | 'delivered' | 'read' | 'failed';

export interface ChatMessage extends Message {
  /** Of a message by somebody else it is `sent`. */
  status: MessageStatus;
  /** Why it failed, where it did. */
  error?: RealtimeError;
}

/** How far a member has come: everything up to these ids, nothing where they are empty. */
export interface Watermarks {
  readonly read: string;
  readonly delivered: string;
}

export interface MessagesState {
  /** Oldest first; those that are being sent at the end. */
  readonly messages: readonly ChatMessage[];
  readonly receipts: ReadonlyMap<string, Watermarks>;
  readonly conversation: Conversation | null;
  /** Messages of others that the user has not read. */
  readonly unreadCount: number;
  readonly isLoading: boolean;
  /** Whether there are older ones. */
  readonly hasMore: boolean;
  readonly error: RealtimeError | null;
}

interface State extends Omit<MessagesState, 'messages'> {
  readonly stored: readonly Message[]; // by id, which is by time
  readonly sending: readonly ChatMessage[];
  readonly me: string | null;
}

const EMPTY: State = {
  stored: [], sending: [], me: null, receipts: new Map(), conversation: null, unreadCount: 0, isLoading: true, hasMore: false, error: null,
};
const PAGE = 50;
const SEND_TIMEOUT = 30_000; // ms; sent again with the same clientId until then
const DELIVERED_PAUSE = 300; // ms, so that a burst is one receipt

/** The messages of one conversation. */
export class MessageStore extends ConversationStore<State, MessagesState> {
  #delivered = ''; // the newest message that the server knows to have arrived
  #reads = 0; // how often the server has acked that the user has read
  #heard = false; // whether others' receipts come by themselves
  #timer: ReturnType<typeof setTimeout> | undefined;

  protected override start(): void {
    this.join();
    this.here('message:new', (m) => this.#came(m));
    this.here('message:edited', ({ messageId, version, content, editedAt }) => {
      this.apply(changed(messageId, version, { content, isEdited: true, editedAt }));
    });
    this.here('message:deleted', (e) => this.apply(changed(e.messageId, e.version, gone(e.deletedAt))));
    this.here('conversation:updated', ({ title, memberIds, revision }) => this.apply(({ conversation }) => {
      if (!conversation || conversation.revision >= revision) return {};
      return { conversation: { ...conversation, memberIds, revision, title: title ?? conversation.title } };
    }));
    this.here('message:read', (e) => this.apply(reached(e.userId, e.messageId)));
    this.here('message:delivered', (e) => this.apply(reached(e.userId, '', e.messageId)));
    this.keep(() => clearTimeout(this.#timer));
  }

  protected override connected(fresh: boolean): void {
    this.merge({ me: this.#me() });
    if (!fresh) return;
    this.#delivered = '';
    this.#heard = false;
    this.#page().then(() => this.#deliver(0), () => {});
  }

  readonly actions = {
    /** Loads the next older page. */
    loadMore: async (): Promise<void> => {
      const { isLoading, hasMore, stored } = this.base;
      if (!isLoading && hasMore) await this.#page(stored[0]?.id);
    },

    /** Shows the message at once and sends it, again with the same name if the connection is lost meanwhile. */
    send: (content: string, attachments: readonly string[] = []): Promise<Message> => {
      const clientId = newClientId();
      const createdAt = new Date().toISOString();
      const message = asMessage({
        id: clientId, clientId, conversationId: this.conversationId, content, senderId: this.#me() ?? '', attachments: [...attachments],
        createdAt, timestamp: createdAt,
      });
      this.merge({ sending: [...this.base.sending, { ...message, status: 'sending' }] });
      return this.#send(message);
    },

    /** Sends a failed message again. It carries the name that it had, so it cannot arrive twice. */
    retry: async (clientId: string): Promise<Message> =>
      this.#send(found(this.base.sending.find((m) => m.clientId === clientId && m.status === 'failed'))),

    /** Takes a failed message away. */
    discard: (clientId: string): void => {
      this.merge({ sending: this.base.sending.filter((m) => m.clientId !== clientId || m.status !== 'failed') });
    },

    edit: (messageId: string, content: string): Promise<Message> => (
      this.#change(messageId, { content, isEdited: true }, 'message:edit', { content })
    ),

    remove: (messageId: string): Promise<Message> => (
      this.#change(messageId, gone(new Date().toISOString()), 'message:delete')
    ),

    /** Says that the user has read everything up to a message, by default the newest. */
    markAsRead: async (messageId = this.base.stored.at(-1)?.id): Promise<void> => {
      const me = this.#me();
      if (!messageId || !me || (this.getSnapshot().receipts.get(me)?.read ?? '') >= messageId) return;
      const newest = this.base.stored.at(-1)?.id === messageId;
      await this.attempt(
        (s) => ({ ...reached(me, messageId)(s), unreadCount: newest ? 0 : s.unreadCount }),
        () => this.ask('message:read', { conversationId: this.conversationId, messageId }),
        (_, { unreadCount }) => {
          this.#reads++;
          return { unreadCount };
        },
      );
    },
  };

  async #change(messageId: string, to: Partial<Message>, command: 'message:edit' | 'message:delete', more?: { content: string }): Promise<Message> {
    const { version } = found(this.getSnapshot().messages.find(({ id }) => id === messageId));
    const { message } = await this.attempt(
      changed(messageId, version + 1, to),
      () => this.ask(command as 'message:edit', { conversationId: this.conversationId, messageId, ...more } as MessageEditRequest),
      ({ stored }, ack) => put(stored, [ack.message]),
    );
    return message;
  }

  #me(): string | null {
    return this.channel.getSnapshot().userId;
  }

  async #send({ error: _, ...message }: Message & Pick<ChatMessage, 'error'>): Promise<Message> {
    const { clientId, content, attachments } = message;
    const show = (next: Partial<ChatMessage>) => {
      this.merge({ sending: this.base.sending.map((m) => (m.clientId === clientId ? { ...message, ...next } as ChatMessage : m)) });
    };
    show({ status: 'sending' });
    try {
      const request = { conversationId: this.conversationId, content, clientId, ...(attachments?.length && { attachments }) } as MessageSendRequest;
      const ack = await this.ask('message:send', request, { timeout: SEND_TIMEOUT });
      if (this.running) this.#came(ack.message);
      return asMessage(ack.message);
    } catch (error) {
      show({ status: 'failed', error: asRealtimeError(error) });
      throw error;
    }
  }

  #came(event: MessageEvent): void {
    const mine = event.senderId === this.#me();
    this.apply((s) => {
      const known = s.stored.some(({ id }) => id === event.id);
      const sending = mine && event.clientId !== undefined ? s.sending.filter((m) => m.clientId !== event.clientId) : s.sending;
      const next = known ? {} : put(s.stored, [asMessage(event)]);
      return { ...next, sending, unreadCount: s.unreadCount + (known || mine ? 0 : 1) };
    });
    this.#deliver(DELIVERED_PAUSE);
  }

  #deliver(pause: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#arrived().catch(() => {}), pause);
  }

  // Tells that everything loaded has arrived. An author hears how far others are only after having said so
  // itself, so the user's own messages count too, and what others said before has to be asked for.
  async #arrived(): Promise<void> {
    const conversationId = this.conversationId;
    const messageId = this.base.stored.at(-1)?.id ?? '';
    if (messageId > this.#delivered) {
      await this.ask('message:delivered', { conversationId, messageId });
      this.#delivered = messageId;
    }
    if (this.#heard) return;
    const before = this.#reads;
    const { conversation, receipts } = await this.ask('conversation:members', { conversationId });
    // The user has read on meanwhile, and the answer may count what was read: ask again.
    if (this.running && this.#reads !== before) return this.#deliver(0);
    this.#heard = this.#delivered !== '';
    this.merge({ conversation, unreadCount: conversation.unreadCount });
    for (const { userId, readMessageId, deliveredMessageId } of receipts) this.apply(reached(userId, readMessageId, deliveredMessageId));
  }

  #page(before?: string): Promise<void> {
    return this.load(
      () => this.ask('message:history', { conversationId: this.conversationId, limit: PAGE, before }),
      (s, { messages, hasMore }) => {
        const first = messages[0]?.id ?? '';
        // A newest page that does not reach what is here would leave a hole: what is older is loaded on demand.
        const reaches = s.stored.some(({ id }) => id >= first) && s.stored[0]!.id < first;
        const kept = before || reaches || !hasMore ? s.stored : s.stored.filter(({ id }) => id >= first);
        return { ...put(kept, messages), hasMore: !before && reaches ? s.hasMore : hasMore };
      },
    );
  }
}

/** The messages of one of the client's conversations. */
export function messageStore(client: Realtime, conversationId: string): MessageStore {
  return shared(client, `messages ${conversationId}`, () => new MessageStore(client, conversationId, EMPTY, view));
}

// view is the state as a page shows it.
function view({ stored, sending, me, ...rest }: State): MessagesState {
  let delivered = '';
  let read = '';
  for (const [user, marks] of rest.receipts) {
    if (user === me) continue;
    read = later(read, marks.read);
    delivered = later(delivered, marks.delivered);
  }
  const how = ({ senderId, id }: Message): MessageStatus => (senderId === me ? (id <= read ? 'read' : id <= delivered ? 'delivered' : 'sent') : 'sent');
  return { ...rest, messages: [...stored.map((m) => ({ ...m, status: how(m) })), ...sending] };
}

function found<T>(message: T | undefined): T {
  if (!message) throw new RealtimeError('NOT_FOUND', 'no such message is here');
  return message;
}

const asMessage = (event: MessageEvent): Message => ({ ...event, version: 1, isEdited: false, isDeleted: false });

const gone = (deletedAt: string): Partial<Message> => ({ content: '', attachments: [], isDeleted: true, deletedAt });

// changed applies a version to a message that has an older one.
function changed(id: string, version: number, to: Partial<Message>): Change<State> {
  return (s) => ({ stored: s.stored.map((m) => (m.id === id && m.version < version ? { ...m, ...to, version } : m)) });
}

// put adds messages at their places; of one that is there the newer version stays.
function put(stored: readonly Message[], messages: readonly Message[]): Pick<State, 'stored'> {
  const byId = new Map(stored.map((m) => [m.id, m]));
  for (const m of messages) if ((byId.get(m.id)?.version ?? 0) < m.version) byId.set(m.id, m);
  return { stored: [...byId.values()].sort((a, b) => (a.id < b.id ? -1 : 1)) };
}

// reached lifts a member's watermarks, which only rise. Who has read a message has it.
function reached(userId: string, toRead?: string, toDelivered?: string): Change<State> {
  return (s) => {
    const have = s.receipts.get(userId);
    const read = later(have?.read, toRead);
    const delivered = later(later(have?.delivered, toDelivered), read);
    return { receipts: new Map(s.receipts).set(userId, { read, delivered }) };
  };
}

const later = (a = '', b = ''): string => (a > b ? a : b);
