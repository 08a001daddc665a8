"""What is new, for any number of streams: one look at the engine and at the history serves all of them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from ansible_collections.dashtam.stack.plugins.module_utils.engine import EngineError
from ansible_collections.dashtam.stack.plugins.module_utils.run_history import PLACE

from playbooks.board import CHECKOUT, containers, history

# Seconds. The engine tells of what happens; a look without that is for what it does not tell.
TICK, LONGEST = 1.0, 10.0
# What follows an event at once belongs to it.
SETTLE = 0.1
HEARTBEAT = 15.0
RUNS = 200


class News:
    """The latest of each kind, and who waits for more."""

    def __init__(self) -> None:
        self._latest: dict[str, str] = {}
        self._streams: set[asyncio.Event] = set()
        self._something = asyncio.Event()
        self._closing = False
        self._history: tuple[float, ...] = ()

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    @property
    def instances(self) -> list[dict[str, Any]]:
        """What the last look at the engine found."""
        found: list[dict[str, Any]] = json.loads(self._latest.get("engine", "{}")).get("instances", [])
        return found

    def close(self) -> None:
        """End all streams."""
        self._closing = True
        self._wake(self._streams)

    @staticmethod
    def _wake(events: set[asyncio.Event]) -> None:
        for event in events:
            event.set()

    def _publish(self, kind: str, content: Any) -> None:
        text = json.dumps(content)
        if self._latest.get(kind) != text:
            self._latest[kind] = text
            self._wake(self._streams)

    async def stream(self) -> AsyncIterator[str]:
        """Yield all that is known, then what changes, as server-sent events."""
        seen: dict[str, str] = {}
        woken = asyncio.Event()
        self._streams.add(woken)
        self._something.set()
        try:
            while not self._closing:
                woken.clear()
                for kind, text in list(self._latest.items()):
                    if seen.get(kind) != text:
                        seen[kind] = text
                        yield f"event: {kind}\ndata: {text}\n\n"
                try:
                    await asyncio.wait_for(woken.wait(), HEARTBEAT)
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            self._streams.discard(woken)

    async def keep_looking(self) -> None:
        """Look whenever something happened, as long as there is a stream; never returns."""
        loop = asyncio.get_running_loop()

        def tell() -> None:
            loop.call_soon_threadsafe(self._something.set)

        threading.Thread(target=containers.listen, args=[tell], daemon=True).start()
        waited = 0.0
        while True:
            try:
                await asyncio.wait_for(self._something.wait(), TICK)
                await asyncio.sleep(SETTLE)
                waited = LONGEST
            except TimeoutError:
                waited += TICK
            self._something.clear()
            if not self._streams:
                # Whoever comes next does not wait for an event.
                waited = LONGEST
                continue
            if waited >= LONGEST:
                waited = 0.0
                self._publish("engine", await asyncio.to_thread(_engine))
            if (changed := _changed()) != self._history:
                self._history = changed
                self._publish("history", await asyncio.to_thread(_runs))


def _engine() -> dict[str, Any]:
    try:
        return {"fault": None, "instances": containers.look()}
    except EngineError as error:
        return {"fault": str(error.message), "instances": []}


def _runs() -> dict[str, Any]:
    try:
        return {"fault": None, "runs": [run.as_dict() for run in history.runs(RUNS)]}
    except history.HistoryError as error:
        return {"fault": str(error), "runs": []}


def _changed() -> tuple[float, ...]:
    """Return when the history was last written: its file, or its log of what was not merged yet."""
    return tuple(_moment(CHECKOUT / f"{PLACE}{ending}") for ending in ("", "-wal"))


def _moment(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0  # SQLite itself removes its log
