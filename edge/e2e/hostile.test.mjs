// Frames and packets that no client sends: each is refused in the protocol's own terms, the process
// lives, and a well-behaved neighbour notices nothing.

import { after, afterEach, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { Bus } from './lib/bus.mjs';
import { Client } from './lib/client.mjs';
import { up } from './lib/program.mjs';
import { bare, BINARY, CLOSE, frame, PING, Polling, PONG, RawSocket, request, TEXT } from './lib/raw.mjs';
import { eventually, within } from './lib/time.mjs';
import { someone, tokenOf } from './lib/token.mjs';

let server;
let bus;
let witness;
let beats = 0;
before(async () => {
  server = await up();
  bus = await Bus.connect(server.natsUrl);
  witness = await new Client(server.url, '/events', {}).connected();
  await witness.subscribe('witness');
});
afterEach(async () => {
  await bus.log('lex.case.witness.case.updated', { n: ++beats });
  assert.equal((await witness.next('case:updated')).n, beats);
});
after(async () => {
  witness?.close();
  await bus?.close();
  await server?.stop();
});

const joined = async (t, user = someone()) => {
  const raw = await RawSocket.joined(server.url, tokenOf(user));
  t.after(() => raw.destroy());
  return raw;
};
const ask = '42/events,1["nobody:home",{}]';
const answered = /^43\/events,1\[\{.*"UNAVAILABLE"/;

// RFC 6455: what is sent, and the close codes that may answer it.
const frames = {
  'an unmasked frame': [(raw) => raw.text('3', { masked: false }), [1002]],
  'a reserved bit': [(raw) => raw.text('3', { rsv: 4 }), [1002]],
  'another reserved bit': [(raw) => raw.text('3', { rsv: 1 }), [1002]],
  'a reserved opcode': [(raw) => raw.write(frame(3, '3')), [1002]],
  'a reserved control opcode': [(raw) => raw.write(frame(11, '3')), [1002]],
  'a long ping': [(raw) => raw.write(frame(PING, 'x'.repeat(126))), [1002]],
  'a fragmented ping': [(raw) => raw.write(frame(PING, 'x', { fin: false })), [1002]],
  'a stray continuation': [(raw) => raw.write(frame(0, '3')), [1002]],
  'a message inside a message': [(raw) => raw.text('3', { fin: false }).text('3'), [1002]],
  'bad UTF-8': [(raw) => raw.write(frame(TEXT, Buffer.from([0x34, 0xc3, 0x28]))), [1007]],
  'a surrogate in UTF-8': [(raw) => raw.write(frame(TEXT, Buffer.from([0x34, 0xed, 0xa0, 0x80]))), [1007]],
  'overlong UTF-8': [(raw) => raw.write(frame(TEXT, Buffer.from([0x34, 0xc0, 0xaf]))), [1007]],
  'bad UTF-8 across fragments': [(raw) => raw.write(frame(TEXT, Buffer.from([0x34, 0xe2, 0x82]), { fin: false })).write(frame(0, Buffer.from([0x28]))), [1007]],
  'UTF-8 that ends in the middle': [(raw) => raw.write(frame(TEXT, Buffer.from([0x34, 0xe2, 0x82]))), [1007]],
  'a frame of 2 MiB': [(raw) => raw.write(frame(TEXT, '4'.repeat(2 << 20))), [1009]],
  'a claim of 2^62 bytes': [(raw) => raw.write(frame(TEXT, '4', { length: 2 ** 62 })), [1009, 1002]],
  'a claim of 2^63 bytes': [(raw) => raw.write(Buffer.from([0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4])), [1002, 1009]],
  'fragments that sum up to 2 MiB': [(raw) => {
    raw.text('4', { fin: false });
    for (let i = 0; i < 32; i++) raw.write(frame(0, 'x'.repeat(65_536), { fin: false }));
  }, [1009]],
  'a close frame of one byte': [(raw) => raw.write(frame(CLOSE, 'x')), [1002]],
  'a close frame with code 1005': [(raw) => raw.write(frame(CLOSE, Buffer.from([0x03, 0xed]))), [1002]],
  'a close frame with bad UTF-8': [(raw) => raw.write(frame(CLOSE, Buffer.from([0x03, 0xe8, 0xff]))), [1002, 1007]],
  'a proper close frame': [(raw) => raw.write(frame(CLOSE, Buffer.from([0x03, 0xe8]))), [1000]],
};

for (const [name, [send, codes]] of Object.entries(frames)) {
  test(`frames: ${name}`, async (t) => {
    const raw = await joined(t);
    send(raw);
    const code = await raw.closed();
    assert.ok(codes.includes(code), `close code ${code}, expected ${codes}`);
  });
}

test('frames: fragments with control frames between them are one message', async (t) => {
  const raw = await joined(t);
  raw.text(ask.slice(0, 5), { fin: false });
  raw.write(frame(PING, 'are you there'));
  raw.write(frame(0, ask.slice(5, 9), { fin: false }));
  raw.write(frame(PONG, ''));
  raw.write(frame(0, '', { fin: false }));
  raw.write(frame(0, ask.slice(9)));
  assert.equal((await raw.message(PONG)).toString(), 'are you there');
  assert.match(await raw.packet(), answered);
});

test('frames: byte by byte', async (t) => {
  const raw = await joined(t);
  for (const byte of frame(TEXT, ask)) {
    raw.write(Buffer.from([byte]));
    await new Promise((done) => setImmediate(done));
  }
  assert.match(await raw.packet(), answered);
});

test('frames: many in one segment, in order', async (t) => {
  const raw = await joined(t);
  const all = [];
  for (let i = 0; i < 60; i++) all.push(frame(TEXT, `42/events,${i}["unsubscribe:case",{"caseId":"${i}"}]`));
  raw.write(Buffer.concat(all));
  for (let i = 0; i < 60; i++) assert.equal(await raw.packet(), `43/events,${i}[{"status":"unsubscribed","caseId":"${i}"}]`);
});

test('frames: 50,000 fragments of one byte cost no more than their sum', async (t) => {
  const raw = await joined(t);
  const text = Buffer.from(`42/events,1["nobody:home","${'x'.repeat(50_000)}"]`);
  const parts = [];
  for (let i = 0; i < text.length; i++) {
    parts.push(frame(i === 0 ? TEXT : 0, text.subarray(i, i + 1), { fin: i === text.length - 1 }));
  }
  raw.write(Buffer.concat(parts));
  const end = await Promise.race([raw.packet(), raw.closed()]);
  assert.ok(typeof end === 'number' || answered.test(end), `answered or closed: ${end}`);
});

test('frames: a million empty fragments end or wait, and stop nobody', async (t) => {
  const raw = await joined(t);
  raw.text('4', { fin: false });
  const empty = Buffer.concat(Array.from({ length: 10_000 }, () => frame(0, '', { fin: false })));
  for (let i = 0; i < 20 && !raw.gone; i++) raw.write(empty);
});

// Packets after a proper CONNECT to /events. `closed`: the connection must end. `lives`: it must not.
const deep = (open, close, n) => `${open.repeat(n)}${close.repeat(n)}`;
const packets = {
  'an empty message': ['', 'closed'],
  'an unknown Engine.IO type': ['9', 'closed'],
  'a letter': ['abc', 'closed'],
  'a ping from the client': ['2', 'closed'],
  'a close': ['1', 'closed'],
  'an empty Socket.IO packet': ['4', 'closed'],
  'an unknown Socket.IO type': ['47', 'closed'],
  'type 9': ['49["x"]', 'closed'],
  'no JSON': ['42/events,[', 'closed'],
  'an object as payload': ['42/events,{}', 'closed'],
  'a string as payload': ['42/events,"x"', 'closed'],
  'an empty array': ['42/events,[]', 'closed'],
  'an object as name': ['42/events,[{}]', 'closed'],
  'null as name': ['42/events,[null]', 'closed'],
  'trailing bytes': ['42/events,["x"]x', 'closed'],
  'a lone surrogate escape is JSON': ['42/events,1["nobody:home","\\ud800"]', 'lives'],
  'control characters in a string': ['42/events,["x\u0001"]', 'closed'],
  'a reserved name: connect': ['42/events,["connect"]', 'closed'],
  'a reserved name: connect_error': ['42/events,["connect_error"]', 'closed'],
  'a reserved name: disconnect': ['42/events,["disconnect"]', 'closed'],
  'a reserved name: disconnecting': ['42/events,["disconnecting"]', 'closed'],
  'a reserved name: newListener': ['42/events,["newListener"]', 'closed'],
  'a reserved name: removeListener': ['42/events,["removeListener"]', 'closed'],
  'a namespace without end': ['42/events["x"]', 'closed'],
  'the main namespace, not joined': ['42["x"]', 'closed'],
  'another namespace, not joined': ['42/messaging,["x"]', 'closed'],
  'a second CONNECT': ['40/events,{}', 'closed'],
  'CONNECT with an array': ['40/dashboard,[]', 'closed'],
  'CONNECT with a string': ['40/dashboard,"x"', 'closed'],
  'CONNECT with null': ['40/dashboard,null', 'closed'],
  'CONNECT_ERROR from a client': ['44/events,{"message":"x"}', 'closed'],
  'DISCONNECT with a payload': ['41/events,{}', 'closed'],
  'an ack without id': ['43/events,[]', 'closed'],
  'an ack with an object': ['43/events,1{}', 'closed'],
  'an ack nobody asked for': ['43/events,77[1]', 'lives'],
  'a huge ack id': ['42/events,99999999999999999999999["nobody:home"]', 'closed'],
  'a negative ack id': ['42/events,-1["nobody:home"]', 'closed'],
  'an ack id with letters': ['42/events,1a["nobody:home"]', 'closed'],
  'arrays 100,000 deep': [`42/events,["x",${deep('[', ']', 100_000)}]`, 'closed'],
  'objects 50,000 deep': [`42/events,["x",${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}]`, 'closed'],
  'a payload 50 deep is fine': [`42/events,1["nobody:home",${deep('[', ']', 50)}]`, 'lives'],
  'zero attachments': ['450-/events,["x"]', 'closed'],
  'no attachment count': ['45/events,["x"]', 'closed'],
  'an attachment count without dash': ['451/events,["x"]', 'closed'],
  'a negative attachment count': ['45-1-/events,["x"]', 'closed'],
  'an attachment count with a point': ['451.5-/events,["x"]', 'closed'],
  'a huge attachment count': ['4599999999999999999999-/events,["x"]', 'closed'],
  'eleven attachments': ['4511-/events,["x"]', 'closed'],
  'an attachment count on a plain event': ['421-/events,["x"]', 'closed'],
  'a binary ack without id': ['461-/events,[]', 'closed'],
  'a pong nobody waits for': ['3', 'lives'],
  'an upgrade out of place': ['5', 'either'],
  'a noop': ['6', 'either'],
  'an open packet': ['0{}', 'either'],
  'a number as name': ['42/events,[7]', 'either'],
  'an event without payload': ['42/events,', 'closed'],
};

for (const [name, [packet, fate]] of Object.entries(packets)) {
  test(`packets: ${name}`, async (t) => {
    const raw = await joined(t);
    raw.text(packet);
    if (fate === 'closed') return void await raw.closed();
    raw.text('42/events,1["nobody:home",{}]');
    const end = await Promise.race([raw.packet(), raw.closed()]);
    if (fate === 'lives') assert.match(String(end), answered);
  });
}

const attachments = {
  'a binary message without header': [(raw) => raw.binary(Buffer.from([1, 2, 3]))],
  'one attachment too many': [(raw) => raw.text('451-/events,["nobody:home",{"_placeholder":true,"num":0}]').binary(Buffer.from([1])).binary(Buffer.from([2]))],
  'a text packet between header and attachment': [(raw) => raw.text('451-/events,["x",{"_placeholder":true,"num":0}]').text('42/events,["x"]')],
  'a placeholder out of range': [(raw) => raw.text('451-/events,["x",{"_placeholder":true,"num":5}]').binary(Buffer.from([1]))],
  'a placeholder without number': [(raw) => raw.text('451-/events,["x",{"_placeholder":true,"num":"0"}]').binary(Buffer.from([1]))],
  'a negative placeholder': [(raw) => raw.text('451-/events,["x",{"_placeholder":true,"num":-1}]').binary(Buffer.from([1]))],
  'attachments larger than a message together': [(raw) => {
    raw.text(`4510-/events,["x",${Array.from({ length: 10 }, (_, num) => `{"_placeholder":true,"num":${num}}`)}]`);
    for (let i = 0; i < 10; i++) raw.binary(Buffer.alloc(900_000));
  }, 'either'],
};

for (const [name, [send, fate = 'closed']] of Object.entries(attachments)) {
  test(`attachments: ${name}`, async (t) => {
    const raw = await joined(t);
    send(raw);
    if (fate === 'closed') await raw.closed();
  });
}

test('attachments: a heartbeat may come between', async (t) => {
  const raw = await joined(t);
  raw.text('451-/events,1["nobody:home",{"_placeholder":true,"num":0}]').text('3').binary(Buffer.from([1]));
  assert.match(await raw.packet(), /^43\/events,1\[/);
});

test('attachments: a placeholder in a plain event is plain data', async (t) => {
  const raw = await joined(t);
  const { asked, ready } = bus.serve(t, 'cmd.plain.data', () => ({ body: '{"success":true}' }));
  await ready();
  raw.text('42/events,1["plain:data",{"_placeholder":true,"num":0}]');
  assert.equal(await raw.packet(), '43/events,1[{"success":true}]');
  assert.deepEqual(asked[0].body, { _placeholder: true, num: 0 });
});

// HTTP.
const bodyOf = (answer) => { try { return JSON.parse(answer.body); } catch { return {}; } };

test('http: wrong handshakes are answered with code and message', async () => {
  const at = (query, options) => request(`${server.url}/socket.io/?${query}`, options);
  const cases = [
    ['EIO=4', {}, 400, 0, 'Transport unknown'],
    ['EIO=4&transport=carrier-pigeon', {}, 400, 0, 'Transport unknown'],
    ['EIO=4&transport=polling&sid=unknown', {}, 400, 1, 'Session ID unknown'],
    ['EIO=4&transport=polling', { method: 'POST', body: '40' }, 400, 2, 'Bad handshake method'],
    ['EIO=4&transport=polling', { method: 'PUT' }, 400, 2, 'Bad handshake method'],
    ['EIO=4&transport=websocket', {}, 400, 3, 'Bad request'],
    ['EIO=3&transport=polling', {}, 400, 5, 'Unsupported protocol version'],
    ['transport=polling', {}, 400, 5, 'Unsupported protocol version'],
    ['EIO=04&transport=polling', {}, 400, 5, 'Unsupported protocol version'],
  ];
  for (const [query, options, status, code, message] of cases) {
    const answer = await at(query, options);
    assert.equal(answer.status, status, query);
    assert.deepEqual(bodyOf(answer), { code, message }, query);
    assert.match(answer.headers['content-type'], /application\/json/, query);
  }
});

test('http: what is no request ends the connection, not the process', async () => {
  const host = new URL(server.url).host;
  const upgrade = (line, ...headers) => [line, `Host: ${host}`, 'Connection: Upgrade', 'Upgrade: websocket', ...headers, '', ''].join('\r\n');
  const line = 'GET /socket.io/?EIO=4&transport=websocket HTTP/1.1';
  const attacks = {
    'noise': Buffer.from(Array.from({ length: 2_000 }, (_, i) => (i * 7_919) % 256)),
    'a TLS hello': Buffer.concat([Buffer.from('160301020001000100', 'hex'), Buffer.from('\r\n\r\n')]),
    'no version': 'GET /socket.io/\r\n\r\n',
    'a huge request line': `GET /socket.io/?EIO=4&transport=polling&x=${'y'.repeat(2 << 20)} HTTP/1.1\r\n\r\n`,
    'a huge header': `GET / HTTP/1.1\r\nHost: ${host}\r\nX: ${'y'.repeat(2 << 20)}\r\n\r\n`,
    'both lengths': `POST /socket.io/?EIO=4&transport=polling&sid=x HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n`,
    'an upgrade without key': upgrade(line, 'Sec-WebSocket-Version: 13'),
    'an upgrade with a short key': upgrade(line, 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: abc'),
    'an upgrade of version 8': upgrade(line, 'Sec-WebSocket-Version: 8', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='),
    'an upgrade by POST': upgrade(line.replace('GET', 'POST'), 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='),
    'an upgrade with a wrong EIO': upgrade(line.replace('EIO=4', 'EIO=3'), 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='),
  };
  for (const [name, bytes] of Object.entries(attacks)) {
    const answer = await bare(server.url, bytes).catch((error) => { throw new Error(`${name}: ${error.message}`); });
    if (name.startsWith('an upgrade') && !name.includes('EIO')) assert.doesNotMatch(answer, /^HTTP\/1\.1 101/, name);
    assert.doesNotMatch(answer, /^HTTP\/1\.1 200/, name);
  }
});

test('http: a broken POST ends that session only', async () => {
  for (const body of ['', '\x1e', '9', '3\x1e', 'abc', 'b!!!', '4\xff\xfe', '3\x1e\x1e3']) {
    const session = await Polling.open(server.url);
    const answer = await session.post(Buffer.from(body, 'latin1'));
    assert.equal(answer.status, 400, JSON.stringify(body));
    assert.equal((await session.get()).status, 400, JSON.stringify(body));
  }
});

test('http: bytes behind the upgrade request are frames', async (t) => {
  const raw = await RawSocket.open(server.url);
  t.after(() => raw.destroy());
  raw.write(Buffer.concat([frame(TEXT, `40/events,{"token":"${tokenOf(someone())}"}`), frame(TEXT, ask)]));
  const seen = [];
  while (!seen.some((packet) => answered.test(packet))) seen.push(await raw.packet());
  assert.match(seen[0], /^40\/events,\{"sid"/);
});

test('sessions cannot be taken by guessing, and two transports cannot both own one', async (t) => {
  const raw = await joined(t);
  const { sid } = raw.handshake;
  const poll = await request(`${server.url}/socket.io/?EIO=4&transport=polling&sid=${sid}`);
  assert.equal(poll.status, 400);
  assert.equal(bodyOf(poll).code, 3);
  const second = await RawSocket.open(server.url, { sid });
  t.after(() => second.destroy());
  if (second.status === 101) await second.closed();
  raw.text(ask);
  assert.match(await raw.packet(), answered);
});

test('a client that floods and does not read is closed; the others go on', async (t) => {
  const raw = await joined(t);
  raw.text('42/events,1["subscribe:case",{"caseId":"flood"}]');
  assert.match(await raw.packet(), /subscribed/);
  raw.tcp.pause();
  const text = 'x'.repeat(100_000);
  for (let i = 0; i < 200; i++) await bus.log('lex.case.flood.case.updated', { i, text });
  raw.tcp.resume();
  await raw.closed();
});

test('a flood of refused CONNECTs ends the connection', async (t) => {
  for (const packet of ['40/nowhere,', '40/messaging,{"token":"garbage"}']) {
    const raw = await joined(t);
    raw.write(Buffer.concat(Array.from({ length: 200 }, () => frame(TEXT, packet))));
    await raw.closed();
  }
});

// noise is a repeatable sequence of numbers below n (xorshift).
function noise(seed) {
  let state = seed;
  return (n) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % n;
  };
}

test('300 clients with damaged packets and frames', async () => {
  const pick = noise(20_240_501);
  const seeds = [
    ask, '40/messaging,{"token":"x"}', '41/events,', '3', '42/events,["join_room",{"room":"r"}]', '43/events,5[{}]',
    '452-/events,7["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', '42/events,12["a:b",{"c":[1,2,{"d":"\\u00e9"}]}]',
  ];
  const alphabet = '0123456789-,/[]{}":\\u_bx\u001e \u00e9\ud83c\udfdb';
  const damaged = (text) => {
    const letters = [...text];
    for (let i = 1 + pick(4); i > 0; i--) {
      const at = pick(letters.length);
      [() => (letters[at] = alphabet[pick(alphabet.length)]), () => letters.splice(at, 1), () => letters.splice(at, 0, letters[pick(letters.length)])][pick(3)]();
      if (letters.length === 0) letters.push('4');
    }
    return letters.join('');
  };
  const attack = async () => {
    const raw = await RawSocket.joined(server.url, tokenOf(someone()));
    for (let i = 0; i < 20; i++) {
      const bytes = pick(6) === 0 ? frame(BINARY, Buffer.from([pick(256), pick(256)])) : frame(TEXT, damaged(seeds[pick(seeds.length)]));
      if (pick(10) === 0) bytes[pick(bytes.length)] ^= 1 << pick(8);
      raw.write(bytes);
    }
    raw.tcp.end();
    await raw.closed();
  };
  for (let round = 0; round < 10; round++) await Promise.all(Array.from({ length: 30 }, attack));
});

const rss = () => {
  const match = existsSync(`/proc/${server.pid}/status`) && readFileSync(`/proc/${server.pid}/status`, 'utf8').match(/VmRSS:\s+(\d+) kB/);
  return match ? Number(match[1]) / 1024 : 0;
};

test('promises of large messages reserve no memory', async () => {
  const before = rss();
  const held = await Promise.all(Array.from({ length: 200 }, () => RawSocket.open(server.url)));
  for (const raw of held) raw.write(frame(BINARY, '4', { length: 1_000_000 }));
  const header = `POST /socket.io/?EIO=4&transport=polling&sid=SID HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 1000000\r\n\r\n4`;
  for (let i = 0; i < 100; i++) {
    const session = await Polling.open(server.url);
    const raw = held[i];
    raw.post = within(bare(server.url, header.replace('SID', session.handshake.sid)), 'post', 60_000).catch(() => {});
  }
  await bus.log('lex.case.witness.case.updated', { n: ++beats });
  assert.equal((await witness.next('case:updated')).n, beats);
  const grown = rss() - before;
  for (const raw of held) raw.destroy();
  assert.ok(grown < 100, `${grown.toFixed(0)} MiB for 300 clients that sent a few bytes each`);
});

test('at the end nothing is left over', async () => {
  await eventually(async () => {
    const { connections, rooms, status } = await (await fetch(`${server.url}/api/realtime/health`)).json();
    return connections === 1 && rooms === 1 && status === 'healthy';
  }, 'the witness alone');
  assert.equal(server.result, undefined, 'the process lives');
  assert.doesNotMatch(server.log, /panic/);
});
