// Packets as both official parsers write them: what edge/sio reads from MessagePack must mean what it
// reads from JSON. ../../sio/testdata/msgpack.json holds the bytes; `node lib/golden.mjs` writes it anew.

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import msgpack from 'socket.io-msgpack-parser';
import * as json from 'socket.io-parser';

const path = fileURLToPath(new URL('../../sio/testdata/msgpack.json', import.meta.url));

const event = (...args) => ({ type: 2, nsp: '/events', data: ['x', ...args] });
const count = (n) => Array.from({ length: n }, (_, i) => i);
const keys = (n) => Object.fromEntries(count(n).map((i) => [`k${i}`, i]));

// Integers that JavaScript cannot tell apart travel as float64 from the edge, as uint64 from notepack.io,
// which writes those from 2^64 on wrong: none of them is here.
const beyond = 'integers beyond 2^53';

const packets = {
  'connect without auth': { type: 0, nsp: '/events', data: undefined },
  'connect with auth': { type: 0, nsp: '/events', data: { token: 'a.b.c' } },
  'connect to the root': { type: 0, nsp: '/', data: {} },
  'connect, data first': { data: { token: 't' }, nsp: '/a', type: 0 },
  'connect to an unknown namespace': { type: 0, nsp: '/näch?a=b', data: undefined },
  'connect answer': { type: 0, nsp: '/events', data: { sid: 'AbCdEfGhIjKlMnOpQrSt' } },
  'disconnect': { type: 1, nsp: '/events' },
  'connect error': { type: 4, nsp: '/events', data: { message: 'no', data: { code: 'AUTH_FAILED' } } },
  'event': event({ caseId: '123' }),
  'event as the client sends it': { type: 2, data: ['x', { a: 1 }], options: { compress: true }, id: 7, nsp: '/events' },
  'event without arguments': event(),
  'event with id 0': { type: 2, nsp: '/', id: 0, data: ['x'] },
  'event with a large id': { type: 2, nsp: '/', id: 2 ** 53 - 1, data: ['x'] },
  'event with an undefined id': { type: 2, nsp: '/', id: undefined, data: ['x'] },
  'event with a long name': { type: 2, nsp: '/', data: ['n'.repeat(300)] },
  'ack': { type: 3, nsp: '/events', id: 300, data: [{ success: true }] },
  'ack without arguments': { type: 3, nsp: '/', id: 1, data: [] },
  'ack of several': { type: 3, nsp: '/', id: 70_000, data: [null, true, false, 'x'] },
  'small integers': event(0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32),
  'negative integers': event(-1, -32, -33, -128, -129, -32_768, -32_769, -(2 ** 31), -(2 ** 31) - 1),
  'large integers': event(2 ** 53 - 1, 2 ** 53, -(2 ** 53), 2 ** 40, 1e15),
  [beyond]: event(2 ** 53 + 2, 2 ** 60, -(2 ** 60)),
  'minus zero': event(-0),
  'fractions': event(0.1, -0.5, 5e-324, 1.5e-300, 1e-7, 123456.789, Math.PI),
  'no numbers': event(NaN, Infinity, -Infinity),
  'strings': event('', 'é', '🏛', 's'.repeat(31), 's'.repeat(32), 's'.repeat(255), 's'.repeat(256)),
  'strings to escape': event('"', '\\', '\n\r\t\b\f', '\u0000\u001f\u007f', '\u2028</script>'),
  'names to escape': event({ '"\\\n': 1, '': 2, 'é': 3, '__proto': 4 }),
  'arrays': event([], count(15), count(16), count(300)),
  'objects': event({}, keys(15), keys(16), keys(300)),
  'nested': event({ a: [{ b: [[], {}, [{ c: null }]] }], d: { e: { f: count(20).map((i) => ({ i, l: count(i) })) } } }),
  'deep': event(count(60).reduce((inner) => [inner, { inner: 1 }], 'end')),
  'undefined': event(undefined, [undefined], { gone: undefined, stays: null, too: undefined, more: 1 }),
  'dates': event(new Date(0), new Date(1_700_000_000_123), new Date(-1), { at: new Date('2024-02-29T12:00:00Z') }),
  'distant dates': event(...['-000001-01-01', '0000-01-01', '0999-12-31', '+010000-01-01', '+275760-09-13', '-271821-04-20'].map((d) => new Date(`${d}T00:00:00.000Z`))),
  'with toJSON': event({ toJSON: () => ({ said: 'so' }) }),
  'a buffer': event(Buffer.from([1, 2, 3])),
  'buffers in places': { type: 2, nsp: '/events', id: 5, data: ['x', { a: Buffer.from('a') }, [Buffer.alloc(0), { b: Buffer.alloc(300, 7) }]] },
  'an ArrayBuffer': event(new Uint8Array([9, 8, 7]).buffer),
  'a typed array': event(new Uint8Array([9, 8])),
  'an ack with a buffer': { type: 3, nsp: '/', id: 1, data: [Buffer.from('b')] },
};

// golden is every packet in both forms. exact says that JSON alone leads to the very same MessagePack.
function golden() {
  return Object.entries(packets).map(([name, packet]) => {
    const [bytes] = new msgpack.Encoder().encode(packet);
    const [text, ...attachments] = new json.Encoder().encode({ ...packet });
    const plain = { type: packet.type, nsp: packet.nsp };
    if (packet.id !== undefined) plain.id = packet.id;
    if (packet.data !== undefined) plain.data = JSON.parse(JSON.stringify(packet.data));
    const [again] = new msgpack.Encoder().encode(plain);
    return {
      name, msgpack: hex(bytes), json: text, attachments: attachments.map(hex), exact: name !== beyond && again.equals(bytes),
    };
  });
}

const hex = (bytes) => Buffer.from(bytes).toString('hex');
const text = () => `[\n${golden().map((row) => JSON.stringify(row)).join(',\n')}\n]\n`;

export const current = () => text() === readFileSync(path, 'utf8');

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(path, text());
