"""The committed examples are what the real inventories and the real template render."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from dotenv import dotenv_values

ROOT = Path(__file__).parents[2]
INVENTORIES = [argument for name in ("dev", "test", "ci") for argument in ("-i", f"inventories/{name}")]
SECRETS = ("POSTGRES_PASSWORD", "SECRET_KEY", "ENCRYPTION_KEY", "SCHWAB_API_KEY", "SCHWAB_API_SECRET")


def test_examples_are_in_step() -> None:
    command = [
        str(Path(sys.executable).with_name("ansible-playbook")),
        *INVENTORIES,
        "playbooks/examples.yml",
    ]
    run = subprocess.run(
        [*command, "--check", "--diff"],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": "ansible.cfg", "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    output = run.stdout + run.stderr
    assert run.returncode == 0, output
    assert output.count("changed=0") == 3, f"Write them anew: {' '.join(command[1:])}\n{output}"


@pytest.mark.parametrize("environment", ["dev", "test", "ci"])
def test_examples_have_placeholders_for_secrets(environment: str) -> None:
    example = dotenv_values(ROOT / "env" / f".env.{environment}.example")
    for name in SECRETS:
        assert (example[name] or "").startswith(("GENERATED-", "YOUR-"))
    assert all(value is not None for value in example.values())
