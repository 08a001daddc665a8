"""Volumes that carry given labels, with their size and age."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import docker
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from docker.errors import DockerException
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


class LookupModule(LookupBase):
    """Ask the engine's disk usage."""

    def run(self, terms: list[Any], variables: dict | None = None, **kwargs: Any) -> list[list[str]]:
        """Return one list of lines; raises AnsibleLookupError where the engine does not answer."""
        self.set_options(var_options=variables, direct=kwargs)
        wanted = dict(self.get_option("labels"))
        try:
            client = docker.from_env(timeout=120)
            try:
                volumes = client.df()["Volumes"] or []
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
