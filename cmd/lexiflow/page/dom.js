// Helpers for building the page. Text always goes in as text, never as markup: what arrives in an
// event was written by somebody else.

export const $ = (id) => document.getElementById(id);

// element makes <tag class="…"> with children: nodes or text.
export function element(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// drawing makes an <svg> of one path.
export function drawing(className, viewBox, path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", className);
  svg.setAttribute("viewBox", viewBox);
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

export const clock = (date) =>
  date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

export function milliseconds(n) {
  if (n < 1) return "< 1 ms"; // timestamps have no finer unit
  return n < 1000 ? `${Math.round(n)} ms` : `${(n / 1000).toFixed(1)} s`;
}

// breakable fills an element with a command that breaks between words and members of its JSON. The
// element's text stays the command.
export function breakable(node, command) {
  node.replaceChildren(...command.split(/(?<=[ ,])/).flatMap((part) => [part, element("wbr")]));
}

export function bytes(n) {
  if (n < 1000) return `${n} B`;
  if (n < 1e6) return `${(n / 1e3).toFixed(0)} kB`;
  return `${(n / 1e6).toFixed(1)} MB`;
}

// copies makes every button with data-copy put the text of that element on the clipboard.
export function copies() {
  document.addEventListener("click", async (click) => {
    const button = click.target.closest("button[data-copy]");
    if (!button || button.dataset.copied) return;
    const label = button.textContent;
    button.dataset.copied = "yes";
    try {
      await navigator.clipboard.writeText($(button.dataset.copy).textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren($(button.dataset.copy));
      button.textContent = "Selected";
    }
    setTimeout(() => {
      button.textContent = label;
      delete button.dataset.copied;
    }, 1600);
  });
}
