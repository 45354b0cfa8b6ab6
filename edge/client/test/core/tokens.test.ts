import { expect, inject, onTestFinished, test } from 'vitest';
import { edge } from '../../../e2e/lib/program.mjs';
import { client, eventually, is, pause, someone, token, wire } from '../lib/page.js';

const seconds = () => Math.floor(Date.now() / 1000);
const brief = (user: string, life: number) => token({ sub: user, scope: 'case:*', iat: seconds(), exp: seconds() + life });

test('a token is replaced in place before it expires', async () => {
  const server = await edge(inject('bareNatsUrl'), ['--on-expiry', 'disconnect', '--drain-timeout', '200ms']);
  onTestFinished(() => server.stop());
  const user = someone();
  const reasons: string[] = [];
  const realtime = client({ url: server.url, user, getToken: async (reason) => (reasons.push(reason), brief(user, 3)), refreshBefore: 1_000 });
  const lost: string[] = [];
  realtime.channel('/events').on('disconnect', (reason) => lost.push(reason));
  realtime.channel('/events').retain();
  realtime.channel('/messaging').retain();
  await is(realtime, '/messaging', 'connected');
  await pause(5_000); // past the first token's end, and the second's
  expect(reasons.slice(0, 3)).toEqual(['connect', 'refresh', 'refresh']);
  expect(reasons.length).toBeLessThan(6);
  expect(lost).toEqual([]);
  expect(realtime.channel('/messaging').getSnapshot().connects).toBe(1);
});

test('a token that is over at the next CONNECT is asked for again', async () => {
  const line = await wire();
  const user = someone();
  let minted = 0;
  const realtime = client({ url: line.url, user, getToken: () => (minted++, brief(user, 900)) });
  realtime.channel('/events').retain();
  await is(realtime, '/events', 'connected');
  expect(minted).toBe(1);
  line.cut();
  await is(realtime, '/events', 'reconnecting');
  line.restore();
  await is(realtime, '/events', 'connected');
  expect(minted).toBe(2);
});

test('after a refusal it connects with the next token that is another one', async () => {
  const line = await wire();
  const user = someone();
  let current = 'no token at all';
  let asked = 0;
  const realtime = client({ url: line.url, user, getToken: () => (asked++, current) });
  realtime.channel('/events').retain();
  await is(realtime, '/events', 'error');
  expect(realtime.channel('/events').getSnapshot().error).toMatchObject({ code: 'AUTH_FAILED' });
  await eventually(() => asked >= 2, 'asked again', 10_000);
  await is(realtime, '/events', 'error');
  expect(line.opened, 'tried again with the same token').toBe(1);
  current = brief(user, 900);
  await eventually(() => realtime.channel('/events').connected, 'connected', 10_000);
});

test('somebody signs in: who comes new, or setToken, connects at once', async () => {
  const user = someone();
  let current: string | null = null;
  const realtime = client({ user, getToken: () => current });
  realtime.channel('/events').retain();
  await is(realtime, '/events', 'error');
  expect(realtime.getSnapshot().error?.code).toBe('NO_TOKEN');
  current = brief(user, 900);
  realtime.channel('/events').retain();
  await is(realtime, '/events', 'connected');

  const other = client({ getToken: null });
  other.channel('/events').retain();
  await is(other, '/events', 'error');
  await other.setToken(brief(user, 900));
  await is(other, '/events', 'connected');
});

test('a source that fails is an error, and asked again', async () => {
  const user = someone();
  let asked = 0;
  const realtime = client({ user, getToken: async () => {
    if (++asked === 1) throw new Error('no network');
    return brief(user, 900);
  } });
  realtime.channel('/events').retain();
  await is(realtime, '/events', 'error');
  expect(realtime.channel('/events').getSnapshot().error).toMatchObject({ code: 'TOKEN_FAILED', message: 'no network' });
  await eventually(() => realtime.channel('/events').connected, 'connected', 10_000);
});

test('a limit is an error, and passes by itself when a place is free', async () => {
  const user = someone();
  const others = Array.from({ length: 5 }, () => client({ user }));
  const ends = others.map((other) => other.channel('/events').retain());
  for (const other of others) await is(other, '/events', 'connected');
  const sixth = client({ user });
  sixth.channel('/events').retain();
  await is(sixth, '/events', 'error');
  expect(sixth.channel('/events').getSnapshot().error).toMatchObject({ code: 'USER_CONNECTION_LIMIT_EXCEEDED' });
  ends[0]!();
  await eventually(() => sixth.channel('/events').connected, 'a place is free', 10_000);
});
