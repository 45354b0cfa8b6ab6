import { expect, inject, onTestFinished, test } from 'vitest';
import { edge } from '../../../e2e/lib/program.mjs';
import { busOf, client, eventually, someone, wire } from '../lib/page.js';

test('an edge is killed, another takes over: nothing lost, nothing twice, nothing asked for again', async () => {
  const bus = await busOf(inject('bareNatsUrl'));
  const flags = ['--drain-timeout', '200ms'];
  const [first, second] = await Promise.all([edge(inject('bareNatsUrl'), flags), edge(inject('bareNatsUrl'), flags)]);
  onTestFinished(async () => {
    await first.kill();
    await second.stop();
  });
  const line = await wire(first.url);
  const realtime = client({ url: line.url });
  const id = someone('case');
  const got: number[] = [];
  realtime.on('case:updated', (e) => got.push((e as unknown as { n: number }).n));
  const held = realtime.subscribeCase(id);
  await eventually(() => held.getSnapshot().status === 'active', 'subscribed');
  const sent: string[] = [];
  realtime.channel('/events').socket.onAnyOutgoing((event: string) => sent.push(event));
  const publish = async (from: number, to: number) => {
    for (let n = from; n < to; n++) await bus.log(`lex.case.${id}.case.updated`, { n });
  };
  await publish(0, 10);
  const killed = first.kill();
  line.restore(second.url);
  await publish(10, 30);
  await killed;
  await eventually(() => got.length >= 30, () => `30 events, ${got.length} came`);
  expect(got).toEqual(Array.from({ length: 30 }, (_, n) => n));
  await eventually(() => realtime.channel('/events').getSnapshot().recovered, 'recovered');
  expect(held.getSnapshot().status).toBe('active');
  expect(sent).toEqual([]);
});
