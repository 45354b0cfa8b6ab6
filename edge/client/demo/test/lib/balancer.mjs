// A balancer before the edges, with the demo behind the same address: what a firm's nginx would do. It
// serves a build of the demo made for development, in which React's StrictMode mounts everything twice.

import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { extname } from 'node:path';

const types = { '.js': 'text/javascript', '.css': 'text/css', '.html': 'text/html; charset=utf-8' };

export class Balancer {
  #folder; // of the build
  #home; // the server that has the demo's people
  #edge; // where new connections go
  #server = http.createServer((request, response) => this.#answer(request, response));
  #sockets = new Set();

  // start listens; the demo's people come from home, with its policy for the page.
  static async start(t, { folder, home }) {
    const made = new Balancer();
    made.#folder = folder;
    made.#home = new URL(home);
    made.policy = (await fetch(home)).headers.get('content-security-policy');
    made.#server.on('upgrade', (request, socket, head) => made.#upgrade(request, socket, head));
    made.#server.on('connection', (socket) => {
      made.#sockets.add(socket);
      socket.on('close', () => made.#sockets.delete(socket));
    });
    made.#server.listen(0, '127.0.0.1');
    await once(made.#server, 'listening');
    made.url = `http://127.0.0.1:${made.#server.address().port}`;
    t.after(() => {
      for (const socket of made.#sockets) socket.destroy();
      made.#server.close();
    });
    return made;
  }

  to(edge) { this.#edge = new URL(edge); }

  #answer(request, response) {
    const { pathname } = new URL(request.url, this.url);
    if (pathname.startsWith('/demo')) return this.#pass(request, response, this.#home);
    if (pathname.startsWith('/socket.io')) return this.#pass(request, response, this.#edge);
    const file = this.#folder + (extname(pathname) ? pathname : '/index.html');
    if (!existsSync(file)) return this.#pass(request, response, this.#home);
    response.writeHead(200, { 'Content-Type': types[extname(file)], 'Content-Security-Policy': this.policy });
    response.end(readFileSync(file));
  }

  // A balancer says that it is one; the demo gives its tokens to this machine alone, so this one does not.
  #pass(request, response, to) {
    const { hostname, port } = to;
    const through = http.request({ hostname, port, path: request.url, method: request.method, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    through.on('error', () => response.writeHead(502).end());
    request.pipe(through);
  }

  #upgrade(request, socket, head) {
    const { hostname, port } = this.#edge;
    const through = net.connect(port, hostname, () => {
      const lines = [`${request.method} ${request.url} HTTP/1.1`];
      for (let i = 0; i < request.rawHeaders.length; i += 2) lines.push(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}`);
      through.write(`${lines.join('\r\n')}\r\n\r\n`);
      through.write(head);
      through.pipe(socket).pipe(through);
    });
    for (const [from, other] of [[socket, through], [through, socket]]) {
      from.on('error', () => {});
      from.on('close', () => other.destroy());
    }
  }
}
