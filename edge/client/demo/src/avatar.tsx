import type { PresenceStatus } from '@lexiflow/realtime/react';
import { initials } from './people';

/** Somebody's initials, with a dot for how they are. */
export function Avatar({ id, name, status }: { id: string; name: string; status?: PresenceStatus }) {
  return <span className="avatar" data-who={id} data-status={status} data-initials={initials(name)} aria-hidden />;
}
