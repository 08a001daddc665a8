// The stream of what is new, and who shows it.

import { byId } from "./dom.js";
import { showRuns } from "./history.js";
import { showEngine } from "./instances.js";
import { showReady, showTests } from "./plots.js";

const shown = byId("connection");
let source = null;

function say(text) {
  if (shown.textContent !== text) shown.textContent = text;
}

function open() {
  source = new EventSource("events");
  source.addEventListener("open", () => say("Connected: changes appear as they happen."));
  source.addEventListener("error", () => say("The board does not answer. Is make board still running? Trying again ..."));
  source.addEventListener("engine", (event) => showEngine(JSON.parse(event.data)));
  source.addEventListener("history", (event) => {
    const history = JSON.parse(event.data);
    showRuns(history);
    showReady(history.runs);
    showTests(history.runs);
  });
}

// A browser has six connections to a server: pages that nobody looks at must not hold them.
function follow() {
  if (document.hidden && source) {
    source.close();
    source = null;
    say("Paused while this page is not visible.");
  } else if (!document.hidden && !source) {
    open();
  }
}

document.addEventListener("visibilitychange", follow);
follow();
