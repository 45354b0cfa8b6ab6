import { getPresenceStatusDisplay, PresenceStatus, usePresence } from '@lexiflow/realtime/react';
import { ExternalLink } from 'lucide-react';
import { Popover } from 'radix-ui';
import { useEffect, useState, type FormEvent } from 'react';
import { Avatar } from '../avatar';
import { useFailure } from '../failure';
import { useFirm } from '../firm';

const choices = [PresenceStatus.ONLINE, PresenceStatus.AWAY, PresenceStatus.BUSY, PresenceStatus.OFFLINE];

/** Whom this window is used as, how they are, and how to become somebody else. */
export function Who() {
  const { all, me } = useFirm();
  const mine = usePresence(); // also says, whatever page is open, that the human is there
  const { myStatus } = mine;
  return (
    <Popover.Root>
      <Popover.Trigger className="who" aria-label={`${me.name}, ${getPresenceStatusDisplay(myStatus).label}: your status`}>
        <Avatar id={me.id} name={me.name} status={myStatus} />
        <span className="title">{me.name}</span>
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content className="panel me" align="end" sideOffset={8} collisionPadding={8} aria-label="Your status">
          <Status {...mine} />
          <CustomStatus {...mine} />
          <h3>Look from the other side</h3>
          <ul>
            {all.filter(({ id }) => id !== me.id).map(({ id, name, role }) => (
              <li key={id}>
                <Avatar id={id} name={name} />
                <a href={`${location.pathname}?user=${id}`}>{name}<span className="soft"> {role}</span></a>
                <a href={`${location.pathname}?user=${id}`} target="_blank" rel="noreferrer" className="icon" aria-label={`Open a second window as ${name}`}>
                  <ExternalLink aria-hidden />
                </a>
              </li>
            ))}
          </ul>
          <p className="soft"><a href="/events.html">Raw events of a case</a></p>
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}

type Mine = ReturnType<typeof usePresence>;

function Status({ myStatus, setStatus }: Pick<Mine, 'myStatus' | 'setStatus'>) {
  const failed = useFailure();
  return (
    <fieldset className="status">
      <legend>You are</legend>
      {choices.map((status) => (
        <label key={status} data-status={status}>
          <input type="radio" name="status" value={status} checked={myStatus === status} onChange={() => void setStatus(status).catch(failed('Your status did not change'))} />
          <i aria-hidden />
          {status === 'offline' ? 'Invisible' : getPresenceStatusDisplay(status).label}
        </label>
      ))}
    </fieldset>
  );
}

function CustomStatus({ myCustomStatus, setCustomStatus }: Pick<Mine, 'myCustomStatus' | 'setCustomStatus'>) {
  const [text, setText] = useState(myCustomStatus ?? '');
  const failed = useFailure();
  useEffect(() => setText(myCustomStatus ?? ''), [myCustomStatus]);
  const say = (submit: FormEvent) => {
    submit.preventDefault();
    void setCustomStatus(text.trim() || null).catch(failed('It was not said'));
  };
  return (
    <form onSubmit={say} className="row">
      <label className="hidden" htmlFor="custom-status">What you are doing</label>
      <input id="custom-status" value={text} maxLength={100} placeholder="In court until noon" onChange={(e) => setText(e.target.value)} />
      <button type="submit">Say</button>
    </form>
  );
}
