"""Lines of an output that arrives in pieces."""

from __future__ import annotations

import codecs
from collections.abc import Callable


class Lines:
    """Show complete lines of a byte stream that arrives in arbitrary pieces."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        self._rest = ""
        self._show = show

    def feed(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + self._decode(piece)).split("\n")
        for line in lines:
            self._show(line.removesuffix("\r"))

    def close(self) -> None:
        self._rest += self._decode(b"", final=True)
        if self._rest:
            self._show(self._rest)
