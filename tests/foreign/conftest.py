"""Images that more than one of these tests needs."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import pytest

from tests.foreign.site import Site, docker

Keep = Callable[[Site], None]


@pytest.fixture(scope="session")
def keep_images() -> Iterator[Keep]:
    """Keep a site's images until all tests have ended: a site with the same requirements takes them over."""
    kept: list[str] = []

    def keep(site: Site) -> None:
        for image in site.images():
            kept.append(f"local/kept-{secrets.token_hex(3)}:{image.rpartition(':')[2]}")
            docker("image", "tag", image, kept[-1])

    yield keep
    for name in kept:
        docker("image", "rm", name)
