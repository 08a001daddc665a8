"""For every test, whichever runner: nothing is written beside the tests, and failures repeat."""

import os
import tempfile
from pathlib import Path

from hypothesis import settings

# Shared by integration and api; whoever asks for none of its fixtures connects to nothing.
pytest_plugins = ["tests.services", "tests.api.fake_schwab"]

# Hypothesis keeps its tables of characters there, by default in the working directory.
os.environ.setdefault(
    "HYPOTHESIS_STORAGE_DIRECTORY", str(Path(tempfile.gettempdir(), f"dashtam-hypothesis-{os.getuid()}"))
)
# A shared machine is slow now and then; that fails no test.
settings.register_profile("dashtam", database=None, deadline=None)
settings.load_profile("dashtam")
