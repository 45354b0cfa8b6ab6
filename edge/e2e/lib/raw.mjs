// Bytes as no official client would send them: WebSocket frames by hand over TCP, and bare HTTP.

import { randomBytes } from 'node:crypto';
import http from 'node:http';
import net from 'node:net';
import { within } from './time.mjs';

export const TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10;

// frame builds one WebSocket frame. `length` lies about the size when given.
export function frame(opcode, payload = Buffer.alloc(0), { fin = true, rsv = 0, masked = true, length } = {}) {
  const data = Buffer.from(payload);
  const size = length ?? data.length;
  const head = [(fin ? 0x80 : 0) | (rsv << 4) | opcode];
  const bit = masked ? 0x80 : 0;
  const wide = Buffer.alloc(8);
  if (size < 126) head.push(bit | size);
  else if (size < 65_536) {
    wide.writeUInt16BE(size);
    head.push(bit | 126, ...wide.subarray(0, 2));
  } else {
    wide.writeBigUInt64BE(BigInt(size));
    head.push(bit | 127, ...wide);
  }
  if (!masked) return Buffer.concat([Buffer.from(head), data]);
  const key = randomBytes(4);
  const hidden = Buffer.from(data.map((byte, i) => byte ^ key[i & 3]));
  return Buffer.concat([Buffer.from(head), key, hidden]);
}

export class RawSocket {
  // open makes the WebSocket handshake and, unless it joins a session by sid, takes the open packet.
  static async open(url, { path = '/socket.io/', sid, headers = {} } = {}) {
    const raw = new RawSocket();
    const { hostname, port, host } = new URL(url);
    raw.tcp = net.connect({ host: hostname, port: Number(port), noDelay: true });
    raw.buffer = Buffer.alloc(0);
    raw.messages = [];
    raw.wake = () => {};
    raw.tcp.on('error', () => {});
    raw.tcp.on('data', (data) => raw.#feed(data));
    raw.ended = new Promise((resolve) => raw.tcp.on('close', resolve)).then(() => { raw.gone = true; raw.wake(); });
    const query = `EIO=4&transport=websocket${sid ? `&sid=${sid}` : ''}`;
    raw.tcp.write([
      `GET ${path}?${query} HTTP/1.1`, `Host: ${host}`, 'Connection: Upgrade', 'Upgrade: websocket',
      'Sec-WebSocket-Version: 13', `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`,
      ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`), '', '',
    ].join('\r\n'));
    raw.status = await raw.#next(() => raw.head, 'the handshake response');
    if (!sid && raw.status === 101) raw.handshake = JSON.parse((await raw.message()).slice(1));
    return raw;
  }

  // joined opens a connection and a namespace on it.
  static async joined(url, token, namespace = '/events') {
    const raw = await RawSocket.open(url);
    raw.text(`40${namespace},${JSON.stringify({ token })}`);
    for (;;) {
      const packet = await raw.packet();
      if (packet.startsWith('44')) throw new Error(packet);
      if (packet.startsWith(`42${namespace},["connected"`)) return raw;
    }
  }

  write(bytes) { this.tcp.write(bytes); return this; }
  text(message, options) { return this.write(frame(TEXT, Buffer.from(message), options)); }
  binary(message, options) { return this.write(frame(BINARY, message, options)); }
  destroy() { this.tcp.destroy(); }

  #feed(data) {
    this.buffer = Buffer.concat([this.buffer, data]);
    if (!this.head) {
      const end = this.buffer.indexOf('\r\n\r\n');
      if (end < 0) return;
      this.headText = this.buffer.subarray(0, end).toString();
      this.head = Number(this.headText.split(' ')[1]);
      this.buffer = this.buffer.subarray(end + 4);
    }
    if (this.head === 101) this.#frames();
    this.wake();
  }

  #frames() {
    for (;;) {
      if (this.buffer.length < 2) return;
      let size = this.buffer[1] & 0x7f;
      let at = 2;
      if (size === 126) { if (this.buffer.length < 4) return; size = this.buffer.readUInt16BE(2); at = 4; }
      else if (size === 127) { if (this.buffer.length < 10) return; size = Number(this.buffer.readBigUInt64BE(2)); at = 10; }
      if (this.buffer.length < at + size) return;
      const opcode = this.buffer[0] & 15;
      const data = this.buffer.subarray(at, at + size);
      this.buffer = this.buffer.subarray(at + size);
      if (opcode === CLOSE) this.closeCode = size >= 2 ? data.readUInt16BE(0) : 1005;
      else this.messages.push({ opcode, data: opcode === TEXT ? data.toString() : Buffer.from(data) });
    }
  }

  async #next(take, what) {
    const wait = async () => {
      for (;;) {
        const value = take();
        if (value !== undefined) return value;
        if (this.gone) throw new Error(`connection closed (code ${this.closeCode}) instead of ${what}`);
        await new Promise((resolve) => (this.wake = resolve));
      }
    };
    return within(wait(), what);
  }

  // message is the next text message, WebSocket control frames left out.
  async message(opcode = TEXT) {
    return (await this.#next(() => {
      const i = this.messages.findIndex((m) => m.opcode === opcode);
      return i < 0 ? undefined : this.messages.splice(i, 1)[0];
    }, `a message with opcode ${opcode}`)).data;
  }

  // packet is the next message that is not a heartbeat.
  async packet() {
    for (;;) {
      const text = await this.message();
      if (text !== '2') return text;
    }
  }

  // closed waits until the server has closed the TCP connection and returns the WebSocket close code.
  async closed() {
    await within(this.ended, () => `the server closes (close frame: ${this.closeCode}; unread: ${JSON.stringify(this.messages).slice(0, 300)})`);
    return this.closeCode;
  }
}

// request is one HTTP request on a connection of its own.
export function request(url, { method = 'GET', headers = {}, body, signal } = {}) {
  return new Promise((resolve, reject) => {
    const r = http.request(url, { method, headers, signal, agent: false }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks).toString() }));
    });
    r.on('error', reject);
    r.end(body);
  });
}

// Polling is a session over bare HTTP requests.
export class Polling {
  static async open(url, path = '/socket.io/', headers = {}) {
    const session = new Polling();
    session.headers = headers;
    session.base = `${url}${path}?EIO=4&transport=polling`;
    const answer = await request(session.base, { headers });
    if (answer.status !== 200) throw new Error(`handshake: ${answer.status} ${answer.body}`);
    session.answer = answer;
    session.handshake = JSON.parse(answer.body.split('\x1e')[0].slice(1));
    session.address = `${session.base}&sid=${session.handshake.sid}`;
    return session;
  }

  get(options = {}) { return within(request(this.address, { headers: this.headers, ...options }), 'GET'); }
  post(body, headers = {}) {
    const all = { 'Content-Type': 'text/plain;charset=UTF-8', ...this.headers, ...headers };
    return within(request(this.address, { method: 'POST', body, headers: all }), 'POST');
  }
}

// bare writes bytes to a fresh TCP connection and returns all that comes until the server closes it.
export function bare(url, bytes) {
  const { hostname, port } = new URL(url);
  return within(new Promise((resolve) => {
    const tcp = net.connect(Number(port), hostname, () => tcp.write(bytes));
    let text = '';
    tcp.on('data', (data) => (text += data));
    tcp.on('error', () => {});
    tcp.on('close', () => resolve(text));
  }), 'the server closes');
}
