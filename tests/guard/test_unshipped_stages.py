"""What a build removes from an engine that others build on, too."""

import io
import uuid
from contextlib import closing

import docker

from tests.by_path import load

build = load("plugins/action/images_build.py")


def test_stages_of_another_build_stay() -> None:
    """Two builds at once in different scratch folders, or on different machines, do not share a lock."""
    with closing(docker.from_env().api) as api:
        made = {}
        for stage in (f"own-{uuid.uuid4().hex}", f"other-{uuid.uuid4().hex}"):
            dockerfile = io.BytesIO(f"FROM scratch\nLABEL images.unshipped={stage}\n".encode())
            said = list(api.build(fileobj=dockerfile, rm=True, nocache=True, decode=True))
            (made[stage],) = (event["aux"]["ID"] for event in said if "aux" in event)
        own, other = made
        try:
            build.remove_unshipped(api, own)
            left = {image["Id"] for image in api.images(filters={"dangling": True})}
            assert left & set(made.values()) == {made[other]}
        finally:
            build.remove_unshipped(api, other)
