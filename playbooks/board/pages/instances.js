// Instances, each with its containers, their addresses, their last log lines and drift on demand.

import { age, byId, clock, element, say } from "./dom.js";

const own = document.querySelector('meta[name="board-checkout"]').content;
const token = document.querySelector('meta[name="board-token"]').content;
const LOG_EVERY = 3000;
const CHANGES = 20;
const articles = new Map();
let before = null;

const nameOf = (instance) => [instance.instance, instance.environment].filter(Boolean).join("-");
const keyOf = (instance) => `${instance.checkout} ${nameOf(instance)}`;
const containersOf = (instance) => instance.objects.filter((each) => each.kind === "container");

function stateOf(container) {
  if (container.exit_code !== null) return `exited with ${container.exit_code}`;
  return [container.state, container.health].filter(Boolean).join(" ");
}

function kindOf(state) {
  if (/^(up|running|running healthy)$/.test(state)) return "good";
  return /starting|created|down/.test(state) ? "wait" : "bad";
}

function addresses(container) {
  if (container.browser_url)
    return [element("a", { href: container.browser_url, target: "_blank", rel: "noreferrer" }, container.browser_url)];
  return [container.tool_url ?? container.ports.join(", ")];
}

function row(container) {
  const state = stateOf(container);
  const ready = container.ready_seconds === null ? "" : `${container.ready_seconds} s`;
  const up = container.started ? element("span", { "data-since": container.started }, age(container.started)) : "";
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, container.name,
      container.reason && element("span", { class: "reason" }, container.reason)),
    element("td", { "data-title": "State", class: kindOf(state) }, state),
    element("td", { "data-title": "Address" }, ...addresses(container)),
    element("td", { "data-title": "Up", class: "number" }, up),
    element("td", { "data-title": "Ready after", class: "number" }, ready),
  );
}

function titles() {
  const column = (title, kind) => element("th", { scope: "col", class: kind }, title);
  return element("thead", {}, element("tr", {}, column("Container"), column("State"), column("Address"),
    column("Up", "number"), column("Ready after", "number")));
}

async function fetchText(path, options) {
  try {
    const answer = await fetch(path, options);
    return { ok: answer.ok, text: await answer.text() };
  } catch {
    return { ok: false, text: "The board does not answer." };
  }
}

function logOf(name) {
  const lines = element("pre", { tabindex: 0, "aria-label": `Last log lines of ${name}` }, "...");
  const details = element("details", { "data-name": name }, element("summary", {}, `Log of ${name}`), lines);
  async function refresh() {
    if (!details.open || !details.isConnected) return;
    if (!document.hidden) {
      const end = lines.scrollTop + lines.clientHeight >= lines.scrollHeight - 4;
      const { text } = await fetchText(`logs/${encodeURIComponent(name)}`);
      if (lines.textContent !== text) lines.textContent = text || "The log is empty.";
      if (end) lines.scrollTop = lines.scrollHeight;
    }
    setTimeout(refresh, LOG_EVERY);
  }
  details.addEventListener("toggle", refresh);
  return details;
}

function difference(each) {
  const cell = (title, text) => element("td", { "data-title": title }, String(text ?? ""));
  return element("tr", {}, element("th", { scope: "row" }, each.object), cell("What", each.what),
    cell("Declared", each.declared), cell("Running", [each.running, each.note].filter(Boolean).join("; ")));
}

function drifted(name, found) {
  if (found.fault) return element("p", { class: "fault" }, found.fault);
  if (!found.drift.length) return element("p", { class: "good" }, `${name} is as declared.`);
  const columns = ["Object", "What", "Declared", "Running"].map((title) => element("th", { scope: "col" }, title));
  const table = element("table", {}, element("caption", {}, `Drift of ${name}. The next run repairs it, unless a line says something else.`),
    element("thead", {}, element("tr", {}, ...columns)), element("tbody", {}, ...found.drift.map(difference)));
  return element("div", { class: "drift", tabindex: 0, role: "region", "aria-label": `Drift of ${name}` }, table);
}

function driftButton(instance, result) {
  const button = element("button", { type: "button" }, "Compare with declaration");
  button.addEventListener("click", async () => {
    button.disabled = true;
    result.replaceChildren(element("p", { class: "soft" }, "Comparing, which takes some seconds ..."));
    const path = `drift/${encodeURIComponent(instance.instance)}/${encodeURIComponent(instance.environment)}`;
    const { ok, text } = await fetchText(path, { headers: { "X-Board-Token": token } });
    result.replaceChildren(drifted(nameOf(instance), ok ? JSON.parse(text) : { fault: text.trim() }));
    button.disabled = false;
  });
  return button;
}

function create(instance) {
  const name = nameOf(instance);
  const id = `instance-${articles.size}-${name}`;
  const parts = {
    state: element("span", { class: "state" }),
    rows: element("tbody"),
    others: element("p", { class: "soft" }),
    logs: element("div", { class: "logs" }),
    result: element("div", { "aria-live": "polite" }),
    shown: new Map(),
  };
  const mine = instance.checkout === own;
  parts.node = element(
    "article",
    { "aria-labelledby": id },
    element("div", { class: "title" }, element("h3", { id }, name), parts.state, mine ? driftButton(instance, parts.result) : null),
    parts.result,
    mine ? null : element("p", { class: "soft" }, `of the checkout ${instance.checkout || "(not said)"}`),
    element("table", {}, element("caption", {}, `Containers of ${name}`), titles(), parts.rows),
    parts.others,
    parts.logs,
  );
  return parts;
}

function update(parts, instance) {
  parts.state.textContent = instance.state;
  parts.state.className = `state ${kindOf(instance.state)}`;
  const containers = containersOf(instance);
  const rows = containers.map((container) => {
    const text = JSON.stringify(container);
    const known = parts.shown.get(container.name);
    if (known?.text === text) return known.node;
    const node = row(container);
    parts.shown.set(container.name, { text, node });
    return node;
  });
  // A row that stays keeps its place, and the keyboard's focus with it.
  if (rows.length !== parts.rows.children.length || rows.some((node, at) => node !== parts.rows.children[at]))
    parts.rows.replaceChildren(...rows);
  parts.rows.parentElement.hidden = !rows.length;
  const logs = new Map([...parts.logs.children].map((node) => [node.dataset.name, node]));
  for (const { name } of containers) if (!logs.has(name)) parts.logs.append(logOf(name));
  for (const [name, node] of logs) if (!containers.some((each) => each.name === name)) node.remove();
  const others = instance.objects.filter((each) => each.kind !== "container");
  parts.others.textContent = others.map((each) => `${each.kind} ${each.name}`).join(" · ");
}

function tell(instances) {
  const now = new Map(instances.flatMap(containersOf).map((each) => [each.name, stateOf(each)]));
  if (before) {
    const names = [...new Set([...before.keys(), ...now.keys()])];
    const changed = names.filter((name) => before.get(name) !== now.get(name));
    for (const name of changed) {
      const text = ` ${name}: ${before.get(name) ?? "new"} → ${now.get(name) ?? "removed"}`;
      byId("changes").prepend(element("li", {}, clock(new Date()), text));
      byId("no-changes").hidden = true;
    }
    while (byId("changes").children.length > CHANGES) byId("changes").lastElementChild.remove();
  }
  before = now;
}

export function showEngine({ fault, instances }) {
  say(byId("engine-fault"), fault);
  byId("instances").hidden = Boolean(fault);
  byId("no-instances").hidden = Boolean(fault) || instances.length > 0;
  if (fault) return;
  const present = new Set(instances.map(keyOf));
  for (const [key, parts] of articles) if (!present.has(key)) { parts.node.remove(); articles.delete(key); }
  // This checkout's own come first.
  const sorted = [...instances].sort((one, other) => (other.checkout === own) - (one.checkout === own));
  for (const instance of sorted) {
    if (!articles.has(keyOf(instance))) articles.set(keyOf(instance), create(instance));
    update(articles.get(keyOf(instance)), instance);
  }
  const nodes = sorted.map((instance) => articles.get(keyOf(instance)).node);
  const place = byId("instances");
  if (nodes.length !== place.children.length || nodes.some((node, at) => node !== place.children[at])) place.replaceChildren(...nodes);
  tell(instances);
}

setInterval(() => {
  for (const node of document.querySelectorAll("[data-since]")) {
    const text = age(node.dataset.since);
    if (node.textContent !== text) node.textContent = text;
  }
}, 1000);
