import { type Conversation, useRealtime } from '@lexiflow/realtime/react';
import { ArrowLeft, MessageSquarePlus } from 'lucide-react';
import { useState, type FormEvent } from 'react';
import { Ago } from '../ago';
import { useFailure } from '../failure';
import { useFirm } from '../firm';
import { nameOf } from '../people';
import { useConversations } from './list';
import { Thread } from './thread';

/** The user's conversations, and the one that is open. */
export function MessagesPage() {
  const { list, error, load } = useConversations();
  const [chosen, setChosen] = useState<string | null>(null);
  const [starting, setStarting] = useState(false);
  const open = list?.find(({ id }) => id === chosen) ?? null;
  const begun = (id: string) => {
    setStarting(false);
    setChosen(id);
    void load();
  };
  return (
    <div className="messages" data-open={open !== null}>
      <section className="conversations" aria-labelledby="conversations-title">
        <header>
          <h1 id="conversations-title">Messages</h1>
          <button type="button" className="quiet" aria-expanded={starting} onClick={() => setStarting(!starting)}><MessageSquarePlus aria-hidden />New</button>
        </header>
        {starting && <Start begun={begun} />}
        {error && <p className="bad" role="alert">They could not be loaded: {error}.</p>}
        {list?.length === 0 && !starting && (
          <div className="empty">
            <p><b>No conversations yet.</b></p>
            <p>Start one with a colleague, and open a second window as them to see both sides.</p>
            <button type="button" className="primary" onClick={() => setStarting(true)}>Start a conversation</button>
          </div>
        )}
        <ul>
          {list?.map((conversation) => (
            <li key={conversation.id}><Entry of={conversation} chosen={conversation.id === chosen} choose={() => setChosen(conversation.id)} /></li>
          ))}
        </ul>
      </section>
      {open
        ? (
          <section className="thread" aria-labelledby="thread-title">
            <header>
              <button type="button" className="icon back" aria-label="Back to the conversations" onClick={() => setChosen(null)}><ArrowLeft aria-hidden /></button>
              <Title of={open} />
            </header>
            <Thread key={open.id} conversation={open} />
          </section>
        )
        : <div className="thread nothing"><p className="soft">{list?.length ? 'Choose a conversation to read it.' : 'Messages appear here.'}</p></div>}
    </div>
  );
}

function others(of: Conversation, me: string): string[] {
  return of.memberIds.filter((id) => id !== me);
}

function Title({ of }: { of: Conversation }) {
  const { all, me } = useFirm();
  const names = others(of, me.id).map((id) => nameOf(all, id)).join(', ') || 'only you';
  return (
    <div>
      <h2 id="thread-title">{of.title || names}</h2>
      {of.title && <p className="soft">with {names}</p>}
    </div>
  );
}

function Entry({ of, chosen, choose }: { of: Conversation; chosen: boolean; choose: () => void }) {
  const { all, me } = useFirm();
  const { lastMessage: last, unreadCount } = of;
  const names = others(of, me.id).map((id) => nameOf(all, id)).join(', ') || 'only you';
  return (
    <button type="button" className="conversation" aria-current={chosen || undefined} onClick={choose}>
      <span className="title">{of.title || names}{unreadCount > 0 && <span className="count">{unreadCount}<span className="hidden"> unread</span></span>}</span>
      <span className="soft">{last ? <>{last.senderId === me.id && 'You: '}{last.isDeleted ? 'Message deleted' : last.content}</> : 'No messages yet'}</span>
      <span className="soft"><Ago at={last?.createdAt ?? of.createdAt} /></span>
    </button>
  );
}

function Start({ begun }: { begun: (id: string) => void }) {
  const client = useRealtime();
  const { all, me } = useFirm();
  const failed = useFailure();
  const [title, setTitle] = useState('');
  const [members, setMembers] = useState<readonly string[]>(all.filter(({ id }) => id !== me.id).slice(0, 1).map(({ id }) => id));
  const start = (submit: FormEvent) => {
    submit.preventDefault();
    client.command('conversation:create', { memberIds: members, ...(title.trim() && { title: title.trim() }) })
      .then(({ conversationId }) => begun(conversationId), failed('It was not started'));
  };
  return (
    <form className="start" onSubmit={start}>
      <label htmlFor="start-title">Subject</label>
      <input id="start-title" value={title} maxLength={100} placeholder="Harlow: witness list" onChange={(e) => setTitle(e.target.value)} />
      <fieldset>
        <legend>With</legend>
        {all.filter(({ id }) => id !== me.id).map(({ id, name }) => (
          <label key={id}>
            <input type="checkbox" checked={members.includes(id)} onChange={(e) => setMembers(e.target.checked ? [...members, id] : members.filter((m) => m !== id))} />
            {name}
          </label>
        ))}
      </fieldset>
      <button type="submit" className="primary" disabled={members.length === 0}>Start</button>
    </form>
  );
}
