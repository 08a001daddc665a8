"""One log format for every process of ours, on standard error."""

import logging

PROBES = frozenset({"/health", "/ready"})


def configure(level: str) -> None:
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # These two announce at INFO what nobody asked; which revision runs is said by alembic.runtime.migration.
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").addFilter(_is_worth_a_line)


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """The engine asks every few seconds whether we are well; an answer that we are is no news."""
    match record.args:
        case (_, _, str(path), _, int(status)):
            return path not in PROBES or status >= 400
    return True
