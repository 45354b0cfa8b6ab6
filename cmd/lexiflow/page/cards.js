// How events look: a card for each family of events, and one for what nobody has declared.

import { bytes, clock, drawing, element, milliseconds } from "./dom.js";

const icons = {
  document: "M6 2.5h5.5L15 6v11.5H6zM11.5 2.5V6H15M8.2 9.5h4.6M8.2 12h4.6M8.2 14.5h3",
  docket: "M4.5 5h11M4.5 10h11M4.5 15h7M2.6 5h.01M2.6 10h.01M2.6 15h.01",
  case: "M3 6.5h14v10H3zM7.5 6.5V4h5v2.5M3 11h14M10 10v2",
  task: "M4 10.5l3.8 3.8L16 6",
  deadline: "M10 3.5a6.5 6.5 0 1 0 .01 0M10 6.5V10l2.6 2",
  system: "M10 3l7.5 13.5h-15zM10 8v4M10 14.2v.1",
  other: "M3.5 10h3l2-4.5 3 9 2-4.5h3",
};

const words = (event) => event.replace(/[:_-]+/g, " ").replace(/^./, (c) => c.toUpperCase());

// readers turn a payload into {title, text, facts}; facts are [name, value] and without value left out.
const readers = {
  document: (event, d) => ({
    title: d.fileName ?? d.documentId ?? words(event),
    text: d.error,
    facts: [
      ["Document", d.documentId],
      ["Status", d.status],
      ["Size", Number.isFinite(d.fileSize) ? bytes(d.fileSize) : undefined],
      ["Type", d.mimeType],
      ["By", d.uploadedBy ?? d.sharedBy],
    ],
  }),
  docket: (event, d) => ({
    title: d.description ?? words(event),
    facts: [
      ["Entry", d.entryNumber ?? d.entryId],
      ["Filed", d.filedDate],
      ["Documents", d.documentCount],
    ],
  }),
  case: (event, d) => ({
    title: d.title ?? d.caseNumber ?? words(event),
    changes: d.oldStatus ? { status: { old: d.oldStatus, new: d.newStatus } } : d.changes,
    facts: [
      ["Number", d.title ? d.caseNumber : undefined],
      ["Client", d.clientName],
      ["By", d.createdBy ?? d.updatedBy ?? d.deletedBy ?? d.changedBy],
    ],
  }),
  task: (event, d) => ({
    title: d.title ?? d.taskId ?? words(event),
    text: d.description,
    facts: [["For", d.assignedTo], ["Due", d.dueDate], ["Priority", d.priority], ["By", d.completedBy ?? d.createdBy]],
  }),
  deadline: (event, d) => ({
    title: d.description ?? words(event),
    facts: [["Due", d.dueDate], ["Case", d.caseName], ["Severity", d.severity]],
  }),
  system: (event, d) => ({
    title: d.title ?? words(event),
    text: d.message,
    facts: [["Severity", d.severity], ["From", d.startTime], ["Until", d.estimatedEndTime ?? d.endTime]],
  }),
  other: (event, d) => ({
    title: d.title ?? d.name ?? d.subject ?? words(event),
    facts: Object.entries(d)
      .filter(([key, value]) => !["timestamp", "caseId", "title", "name", "subject"].includes(key) && typeof value !== "object")
      .slice(0, 4),
  }),
};

// card draws one event. latency is in milliseconds, or undefined where the event has no timestamp.
export function card(event, data, arrived, latency) {
  const first = event.split(":")[0];
  const family = Object.hasOwn(readers, first) ? first : "other";
  const body = data && typeof data === "object" && !Array.isArray(data) ? data : { value: data };
  const { title, text, facts, changes } = readers[family](event, body);
  const item = element(
    "li",
    `card ${family}`,
    element("span", "card-icon", drawing("", "0 0 20 20", icons[family])),
    element(
      "div",
      "card-body",
      element("p", "card-head", element("code", "card-event", event), when(arrived, latency)),
      element("h3", "card-title", String(title)),
      text ? element("p", "card-text", String(text)) : null,
      changes && typeof changes === "object" ? changed(changes) : null,
      listed(facts),
      payload(data),
    ),
  );
  return item;
}

function when(arrived, latency) {
  const time = element("time", "", clock(arrived));
  time.dateTime = arrived.toISOString();
  return element("span", "card-when", latency === undefined ? null : element("b", "", milliseconds(latency)), time);
}

function listed(facts) {
  const known = facts.filter(([, value]) => value !== undefined && value !== null && value !== "");
  if (known.length === 0) return null;
  return element(
    "dl",
    "facts",
    ...known.map(([name, value]) => element("div", "", element("dt", "", name), element("dd", "", String(value)))),
  );
}

function changed(changes) {
  return element(
    "ul",
    "changes",
    ...Object.entries(changes).map(([field, change]) =>
      element(
        "li",
        "",
        element("span", "", field),
        element("del", "", shown(change?.old)),
        element("ins", "", shown(change?.new)),
      ),
    ),
  );
}

const shown = (value) => (typeof value === "string" ? value : value === null || value === undefined ? "–" : JSON.stringify(value));

function payload(data) {
  const details = element("details", "payload", element("summary", "", "Payload"));
  details.addEventListener(
    "toggle",
    () => {
      const text = element("pre", "", element("code", "", JSON.stringify(data, null, 2)));
      text.tabIndex = 0;
      details.append(text);
    },
    { once: true },
  );
  return details;
}
