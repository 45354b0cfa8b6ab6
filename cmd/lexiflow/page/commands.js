// The lines to copy: the same event with lexiflow, with any NATS client, and received by one's own
// application.

import { $, breakable, element } from "./dom.js";

const samples = [
  {
    name: "Document",
    event: "document:uploaded",
    data: { documentId: "d1", fileName: "brief.pdf", fileSize: 482133 },
  },
  {
    name: "Docket entry",
    event: "docket:entry:added",
    data: { entryNumber: 12, description: "Motion to compel discovery", documentCount: 3 },
  },
  {
    name: "Case",
    event: "case:updated",
    data: { title: "Harlow v. Beck", changes: { status: { old: "discovery", new: "trial" } } },
  },
  { name: "Deadline", event: "deadline:approaching", data: { description: "Reply brief is due", severity: "warning" } },
  { name: "Your own", event: "invoice:sent", data: { invoiceId: "2026-114", amount: "4,200 EUR" } },
];

const standard = "nats://127.0.0.1:4222";
const demo = { program: "lexiflow", nats: standard };
let chosen = samples[0];
let caseId = "";

// offer draws the choice of samples. told is what /demo.json says, if anything.
export function offer() {
  $("samples").replaceChildren(
    ...samples.map((sample, i) => {
      const radio = element("input", "hidden");
      Object.assign(radio, { type: "radio", name: "sample", id: `sample-${i}`, checked: i === 0 });
      radio.addEventListener("change", () => {
        chosen = sample;
        write();
      });
      const label = element("label", "chip", sample.name);
      label.htmlFor = radio.id;
      return element("span", "", radio, label);
    }),
  );
}

// told takes how this lexiflow is called and where its NATS is.
export function told({ program, nats }) {
  Object.assign(demo, { program, nats });
  write();
}

// forCase makes the lines publish to that case.
export function forCase(id) {
  caseId = id;
  write();
}

function write() {
  const json = quote(JSON.stringify(chosen.data));
  const elsewhere = demo.nats === standard ? "" : demo.nats;
  const subject = `lex.case.${escape(caseId)}.${chosen.event.replaceAll(":", ".")}`;
  breakable(
    $("line-lexiflow"),
    `${demo.program} publish case ${quote(caseId)} ${chosen.event} ${json}${elsewhere && ` --nats ${elsewhere}`}`,
  );
  breakable($("line-nats"), `nats pub ${elsewhere && `-s ${elsewhere} `}${subject} ${json}`);
  $("line-client").textContent = [
    `import { io } from "socket.io-client";`,
    ``,
    `const socket = io("${location.origin}/events", { auth: { token } });`,
    `socket.on("${chosen.event}", (event) => console.log(event));`,
    `socket.on("connect", () =>`,
    `  socket.emit("subscribe:case", { caseId: ${JSON.stringify(caseId)} }));`,
  ].join("\n");
  $("path-subject").textContent = subject;
  $("path-room").textContent = `room case:${caseId}, encoded once`;
  $("path-event").textContent = chosen.event;
}

// escape writes an id as one subject token, as package subjects does.
function escape(id) {
  let token = "";
  for (const byte of new TextEncoder().encode(id)) {
    const c = String.fromCharCode(byte);
    token += /[A-Za-z0-9_-]/.test(c) ? c : `=${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return token;
}

// quote writes a word for a POSIX shell.
const quote = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);
