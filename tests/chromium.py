"""A real Chromium without a window, driven over its own debugging protocol (CDP) by two pipes."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)

# Text that is too faint (WCAG 2.2, 1.4.3: 4.5:1), with its ratio.
CONTRAST = """
(() => {
  const channels = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (text) => {
    const [r, g, b] = channels(text).slice(0, 3).map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const color = getComputedStyle(node).backgroundColor;
      if ((channels(color)[3] ?? 1) !== 0) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const weak = [];
  for (const node of document.body.querySelectorAll("*")) {
    const own = [...node.childNodes].some((each) => each.nodeType === 3 && each.data.trim());
    if (!own || !node.checkVisibility()) continue;
    const style = getComputedStyle(node);
    const [one, other] = [node instanceof SVGElement ? style.fill : style.color, ground(node)].map(light);
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5 && !node.disabled) weak.push(`${node.textContent.trim().slice(0, 30)}: ${ratio}`);
  }
  return weak;
})()
"""
# What is wider than the window.
BESIDE = """
[...document.querySelectorAll("body *")].filter((node) => node.getBoundingClientRect().right > innerWidth + 1
  && !node.closest("pre, thead")).map((node) => node.outerHTML.slice(0, 80))
"""


def trust(home: Path, ca: Path) -> None:
    """Import a CA as `make trust` says it, for browsers with this home folder."""
    database = home / ".pki/nssdb"
    database.mkdir(parents=True)
    certutil = ["certutil", "-d", f"sql:{database}"]
    subprocess.run([*certutil, "-N", "--empty-password"], check=True)
    subprocess.run([*certutil, "-A", "-t", "C,,", "-n", "local CA", "-i", str(ca)], check=True)


class ProtocolError(Exception):
    """The browser refuses a command, as it does while one page goes and the next one comes."""


class Page:
    """The browser's one page."""

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive, self._buffer, self._number = send, receive, b"", 0
        self.events: list[dict[str, Any]] = []
        self._session = ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Return a command's result; events meanwhile are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise ProtocolError(f"{method}: {answer['error']['message']}")
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            piece = os.read(self._receive, 1 << 20)
            assert piece, "the browser has ended"
            self._buffer += piece
        message, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer

    def open(self, url: str) -> str:
        """Load a page; return the browser's own error, empty if there is none."""
        for _ in range(5):
            before = len(self.events)
            error = str(self.call("Page.navigate", url=url).get("errorText", ""))
            # It gives up when an address of this machine comes or goes, as with any container's network.
            if error != "net::ERR_NETWORK_CHANGED":
                break
            del self.events[before:]
        self.wait("document.readyState === 'complete' && !!document.body")
        return error

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript; a promise is waited for."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, expression: str, seconds: float = 20) -> Any:
        """Return the first value of the expression that is true; fail after some seconds."""
        end, value = time.monotonic() + seconds, None
        while time.monotonic() < end:
            with suppress(ProtocolError):
                value = self.evaluate(expression)
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError(f"{expression} stays {value}: {self.text()}")

    def press(self, selector: str, title: str) -> None:
        """Click on an element, and wait for the page with this heading that it leads to."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")
        there = f"document.querySelector('h1')?.textContent === {json.dumps(title)}"
        self.wait(f"document.readyState === 'complete' && {there}")

    def text(self) -> str:
        return str(self.evaluate("document.body?.innerText"))

    def look(self, width: int, dark: bool) -> None:
        """Be a screen of this width, in CSS pixels, with the system's light or dark colours."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def faults(self) -> list[str]:
        """Return what is cut off, beside the window or too faint to read."""
        wide = self.evaluate("document.documentElement.scrollWidth > innerWidth")
        return [
            *(["the page is wider than the window"] if wide else []),
            *self.evaluate(BESIDE),
            *self.evaluate(CONTRAST),
        ]

    def screenshot(self, path: Path) -> None:
        """Write the whole page as PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def complaints(self) -> list[str]:
        """Return what the console has of errors and violations, and every request to another server."""
        self.evaluate("1")
        said = []
        for event in self.events:
            params = event.get("params", {})
            if event["method"] == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                said.append(params["entry"]["text"])
            elif event["method"] == "Runtime.exceptionThrown":
                said.append(params["exceptionDetails"]["text"])
        return said

    def requests(self) -> set[str]:
        """Return the addresses of all that was asked for."""
        return {request["request"]["url"] for request in self._sent()}

    def way(self) -> list[str]:
        """Return the addresses of the pages, redirects among them, in their order."""
        return [request["request"]["url"] for request in self._sent() if request["type"] == "Document"]

    def cookies(self) -> list[str]:
        """Return the values of all cookies."""
        return [cookie["value"] for cookie in self.call("Network.getAllCookies")["cookies"]]

    def _sent(self) -> list[dict[str, Any]]:
        self.evaluate("1")
        return [event["params"] for event in self.events if event["method"] == "Network.requestWillBeSent"]


@contextmanager
def browser(home: Path) -> Iterator[Page]:
    """Start a browser whose user has this home folder; it ends with the block."""
    assert PROGRAM
    # Its debugging pipes are the descriptors 3 and 4.
    ours, theirs = home / "to-browser", home / "from-browser"
    for fifo in (ours, theirs):
        os.mkfifo(fifo)
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    options += [
        "--disable-background-networking",
        # Of a whole page there is none, and a picture would be narrower than the page by its width.
        "--hide-scrollbars",
        "--remote-debugging-pipe",
        f"--user-data-dir={home}/profile",
    ]
    script = f'exec "$@" 3<"{ours}" 4>"{theirs}"'
    with subprocess.Popen(
        ["sh", "-c", script, "sh", PROGRAM, *options],
        env=os.environ | {"HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        send = os.open(ours, os.O_WRONLY)
        receive = os.open(theirs, os.O_RDONLY)
        try:
            yield Page(send, receive)
        finally:
            process.terminate()
            os.close(send)
            os.close(receive)
