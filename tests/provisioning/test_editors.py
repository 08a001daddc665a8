"""What editors are told about the app's container is what is declared."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from tests.by_path import ROOT, load

plugin = load("plugins/filter/python_service.py")
PLAN = yaml.safe_load((ROOT / "tests/provisioning/plans/dev.yml").read_text())["dev"]


def with_comments(path: Path) -> Any:
    """Return JSON that has comments on lines of their own."""
    return json.loads(re.sub(r"^\s*//.*$", "", path.read_text(), flags=re.MULTILINE))


def test_the_debugger_finds_the_mounted_source() -> None:
    path = ROOT / ".vscode/launch.json"
    (attach,) = with_comments(path)["configurations"]
    assert attach["connect"] == {"host": "127.0.0.1", "port": plugin.DEBUG_PORT}
    assert f"app_debug_port: {plugin.DEBUG_PORT}" in path.read_text()
    mapped = {each["remoteRoot"]: each["localRoot"] for each in attach["pathMappings"]}
    mounts = PLAN["containers"]["dashtam-dev-app"]["mounts"]
    folders = {
        each["target"]: each["source"] for each in mounts if each["target"] in ("/app/src", "/app/tests")
    }
    assert {
        inside: name.replace("${workspaceFolder}", "<checkout>") for inside, name in mapped.items()
    } == folders


def test_the_dev_container_has_the_checkout_under_its_own_path() -> None:
    settings = with_comments(ROOT / ".devcontainer/devcontainer.json")
    assert settings["workspaceFolder"] == "${localWorkspaceFolder}"
    assert "target=${localWorkspaceFolder}," in settings["workspaceMount"]
    assert (ROOT / settings["postStartCommand"]).stat().st_mode & 0o111
    assert (
        f"useradd --create-home --shell /bin/bash {settings['remoteUser']}"
        in (ROOT / ".devcontainer" / settings["build"]["dockerfile"]).read_text()
    )
