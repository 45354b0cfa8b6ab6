// The behaviours that Engine.IO v4 and Socket.IO v5 ask of a server, against the bare transport and
// codec layers (edge/conformance): no token, no limits, heartbeat every 300 ms.

import { after, before, describe } from 'node:test';
import assert from 'node:assert/strict';
import { Socket as EngineSocket } from 'engine.io-client';
import { io } from 'socket.io-client';
import { start, test, Wire } from './lib/conformance.mjs';
import { engineSuite } from './lib/engine-suite.mjs';
import { Polling } from './lib/raw.mjs';
import { eventually, within } from './lib/time.mjs';

describe('Engine.IO', () => {
  let p;
  before(async () => { p = await start('engine', '/engine.io/'); });
  after(() => p?.kill());
  engineSuite(() => p);

  const polling = () => Polling.open(p.url, p.path);
  const websocket = async () => {
    const wire = await new Wire(p).opened();
    await wire.next();
    return wire;
  };

  test('polling: text comes back', async () => {
    const session = await polling();
    const posted = await session.post('4hello');
    assert.deepEqual([posted.status, posted.body], [200, 'ok']);
    assert.match(posted.headers['content-type'], /^text\/html/);
    const answer = await session.get();
    assert.equal(answer.body, '4hello');
    assert.match(answer.headers['content-type'], /^text\/plain; charset=utf-8/i);
    assert.equal(answer.headers['cache-control'], 'no-store');
  });

  test('polling: several packets of one POST come back in one GET', async () => {
    const session = await polling();
    await session.post('4test1\x1e4test2\x1e4тест3');
    assert.equal((await session.get()).body, '4test1\x1e4test2\x1e4тест3');
  });

  test('polling: binary is base64, alone and among text', async () => {
    const session = await polling();
    await session.post('bAQIDBA==');
    assert.equal((await session.get()).body, 'bAQIDBA==');
    await session.post('4hello\x1ebAQIDBA==\x1ebAAEC');
    assert.equal((await session.get()).body, '4hello\x1ebAQIDBA==\x1ebAAEC');
  });

  test('polling: a malformed packet ends the session', async () => {
    for (const body of ['abc', '', '4a\x1e', '\x1e4a', 'b*', '7']) {
      const session = await polling();
      const outcome = await session.post(body).then((answer) => answer.status, () => 'reset');
      assert.ok(outcome === 400 || outcome === 'reset', `${JSON.stringify(body)}: ${outcome}`);
      assert.equal((await session.get()).status, 400, JSON.stringify(body));
    }
  });

  test('polling: more than maxPayload is 413', async () => {
    const session = await polling();
    assert.equal((await session.post(`4${'x'.repeat(1_000_000)}`)).status, 413);
    const edge = await polling();
    assert.equal((await edge.post(`4${'x'.repeat(999_999)}`)).status, 200);
    assert.equal((await edge.get()).body.length, 1_000_000);
  });

  test('websocket: text and binary come back as what they were', async () => {
    const wire = await websocket();
    wire.send('4hello', '4тест 🏛', '4');
    assert.deepEqual([await wire.said(), await wire.said(), await wire.said()], ['4hello', '4тест 🏛', '4']);
    wire.send(Buffer.from([1, 2, 3, 4]), Buffer.alloc(0), Buffer.alloc(200_000, 7));
    assert.deepEqual(await wire.said(), Buffer.from([1, 2, 3, 4]));
    assert.deepEqual(await wire.said(), Buffer.alloc(0));
    assert.deepEqual(await wire.said(), Buffer.alloc(200_000, 7));
    wire.ws.close();
  });

  test('websocket: a malformed packet closes', async () => {
    const wire = await websocket();
    wire.send('abc');
    await wire.end();
  });

  test('upgrade: messages sent before the commit come by WebSocket, in order, once', async () => {
    const session = await polling();
    await session.post('4one\x1ebAQI=\x1e4two');
    const wire = await new Wire(p, `EIO=4&transport=websocket&sid=${session.handshake.sid}`).opened();
    wire.send('2probe');
    assert.equal(await wire.next(), '3probe');
    await session.post('4three');
    wire.send('5', '4four');
    const got = [];
    while (got.length < 5) got.push(await wire.said());
    assert.deepEqual(got, ['4one', Buffer.from([1, 2]), '4two', '4three', '4four']);
    wire.ws.close();
  });

  for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
    test(`the official client: 1,000 echoes, text and binary, over ${transports}`, async () => {
      const socket = new EngineSocket(p.url, { path: p.path, transports });
      socket.binaryType = 'arraybuffer';
      const got = [];
      const all = new Promise((resolve, reject) => {
        socket.on('message', (data) => { got.push(typeof data === 'string' ? data : Buffer.from(data).toString('hex')); if (got.length === 1_000) resolve(); });
        socket.on('close', (reason) => reject(new Error(`closed: ${reason}`)));
      });
      await within(new Promise((resolve) => socket.on('open', resolve)), 'open');
      const sent = [];
      for (let i = 0; i < 1_000; i++) {
        const binary = i % 5 === 0;
        sent.push(binary ? Buffer.from([i >> 8, i & 255]).toString('hex') : `m${i}`);
        socket.send(binary ? Buffer.from([i >> 8, i & 255]) : `m${i}`);
        if (i % 100 === 0) await new Promise((done) => setImmediate(done));
      }
      await within(all, () => `${got.length} of 1,000`);
      assert.deepEqual(got, sent);
      if (transports.length === 2) await eventually(() => socket.transport.name === 'websocket', 'upgraded');
      socket.removeAllListeners('close');
      socket.close();
    });
  }
});

describe('Socket.IO', () => {
  let p;
  before(async () => { p = await start('socket', '/socket.io/'); });
  after(() => p?.kill());
  engineSuite(() => p);

  const open = async (...packets) => {
    const wire = await new Wire(p).opened();
    await wire.next();
    wire.send(...packets);
    return wire;
  };
  // joined leaves only what the test is about in the queue.
  const joined = async (connect = '40') => {
    const wire = await open(connect);
    await wire.said();
    await wire.said();
    return wire;
  };
  const parsed = (packet, prefix) => {
    assert.ok(packet.startsWith(prefix), `${packet} begins with ${prefix}`);
    return JSON.parse(packet.slice(prefix.length));
  };

  const connects = {
    'the main namespace': ['40', '', {}],
    'the main namespace with a payload': ['40{"token":"123"}', '', { token: '123' }],
    'a custom namespace': ['40/custom,', '/custom,', {}],
    'a custom namespace without comma': ['40/custom', '/custom,', {}],
    'a custom namespace with a payload': ['40/custom,{"token":"abc"}', '/custom,', { token: 'abc' }],
  };
  for (const [name, [packet, namespace, auth]] of Object.entries(connects)) {
    test(`connect: ${name}`, async () => {
      const wire = await open(packet);
      const reply = parsed(await wire.said(), `40${namespace}`);
      assert.deepEqual(Object.keys(reply), ['sid']);
      assert.equal(typeof reply.sid, 'string');
      assert.deepEqual(parsed(await wire.said(), `42${namespace}`), ['auth', auth]);
      wire.ws.close();
    });
  }

  test('connect: an unknown namespace is refused and the connection stays', async () => {
    const wire = await open('40/random');
    assert.equal(await wire.said(), '44/random,{"message":"Invalid namespace"}');
    wire.send('40');
    parsed(await wire.said(), '40');
    wire.ws.close();
  });

  test('connect: a malformed handshake closes', async () => {
    for (const packet of ['4abc', '40[]', '40"x"', '40{']) await (await open(packet)).end();
  });

  test('connect: a connection that joins nothing is closed after the connect timeout', async () => {
    const wire = await new Wire(p).opened();
    const start = Date.now();
    await wire.end(2_500);
    const at = Date.now() - start;
    assert.ok(at > 900 && at < 1_800, `closed after ${at} ms`);
  });

  test('connect: a refused namespace does not stop the connect timeout', async () => {
    const wire = await open('40/random');
    await wire.end(2_500);
  });

  test('connect: both namespaces on one connection have ids of their own', async () => {
    const wire = await open('40', '40/custom,');
    const a = parsed(await wire.said(), '40');
    await wire.said();
    const b = parsed(await wire.said(), '40/custom,');
    assert.notEqual(a.sid, b.sid);
    wire.ws.close();
  });

  test('disconnect: from the main namespace, the connection stays', async () => {
    const wire = await joined();
    wire.send('41');
    assert.equal(await wire.next(), '2');
    wire.send('3', '40');
    parsed(await wire.said(), '40');
    wire.ws.close();
  });

  test('disconnect: from a custom namespace, the main one goes on', async () => {
    const wire = await open('40');
    await wire.said();
    await wire.said();
    wire.send('40/custom');
    await wire.said();
    await wire.said();
    wire.send('41/custom', '42["message","still here"]');
    assert.equal(await wire.said(), '42["message-back","still here"]');
    wire.ws.close();
  });

  test('message: text', async () => {
    const wire = await joined();
    wire.send('42["message",1,"2",{"3":[true]},null]');
    assert.deepEqual(parsed(await wire.said(), '42'), ['message-back', 1, '2', { 3: [true] }, null]);
    wire.ws.close();
  });

  test('message: text with an ack', async () => {
    const wire = await joined();
    wire.send('42456["message-with-ack",1,"2",{"3":[false]}]');
    assert.deepEqual(parsed(await wire.said(), '43456'), [1, '2', { 3: [false] }]);
    wire.send('420["message-with-ack"]');
    assert.deepEqual(parsed(await wire.said(), '430'), []);
    wire.ws.close();
  });

  test('message: binary', async () => {
    const wire = await joined();
    wire.send('452-["message",{"_placeholder":true,"num":0},{"k":{"_placeholder":true,"num":1}}]', Buffer.from([1, 2, 3]), Buffer.from([4, 5]));
    assert.deepEqual(parsed(await wire.said(), '452-'), ['message-back', { _placeholder: true, num: 0 }, { k: { _placeholder: true, num: 1 } }]);
    assert.deepEqual(await wire.said(), Buffer.from([1, 2, 3]));
    assert.deepEqual(await wire.said(), Buffer.from([4, 5]));
    wire.ws.close();
  });

  test('message: binary with an ack', async () => {
    const wire = await joined();
    wire.send('452-789["message-with-ack",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', Buffer.from([1, 2, 3]), Buffer.from([4, 5]));
    assert.deepEqual(parsed(await wire.said(), '462-789'), [{ _placeholder: true, num: 0 }, { _placeholder: true, num: 1 }]);
    assert.deepEqual(await wire.said(), Buffer.from([1, 2, 3]));
    assert.deepEqual(await wire.said(), Buffer.from([4, 5]));
    wire.ws.close();
  });

  test('message: on polling, header and attachments in one payload', async () => {
    const session = await Polling.open(p.url, p.path);
    await session.post('40');
    await session.get();
    await session.post('451-["message",{"_placeholder":true,"num":0}]\x1ebAQIDBA==');
    assert.equal((await session.get()).body, '451-["message-back",{"_placeholder":true,"num":0}]\x1ebAQIDBA==');
  });

  const malformed = {
    'an unknown type': '4abc', 'an object as payload': '42{}', 'bad JSON': '42["a"', 'an ack id with letters': '42abc["message-with-ack",1]',
    'no payload': '42', 'an event for a namespace not joined': '42/custom,["message"]', 'a second CONNECT': '40', 'a binary message alone': Buffer.from([1]),
  };
  for (const [name, packet] of Object.entries(malformed)) {
    test(`message: ${name} closes`, async () => {
      const wire = await joined();
      wire.send(packet);
      await wire.end();
    });
  }

  for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
    test(`the official client: connect, events, acks and binary over ${transports}`, async (t) => {
      const socket = io(`${p.url}/custom`, { transports, forceNew: true, reconnection: false, auth: { token: 't' } });
      const main = socket.io.socket('/', { auth: { main: true } });
      main.connect();
      t.after(() => { socket.disconnect(); main.disconnect(); });
      const heard = (from, name) => within(new Promise((resolve) => from.once(name, (...args) => resolve(args))), name);
      assert.deepEqual(await Promise.all([heard(socket, 'auth'), heard(main, 'auth')]), [[{ token: 't' }], [{ main: true }]]);
      const args = [1, 'two', { three: [Buffer.from([3]), { deep: Buffer.from([4, 5]) }] }, Buffer.alloc(100_000, 6)];
      for (let i = 0; i < 20; i++) {
        const back = heard(main, 'message-back');
        main.emit('message', i, ...args);
        assert.deepEqual(await back, [i, ...args]);
        const ack = await within(new Promise((resolve) => main.emit('message-with-ack', i, ...args, (...values) => resolve(values))), 'ack');
        assert.deepEqual(ack, [i, ...args]);
      }
      if (transports.length === 2) assert.equal(socket.io.engine.transport.name, 'websocket');
    });
  }
});
