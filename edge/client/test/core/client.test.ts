import { expect, test } from 'vitest';
import { client, eventually, is, outgoing, someone, theBus, tokenOf, wire } from '../lib/page.js';

test('four namespaces, one engine connection, one token asked for', async () => {
  const line = await wire();
  let asked = 0;
  const user = someone();
  const realtime = client({ url: line.url, getToken: async () => (asked++, tokenOf(user)) });
  const ends = ['/events', '/notifications', '/dashboard', '/messaging'].map((name) => realtime.channel(name).retain());
  for (const name of ['/events', '/notifications', '/dashboard', '/messaging']) await is(realtime, name, 'connected');
  expect(line.opened).toBe(1);
  expect(asked).toBe(1);
  ends.forEach((end) => end());
  await eventually(() => line.open === 0, 'closed when nobody holds it');
  expect(realtime.getSnapshot().status).toBe('disconnected');
});

test('a case is heard, through a cut, without a gap', async () => {
  const [line, bus] = [await wire(), await theBus()];
  const realtime = client({ url: line.url });
  const id = someone('case');
  const got: number[] = [];
  realtime.on('case:updated', (e) => got.push((e as unknown as { n: number }).n));
  const held = realtime.subscribeCase(id);
  const sent = outgoing(realtime, '/events');
  await eventually(() => held.getSnapshot().status === 'active', 'subscribed');
  await bus.log(`lex.case.${id}.case.updated`, { n: 1 });
  await eventually(() => got.length === 1, 'first');
  line.cut();
  await is(realtime, '/events', 'reconnecting');
  await bus.log(`lex.case.${id}.case.updated`, { n: 2 });
  line.restore();
  await eventually(() => got.length === 2, 'missed one');
  await eventually(() => realtime.channel('/events').getSnapshot().missed === 1, 'told');
  expect(realtime.channel('/events').getSnapshot()).toMatchObject({ recovered: true, connects: 2, status: 'connected', error: null });
  expect(sent).toEqual(['subscribe:case']);
});
