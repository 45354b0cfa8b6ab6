// permessage-deflate with the clients that people have: the `ws` package, which offers it by default, and
// socket.io-client above it; compressed and plain members share rooms in both forms; and what a hostile
// client may send under it.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import zlib from 'node:zlib';
import parser from 'socket.io-msgpack-parser';
import WebSocket from 'ws';
import { Bus } from './lib/bus.mjs';
import { connect, ISO } from './lib/client.mjs';
import { start } from './lib/conformance.mjs';
import { up } from './lib/program.mjs';
import { BINARY, CLOSE, frame, PING, RawSocket, TEXT } from './lib/raw.mjs';
import { eventually, within } from './lib/time.mjs';
import { someone, tokenOf } from './lib/token.mjs';

let server;
let bus;
before(async () => {
  server = await up();
  bus = await Bus.connect(server.natsUrl);
});
after(async () => {
  await bus?.close();
  await server?.stop();
});

let count = 0;
const unique = (word) => `${word}${process.pid}-${++count}`;
const AGREED = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover';

// The client of the ws package, its options, and what the handshake must come to.
const offers = {
  'by default': [{}, AGREED],
  'switched off': [{ perMessageDeflate: false }, ''],
  'everything compressed': [{ perMessageDeflate: { threshold: 0 } }, AGREED],
  'without takeover': [{ perMessageDeflate: { threshold: 0, clientNoContextTakeover: true, serverNoContextTakeover: true } }, AGREED],
  'a small window of its own': [{ perMessageDeflate: { threshold: 0, clientMaxWindowBits: 9 } }, AGREED],
  'a small window for the server': [{ perMessageDeflate: { threshold: 0, serverMaxWindowBits: 12 } }, `${AGREED}; server_max_window_bits=12`],
};

for (const [name, [options, agreed]] of Object.entries(offers)) {
  for (const read of ['epoll', 'goroutines']) {
    test(`ws ${name}, read by ${read}: echoes, fragments, control frames between them`, async (t) => {
      const p = await start('engine', '/engine.io/', ['--read', read]);
      t.after(() => p.stop());
      const ws = new WebSocket(`${p.url.replace('http', 'ws')}/engine.io/?EIO=4&transport=websocket`, options);
      t.after(() => ws.terminate());
      const queue = [];
      let wake = () => {};
      let answer;
      ws.on('upgrade', (response) => (answer = response.headers['sec-websocket-extensions'] ?? ''));
      ws.on('message', (data, binary) => {
        const message = binary ? data : data.toString();
        if (message === '2') return ws.send('3');
        queue.push(message);
        wake();
      });
      const take = () => within((async () => {
        while (queue.length === 0) await new Promise((resolve) => (wake = resolve));
        return queue.shift();
      })(), 'a message');
      assert.match(await take(), /^0\{/);
      assert.equal(answer.replaceAll(/;(?! )/g, '; '), agreed);
      for (const size of [0, 10, 1_022, 1_023, 1_024, 5_000, 70_000, 700_000]) {
        const text = `4${'é — brief '.repeat(size / 10)}${'x'.repeat(size % 10)}`;
        ws.send(text);
        assert.ok((await take()) === text, `text of ${size}`);
        const bytes = Buffer.from(text);
        ws.send(bytes);
        assert.ok(bytes.equals(await take()), `binary of ${size}`);
      }
      const parts = ['4one ', 'two '.repeat(2_000), '', 'é'.repeat(30_000)];
      for (const [i, part] of parts.entries()) {
        ws.send(part, { fin: i === parts.length - 1, compress: true, binary: false });
        ws.ping('between');
      }
      assert.ok((await take()) === parts.join(''), 'fragments');
    });
  }
}

const metric = async (p, name) => {
  const text = await (await fetch(`${p.url}/metrics`)).text();
  return Number(text.match(new RegExp(`^${name} (\\S+)$`, 'm'))?.[1]);
};

const received = (client) => client.socket.io.engine.transport.ws._socket.bytesRead;

test('one room: JSON and MessagePack, compressed and plain, WebSocket and polling; each event compressed once a form', async (t) => {
  const always = { threshold: 0 };
  const members = [];
  for (const form of [{}, { parser }]) {
    members.push({ client: await connect(t, server.url, '/events', form), small: true });
    members.push({ client: await connect(t, server.url, '/events', { ...form, perMessageDeflate: always }), small: true });
    members.push({ client: await connect(t, server.url, '/events', { ...form, perMessageDeflate: false }), small: false });
    members.push({ client: await connect(t, server.url, '/events', { ...form, transports: ['polling', 'websocket'] }), upgraded: true });
    members.push({ client: await connect(t, server.url, '/events', { ...form, transports: ['polling'] }) });
  }
  const caseId = unique('case');
  for (const { client } of members) await client.subscribe(caseId);
  for (const { client, upgraded } of members) if (upgraded) await eventually(() => client.transport === 'websocket', 'the upgrade');

  const document = { documentId: 'd1', fileName: 'brief é 🏛.pdf', text: 'Whereas the party of the first part. '.repeat(300) };
  const before = await metric(server, 'lexiflow_edge_compressed_total');
  const bytes = members.map(({ client }) => client.transport === 'websocket' && received(client));
  await bus.log(`lex.case.${caseId}.document.uploaded`, document);
  for (const [i, { client, small }] of members.entries()) {
    const { timestamp, ...event } = await client.next('document:uploaded');
    assert.match(timestamp, ISO);
    assert.deepEqual(event, { ...document, caseId });
    if (small === undefined) continue;
    const size = received(client) - bytes[i];
    assert.ok(small ? size < 1_500 : size > 11_000, `client ${i} got ${size} bytes`);
  }
  assert.equal(await metric(server, 'lexiflow_edge_compressed_total') - before, 2, 'once for JSON, once for MessagePack');
  await bus.log(`lex.case.${caseId}.case.updated`, { n: 1 });
  for (const { client } of members) assert.equal((await client.next('case:updated')).n, 1);
  assert.equal(await metric(server, 'lexiflow_edge_compressed_total') - before, 2, 'a small event goes plain');
});

for (const [name, form] of Object.entries({ JSON: {}, MessagePack: { parser } })) {
  test(`${name}: large commands and acks, compressed by the client and for it`, async (t) => {
    const word = unique('desk');
    const { ready } = bus.serve(t, `cmd.${word}.>`, ({ body }) => ({ body: { success: true, body } }));
    await ready();
    const client = await connect(t, server.url, '/events', { ...form, perMessageDeflate: { threshold: 0 } });
    const { ws } = client.socket.io.engine.transport;
    assert.match(ws.extensions, /permessage-deflate/);
    const body = { text: 'é lorem ipsum '.repeat(20_000), list: Array.from({ length: 500 }, (_, i) => ({ i })) };
    const written = ws._socket.bytesWritten;
    const before = received(client);
    assert.deepEqual(await client.ask(`${word}:create`, body), { success: true, body });
    assert.ok(ws._socket.bytesWritten - written < 30_000, `${ws._socket.bytesWritten - written} bytes sent`);
    assert.ok(received(client) - before < 30_000, `${received(client) - before} bytes received`);
  });
}

test('a threshold of its own, and switched off by flag or variable', async (t) => {
  const low = await up(['--compress-threshold', '100']);
  t.after(() => low.stop());
  const client = await connect(t, low.url);
  await client.subscribe('c');
  const before = await metric(low, 'lexiflow_edge_compressed_total');
  const lowBus = await Bus.connect(low.natsUrl);
  await lowBus.log('lex.case.c.case.updated', { text: 'x'.repeat(200) });
  await client.next('case:updated');
  assert.equal(await metric(low, 'lexiflow_edge_compressed_total') - before, 1);
  await lowBus.close();
  for (const [flags, env] of [[['--compression=false'], {}], [[], { WS_ENABLE_COMPRESSION: 'false' }]]) {
    const off = await up(flags, { JWT_SECRET: 'e2e-secret-0123456789abcdef0123456789abcdef', ...env });
    t.after(() => off.stop());
    const plain = await connect(t, off.url);
    assert.equal(plain.socket.io.engine.transport.ws.extensions, '');
  }
});

// squeeze is a message as RFC 7692 wants it: flushed, and the mark of the flush cut off.
const squeeze = (data) => zlib.deflateRawSync(data, { level: 9, finishFlush: zlib.constants.Z_SYNC_FLUSH }).subarray(0, -4);
// bomb is so many MiB in as many KB: parts that end on a byte can follow each other.
const part = zlib.deflateRawSync(Buffer.alloc(1 << 20, '4'), { level: 9, finishFlush: zlib.constants.Z_SYNC_FLUSH });
const bomb = (mebibytes) => Buffer.concat(Array(mebibytes).fill(part)).subarray(0, -4);
const deflated = (data, options = {}) => frame(TEXT, data, { rsv: 4, ...options });

const open = async (t) => {
  const raw = await RawSocket.open(server.url, { headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate' } });
  t.after(() => raw.destroy());
  assert.match(raw.headText, /permessage-deflate/);
  raw.text(`40/events,${JSON.stringify({ token: tokenOf(someone()) })}`);
  while (!(await raw.packet()).startsWith('42/events,["connected"'));
  return raw;
};

const ask = '42/events,1["nobody:home",{}]';
const hostile = {
  'a bomb of 8 MiB in 8 KiB': [() => deflated(bomb(8)), 1009],
  'a bomb of 1 GiB in 1 MiB': [() => deflated(bomb(1024)), 1009],
  'a bomb in fragments': [() => {
    const data = bomb(8);
    return Buffer.concat([deflated(data.subarray(0, 99), { fin: false }), frame(0, data.subarray(99))]);
  }, 1009],
  'truncated deflate': [() => deflated(squeeze(`4${'brief '.repeat(500)}`).subarray(0, 12)), 1007],
  'no deflate at all': [() => deflated(Buffer.from(ask)), 1007],
  'bad UTF-8 inside': [() => deflated(squeeze(Buffer.from([0x34, 0xc3, 0x28]))), 1007],
  'a compressed ping': [() => frame(PING, 'x', { rsv: 4 }), 1002],
  'a compressed close': [() => frame(CLOSE, Buffer.from([3, 232]), { rsv: 4 }), 1002],
  'a compressed continuation': [() => Buffer.concat([deflated(squeeze(ask).subarray(0, 9), { fin: false }), frame(0, 'x', { rsv: 4 })]), 1002],
  'another reserved bit': [() => frame(TEXT, squeeze(ask), { rsv: 6 }), 1002],
  'garbage that inflates': [() => frame(BINARY, squeeze(Buffer.alloc(50_000)), { rsv: 4 }), 1000],
};

for (const [name, [bytes, code]] of Object.entries(hostile)) {
  test(`hostile: ${name}`, async (t) => {
    const raw = await open(t);
    raw.write(deflated(squeeze(ask)));
    assert.match(await raw.packet(), /^43\/events,1\[\{.*"UNAVAILABLE"/);
    raw.write(bytes());
    assert.equal(await raw.closed(), code);
    await connect(t, server.url); // the next one is served
  });
}

test('bombs cost the process what messages of the largest size cost', async (t) => {
  const peak = () => Number(readFileSync(`/proc/${server.pid}/status`, 'utf8').match(/VmHWM:\s+(\d+)/)[1]) / 1024;
  const before = peak();
  const giga = deflated(bomb(1024));
  for (let round = 0; round < 5; round++) {
    const raws = await Promise.all(Array.from({ length: 8 }, () => open(t)));
    await Promise.all(raws.map(async (raw) => {
      raw.write(giga);
      assert.equal(await raw.closed(), 1009);
    }));
  }
  const grown = peak() - before;
  t.diagnostic(`40 bombs of 1 GiB: ${grown.toFixed(0)} MiB more at the peak`);
  assert.ok(grown < 150, `${grown.toFixed(0)} MiB more`); // 8 at once, each 1 MiB unread and 1 MiB inflated, before the collector comes
});
