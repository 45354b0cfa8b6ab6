// The behaviours that Engine.IO v4 and Socket.IO v5 ask of a server, against the bare transport and
// codec layers (edge/conformance): no token, no limits, heartbeat every 300 ms.

import { after, before, describe, test as attempt } from 'node:test';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { Socket as EngineSocket } from 'engine.io-client';
import { io } from 'socket.io-client';
import WebSocket from 'ws';
import { programs } from './lib/build.mjs';
import { Process } from './lib/program.mjs';
import { Polling, request } from './lib/raw.mjs';
import { eventually, pause, within } from './lib/time.mjs';

// A pong must come within 200 ms here, so a machine that halts for longer breaks any of these tests without anybody being
// wrong. Each may be tried three times.
function test(name, body) {
  attempt(name, async (t) => {
    for (let tries = 1; ; tries++) {
      try {
        return await body(t);
      } catch (error) {
        if (tries === 3) throw error;
        t.diagnostic(`again, after: ${error.message}`);
      }
    }
  });
}

async function freePort() {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

async function start(mode, path) {
  const address = `127.0.0.1:${await freePort()}`;
  const p = new Process((await programs()).conformance, ['--listen', address, '--mode', mode]);
  p.url = `http://${address}`;
  p.path = path;
  await eventually(async () => (await fetch(p.url + path)).status === 400, `${mode} answers; it said: ${p.log}`, 10_000);
  return p;
}

// Wire is the WebSocket of the `ws` package with a queue.
class Wire {
  constructor(p, query = 'EIO=4&transport=websocket') {
    this.ws = new WebSocket(`${p.url.replace('http', 'ws')}${p.path}?${query}`);
    this.queue = [];
    this.wake = () => {};
    this.ws.on('message', (data, binary) => { this.queue.push(binary ? data : data.toString()); this.wake(); });
    this.ws.on('error', (error) => (this.error = error));
    this.closed = new Promise((resolve) => this.ws.on('close', (code) => { this.done = true; this.wake(); resolve(code); }));
  }

  async opened() { await within(once(this.ws, 'open'), 'open'); return this; }
  send(...messages) { for (const message of messages) this.ws.send(message); }

  // end waits for the server's close while heartbeats are answered, so that a ping timeout is no close.
  end(ms = 2_000) {
    const answer = (message) => message === '2' && this.ws.readyState === WebSocket.OPEN && this.send('3');
    this.queue.forEach(answer);
    this.ws.on('message', (data, binary) => answer(binary ? data : data.toString()));
    return within(this.closed, 'close', ms);
  }

  async next() {
    const wait = async () => {
      while (this.queue.length === 0) {
        if (this.done) throw new Error('closed');
        await new Promise((resolve) => (this.wake = resolve));
      }
      return this.queue.shift();
    };
    return within(wait(), 'a message', 2_000);
  }

  // said is the next message that is not a heartbeat.
  async said() {
    for (;;) {
      const message = await this.next();
      if (message !== '2') return message;
      this.send('3');
    }
  }
}

const exactly = (handshake, upgrades) => {
  assert.deepEqual(Object.keys(handshake).sort(), ['maxPayload', 'pingInterval', 'pingTimeout', 'sid', 'upgrades']);
  assert.equal(typeof handshake.sid, 'string');
  assert.deepEqual({ ...handshake, sid: '' }, { sid: '', upgrades, pingInterval: 300, pingTimeout: 200, maxPayload: 1_000_000 });
};

// What both modes share: the Engine.IO layer.
function engineSuite(get) {
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
