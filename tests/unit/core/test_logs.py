import logging
from collections.abc import Iterator

import pytest

from src.core import logs


@pytest.fixture
def access() -> Iterator[logging.Logger]:
    """Uvicorn's logger of requests, as it was before."""
    logger = logging.getLogger("uvicorn.access")
    before = list(logger.filters)
    yield logger
    logger.filters[:] = before


@pytest.mark.parametrize(
    ("path", "status", "logged"),
    [
        ("/health", 200, False),
        ("/ready", 200, False),
        ("/ready", 503, True),
        ("/health?x=1", 200, True),
        ("/docs", 200, True),
    ],
)
def test_only_good_answers_to_probes_are_silent(
    access: logging.Logger, caplog: pytest.LogCaptureFixture, path: str, status: int, logged: bool
) -> None:
    logs.configure("INFO")
    with caplog.at_level("INFO", "uvicorn.access"):
        # As uvicorn logs a request.
        access.info('%s - "%s %s HTTP/%s" %d', "127.0.0.1:5", "GET", path, "1.1", status)
    assert (path in caplog.text) is logged


def test_configuring_twice_says_things_once(access: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    logs.configure("INFO")
    logs.configure("INFO")
    with caplog.at_level("INFO", "anything"):
        logging.getLogger("anything").info("said")
    assert caplog.text.count("said") == 1
    assert len(access.filters) == 1
