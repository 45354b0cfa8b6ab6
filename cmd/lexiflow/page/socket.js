// A small Socket.IO v5 client on Engine.IO v4, WebSocket only: enough for one namespace, JSON events
// and acks. It exists so that this page needs no third-party code; applications use socket.io-client.

const firstDelay = 400; // milliseconds
const longestDelay = 8000;

// Socket keeps one namespace connected and tells its listener:
//   state(name, detail)  "connecting", "connected", "waiting" (detail: milliseconds), "refused" (detail: Error)
//   event(name, data)    everything that the server emits
export class Socket {
  #url;
  #namespace;
  #auth;
  #listener;
  #transport = null;
  #attempts = 0;
  #retry = 0;
  #silence = 0;
  #patience = 45000;
  #acks = new Map();
  #nextAck = 0;
  id = ""; // "" while not connected

  // auth is called at every connect, so that a new token is used as soon as there is one.
  constructor(url, namespace, auth, listener) {
    this.#url = `${url.replace(/^http/, "ws")}/socket.io/?EIO=4&transport=websocket`;
    this.#namespace = namespace;
    this.#auth = auth;
    this.#listener = listener;
  }

  connect() {
    clearTimeout(this.#retry);
    this.close();
    this.#listener.state("connecting");
    const transport = new WebSocket(this.#url);
    this.#transport = transport;
    const alive = () => this.#transport === transport;
    transport.onmessage = (message) => alive() && this.#engine(message.data);
    transport.onclose = () => alive() && this.#lost();
    this.#watch();
  }

  // close ends the connection without coming back.
  close() {
    clearTimeout(this.#retry);
    clearTimeout(this.#silence);
    const transport = this.#transport;
    this.#transport = null;
    this.id = "";
    transport?.close();
    for (const { reject } of this.#acks.values()) reject(new Error("not connected"));
    this.#acks.clear();
  }

  // emit sends an event and resolves with the server's ack.
  emit(event, data) {
    if (!this.id) return Promise.reject(new Error("not connected"));
    const ack = this.#nextAck++;
    const answer = new Promise((resolve, reject) => this.#acks.set(ack, { resolve, reject }));
    this.#send("2", JSON.stringify([event, data]), ack);
    return answer;
  }

  #send(type, json = "", ack = "") {
    this.#transport.send(`4${type}${this.#namespace},${ack}${json}`);
  }

  // #engine reads one Engine.IO packet: 0 open, 1 close, 2 ping, 4 message.
  #engine(text) {
    this.#watch();
    switch (text[0]) {
      case "0": {
        const open = JSON.parse(text.slice(1));
        this.#patience = open.pingInterval + open.pingTimeout;
        this.#send("0", JSON.stringify(this.#auth()));
        break;
      }
      case "1":
        this.#transport.close();
        break;
      case "2":
        this.#transport.send("3");
        break;
      case "4":
        this.#packet(text.slice(1));
        break;
    }
  }

  // #packet reads one Socket.IO packet of this namespace: type, namespace, ack id, JSON.
  #packet(text) {
    const head = /^(\d)(\/[^,]*),(\d*)/.exec(text);
    if (!head || head[2] !== this.#namespace) return;
    const [whole, type, , ack] = head;
    const rest = text.slice(whole.length);
    const data = rest ? JSON.parse(rest) : undefined;
    switch (type) {
      case "0":
        this.id = data.sid;
        this.#attempts = 0;
        this.#listener.state("connected");
        break;
      case "1":
        this.#refused(new Error("the server ended the connection"));
        break;
      case "2":
        this.#listener.event(...data);
        if (ack) this.#send("3", "[]", ack);
        break;
      case "3":
        this.#acks.get(Number(ack))?.resolve(data[0]);
        this.#acks.delete(Number(ack));
        break;
      case "4":
        this.#refused(Object.assign(new Error(data.message), { code: data.data?.code }));
        break;
    }
  }

  // #refused means that coming back with the same token would not help.
  #refused(error) {
    this.close();
    this.#listener.state("refused", error);
  }

  #lost() {
    this.close();
    const delay = Math.min(firstDelay * 2 ** this.#attempts++, longestDelay) * (0.75 + Math.random() / 2);
    this.#retry = setTimeout(() => this.connect(), delay);
    this.#listener.state("waiting", delay);
  }

  // #watch takes a server that does not ping in time for gone.
  #watch() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#lost(), this.#patience);
  }
}
