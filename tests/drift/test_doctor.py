"""`make doctor` in a checkout of its own, with a real engine: planted faults are found, with remedies."""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import docker
import pytest

from doctor import files
from tests import collection
from tests.by_path import ROOT, load
from tests.provisioning import clean_plan, playbook

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="no make on this machine")
env_file = load("plugins/action/env_file.py")
TOKEN = secrets.token_hex(3)
INSTANCE, OFFSET = f"doctor-{TOKEN}", 11000
GONE = f"/nowhere/{TOKEN}"


@dataclass(frozen=True)
class Checkout:
    folder: Path

    def doctor(self, code: int = 0, **environment: str) -> dict[str, list[dict[str, Any]]]:
        """Return check to what it has found; make ends with 2 if a check failed."""
        run = subprocess.run(
            ["make", "doctor", "FORMAT=json", f"INSTANCE={INSTANCE}", f"PORT_OFFSET={OFFSET}"],
            cwd=self.folder,
            env=collection.outside() | {"PYTHONDONTWRITEBYTECODE": "1"} | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == code, run.stdout + run.stderr
        said = json.loads(run.stdout)
        assert said["failed"] is (code != 0)
        found: dict[str, list[dict[str, Any]]] = {}
        for one in said["checks"]:
            assert (one["remedy"] == "") is (one["state"] == "ok"), one
            found.setdefault(one["check"], []).append(one)
        return found


def failed(found: dict[str, list[dict[str, Any]]]) -> set[str]:
    return {check for check, findings in found.items() if any(one["state"] == "fail" for one in findings)}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout with certificates, and with this one's .venv as its own."""
    folder = clean_plan.clone(tmp_path_factory.mktemp("doctor"))
    clean_plan.add_make(folder)
    shutil.copytree(ROOT / "doctor", folder / "doctor", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "requirements").mkdir()
    shutil.copy(ROOT / "requirements/ops.txt", folder / "requirements")
    (folder / "env").mkdir()
    venv = folder / ".venv"
    venv.mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (venv / name).symlink_to(Path(playbook.COMMAND).parents[1] / name)
    (venv / "made-from").write_text(f"{folder}\n{(ROOT / 'requirements/ops.txt').read_text()}")
    command = ["make", "--old-file=venv", "--old-file=engine", "certs", "ANSIBLE_ARGS=--limit=dev"]
    subprocess.run(command, cwd=folder, env=collection.outside(), check=True, capture_output=True)
    return Checkout(folder)


@pytest.fixture
def volume() -> Iterator[str]:
    """A volume of a checkout that is gone."""
    client = docker.APIClient()
    name = f"{INSTANCE}_postgres_dev_data"
    labels = {"dashtam.instance": INSTANCE, "dashtam.environment": "dev", "dashtam.checkout": GONE}
    client.create_volume(name, labels=labels)
    yield name
    client.remove_volume(name)
    client.close()


def test_a_machine_without_faults_passes(checkout: Checkout) -> None:
    found = checkout.doctor()
    assert {".venv", "disk", "engine", "clock", "settings", "dev ports", "certificate", "CA"} <= found.keys()
    texts = [one["text"] for one in found["certificate"] if one["state"] == "ok"]
    assert [text.partition(":")[0] for text in texts] == ["certs/cert.pem", "certs/callback-cert.pem"]
    assert INSTANCE not in str(found["leftovers"])


def test_planted_faults_are_found_with_their_remedies(checkout: Checkout, volume: str) -> None:
    rendered = checkout.folder / f"env/.env.dev.{INSTANCE}"
    rendered.write_text(env_file.compose("rendered", "ENVIRONMENT=development") + "LOG_LEVEL=DEBUG\n")
    (checkout.folder / "certs/key.pem").rename(checkout.folder / "certs/kept.pem")
    shutil.copy(checkout.folder / "certs/private/ca-key.pem", checkout.folder / "certs/key.pem")
    try:
        with socket.create_server(("127.0.0.1", 5432 + OFFSET)):
            found = checkout.doctor(code=2)
    finally:
        (checkout.folder / "certs/kept.pem").rename(checkout.folder / "certs/key.pem")
        rendered.unlink()
    assert failed(found) == {"dev ports", "dev env file", "certificate"}
    (port,) = found["dev ports"]
    assert port["text"].startswith(f"{5432 + OFFSET}, which {INSTANCE}-dev-postgres wants, is held by ")
    assert f"env/local.dev.{INSTANCE}.yml: postgres_host_port: " in port["remedy"]
    (edited,) = found["dev env file"]
    assert f"rm env/.env.dev.{INSTANCE} && make dev INSTANCE={INSTANCE}" in edited["remedy"]
    assert found["certificate"][0]["remedy"] == "make certs, then make dev"
    (left,) = [one for one in found["leftovers"] if GONE in one["text"]]
    assert (left["state"], volume in left["text"]) == ("warn", True)
    assert left["remedy"].startswith(f"make clean LIMIT=dev INSTANCE={INSTANCE} ")


def test_without_an_engine_the_rest_is_looked_at(checkout: Checkout) -> None:
    found = checkout.doctor(code=2, DOCKER_HOST="unix:///nowhere")
    assert failed(found) == {"engine"}
    assert found["engine"][0]["remedy"] == "start it, or unset DOCKER_HOST"
    assert {"settings", "dev ports", "certificate"} <= found.keys()


def test_a_setting_that_is_wrong_is_named(checkout: Checkout) -> None:
    own = checkout.folder / f"env/local.dev.{INSTANCE}.yml"
    own.write_text("LOG_LEVEL: NOPE\n")
    try:
        found = checkout.doctor(code=2)
    finally:
        own.unlink()
    assert failed(found) == {"settings"}
    assert f"env/local.dev.{INSTANCE}.yml:1: LOG_LEVEL" in found["settings"][0]["text"]
    assert "certificate" in found


@pytest.mark.parametrize(
    ("days", "state", "told"), [(300, "ok", "in 9"), (380, "warn", "in 1"), (400, "fail", "it expired on 2")]
)
def test_a_certificate_expires(checkout: Checkout, days: int, state: str, told: str) -> None:
    now = datetime.now(UTC) + timedelta(days=days)
    for found in files.certificates(checkout.folder / "certs", now)[:2]:
        assert found.state == state
        assert told in found.text


@pytest.mark.parametrize(
    ("change", "state", "text"),
    [
        (lambda key: key.chmod(0o644), "fail", "others can read its key, certs/callback-key.pem"),
        (lambda key: key.unlink(), "fail", "certs/callback-cert.pem: callback-key.pem: No such file"),
        (
            lambda key: key.write_bytes((key.parent / "key.pem").read_bytes()),
            "fail",
            "certs/callback-cert.pem: OpenSSL rejects it: key values mismatch",
        ),
        (
            lambda key: (key.parent / "callback-cert.pem").unlink(),
            "warn",
            "certs/callback-cert.pem is not made",
        ),
    ],
)
def test_each_server_s_own_pair_is_looked_at(
    checkout: Checkout, tmp_path: Path, change: Callable[[Path], object], state: str, text: str
) -> None:
    folder = tmp_path / "certs"
    shutil.copytree(checkout.folder / "certs", folder)
    change(folder / "callback-key.pem")
    app, callback, *_ = files.certificates(folder, datetime.now(UTC))
    assert (app.state, callback.state) == ("ok", state)
    assert callback.text.startswith(text)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("made-from", "was not completed"),
        ("pyvenv.cfg", "missing or broken"),
        ("bin", "missing or broken"),
        ("lib", "another Python made it"),
    ],
)
def test_a_broken_venv_is_told_by_whatever_python_there_is(
    checkout: Checkout, broken: str, reason: str
) -> None:
    venv = checkout.folder / ".venv"
    (venv / broken).rename(venv / "away")
    try:
        found = checkout.doctor(code=2)
    finally:
        (venv / "away").rename(venv / broken)
    assert ".venv" in failed(found)
    assert reason in found[".venv"][0]["text"]
    assert found[".venv"][0]["remedy"] == "./bootstrap"
    assert "disk" in found
