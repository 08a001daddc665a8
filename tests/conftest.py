"""For every test, whichever runner: nothing is written beside the tests, and failures repeat.

What only some tests need is loaded by their own conftest.py or module: it is part of every run's start.
"""

import os
import sys
import tempfile
from pathlib import Path

import pytest

# Hypothesis keeps its tables of characters there, by default in the working directory.
os.environ.setdefault(
    "HYPOTHESIS_STORAGE_DIRECTORY", str(Path(tempfile.gettempdir(), f"dashtam-hypothesis-{os.getuid()}"))
)
# What a test runs prints the same in CI as anywhere; whoever means it sets them.
for variable in ("CI", "BUNDLE", "NO_COLOR"):
    os.environ.pop(variable, None)
# The port is that of the app that runs in the same container.
os.environ.pop("METRICS_PORT", None)


def pytest_collection_finish() -> None:
    """A module that imports Hypothesis directly has its default settings, a deadline among them."""
    if "hypothesis" in sys.modules and "tests.properties" not in sys.modules:
        raise pytest.UsageError("import given, settings and st from tests.properties, not from hypothesis")
