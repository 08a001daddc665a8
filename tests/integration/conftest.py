"""Real PostgreSQL and Redis."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    # `pytest_plugins` is permitted in tests/conftest.py alone, where it would load them for unit tests, too.
    config.pluginmanager.import_plugin("tests.services")
