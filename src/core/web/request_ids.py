"""The id of the request that is being served: in every line of its log, in its answer, and handed on."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

HEADER = "X-Request-ID"

_current: ContextVar[str | None] = ContextVar("request_id", default=None)


def current_request_id() -> str | None:
    """The id in this task and in those it starts; other servers of ours are given it in ``HEADER``."""
    return _current.get()


@contextmanager
def serving(request_id: str) -> Iterator[None]:
    """What runs inside belongs to this request."""
    token = _current.set(request_id)
    try:
        yield
    finally:
        _current.reset(token)
