import { createRealtime, RealtimeProvider } from '@lexiflow/realtime/react';
import { Tooltip } from 'radix-ui';
import { useEffect, useMemo, useState } from 'react';
import { App } from './app';
import { type Person, people, tokenOf, whoIsHere } from './people';
import { Firm } from './firm';

/** Finds out who is here; everything else needs that. */
export function Start() {
  const [all, setAll] = useState<readonly Person[] | null>(null);
  const [failed, setFailed] = useState('');
  useEffect(() => {
    people().then(setAll, (error: Error) => setFailed(error.message));
  }, []);
  if (failed) {
    return (
      <main className="alone">
        <h1>The demo cannot start</h1>
        <p role="alert">{failed}.</p>
        <p>Start it with <code>lexiflow up</code> on an address of this machine, or see <a href="/events.html">the raw events</a>.</p>
      </main>
    );
  }
  return all && <Signed key={whoIsHere(all).id} all={all} me={whoIsHere(all)} />;
}

function Signed({ all, me }: { all: readonly Person[]; me: Person }) {
  // Made once for the page's life: StrictMode's second render takes the one of the first.
  const client = useMemo(() => clientOf(me.id), [me.id]);
  return (
    <RealtimeProvider client={client}>
      <Firm.Provider value={{ all, me }}>
        <Tooltip.Provider delayDuration={300}>
          <App />
        </Tooltip.Provider>
      </Firm.Provider>
    </RealtimeProvider>
  );
}

const clients = new Map<string, ReturnType<typeof createRealtime>>();

function clientOf(id: string) {
  let client = clients.get(id);
  if (!client) clients.set(id, (client = createRealtime({ url: location.origin, getToken: () => tokenOf(id), reconnectionDelayMax: 2_000 })));
  return client;
}
