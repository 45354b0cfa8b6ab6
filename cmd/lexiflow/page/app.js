// The page of `lexiflow up`: an ordinary Socket.IO client that watches one case. Each column has a file
// of its own; this one has the connection and the stream of events.

import { card } from "./cards.js";
import { forCase, offer, told } from "./commands.js";
import { $, copies } from "./dom.js";
import { arrived, health, watchHealth } from "./figures.js";
import { Room } from "./room.js";
import { Socket } from "./socket.js";

const kept = 200; // cards

let token = sessionStorage.getItem("lexiflow-token") ?? "";
let caseId = "";
let watched = ""; // what the server has confirmed
let tick = 0;
let unseen = 0;

const socket = new Socket(location.origin, "/events", () => ({ token }), { state, event: received });
const room = new Room(socket);

// state follows the connection.
function state(name, detail) {
  clearInterval(tick);
  const say = (text) => ($("state").lastElementChild.textContent = text);
  $("state").dataset.state = name;
  $("retry").hidden = name === "connecting" || name === "connected";
  if (name !== "connected") {
    watched = "";
    room.left();
    watching("");
  }
  switch (name) {
    case "connecting":
      say("Connecting");
      break;
    case "connected":
      say("Connected");
      $("token-form").hidden = true;
      subscribe();
      room.enter().catch(() => {}); // the connection broke, and state says so
      health();
      break;
    case "waiting": {
      const until = Date.now() + detail;
      const count = () => say(`Reconnecting in ${Math.max(Math.ceil((until - Date.now()) / 1000), 1)} s`);
      count();
      tick = setInterval(count, 250);
      watching("Not connected. This page comes back by itself.");
      health();
      break;
    }
    case "idle":
      say("No token");
      $("retry").hidden = true;
      break;
    case "refused":
      say("Refused");
      refused(detail);
      break;
  }
}

// refused shows why, and asks for another token where that may help. A restarted `up` may have a new
// secret, so its demo token is fetched once more.
async function refused(error) {
  if (error.code === "AUTH_FAILED") {
    const fresh = await demo();
    if (fresh && fresh !== token) {
      sessionStorage.removeItem("lexiflow-token");
      token = fresh;
      socket.connect();
      return;
    }
    ask(error.message);
    return;
  }
  watching(`The edge refused the connection: ${error.message}.`, true);
}

function ask(why) {
  $("token-why").textContent = why;
  $("token-form").hidden = false;
}

async function subscribe() {
  const asked = caseId;
  try {
    const answer = await socket.emit("subscribe:case", { caseId: asked });
    if (asked !== caseId) return;
    if (answer.status === "subscribed") {
      watched = asked;
      watching(`Watching case ${asked}.`);
    } else {
      watching(`Case ${asked} cannot be watched: ${answer.error ?? "refused"}.`, true);
    }
  } catch {
    // The connection broke; subscribe runs again when it is back.
  }
}

function watching(text, bad = false) {
  $("watching").textContent = text;
  $("watching").classList.toggle("bad", bad);
}

// watch changes the case.
function watch(id) {
  if (id === caseId && watched) return;
  if (watched) socket.emit("unsubscribe:case", { caseId: watched }).catch(() => {}); // gone with the connection
  caseId = id;
  watched = "";
  $("case").value = id;
  $("empty-case").textContent = id;
  history.replaceState(null, "", `#${new URLSearchParams({ case: id })}`);
  forCase(id);
  if (socket.id) subscribe();
}

// received takes every event of the namespace.
function received(name, data) {
  if (name === "connected" || name === "pong") return;
  if (name === "error") {
    watching(data?.message ?? "The edge reports an error.", true);
    return;
  }
  const now = new Date();
  const sent = Date.parse(data?.timestamp);
  const latency = Number.isNaN(sent) ? undefined : Math.max(now.getTime() - sent, 0);
  if (!["user_joined", "user_left"].includes(name)) arrived(now, latency);
  if (room.event(name, data)) return;
  const stream = $("stream");
  stream.prepend(card(name, data, now, latency));
  while (stream.children.length > kept) stream.lastElementChild.remove();
  $("empty").hidden = true;
  $("clear").disabled = false;
  flow();
  title(document.hidden ? unseen + 1 : 0);
}

// title counts what arrived while the page could not be seen.
function title(count) {
  unseen = count;
  document.title = count > 0 ? `(${count}) LexiFlow Realtime` : "LexiFlow Realtime";
}

// flow lights the way of the event up.
function flow() {
  $("path").classList.remove("flow");
  void $("path").offsetWidth; // restarts the animation
  $("path").classList.add("flow");
}

// demo fetches the demo token; "" where this server gives none.
async function demo() {
  try {
    const answer = await fetch("/demo.json", { cache: "no-store" });
    if (!answer.ok) return "";
    const about = await answer.json();
    told(about);
    return about.token;
  } catch {
    return "";
  }
}

// colours go from the system's to light to dark.
function colours() {
  const order = ["system", "light", "dark"];
  const show = (name) => {
    document.documentElement.dataset.theme = name;
    $("theme").setAttribute("aria-label", `Colours: ${name === "system" ? "as the system" : name}`);
    $("theme").title = $("theme").getAttribute("aria-label");
  };
  let now = localStorage.getItem("lexiflow-theme") ?? "system";
  show(order.includes(now) ? now : "system");
  $("theme").addEventListener("click", () => {
    now = order[(order.indexOf(now) + 1) % order.length];
    localStorage.setItem("lexiflow-theme", now);
    show(now);
  });
}

function listen() {
  $("watch").addEventListener("submit", (submit) => {
    submit.preventDefault();
    const id = $("case").value.trim();
    if (id) watch(id);
  });
  $("token-form").addEventListener("submit", (submit) => {
    submit.preventDefault();
    token = $("token").value.trim();
    sessionStorage.setItem("lexiflow-token", token);
    $("token").value = "";
    socket.connect();
  });
  $("clear").addEventListener("click", () => {
    $("stream").replaceChildren();
    $("empty").hidden = false;
    $("clear").disabled = true;
    $("case").focus();
  });
  $("retry").addEventListener("click", () => socket.connect());
  document.addEventListener("visibilitychange", () => document.hidden || title(0));
  addEventListener("online", () => socket.id || socket.connect());
}

colours();
copies();
offer();
listen();
watch(new URLSearchParams(location.hash.slice(1)).get("case") || "123");
watchHealth();
token ||= await demo();
if (token) {
  socket.connect();
} else {
  state("idle");
  ask("This server gives none away, because it can be reached from other machines.");
}
