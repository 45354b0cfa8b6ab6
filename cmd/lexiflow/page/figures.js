// What the right column counts: deliveries, their latency, and the edge's own report.

import { $, element, milliseconds } from "./dom.js";

const remembered = 60; // latencies in the drawing
const minute = 60_000;
const every = 5000; // milliseconds between questions about health

const arrivals = []; // times of the last minute
const latencies = [];
let delivered = 0;

// arrived counts one event.
export function arrived(now, latency) {
  delivered++;
  arrivals.push(now.getTime());
  if (latency !== undefined) {
    latencies.push(latency);
    if (latencies.length > remembered) latencies.shift();
  }
  show();
}

function show() {
  const since = Date.now() - minute;
  while (arrivals.length > 0 && arrivals[0] < since) arrivals.shift();
  $("delivered").textContent = delivered.toLocaleString("en");
  $("rate").textContent = arrivals.length.toLocaleString("en");
  if (latencies.length === 0) return;
  $("latency").textContent = milliseconds(latencies.at(-1));
  $("median").textContent = milliseconds([...latencies].sort((a, b) => a - b)[latencies.length >> 1]);
  draw();
}

// draw shows one bar for each of the last events, the highest one filling the height.
function draw() {
  const most = Math.max(...latencies, 4);
  const width = 240 / remembered;
  const svg = $("spark");
  svg.setAttribute("aria-label", `Latency of the last ${latencies.length} events, at most ${milliseconds(Math.max(...latencies))}`);
  svg.replaceChildren(
    ...latencies.map((latency, i) => {
      const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      const height = Math.max((latency / most) * 46, 2);
      bar.setAttribute("x", (240 - (latencies.length - i) * width).toFixed(1));
      bar.setAttribute("y", (48 - height).toFixed(1));
      bar.setAttribute("width", (width - 1).toFixed(1));
      bar.setAttribute("height", height.toFixed(1));
      bar.setAttribute("rx", "1");
      return bar;
    }),
  );
}

// watchHealth asks the edge how it is, now and while the page can be seen.
export function watchHealth() {
  const ask = async () => {
    if (!document.hidden) await health();
    setTimeout(ask, every);
  };
  setInterval(show, every);
  ask();
}

// health asks once.
export async function health() {
  try {
    const answer = await fetch("/api/realtime/health", { cache: "no-store" });
    const report = await answer.json(); // a critical edge answers 503 and says why
    $("h-connections").textContent = report.connections.toLocaleString("en");
    $("h-rooms").textContent = report.rooms.toLocaleString("en");
    $("h-memory").textContent = `${Math.round(report.memory.rssMB ?? report.memory.heapUsedMB)} MB`;
    status(report.status, report.issues ?? []);
  } catch {
    status("unreachable", []);
  }
}

function status(name, issues) {
  $("health").textContent = name;
  $("health").dataset.health = name;
  $("h-issues").replaceChildren(...issues.map((issue) => element("li", "", issue)));
}
