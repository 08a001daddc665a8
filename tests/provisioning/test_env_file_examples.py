"""The committed examples are what the real inventories and the real template render."""

from __future__ import annotations

import pytest
from dotenv import dotenv_values

from tests.by_path import ROOT
from tests.provisioning import playbook

INVENTORIES = [argument for name in ("dev", "test", "ci") for argument in ("-i", f"inventories/{name}")]
SECRETS = (
    "POSTGRES_PASSWORD",
    "SECRET_KEY",
    "ENCRYPTION_KEY",
    "RELAY_TOKEN",
    "REDIS_PASSWORD",
    "SCHWAB_API_KEY",
    "SCHWAB_API_SECRET",
)


def test_examples_are_in_step() -> None:
    command = [*INVENTORIES, "playbooks/examples.yml"]
    output = playbook.finish(playbook.start(*command, "--check", "--diff"))
    assert output.count("changed=0") == 3, f"ansible-playbook {' '.join(command)} rewrites them\n{output}"


@pytest.mark.parametrize("environment", ["dev", "test", "ci"])
def test_examples_have_placeholders_for_secrets(environment: str) -> None:
    example = dotenv_values(ROOT / "env" / f".env.{environment}.example")
    for name in SECRETS:
        assert (example[name] or "").startswith(("GENERATED-", "YOUR-", "fake-"))
    assert all(value is not None for value in example.values())
