from collections.abc import Iterator

import pytest

from tests.check_mode.checkout import Checkout, copied


@pytest.fixture(scope="module")
def checkout() -> Iterator[Checkout]:
    """A copy of the working tree in which nothing has been generated yet."""
    with copied() as made:
        yield made
