import { formatLastSeen, getPresenceStatusDisplay, useMultiUserPresence, type UserPresence } from '@lexiflow/realtime/react';
import { Avatar } from '../avatar';
import { useNow } from '../ago';
import { useFirm } from '../firm';

/** Who of the firm is here. */
export function People() {
  const { all, me } = useFirm();
  const { presenceMap, offlineCount, totalCount } = useMultiUserPresence(all.map(({ id }) => id));
  return (
    <aside className="people" aria-labelledby="people-title">
      <h2 id="people-title">People <span className="soft">{totalCount - offlineCount} here</span></h2>
      <ul>
        {all.map(({ id, name, role }) => {
          const presence = presenceMap.get(id);
          return (
            <li key={id} data-person={id} data-status={presence?.status}>
              <Avatar id={id} name={name} status={presence?.status ?? 'offline'} />
              <div>
                <p className="title">{first(name)}<span className="rest">{name.slice(first(name).length)}{id === me.id && <span className="soft"> (you)</span>}</span></p>
                <p className="soft"><Doing presence={presence} role={role} /></p>
              </div>
            </li>
          );
        })}
      </ul>
    </aside>
  );
}

const first = (name: string) => name.split(' ')[0]!; // all that a phone has room for

function Doing({ presence, role }: { presence: UserPresence | undefined; role: string }) {
  const now = useNow();
  const status = presence?.status ?? 'offline';
  const { label } = getPresenceStatusDisplay(status);
  if (presence?.customStatus) return <>{label} · {presence.customStatus}</>;
  if (status === 'offline' && presence?.lastSeen) return <>{label} · {formatLastSeen(presence.lastSeen, new Date(now))}</>;
  return <>{label} · {role}</>;
}
