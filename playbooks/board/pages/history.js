// The table of runs.

import { byId, duration, element, moment, say } from "./dom.js";

const SHOWN = 50;

export function outcome(run) {
  const tests = Object.entries(run.tests).map(([name, count]) => `${count} ${name}`).join(", ");
  return tests ? `${run.result}: ${tests}` : run.result;
}

function row(run) {
  const cell = (title, content, kind) => element("td", { "data-title": title, class: kind }, content);
  return element(
    "tr",
    {},
    element("td", { "data-title": "When" }, moment(run.started)),
    cell("Who", run.user),
    element("th", { scope: "row" }, run.playbook),
    cell("Environment", run.environments.join(", ")),
    cell("Took", duration(run.seconds), "number"),
    cell("Changed", String(run.changed), "number"),
    cell("Result", outcome(run), run.result === "passed" ? "good" : "bad"),
  );
}

export function showRuns({ fault, runs }) {
  const table = byId("history");
  say(byId("history-fault"), fault);
  table.hidden = Boolean(fault);
  const rows = runs.slice(0, SHOWN).map(row);
  const none = element("tr", {}, element("td", { colspan: 7 }, "No run is known yet."));
  table.tBodies[0].replaceChildren(...(rows.length ? rows : [none]));
}
