"""The order of the files: a worker takes the next one when it has done with its own."""

import pytest

# Those that take minutes come first, so that no worker is alone at the end.
LONG = ("test_data.py", "test_runs.py", "test_drift.py")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by file; within one, nothing changes."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))
