"""Real PostgreSQL and Redis."""

import pytest

from tests import services
from tests.integration import servers


def pytest_configure(config: pytest.Config) -> None:
    # `pytest_plugins` is permitted in tests/conftest.py alone, where it would load them for unit tests, too.
    for module in (services, servers):
        if not config.pluginmanager.has_plugin(module.__name__):
            config.pluginmanager.register(module, module.__name__)
