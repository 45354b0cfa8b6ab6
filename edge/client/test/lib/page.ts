// What every test needs: a user with a token, the bus, a wire to cut, clients that go away with the test.

import { inject, onTestFinished } from 'vitest';
import { Bus } from '../../../e2e/lib/bus.mjs';
import { eventually, pause, within } from '../../../e2e/lib/time.mjs';
import { someone, token, tokenOf } from '../../../e2e/lib/token.mjs';
import { createRealtime, type Realtime, type RealtimeOptions } from '@lexiflow/realtime';
import { Wire } from './wire.js';

export { eventually, pause, someone, token, tokenOf, within };

export const serverUrl = (): string => inject('url');

/** A place on NATS: what services would publish and answer. */
export interface TestBus {
  readonly nc: {
    subscribe(subject: string, options: { callback: (error: unknown, message: { subject: string; json(): any; respond(data: string): void }) => void }): { unsubscribe(): void };
    flush(): Promise<void>;
  };
  log(subject: string, payload: object): Promise<{ seq: number }>;
  pub(subject: string, payload: object): void;
}

/** A connection to NATS that goes away with the test. */
export async function busOf(url: string): Promise<TestBus> {
  const made = await Bus.connect(url);
  onTestFinished(() => made.close());
  return made as unknown as TestBus;
}

let bus: Promise<TestBus> | undefined;

/** The test file's place beside the services. */
export function theBus(): Promise<TestBus> {
  return (bus ??= Bus.connect(inject('natsUrl')) as unknown as Promise<TestBus>);
}

export async function wire(target = serverUrl()): Promise<Wire> {
  const made = await Wire.to(target);
  onTestFinished(() => made.close());
  return made;
}

/** A client of a user of its own. */
export function client(options: RealtimeOptions & { user?: string; scope?: string } = {}): Realtime {
  const { user = someone(), scope = 'case:*', ...rest } = options;
  const realtime = createRealtime({
    url: serverUrl(), getToken: () => tokenOf(user, scope), reconnectionDelay: 20, reconnectionDelayMax: 100, ...rest,
  });
  onTestFinished(() => realtime.disconnect());
  return realtime;
}

/** Counts what a client emits, by name, as its own outgoing listener sees it. */
export function outgoing(realtime: Realtime, namespace: string): string[] {
  const sent: string[] = [];
  realtime.channel(namespace).socket.onAnyOutgoing((event: string) => void sent.push(event));
  return sent;
}

/** The client's state in a namespace is this. */
export function is(realtime: Realtime, namespace: string, status: string): Promise<unknown> {
  return eventually(() => realtime.channel(namespace).getSnapshot().status === status, () => `${namespace} is ${status}, it is ${JSON.stringify(realtime.channel(namespace).getSnapshot())}`);
}
