// Small tools of the other files. Text is only ever set as text: nothing here becomes markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

/** An element with attributes and children; a child is a node or a text. */
export const element = (name, attributes = {}, ...children) =>
  fill(document.createElement(name), attributes, children);

/** The same of an SVG drawing. */
export const shape = (name, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, name), attributes, children);

export const byId = (id) => document.getElementById(id);

/** Show a text in an element that is hidden without one. */
export function say(node, text) {
  if (node.textContent !== (text ?? "")) node.textContent = text ?? "";
  node.hidden = !text;
}

export function duration(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(Math.round(seconds) / 60)} min ${Math.round(seconds) % 60} s`;
}

/** An age in the largest unit of which there are two, as `make status` says it. */
export function age(since) {
  const seconds = Math.max(0, Math.round((Date.now() - new Date(since)) / 1000));
  for (const [size, unit] of [[86400, "days"], [3600, "h"], [60, "min"]])
    if (seconds >= 2 * size) return `${Math.floor(seconds / size)} ${unit}`;
  return `${seconds} s`;
}

const pad = (number) => String(number).padStart(2, "0");

/** A moment in the reader's own zone, to the minute. */
export function moment(when) {
  const date = new Date(when);
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  return element("time", { datetime: date.toISOString() }, `${day} ${pad(date.getHours())}:${pad(date.getMinutes())}`);
}

export function clock(date) {
  const text = [date.getHours(), date.getMinutes(), date.getSeconds()].map(pad).join(":");
  return element("time", { datetime: date.toISOString() }, text);
}
