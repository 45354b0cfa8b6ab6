// The team room: what join_room, send_message, user_joined, user_left and message do.

import { $, clock, element } from "./dom.js";

const room = "team";
const kept = 100; // messages

// Room shows the room on a socket.
export class Room {
  #socket;

  constructor(socket) {
    this.#socket = socket;
    $("say").addEventListener("submit", (submit) => {
      submit.preventDefault();
      this.#say($("text").value.trim());
    });
  }

  // enter joins the room; a new connection is in no room.
  async enter() {
    const answer = await this.#socket.emit("join_room", { room });
    this.#enable(answer.success === true);
    if (!answer.success) this.#note(answer.error ?? "The room cannot be joined.");
  }

  // left says that the connection is gone.
  left() {
    this.#enable(false);
    $("present").textContent = "offline";
  }

  // event takes the room's events and reports whether this was one.
  event(name, data) {
    if (!["user_joined", "user_left", "message"].includes(name) || (data?.room && data.room !== room)) return false;
    if (name === "message") {
      this.#message(data);
      return true;
    }
    $("present").textContent = `${data.participantCount} here`;
    if (data.socketId !== this.#socket.id) this.#note(`${this.#who(data.socketId, data.userId)} ${name === "user_joined" ? "came in" : "left"}`);
    return true;
  }

  async #say(message) {
    if (!message) return;
    $("text").value = "";
    try {
      const answer = await this.#socket.emit("send_message", { room, message });
      if (!answer.success) this.#note(answer.error ?? "Not sent.");
    } catch (error) {
      this.#note(`Not sent: ${error.message}.`);
    }
  }

  #message({ from, userId, message, timestamp }) {
    const own = from === this.#socket.id;
    const text = typeof message === "string" ? message : JSON.stringify(message);
    this.#add(
      element(
        "li",
        own ? "said own" : "said",
        element("p", "said-by", `${this.#who(from, userId)} · ${clock(new Date(timestamp ?? Date.now()))}`),
        element("p", "said-text", text),
      ),
    );
  }

  // #who tells windows of one user apart by the end of their socket id.
  #who(socketId, userId) {
    return socketId === this.#socket.id ? "You" : `${userId ?? "someone"} (${String(socketId).slice(-4)})`;
  }

  #note(text) {
    this.#add(element("li", "said-note", text));
  }

  #add(item) {
    const list = $("talk");
    list.append(item);
    while (list.children.length > kept) list.firstElementChild.remove();
    list.scrollTop = list.scrollHeight;
  }

  #enable(on) {
    for (const control of $("say").elements) control.disabled = !on;
  }
}
