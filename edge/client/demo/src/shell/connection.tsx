import { type RealtimeState, useRealtime } from '@lexiflow/realtime/react';
import { useEffect, useState, useSyncExternalStore } from 'react';

const RECOVERED_FOR = 6_000; // ms

/** How the page's one connection is, and what a reconnect brought back. */
export function Connection() {
  const client = useRealtime();
  const state = useSyncExternalStore(client.subscribe, client.getSnapshot);
  const back = useReturn(state);
  const [tone, text, detail] = describe(state, back);
  return (
    <p className="connection" role="status" data-tone={tone} title={detail}>
      <i aria-hidden />
      <span>{text}</span>
    </p>
  );
}

interface Return {
  recovered: boolean;
  missed: number;
}

// useReturn is how the last reconnect went, for a while.
function useReturn({ namespaces }: RealtimeState): Return | null {
  const events = namespaces['/events'];
  const connects = events?.connects ?? 0;
  const [over, setOver] = useState(0);
  useEffect(() => {
    if (connects < 2) return;
    const timer = setTimeout(() => setOver(connects), RECOVERED_FOR);
    return () => clearTimeout(timer);
  }, [connects]);
  if (connects < 2 || over === connects) return null;
  const all = Object.values(namespaces).filter(({ status }) => status === 'connected');
  return { recovered: all.every((n) => n.recovered), missed: all.reduce((sum, n) => sum + n.missed, 0) };
}

function describe({ status, error, namespaces }: RealtimeState, back: Return | null): [tone: string, text: string, detail: string] {
  switch (status) {
    case 'connected':
      if (!back) return ['good', 'Live', 'Connected; events appear as they happen'];
      return back.recovered
        ? ['back', `Recovered, ${back.missed} missed`, `The session went on where it was lost; ${back.missed} events were sent again`]
        : ['back', 'Back, loaded anew', 'The old session could not go on, so everything was loaded again'];
    case 'connecting':
      return ['wait', 'Connecting', 'Opening the connection'];
    case 'reconnecting': {
      const attempt = Math.max(...Object.values(namespaces).map((n) => n.attempt), 1);
      return ['lost', `Reconnecting, attempt ${attempt}`, 'The connection was lost. What happens meanwhile is caught up'];
    }
    case 'error':
      return ['lost', 'Refused', error?.message ?? 'The server refused the connection'];
    default:
      return ['wait', 'Offline', 'Nothing is asked for yet'];
  }
}
