import { type ChatMessage, type Conversation, type MessageStatus, useMessages, useTypingIndicator } from '@lexiflow/realtime/react';
import { Check, CheckCheck, Clock, Pencil, SendHorizontal, Trash2, TriangleAlert } from 'lucide-react';
import { useEffect, useLayoutEffect, useRef, useState, type FormEvent, type KeyboardEvent } from 'react';
import { Avatar } from '../avatar';
import { useFailure } from '../failure';
import { useFirm } from '../firm';
import { nameOf } from '../people';

/** One conversation: what was said, who types, and saying something. */
export function Thread({ conversation: { id } }: { conversation: Conversation }) {
  const { messages, isLoading, hasMore, error, loadMore, markAsRead, ...actions } = useMessages(id);
  const failed = useFailure();
  const end = useRef<HTMLDivElement>(null);
  const newest = messages.at(-1);
  const visible = useVisible();

  useEffect(() => {
    if (visible) void markAsRead().catch(() => {}); // said again with the next message
  }, [visible, markAsRead, newest?.id]);

  useLayoutEffect(() => {
    const box = end.current?.parentElement;
    box?.scrollTo({ top: box.scrollHeight });
  }, [newest?.id]);

  return (
    <>
      <div className="said" role="log" aria-label="Messages" tabIndex={0}>
        {hasMore && <button type="button" className="more" disabled={isLoading} onClick={() => void loadMore().catch(failed('No more could be loaded'))}>Show older</button>}
        {error && <p className="bad" role="alert">This conversation cannot be shown: {error.message}.</p>}
        {messages.length === 0 && !isLoading && !error && <p className="empty">Nobody has said anything yet. Write the first message below.</p>}
        <ol>
          {messages.map((message, i) => (
            <Said key={message.clientId ?? message.id} of={message} first={messages[i - 1]?.senderId !== message.senderId} {...actions} />
          ))}
        </ol>
        <div ref={end} />
      </div>
      <Compose id={id} send={actions.send} />
    </>
  );
}

type Actions = Pick<ReturnType<typeof useMessages>, 'edit' | 'remove' | 'retry' | 'discard'>;

function Said({ of, first, edit, remove, retry, discard }: { of: ChatMessage; first: boolean } & Actions) {
  const { all, me } = useFirm();
  const failed = useFailure();
  const [draft, setDraft] = useState<string | null>(null);
  const mine = of.senderId === me.id;
  const about = of.content.slice(0, 40);
  const save = (submit: FormEvent) => {
    submit.preventDefault();
    const content = draft?.trim();
    setDraft(null);
    if (content && content !== of.content) void edit(of.id, content).catch(failed('It was not changed'));
  };
  return (
    <li data-mine={mine} data-message={of.id}>
      {!mine && first && <Avatar id={of.senderId} name={nameOf(all, of.senderId)} />}
      <div className="bubble">
        {first && <p className="from">{mine ? 'You' : nameOf(all, of.senderId)}</p>}
        {draft !== null
          ? (
            <form onSubmit={save} className="row">
              <label className="hidden" htmlFor={`edit-${of.id}`}>Change the message</label>
              <input id={`edit-${of.id}`} value={draft} autoFocus onChange={(e) => setDraft(e.target.value)} onKeyDown={(e) => e.key === 'Escape' && setDraft(null)} />
              <button type="submit">Save</button>
            </form>
          )
          : of.isDeleted ? <p className="soft">This message was deleted.</p> : <p className="text">{of.content}</p>}
        <p className="soft meta">
          <time dateTime={of.createdAt}>{new Date(of.createdAt).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })}</time>
          {of.isEdited && !of.isDeleted && <span> · edited</span>}
          {mine && !of.isDeleted && <Status of={of.status} />}
        </p>
        {of.status === 'failed' && (
          <p className="bad" role="alert">
            Not sent: {of.error?.message ?? 'no answer'}
            <button type="button" onClick={() => void retry(of.clientId!).catch(failed('Not sent'))}>Try again</button>
            <button type="button" onClick={() => discard(of.clientId!)}>Discard</button>
          </p>
        )}
      </div>
      {mine && !of.isDeleted && of.status !== 'sending' && of.status !== 'failed' && draft === null && (
        <div className="actions">
          <button type="button" className="icon" aria-label={`Edit: ${about}`} onClick={() => setDraft(of.content)}><Pencil aria-hidden /></button>
          <button type="button" className="icon" aria-label={`Delete: ${about}`} onClick={() => void remove(of.id).catch(failed('It was not deleted'))}><Trash2 aria-hidden /></button>
        </div>
      )}
    </li>
  );
}

const marks: Record<MessageStatus, [icon: typeof Check, label: string]> = {
  sending: [Clock, 'Sending'],
  sent: [Check, 'Sent'],
  delivered: [CheckCheck, 'Delivered'],
  read: [CheckCheck, 'Read'],
  failed: [TriangleAlert, 'Failed'],
};

function Status({ of }: { of: MessageStatus }) {
  const [Icon, label] = marks[of];
  return <span className="receipt" data-receipt={of}><Icon aria-hidden /> {label}</span>;
}

function Compose({ id, send }: { id: string; send: ReturnType<typeof useMessages>['send'] }) {
  const { all } = useFirm();
  const failed = useFailure();
  const { typingUsers, startTyping, stopTyping } = useTypingIndicator(id);
  const [draft, setDraft] = useState('');
  const say = (submit?: FormEvent) => {
    submit?.preventDefault();
    const content = draft.trim();
    if (!content) return;
    stopTyping();
    setDraft('');
    void send(content).catch(failed('Not sent'));
  };
  const key = (e: KeyboardEvent) => {
    if (e.key !== 'Enter' || e.shiftKey || e.nativeEvent.isComposing) return;
    e.preventDefault();
    say();
  };
  return (
    <form className="compose" onSubmit={say}>
      <p className="typing" role="status">{typingUsers.length > 0 && `${typingUsers.map((user) => nameOf(all, user)).join(' and ')} ${typingUsers.length > 1 ? 'are' : 'is'} typing`}</p>
      <label className="hidden" htmlFor="draft">Message</label>
      <textarea id="draft" rows={2} maxLength={10_000} value={draft} placeholder="Write a message" aria-describedby="draft-hint" onKeyDown={key} onChange={(e) => {
        setDraft(e.target.value);
        if (e.target.value) startTyping();
        else stopTyping();
      }} />
      <button type="submit" className="primary" disabled={!draft.trim()}><SendHorizontal aria-hidden />Send</button>
      <p id="draft-hint" className="soft">Enter sends, Shift and Enter begins a line.</p>
    </form>
  );
}

function useVisible(): boolean {
  const [visible, setVisible] = useState(document.visibilityState === 'visible');
  useEffect(() => {
    const look = () => setVisible(document.visibilityState === 'visible');
    document.addEventListener('visibilitychange', look);
    return () => document.removeEventListener('visibilitychange', look);
  }, []);
  return visible;
}
