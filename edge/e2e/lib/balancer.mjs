// A balancer that knows no stickiness: each HTTP request, also of one kept-alive connection, and each
// WebSocket goes to a target at random. An idempotent choice is all it makes: a target that cannot be reached
// is answered with 502, as balancers do between two health checks.

import http from 'node:http';
import net from 'node:net';
import { once } from 'node:events';

const port = (p) => Number(new URL(p.url).port);

export class RequestBalancer {
  constructor() {
    this.targets = new Map(); // process → requests that it got
    this.sockets = new Set();
    this.server = http.createServer((request, response) => this.#request(request, response));
    this.server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
    this.server.on('connection', (socket) => this.#keep(socket));
  }

  async listen() {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    this.url = `http://127.0.0.1:${this.server.address().port}`;
    return this;
  }

  add(process) { this.targets.set(process, 0); }
  remove(process) { this.targets.delete(process); }

  close() {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
  }

  #keep(socket) {
    this.sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.sockets.delete(socket));
  }

  #choose() {
    const list = [...this.targets.keys()];
    const chosen = list[Math.floor(Math.random() * list.length)];
    if (chosen) this.targets.set(chosen, this.targets.get(chosen) + 1);
    return chosen && port(chosen);
  }

  #request(request, response) {
    const chosen = this.#choose();
    const refuse = () => {
      if (response.headersSent) return void response.destroy();
      response.writeHead(502).end();
    };
    if (!chosen) return refuse();
    const { method, url, headers } = request;
    const onward = http.request({ host: '127.0.0.1', port: chosen, method, path: url, headers, agent: false }, (answer) => {
      const { connection, ...rest } = answer.headers;
      response.writeHead(answer.statusCode, rest);
      answer.on('error', () => response.destroy());
      answer.pipe(response);
    });
    onward.on('error', refuse);
    request.on('error', () => onward.destroy());
    response.on('close', () => onward.destroy()); // the client gave up
    request.pipe(onward);
  }

  #upgrade(request, socket, head) {
    const chosen = this.#choose();
    if (!chosen) return void socket.destroy();
    const target = net.connect(chosen, '127.0.0.1', () => {
      const lines = [`${request.method} ${request.url} HTTP/1.1`];
      for (let i = 0; i < request.rawHeaders.length; i += 2) lines.push(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}`);
      target.write(`${lines.join('\r\n')}\r\n\r\n`);
      target.write(head);
      target.pipe(socket);
      socket.pipe(target);
    });
    this.#keep(target);
    target.on('close', () => socket.destroy());
    socket.on('close', () => target.destroy());
  }
}
