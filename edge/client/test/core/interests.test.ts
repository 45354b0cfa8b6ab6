import { expect, inject, test } from 'vitest';
import { busOf, client, eventually, is, pause, someone, wire } from '../lib/page.js';

// A service of the test's own, on the bus: what it is asked is what the server was asked.
async function service(answer: (event: string, body: any) => object) {
  const bus = await busOf(inject('bareNatsUrl'));
  const name = someone('feed').replaceAll('-', '');
  const asked: [string, any][] = [];
  bus.nc.subscribe(`cmd.${name}.*`, { callback: (_, m) => {
    const event = m.subject.slice(`cmd.${name}.`.length);
    const body = m.json();
    asked.push([event, body]);
    m.respond(JSON.stringify(answer(event, body)));
  } });
  await bus.nc.flush();
  return { bus, name, asked, interest: (data: Record<string, unknown>, list?: string) => ({
    subscribe: `${name}:watch`, unsubscribe: `${name}:unwatch`, data, ...(list !== undefined && { list }),
  }) };
}

const local = () => client({ url: inject('bareUrl') });

test('counted by reference, and the last to go lingers', async () => {
  const { asked, interest } = await service(() => ({ success: true }));
  const realtime = local();
  const keep = realtime.channel('/events').retain();
  const shares = Array.from({ length: 6 }, () => realtime.interest(interest({ id: 1, of: 'x' })));
  shares.push(realtime.interest(interest({ of: 'x', id: 1 }))); // the order of keys does not matter
  await eventually(() => shares.every((s) => s.getSnapshot().status === 'active'), 'active');
  expect(asked).toEqual([['watch', { id: 1, of: 'x' }]]);
  shares.forEach((s) => s.release());
  shares.forEach((s) => s.release()); // once more does nothing
  await pause(100);
  const back = realtime.interest(interest({ id: 1, of: 'x' }));
  await pause(300);
  expect(asked).toHaveLength(1);
  expect(back.getSnapshot().status).toBe('active');
  back.release();
  await eventually(() => asked.length === 2, 'given up');
  expect(asked[1]).toEqual(['unwatch', { id: 1, of: 'x' }]);
  keep();
});

test('lists are asked for together, given up together, and one bad entry does not spoil the others', async () => {
  const { asked, interest } = await service((_, { ids }) => (
    ids.includes('bad') ? { success: false, code: 'INVALID_INPUT', error: 'bad' } : { success: true }
  ));
  const realtime = local();
  const keep = realtime.channel('/events').retain();
  const shares = ['a', 'bad', 'b'].map((id) => realtime.interest(interest({ ids: [id] }, 'ids')));
  const status = () => shares.map((s) => s.getSnapshot().status);
  await eventually(() => !status().includes('waiting'), 'answered');
  expect(status()).toEqual(['active', 'refused', 'active']);
  expect(shares[1]!.getSnapshot().error?.code).toBe('INVALID_INPUT');
  expect(asked).toEqual([['watch', { ids: ['a', 'bad', 'b'] }], ['watch', { ids: ['a'] }], ['watch', { ids: ['bad'] }], ['watch', { ids: ['b'] }]]);
  asked.length = 0;
  shares.forEach((s) => s.release());
  await eventually(() => asked.length > 0, 'given up');
  expect(asked).toEqual([['unwatch', { ids: ['a', 'b'] }]]);
  keep();
});

test('what passes is asked for again: rate limits, a service that is away', async () => {
  let times = 0;
  const { asked, interest } = await service(() => (++times < 3 ? { success: false, code: 'UNAVAILABLE', error: 'not now' } : { success: true }));
  const share = local().interest(interest({ id: 1 }));
  await eventually(() => share.getSnapshot().error?.code === 'UNAVAILABLE', 'told');
  expect(share.getSnapshot().status).toBe('waiting');
  await eventually(() => share.getSnapshot().status === 'active', 'active');
  expect(asked).toHaveLength(3);
});

test('given up while the connection was lost: a recovered session is told, another is not', async () => {
  const { asked, interest } = await service(() => ({ success: true }));
  for (const recovers of [true, false]) {
    asked.length = 0;
    const line = await wire(inject('bareUrl'));
    const realtime = client({ url: line.url });
    realtime.channel('/events').retain();
    const [stays, goes] = [realtime.interest(interest({ id: 1 })), realtime.interest(interest({ id: 2 }))];
    await eventually(() => stays.getSnapshot().status === 'active' && goes.getSnapshot().status === 'active', 'active');
    if (!recovers) (realtime.channel('/events').socket as unknown as { _pid: string })._pid = 'AAAAAAAAAAAAAAAAAAAA';
    line.cut();
    await is(realtime, '/events', 'reconnecting');
    goes.release();
    await pause(300);
    line.restore();
    await eventually(() => stays.getSnapshot().status === 'active', 'active again');
    expect(realtime.channel('/events').getSnapshot().recovered).toBe(recovers);
    await eventually(() => asked.length === 3, () => JSON.stringify(asked));
    expect(asked[2]).toEqual(recovers ? ['unwatch', { id: 2 }] : ['watch', { id: 1 }]);
  }
});

test('asked for while the answer was lost: asked again', async () => {
  let answer = false;
  const { asked, interest, bus } = await service(() => ({ success: true }));
  const line = await wire(inject('bareUrl'));
  const realtime = client({ url: line.url });
  realtime.channel('/events').retain();
  await is(realtime, '/events', 'connected');
  bus.nc.subscribe(`cmd.never`, { callback: () => (answer = true) });
  const share = realtime.interest({ subscribe: 'never', data: {} });
  await eventually(() => answer, 'asked');
  const other = realtime.interest(interest({ id: 1 }));
  await eventually(() => other.getSnapshot().status === 'active', 'active');
  answer = false;
  line.drop();
  await eventually(() => answer, 'asked again');
  expect(share.getSnapshot().status).toBe('waiting');
  expect(asked).toHaveLength(1); // that one is known to be held
});
