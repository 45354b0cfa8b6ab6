// A TCP proxy before the server: it counts connections, and cuts and refuses them, which is what a network
// does to a page.

import { once } from 'node:events';
import net from 'node:net';

export class Wire {
  /** Connections that have been opened so far. */
  opened = 0;
  url = '';
  #port: number;
  #refusing = false;
  readonly #pairs = new Set<[net.Socket, net.Socket]>();
  readonly #server = net.createServer((client) => this.#accept(client));

  private constructor(target: string) {
    this.#port = Number(new URL(target).port);
  }

  static async to(target: string): Promise<Wire> {
    const wire = new Wire(target);
    wire.#server.listen(0, '127.0.0.1');
    await once(wire.#server, 'listening');
    wire.url = `http://127.0.0.1:${(wire.#server.address() as net.AddressInfo).port}`;
    return wire;
  }

  /** Connections that are open now. */
  get open(): number {
    return this.#pairs.size;
  }

  /** Loses every connection, and all new ones until restore. */
  cut(): void {
    this.#refusing = true;
    this.drop();
  }

  /** Loses every connection; new ones are let through. */
  drop(): void {
    for (const [client, server] of this.#pairs) {
      client.destroy();
      server.destroy();
    }
  }

  restore(target?: string): void {
    if (target) this.#port = Number(new URL(target).port);
    this.#refusing = false;
  }

  close(): void {
    this.cut();
    this.#server.close();
  }

  #accept(client: net.Socket): void {
    if (this.#refusing) return void client.destroy();
    this.opened++;
    const server = net.connect(this.#port, '127.0.0.1');
    const pair: [net.Socket, net.Socket] = [client, server];
    this.#pairs.add(pair);
    for (const [from, to] of [[client, server], [server, client]] as const) {
      from.on('error', () => {});
      from.on('close', () => {
        this.#pairs.delete(pair);
        to.destroy();
      });
      from.pipe(to);
    }
  }
}
