"""Real PostgreSQL and Redis."""

import pytest

from tests import services


def pytest_configure(config: pytest.Config) -> None:
    # `pytest_plugins` is permitted in tests/conftest.py alone, where it would load them for unit tests, too.
    if not config.pluginmanager.has_plugin(services.__name__):
        config.pluginmanager.register(services, services.__name__)
