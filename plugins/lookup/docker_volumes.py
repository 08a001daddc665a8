"""Volumes that carry given labels, with their size and age."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import docker
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from docker.errors import APIError, DockerException
from requests.exceptions import RequestException

DOCUMENTATION = """
name: docker_volumes
short_description: A line for each volume that carries given labels, saying its size and age
description:
  - Asks the engine for its disk usage, which takes seconds where there are many volumes. For a question to a
    person only.
options:
  labels:
    description: Labels that a volume must carry, all of them and with these values.
    type: dict
    required: true
"""

RETURN = """
_list:
  description: Lines such as C(postgres_dev_data  47.1 MB, 12 days old).
  type: list
  elements: str
"""


def age(created_at: str) -> str:
    """Return for people the age of the engine's RFC 3339 time stamp."""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(created_at.replace("Z", "+00:00"))).total_seconds()
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} old"
    return f"{seconds:.0f} seconds old"


def disk_usage(client: docker.DockerClient, patience: float = 120) -> dict[str, Any]:
    """Return the engine's disk usage, asked again for ``patience`` seconds while somebody else asks.

    Until Engine 23 a second question at a time was refused with status 500: moby's daemon/disk_usage.go,
    "a disk usage operation is already running".
    """
    until = time.monotonic() + patience
    while True:
        try:
            return client.df()
        except APIError as error:
            if "already running" not in str(error) or time.monotonic() > until:
                raise
        time.sleep(0.5)


class LookupModule(LookupBase):
    """Ask the engine's disk usage."""

    def run(self, terms: list[Any], variables: dict | None = None, **kwargs: Any) -> list[list[str]]:
        """Return one list of lines; raises AnsibleLookupError where the engine does not answer."""
        self.set_options(var_options=variables, direct=kwargs)
        wanted = dict(self.get_option("labels"))
        try:
            client = docker.from_env(timeout=120)
            try:
                volumes = disk_usage(client)["Volumes"] or []
            finally:
                client.close()
        except (DockerException, RequestException) as error:
            raise AnsibleLookupError(f"The Docker engine does not answer: {error}") from error
        return [
            [
                f"{volume['Name']}  {volume['UsageData']['Size'] / 1e6:.1f} MB, {age(volume['CreatedAt'])}"
                for volume in sorted(volumes, key=lambda entry: entry["Name"])
                if wanted.items() <= (volume["Labels"] or {}).items()
            ]
        ]
