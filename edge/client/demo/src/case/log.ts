import { type InterestState, RealtimeError, useRealtime, useWebSocket } from '@lexiflow/realtime/react';
import { useEffect, useState } from 'react';
import { type CaseEvent, insert } from './fold';

export interface CaseLog {
  readonly events: readonly CaseEvent[]; // by sequence
  readonly loading: boolean;
  readonly error: string;
  /** Up to this one they were there when the page was opened; later ones have arrived. */
  readonly opened: number;
}

const EMPTY: CaseLog = { events: [], loading: true, error: '', opened: 0 };

/**
 * Everything that happened to a case: what the log has, and what arrives. The subscription goes before the
 * question, so nothing falls between them, and the log's sequence tells what came by both ways.
 */
export function useCaseLog(caseId: string): CaseLog {
  const client = useRealtime();
  const { socket } = useWebSocket({ namespace: '/events' });
  const [log, setLog] = useState(EMPTY);

  useEffect(() => {
    const heard = (event: string, payload: unknown, offset: unknown) => {
      const about = payload as { caseId?: unknown } | null;
      if (about?.caseId !== caseId || typeof offset !== 'string') return;
      const arrived = { sequence: Number(offset), event, payload: payload as Record<string, unknown> };
      setLog((l) => ({ ...l, events: insert(l.events, [arrived]) }));
    };
    socket.onAny(heard);
    const subscription = client.subscribeCase(caseId);
    let asked = -1; // the connection for which the log was read
    let stopped = false;
    const look = () => {
      const { status, error }: InterestState = subscription.getSnapshot();
      const { connects, recovered } = client.channel('/events').getSnapshot();
      if (error) setLog((l) => ({ ...l, loading: false, error: error.message }));
      if (status !== 'active' || asked === connects) return;
      const whole = asked < 0 || !recovered; // a session that went on has missed nothing
      asked = connects;
      if (!whole) return;
      read(caseId).then((events) => {
        if (stopped) return;
        setLog((l) => ({
          events: insert(l.events, events), loading: false, error: '', opened: l.opened || (events.at(-1)?.sequence ?? 0),
        }));
      }, (e: Error) => !stopped && setLog((l) => ({ ...l, loading: false, error: e.message })));
    };
    const off = subscription.subscribe(look);
    look();
    return () => {
      stopped = true;
      off();
      socket.offAny(heard);
      subscription.release();
    };
  }, [client, socket, caseId]);
  return log;
}

async function read(caseId: string): Promise<CaseEvent[]> {
  const answer = await fetch(`/demo/cases/${encodeURIComponent(caseId)}`, { cache: 'no-store' });
  if (!answer.ok) throw new RealtimeError('REFUSED', `the log could not be read (${answer.status})`);
  const { events } = (await answer.json()) as { events: (CaseEvent & { time: string })[] };
  return events.map(({ sequence, event, payload, time }) => ({ sequence, event, payload: { timestamp: time, ...payload } }));
}
