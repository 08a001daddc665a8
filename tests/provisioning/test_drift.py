"""Differences of networks, volumes, files, PostgreSQL and Redis, from what they answered. No engine asked."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.by_path import load

drift = load("plugins/filter/drift.py")
env_file = load("plugins/action/env_file.py")
servers = load("plugins/filter/server_drift.py")

OWN = {"own.environment": "blue", "own.instance": "site"}
NETWORK = {"Internal": False, "Driver": "bridge", "Options": {}, "Labels": OWN}
ALONE = " (a run leaves that to you)"


@pytest.mark.parametrize(
    ("found", "lines"),
    [
        ({}, []),
        ({"Internal": True}, ["net: internal: declared no, running yes"]),
        ({"Options": None}, []),
        ({"Options": {"com.docker.network.enable_ipv4": "true"}}, []),
        (
            {"Options": {"com.docker.network.bridge.enable_icc": "false"}},
            [f"net: option com.docker.network.bridge.enable_icc: declared none, running false{ALONE}"],
        ),
        ({"Driver": "macvlan"}, [f"net: driver: declared bridge, running macvlan{ALONE}"]),
        (
            {"Labels": {"own.environment": "red", "note": "mine"}},
            [
                f"net: label note: declared none, running mine{ALONE}",
                f"net: label own.environment: declared blue, running red{ALONE}",
                f"net: label own.instance: declared site, running none{ALONE}",
            ],
        ),
    ],
)
def test_a_network(found: dict[str, Any], lines: list[str]) -> None:
    differences = drift.network_drift({"net": NETWORK | found}, "net", False, OWN)
    assert drift.drift_report(differences) == lines


def test_what_is_missing() -> None:
    assert drift.drift_report(drift.network_drift({}, "net", False, OWN)) == [
        "net: network: declared present, running missing"
    ]
    assert drift.drift_report(drift.volumes_drift({}, [{"name": "data", "labels": OWN}])) == [
        "data: volume: declared present, running missing"
    ]


def test_a_volume_without_labels() -> None:
    differences = drift.volumes_drift({"data": {"Labels": None}}, [{"name": "data", "labels": OWN}])
    assert len(drift.drift_report(differences)) == len(OWN)


def test_a_container_of_ours_that_nobody_declares() -> None:
    containers = {
        name: {"Config": {"Labels": labels}}
        for name, labels in (
            ("a", OWN),
            ("b", OWN),
            ("c", OWN),
            ("other", {"own.instance": "site"}),
            ("x", None),
        )
    }
    found = drift.undeclared_drift(containers, OWN, ["a"], ["b"])
    assert drift.drift_report(found) == [
        "b: container: declared none, running present",
        f"c: container: declared none, running present{ALONE}",
    ]


@pytest.mark.parametrize(
    ("declared", "mode", "lines"),
    [
        ({"mode": "0600"}, 0o600, []),
        ({"mode": "0644"}, 0o600, ["FILE: mode: declared 0644, running 0600"]),
        ({"mode": "0600", "private": True}, 0o400, []),
        ({"mode": "0600", "private": True}, 0o604, ["FILE: mode: declared 0600, running 0604"]),
        ({"mode": "0600", "uid": -1}, 0o600, []),
        ({"mode": "0600", "uid": "OWN"}, 0o600, []),
        ({"mode": "0600", "uid": "OTHER"}, 0o600, ["FILE: owner: declared uid OTHER, running uid OWN"]),
    ],
)
def test_modes_and_owners(tmp_path: Path, declared: dict[str, Any], mode: int, lines: list[str]) -> None:
    file = tmp_path / "file"
    file.touch()
    file.chmod(mode)
    own = file.stat().st_uid
    names = {"FILE": str(file), "OWN": str(own), "OTHER": str(own + 1)}
    wanted = {key: names.get(str(value), value) for key, value in declared.items()} | {"path": str(file)}
    for word, value in names.items():
        lines = [line.replace(word, value) for line in lines]
    assert drift.drift_report(drift.files_drift([wanted])) == lines


def test_a_file_that_is_not_there() -> None:
    gone = {"path": "/gone", "mode": "0600"}
    assert drift.files_drift([gone | {"optional": True}]) == []
    assert drift.drift_report(drift.files_drift([gone])) == ["/gone: file: declared present, running missing"]


BODY = "A=1\nB='x y'\n"
EDITED = "(edited by hand: a run stops and says what to do)"


@pytest.mark.parametrize(
    ("written", "edited", "lines"),
    [
        (BODY, BODY, []),
        ("A=0\n", "A=0\n", ["f: env A: declared 1, running 0"]),
        (BODY, BODY.replace("1", "2"), [f"f: env A: declared 1, running 0 {EDITED}"]),
    ],
)
def test_an_env_file_is_stale_or_edited(written: str, edited: str, lines: list[str]) -> None:
    current = env_file.compose("rendered", written).replace(written, edited)
    difference = {"what": "env A", "declared": "1", "running": "0"}
    assert drift.drift_report(drift.env_file_drift(current, "f", BODY, [difference])) == lines


def test_an_env_file_that_differs_in_no_variable() -> None:
    stale = env_file.compose("rendered", f"# Old\n{BODY}")
    said = "f: text: declared as rendered, running"
    assert drift.drift_report(drift.env_file_drift(stale, "f", BODY, [])) == [f"{said} from an earlier run"]
    for current in (stale.replace("Old", "Mine"), BODY, ""):
        assert drift.drift_report(drift.env_file_drift(current, "f", BODY, [])) == [f"{said} edited {EDITED}"]
    assert hashlib.sha256(BODY.encode()).hexdigest() in env_file.compose("rendered", BODY)
    assert drift.dotenv_parsed(BODY) == {"A": "1", "B": "x y"}


def test_a_line_is_said_once_and_a_file_as_one_types_it() -> None:
    twice = [{"object": "/home/me/certs/key.pem", "what": "mode", "declared": "a", "running": "b"}] * 2
    assert drift.drift_report(drift.drift_relative(twice, "/home/me")) == [
        "certs/key.pem: mode: declared a, running b"
    ]
    assert drift.certificates_drift({"ca": "", "cert": "it ends"}, {"ca": "a", "cert": "b"}) == [
        {"object": "b", "what": "certificate", "declared": "valid", "running": "it ends"}
    ]


def test_what_postgres_answers() -> None:
    one = {"what": "role a: login", "declared": "yes", "running": "no"}
    lines = json.dumps(one | {"restart": False}) + "\n"
    assert servers.postgres_drift({"rc": 0, "output": ""}) == []
    assert servers.postgres_drift({"rc": 0, "output": lines}) == [one]
    for output, said in (("a\npsql: error: no\n", "psql: error: no"), ("", "does not answer")):
        assert servers.postgres_drift({"rc": 2, "output": output}) == [
            {"what": "server", "declared": "answers", "running": said}
        ]


def test_what_redis_answers() -> None:
    lines = "maxmemory\t0\t10\nsave\t3600 1\t\nmasterauth\t\tcanary\n"
    assert [list(one.values()) for one in servers.redis_drift({"rc": 0, "output": lines})] == [
        ["setting maxmemory", "0", "10"],
        ["setting save", "3600 1", "none"],
        ["setting masterauth", "none", "***"],
    ]
    first, second = "#" + "a" * 64, "#" + "b" * 64
    users = f"user app\ton {first} ~x\ton {second} ~x\n"
    users += f"user app\ton {first}\toff {first} {second}\nuser more\t\ton\n"
    assert [list(one.values()) for one in servers.redis_drift({"rc": 0, "output": users})] == [
        ["user app", "on #*** ~x", "on #*** ~x (another password)"],
        ["user app", "on #***", "off #*** #***"],
        ["user more", "none", "on"],
    ]
    assert servers.redis_drift({"rc": 1, "output": "NOAUTH Authentication required.\n"}) == [
        {"what": "server", "declared": "answers", "running": "NOAUTH Authentication required."}
    ]
