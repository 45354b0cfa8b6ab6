// What both modes of edge/conformance share: the Engine.IO layer.

import assert from 'node:assert/strict';
import { exactly, test, Wire } from './conformance.mjs';
import { Polling, request } from './raw.mjs';
import { eventually, pause, within } from './time.mjs';

// engineSuite declares the tests; get returns the process, which is not there yet when they are declared.
export function engineSuite(get) {
  const at = (query, options) => request(`${get().url}${get().path}?${query}`, options);
  const polling = () => Polling.open(get().url, get().path);
  const websocket = async () => {
    const wire = await new Wire(get()).opened();
    wire.handshake = JSON.parse((await wire.next()).slice(1));
    return wire;
  };

  test('polling handshake', async () => {
    const session = await polling();
    assert.match(session.answer.body, /^0\{/);
    exactly(session.handshake, ['websocket']);
  });

  test('websocket handshake', async () => {
    const wire = await websocket();
    exactly(wire.handshake, []);
    wire.ws.close();
  });

  test('a missing or wrong version, transport or method is refused', async () => {
    const p = get();
    for (const query of ['transport=polling', 'EIO=abc&transport=polling', 'EIO=3&transport=polling', 'EIO=4', 'EIO=4&transport=abc']) {
      assert.equal((await at(query)).status, 400, query);
    }
    for (const method of ['POST', 'PUT', 'DELETE']) assert.equal((await at('EIO=4&transport=polling', { method })).status, 400, method);
    for (const query of ['transport=websocket', 'EIO=abc&transport=websocket', 'EIO=4', 'EIO=4&transport=abc']) {
      const wire = new Wire(p, query);
      await wire.end();
      assert.deepEqual(wire.queue, [], query);
    }
  });

  test('polling: a ping every interval, and the session lives while they are answered', async () => {
    const session = await polling();
    for (let i = 0; i < 3; i++) {
      const answer = await session.get();
      assert.equal(answer.status, 200);
      assert.equal(answer.body, '2');
      assert.equal((await session.post('3')).body, 'ok');
    }
  });

  test('websocket: a ping every interval', async () => {
    const wire = await websocket();
    const start = Date.now();
    for (let i = 1; i <= 3; i++) {
      assert.equal(await wire.next(), '2');
      const at = Date.now() - start;
      assert.ok(at > i * 300 - 60 && at < i * 300 + 250, `ping ${i} after ${at} ms`);
      wire.send('3');
    }
    wire.ws.close();
  });

  test('polling: without a pong the session ends interval + timeout after the handshake', async () => {
    const session = await polling();
    await pause(510); // the protocol's own time
    assert.equal((await session.get()).status, 400);
  });

  test('websocket: without a pong the server closes', async () => {
    const wire = await websocket();
    const start = Date.now();
    await within(wire.closed, 'close', 2_000);
    const at = Date.now() - start;
    assert.ok(at > 440 && at < 900, `closed after ${at} ms`);
  });

  test('polling: other traffic is no pong', async () => {
    const session = await polling();
    const until = Date.now() + 510;
    let status = 200;
    while (status === 200 && Date.now() < until + 400) {
      status = (await session.get()).status;
    }
    assert.equal(status, 400);
  });

  test('polling: a second GET ends the session, the first gets a close packet', async () => {
    const session = await polling();
    const first = session.get();
    await pause(20);
    const second = await session.get();
    assert.equal(second.status, 400);
    const { status, body } = await first;
    assert.deepEqual([status, body], [200, '1']);
    assert.equal((await session.get()).status, 400);
  });

  test('polling: a GET that the client gives up ends the session', async () => {
    const session = await polling();
    const control = new AbortController();
    const given = session.get({ signal: control.signal }).catch(() => {});
    await pause(30);
    control.abort();
    await given;
    await eventually(async () => (await session.get()).status === 400, 'gone', 400);
  });

  test('polling: a close packet answers the held GET with a noop, then the session is unknown', async () => {
    for (let i = 0; i < 20; i++) {
      const session = await polling();
      const [held] = await Promise.all([session.get(), session.post('1')]);
      assert.deepEqual([held.status, held.body], [200, '6'], `round ${i}`);
      const after = await session.get();
      assert.equal(after.status, 400);
    }
  });

  test('websocket: a close packet closes', async () => {
    const wire = await websocket();
    wire.send('1');
    await wire.end();
  });

  test('upgrade: probe, commit, and the polling transport is over', async () => {
    const session = await polling();
    const wire = await new Wire(get(), `EIO=4&transport=websocket&sid=${session.handshake.sid}`).opened();
    wire.send('2probe');
    assert.equal(await wire.next(), '3probe');
    wire.send('5');
    await eventually(async () => (await session.get()).status === 400, 'polling is over', 1_000);
    assert.equal((await session.get()).status, 400);
    assert.equal((await session.post('4x')).status, 400);
    assert.equal(await wire.next(), '2');
    wire.send('3');
    wire.ws.close();
  });

  test('upgrade: a held GET is released with a noop', async () => {
    const session = await polling();
    const held = session.get();
    const wire = await new Wire(get(), `EIO=4&transport=websocket&sid=${session.handshake.sid}`).opened();
    wire.send('2probe');
    assert.equal(await wire.next(), '3probe');
    assert.equal((await held).body, '6');
    wire.send('5');
    wire.ws.close();
  });

  test('upgrade: a second WebSocket with the same sid is closed, the first goes on', async () => {
    const session = await polling();
    const query = `EIO=4&transport=websocket&sid=${session.handshake.sid}`;
    const wire = await new Wire(get(), query).opened();
    wire.send('2probe');
    assert.equal(await wire.next(), '3probe');
    wire.send('5');
    const second = await new Wire(get(), query).opened();
    await second.end();
    assert.equal(await wire.next(), '2');
    wire.send('3');
    assert.equal(await wire.next(), '2');
    wire.ws.close();
  });

  test('upgrade: a failed probe leaves the session on polling', async () => {
    const session = await polling();
    const query = `EIO=4&transport=websocket&sid=${session.handshake.sid}`;
    for (const first of ['4hello', '2wrong', '3probe']) {
      const wire = await new Wire(get(), query).opened();
      wire.send(first);
      await wire.end();
    }
    const dropped = await new Wire(get(), query).opened();
    dropped.send('2probe');
    assert.equal(await dropped.next(), '3probe');
    dropped.ws.terminate();
    const answer = await eventually(async () => {
      const { status, body } = await session.get();
      assert.equal(status, 200);
      return body.includes('2') && body;
    }, 'a ping by polling', 1_500);
    assert.match(answer, /2/);
    assert.equal((await session.post('3')).status, 200);
  });
}
