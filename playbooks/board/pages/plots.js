// Two plots, each a drawing of its own with its numbers as text beside it: the table of runs has them all.

import { byId, duration, element, shape } from "./dom.js";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [480, 200, 44, 10, 10, 24];
const MOST = 40;

/** The smallest of 1, 2, 5, 10, 20 ... that is not below the value. */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value || 1));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= value);
}

function date(run) {
  return new Date(run.started).toLocaleDateString(undefined, { day: "numeric", month: "short" });
}

/** Axes for these runs, the oldest at the left; x of a run's number, y of seconds. */
function axes(runs, seconds) {
  const top = roundUp(Math.max(...seconds));
  const x = (number) => LEFT + ((number + 0.5) * (WIDTH - LEFT - RIGHT)) / runs.length;
  const y = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - TOP);
  const lines = [0, top / 2, top].flatMap((value) => [
    shape("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }),
    shape("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, `${+value.toPrecision(2)} s`),
  ]);
  const ends = [shape("text", { x: LEFT, y: HEIGHT - 6 }, date(runs[0]))];
  if (date(runs[0]) !== date(runs.at(-1)))
    ends.push(shape("text", { x: WIDTH - RIGHT, y: HEIGHT - 6, "text-anchor": "end" }, date(runs.at(-1))));
  return { x, y, drawn: [...lines, ...ends] };
}

function draw(id, label, parts, below) {
  const picture = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label }, ...parts);
  byId(id).replaceChildren(picture, element("p", { class: "soft" }, below));
}

function nothing(id, text) {
  byId(id).replaceChildren(element("p", { class: "soft" }, text));
}

function tooltip(run, text) {
  return shape("title", {}, `${new Date(run.started).toLocaleString()}: ${text}`);
}

export function showReady(runs) {
  const slowest = (run) => Math.max(...Object.values(run.ready));
  const found = runs.filter((run) => Object.keys(run.ready).length).slice(0, MOST).reverse();
  if (!found.length) return nothing("ready-plot", "No run has started a container yet.");
  const seconds = found.map(slowest);
  const { x, y, drawn } = axes(found, seconds);
  const names = [...new Set(found.map((run) => run.environments.join(", ")))];
  const parts = names.flatMap((name) => {
    const numbers = found.map((run, at) => at).filter((at) => found[at].environments.join(", ") === name);
    const points = numbers.map((at) => `${x(at)},${y(seconds[at])}`).join(" ");
    const dots = numbers.map((at) =>
      shape("circle", { class: "dot", cx: x(at), cy: y(seconds[at]), r: 4 },
        tooltip(found[at], `${name}, ${duration(seconds[at])}`)));
    return [shape("polyline", { class: name === names[0] ? "series" : "series other", points }), ...dots];
  });
  const lines = names.length > 1 ? ` Solid line: ${names[0]}; dashed: ${names.slice(1).join(", ")}.` : "";
  const last = `The last one took ${duration(seconds.at(-1))} (${found.at(-1).environments.join(", ")}).`;
  return draw("ready-plot", `Time to ready of ${found.length} runs. ${last}`, [...drawn, ...parts], last + lines);
}

export function showTests(runs) {
  const found = runs.filter((run) => Object.keys(run.tests).length).slice(0, MOST).reverse();
  if (!found.length) return nothing("tests-plot", "No tests have been run yet.");
  const seconds = found.map((run) => run.seconds);
  const { x, y, drawn } = axes(found, seconds);
  const wide = Math.min(24, ((WIDTH - LEFT - RIGHT) / found.length) * 0.7);
  const bars = found.map((run, at) =>
    shape("rect",
      { class: run.result, x: x(at) - wide / 2, y: y(run.seconds), width: wide, height: Math.max(1, y(0) - y(run.seconds)) },
      tooltip(run, `${run.tests.passed} passed, ${run.tests.failed} failed, ${duration(run.seconds)}`)));
  const bad = found.filter((run) => run.result !== "passed").length;
  const { tests } = found.at(-1);
  const said = `${found.length} runs, ${bad} failed. The last one: ${tests.passed} passed, ${tests.failed} failed.`;
  return draw("tests-plot", `Seconds of test runs. ${said}`, [...drawn, ...bars], `${said} Filled bars passed, empty ones failed.`);
}
