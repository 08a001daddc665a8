"""What the role container decides and says: states, ports, owners, ages, secrets. No engine is asked."""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible.module_utils.common.text.formatters import human_to_bytes

from tests.by_path import ROOT, load

ROLE = "roles/container"
containers = load("plugins/filter/containers.py")
container_ports = load("plugins/filter/container_ports.py")
container_status = load("plugins/filter/container_status.py")
container_drift = load("plugins/filter/container_drift.py")
host_ports = load("plugins/module_utils/host_ports.py")
durations = load("plugins/filter/durations.py")
container_wait = load("plugins/action/container_wait.py")

OWN = {"own.environment": "blue", "own.instance": "site", "own.checkout": "/home/me/site"}
IDENTITY = ["own.environment", "own.instance", "own.service", "own.checkout"]
HASH = "own.spec"
NO_PROJECT: dict[str, Any] = {"name": "", "service_label": "own.service"}
PROJECT = {
    "name": "site-blue",
    "working_dir": "/home/me/site",
    "config_files": ["/home/me/site/blue.yml", "/home/me/site/more.yml"],
    "service_label": "own.service",
}
EVERYWHERE = "0.0.0.0"  # noqa: S104 - listened on for a moment, and nobody is answered
SPEC: dict[str, Any] = {
    "name": "site-blue-web",
    "image": "web:1",
    "command": ["serve"],
    "user": "1000:1000",
    "working_dir": "/app",
    "env": {"LOG_LEVEL": "INFO"},
    "labels": OWN | {"own.service": "web"},
    "network": "site-blue-network",
    "aliases": ["web", "www"],
    "published_ports": ["127.0.0.1:8000:8000"],
    "mounts": [],
    "restart_policy": "unless-stopped",
    "healthcheck": {"test": ["CMD", "true"], "interval": "5s", "retries": 3},
    "stop_timeout": 10,
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opts": [],
    "shm_size": "64M",
    "memory": "64M",
    "cpus": 0.5,
    "pids_limit": 200,
    "nofile": 1024,
    "init": True,
    "ready": ["true"],
}
# Every key of a container's declaration, and no other.
ARGUMENTS = yaml.safe_load((ROOT / ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]
KEYS = ARGUMENTS["main"]["options"]["container_specs"]["options"].keys()


LOG = {"driver": "json-file", "options": {"max-size": "10m"}}
IMAGE: dict[str, Any] = {
    "Env": ["PATH=/bin"],
    "Labels": {"maker": "me"},
    "Entrypoint": ["start"],
    "Cmd": None,
    "StopSignal": "SIGINT",
}


def inspected(spec: dict[str, Any] = SPEC, **changes: Any) -> dict[str, Any]:
    """Return what the engine says of a container that is as declared, but for ``a__b__c=value``."""
    address, host, inside = spec["published_ports"][0].split(":")
    found: dict[str, Any] = {
        "Id": "0123456789abcdef",
        "Image": f"id of {spec['image']}",
        "ImageConfig": IMAGE,
        "Config": {
            "Image": spec["image"],
            "Entrypoint": IMAGE["Entrypoint"],
            "Cmd": spec["command"],
            "Env": [*IMAGE["Env"], *(f"{name}={value}" for name, value in spec["env"].items())],
            "Labels": IMAGE["Labels"] | spec["labels"] | {HASH: containers.container_hash(spec)},
            "User": spec["user"],
            "WorkingDir": spec["working_dir"],
            "StopSignal": IMAGE["StopSignal"],
            "StopTimeout": spec["stop_timeout"],
            "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5_000_000_000, "Retries": 3},
        },
        "State": {"Status": "running", "Running": True, "ExitCode": 0},
        "HostConfig": {
            "RestartPolicy": {"Name": spec["restart_policy"]},
            "Memory": 64 * 1024**2,
            "MemorySwap": 64 * 1024**2,
            "NanoCpus": 500_000_000,
            "PidsLimit": spec["pids_limit"],
            "Ulimits": [{"Name": "nofile", "Soft": spec["nofile"], "Hard": spec["nofile"]}],
            "Init": spec["init"],
            "PortBindings": {f"{inside}/tcp": [{"HostIp": address, "HostPort": host}]},
            "Binds": None,
            "Mounts": [],
            "ReadonlyRootfs": spec["read_only"],
            "CapDrop": spec["cap_drop"],
            "SecurityOpt": None,
            "ShmSize": 64 * 1024**2,
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m"}},
        },
        "NetworkSettings": {"Networks": {spec["network"]: {"Aliases": [*spec["aliases"], "0123456789ab"]}}},
    }
    for path, value in changes.items():
        *parents, key = path.split("__")
        inner = found
        for parent in parents:
            inner = inner[parent]
        inner[key] = value
    return found


def survey(**found: dict[str, Any]) -> dict[str, Any]:
    """Return a survey with these containers; ``site_blue_web`` is ``site-blue-web``."""
    return {
        "containers": {name.replace("_", "-"): container for name, container in found.items()},
        "networks": {},
        "volumes": {},
        "images": {"web:1": "id of web:1"},
        "ports": {},
    }


def compared(
    seen: dict[str, Any], *specs: dict[str, Any], project: dict[str, Any] = NO_PROJECT
) -> dict[str, Any]:
    """Return the survey with what differs in each container told."""
    added = {spec["name"]: containers.added_labels(spec, HASH, project) for spec in specs}
    told: dict[str, Any] = container_drift.container_drift(seen, list(specs), added, HASH, LOG)
    return told


def state(found: dict[str, Any] | None, spec: dict[str, Any] = SPEC) -> tuple[str, str]:
    seen = survey() if found is None else survey(site_blue_web=found)
    seen["networks"] = {"site-blue-network": {"Id": "network 1"}}
    (answer,) = containers.container_states([spec], compared(seen, spec), IDENTITY, HASH)
    assert answer["name"] == spec["name"]
    return answer["state"], answer["reason"]


def differences(found: dict[str, Any], spec: dict[str, Any] = SPEC) -> list[str]:
    seen = survey(site_blue_web=found) | {"networks": {"site-blue-network": {"Id": "network 1"}}}
    lines: list[str] = container_drift.drift_lines(
        container_drift.container_differences([spec], compared(seen, spec))
    )
    return lines


def test_running_as_declared() -> None:
    assert state(inspected()) == ("running", "")


def test_missing() -> None:
    assert state(None) == ("missing", "it does not exist")


@pytest.mark.parametrize("label", IDENTITY)
def test_foreign_when_one_identity_label_is_another_ones(label: str) -> None:
    labels = inspected()["Config"]["Labels"] | {label: "other"}
    assert state(inspected(Config__Labels=labels)) == (
        "foreign",
        f"its label {label} is other, not {SPEC['labels'][label]}",
    )


@pytest.mark.parametrize("label", IDENTITY)
def test_foreign_when_one_identity_label_is_not_there(label: str) -> None:
    labels = inspected()["Config"]["Labels"]
    del labels[label]
    assert state(inspected(Config__Labels=labels)) == ("foreign", "it does not carry our labels")


@pytest.mark.parametrize("label", IDENTITY)
def test_what_is_declared_without_an_identity_label_is_refused(label: str) -> None:
    bare = SPEC | {"labels": {name: value for name, value in SPEC["labels"].items() if name != label}}
    with pytest.raises(AnsibleFilterError, match=f"site-blue-web: give it the label {label}"):
        state(inspected(), bare)


def test_foreign_without_any_label_whatever_else_it_is() -> None:
    assert state(inspected(Config__Labels=None, State__Status="exited"))[0] == "foreign"


@pytest.mark.parametrize("key", KEYS)
def test_the_hash_changes_with_any_key(key: str) -> None:
    other = SPEC | {key: [SPEC[key], "more"]}
    without = {name: value for name, value in SPEC.items() if name != key}
    assert len({containers.container_hash(spec) for spec in (SPEC, other, without)}) == 3


def test_the_hash_does_not_change_with_the_order_of_keys() -> None:
    assert containers.container_hash(dict(reversed(SPEC.items()))) == containers.container_hash(SPEC)


def test_changed_when_its_hash_is_another_or_not_there() -> None:
    said = ("changed", "its declaration changed")
    assert state(inspected(), SPEC | {"env": {}}) == said
    assert state(inspected(Config__Labels=SPEC["labels"])) == said


@pytest.mark.parametrize("images", [{"web:1": "id of a newer one"}, {}])
def test_changed_when_its_image_was_built_anew(images: dict[str, str]) -> None:
    seen = survey(site_blue_web=inspected()) | {"images": images}
    (answer,) = containers.container_states([SPEC], seen, IDENTITY, HASH)
    assert (answer["state"], answer["reason"]) == (
        "changed",
        "the image web:1 was rebuilt or pulled again",
    )


@pytest.mark.parametrize("status", ["exited", "created", "paused"])
def test_stopped(status: str) -> None:
    assert state(inspected(State__Status=status)) == ("stopped", f"it is {status}")


@pytest.mark.parametrize("status", ["running", "exited", "created"])
@pytest.mark.parametrize(("network", "lost"), [("network 1", False), ("", False), ("network 0", True)])
def test_a_container_whose_network_was_made_anew_is_made_anew(status: str, network: str, lost: bool) -> None:
    networks = {SPEC["network"]: {"Aliases": SPEC["aliases"], "NetworkID": network}}
    said = state(inspected(State__Status=status, NetworkSettings__Networks=networks))
    reason = "network site-blue-network is connected to one that was removed, not connected"
    assert (said == ("drifted", reason)) is lost


@pytest.mark.parametrize("status", ["restarting", "dead"])
def test_what_never_settles_is_made_anew(status: str) -> None:
    assert state(inspected(State__Status=status)) == ("drifted", f"it is {status}")


@pytest.mark.parametrize("status", ["running", "exited", "paused"])
def test_what_was_changed_by_hand_is_made_anew_running_or_not(status: str) -> None:
    found = inspected(State__Status=status, HostConfig__Privileged=True, Config__User="0")
    assert state(found) == ("drifted", "user is 0, not 1000:1000; privileged is yes, not none")


def test_what_is_unhealthy_is_said_and_not_made_anew() -> None:
    found = inspected(State__Health={"Status": "unhealthy"})
    assert state(found) == ("running", "")
    seen = compared(survey(site_blue_web=found), SPEC) | {
        "networks": {"site-blue-network": {"Id": "network 1"}}
    }
    assert container_drift.container_differences([SPEC], seen) == [
        {
            "object": SPEC["name"],
            "what": "health",
            "declared": "healthy",
            "running": "unhealthy",
            "note": "a run shows its log",
        }
    ]


@pytest.mark.parametrize(("status", "health"), [("running", "starting"), ("exited", "unhealthy")])
def test_health_is_that_of_what_runs_and_has_been_asked(status: str, health: str) -> None:
    found = inspected(State__Status=status, State__Health={"Status": health})
    assert [line for line in differences(found) if line.startswith("health")] == []


def test_what_nobody_has_compared_counts_as_it_was_declared() -> None:
    (answer,) = containers.container_states(
        [SPEC], survey(site_blue_web=inspected(Config__User="0")), IDENTITY, HASH
    )
    assert answer["state"] == "running"


MOUNTS: dict[str, Any] = SPEC | {
    "mounts": [
        {"type": "bind", "source": "/src", "target": "/app", "read_only": True},
        {"type": "volume", "source": "data", "target": "/data", "read_only": False},
        {"type": "tmpfs", "target": "/scratch", "tmpfs_size": "1G", "tmpfs_mode": "1777"},
    ]
}
MOUNTED = [
    {"Type": "bind", "Source": "/src", "Target": "/app", "ReadOnly": True},
    {"Type": "volume", "Source": "data", "Target": "/data"},
    {"Type": "tmpfs", "Target": "/scratch", "TmpfsOptions": {"SizeBytes": 1024**3, "Mode": 0o1777}},
]


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ("Config__Cmd", ["serve", "--it now"], "command: declared serve, running serve '--it now'"),
        ("Config__Entrypoint", None, "entrypoint: declared start, running none"),
        ("Config__WorkingDir", "", "working folder: declared /app, running none"),
        ("Config__StopSignal", "SIGTERM", "stop signal: declared SIGINT, running SIGTERM"),
        ("Config__StopTimeout", None, "stop timeout: declared 10s, running none"),
        ("HostConfig__RestartPolicy", {"Name": ""}, "restart policy: declared unless-stopped, running no"),
        ("HostConfig__Memory", 0, "memory limit: declared 64M, running no limit"),
        ("HostConfig__MemorySwap", 100 * 1024**2, "swap: declared none, running 36M"),
        ("HostConfig__NanoCpus", 1_500_000_000, "cpu limit: declared 0.5, running 1.5"),
        ("HostConfig__PidsLimit", 100, "pids limit: declared 200, running 100"),
        ("HostConfig__PidsLimit", None, "pids limit: declared 200, running no limit"),
        ("HostConfig__Ulimits", None, "open files limit: declared 1024, running none"),
        (
            "HostConfig__Ulimits",
            [{"Name": "nofile", "Soft": 1024, "Hard": 4096}],
            "open files limit: declared 1024, running 1024:4096",
        ),
        ("HostConfig__Init", None, "init process: declared yes, running no"),
        ("HostConfig__ReadonlyRootfs", False, "read-only root: declared yes, running no"),
        ("HostConfig__ShmSize", 65 * 1024, "shm size: declared 64M, running 65K"),
        ("HostConfig__CapDrop", None, "dropped capability ALL: declared present, running none"),
        ("HostConfig__CapAdd", ["SYS_ADMIN"], "added capabilities: declared none, running SYS_ADMIN"),
        ("HostConfig__Privileged", True, "privileged: declared none, running yes"),
        ("HostConfig__SecurityOpt", ["a=b"], "security option a=b: declared none, running present"),
        ("HostConfig__CpusetCpus", "0", "cpus allowed: declared none, running 0"),
        ("HostConfig__Dns", ["9.9.9.9"], "DNS servers: declared none, running 9.9.9.9"),
        ("HostConfig__Sysctls", {"a": "1"}, "kernel parameters: declared none, running {'a': '1'}"),
        ("HostConfig__LogConfig__Type", "local", "log driver: declared json-file, running local"),
        ("HostConfig__LogConfig__Config", {}, "log option max-size: declared 10m, running none"),
        ("HostConfig__PortBindings", {}, "port 8000/tcp: declared 127.0.0.1:8000, running none"),
        (
            "HostConfig__PortBindings",
            {"8000/tcp": [{"HostIp": "", "HostPort": "8000"}]},
            "port 8000/tcp: declared 127.0.0.1:8000, running 0.0.0.0:8000",
        ),
        (
            "Config__Healthcheck",
            {"Test": ["CMD", "true"], "Interval": 90_000_000_000, "Retries": 3},
            "health check's interval: declared 5s, running 90s",
        ),
        (
            "NetworkSettings__Networks",
            {"site-blue-network": {"Aliases": ["web", "www"]}, "bridge": {}},
            "network bridge: declared none, running connected",
        ),
        (
            "NetworkSettings__Networks",
            {"site-blue-network": {"Aliases": ["web"]}},
            "alias www: declared present, running none",
        ),
        ("Config__Env", ["PATH=/bin", "LOG_LEVEL=DEBUG"], "env LOG_LEVEL: declared INFO, running DEBUG"),
        ("Config__Env", ["PATH=/bin"], "env LOG_LEVEL: declared INFO, running none"),
        ("Config__Env", ["LOG_LEVEL=INFO"], "env PATH: declared /bin, running none"),
        ("Config__Env", ["PATH=/bin", "LOG_LEVEL=INFO", "A=b=c"], "env A: declared none, running b=c"),
        (
            "Config__Env",
            ["PATH=/bin", "LOG_LEVEL=a\nb"],
            "env LOG_LEVEL: declared INFO, running a\\nb",
        ),
        (
            "Config__Env",
            ["PATH=/bin", "LOG_LEVEL=INFO", "URL=x://me:canary@h@host/"],
            "env URL: declared none, running x://me:***@host/",
        ),
        ("Image", "id of another", "image: declared web:1 (id of web:1), running web:1 (id of anothe)"),
    ],
)
def test_one_line_for_what_is_otherwise(path: str, value: Any, line: str) -> None:
    assert differences(inspected(**{path: value})) == [line]


def test_the_hash_is_a_difference_only_where_there_is_no_other() -> None:
    labels = inspected()["Config"]["Labels"] | {HASH: "0"}
    of_spec = containers.container_hash(SPEC)
    assert differences(inspected(Config__Labels=labels)) == [f"label {HASH}: declared {of_spec}, running 0"]
    more = labels | {"note": "mine"}
    assert differences(inspected(Config__Labels=more)) == ["label note: declared none, running mine"]


def test_a_project_that_tools_show_is_in_labels_that_count() -> None:
    declared = containers.added_labels(SPEC, HASH, PROJECT)
    of_spec = containers.container_hash(SPEC)
    assert declared == {
        HASH: of_spec,
        "com.docker.compose.project": "site-blue",
        "com.docker.compose.project.working_dir": "/home/me/site",
        "com.docker.compose.project.config_files": "/home/me/site/blue.yml,/home/me/site/more.yml",
        "com.docker.compose.service": "web",
        "com.docker.compose.container-number": "1",
        "com.docker.compose.oneoff": "False",
        "com.docker.compose.config-hash": of_spec,
    }

    def told(**changes: str) -> list[str]:
        labels = inspected()["Config"]["Labels"] | declared | changes
        seen = survey(site_blue_web=inspected(Config__Labels=labels))
        seen["networks"] = {"site-blue-network": {"Id": "network 1"}}
        found = compared(seen, SPEC, project=PROJECT)
        lines: list[str] = container_drift.drift_lines(found["containers"]["site-blue-web"]["Drift"])
        return lines

    project, config_hash = "com.docker.compose.project", "com.docker.compose.config-hash"
    assert told() == []
    assert told(**{project: "other"}) == [f"label {project}: declared site-blue, running other"]
    assert told(**{config_hash: "0"}) == [f"label {config_hash}: declared {of_spec}, running 0"]
    # An older declaration has another hash in both labels, and is named once.
    assert told(**{config_hash: "0", HASH: "0"}) == [f"label {HASH}: declared {of_spec}, running 0"]


def test_labels_of_the_image_count() -> None:
    labels = inspected()["Config"]["Labels"] | {"maker": "you"}
    assert differences(inspected(Config__Labels=labels)) == ["label maker: declared me, running you"]


def test_without_the_image_only_what_is_declared_is_judged() -> None:
    labels = inspected()["Config"]["Labels"] | {"note": "mine"}
    known = {"Config__Labels": labels, "Config__Env": ["PATH=/usr/bin", "LOG_LEVEL=DEBUG"]}
    assert differences(inspected(ImageConfig=None, **known)) == [
        "env LOG_LEVEL: declared INFO, running DEBUG"
    ]


@pytest.mark.parametrize(
    "asked",
    [
        {"Mounts": MOUNTED},
        {"Binds": ["/src:/app:ro", "data:/data:rw"], "Tmpfs": {"/scratch": "size=1g,mode=1777"}},
    ],
)
def test_mounts_are_what_they_are_however_they_were_asked_for(asked: dict[str, Any]) -> None:
    host = inspected(MOUNTS)["HostConfig"] | {"Mounts": []} | asked
    assert differences(inspected(MOUNTS, HostConfig=host), MOUNTS) == []


@pytest.mark.parametrize(
    ("asked", "lines"),
    [
        ({"Mounts": MOUNTED[1:]}, ["mount /app: declared bind /src, read-only, running none"]),
        (
            {"Mounts": MOUNTED, "Binds": ["/etc:/more"]},
            ["mount /more: declared none, running bind /etc"],
        ),
        (
            {"Mounts": MOUNTED[:2], "Tmpfs": {"/scratch": ""}},
            [
                "mount /scratch: declared tmpfs, 1G, mode 1777, running tmpfs, no limit, the engine's mode",
            ],
        ),
    ],
)
def test_mounts_that_are_otherwise(asked: dict[str, Any], lines: list[str]) -> None:
    host = inspected(MOUNTS)["HostConfig"] | asked
    assert differences(inspected(MOUNTS, HostConfig=host), MOUNTS) == lines


def test_a_health_check_as_a_text_is_for_the_shell() -> None:
    spec = SPEC | {"healthcheck": {"test": "true && true", "interval": "1m30s"}}
    health = {"Test": ["CMD-SHELL", "true && true"], "Interval": 90_000_000_000}
    assert differences(inspected(spec, Config__Healthcheck=health), spec) == []


@pytest.mark.parametrize(
    ("size", "number", "shown"),
    [("64M", 64 * 2**20, "64M"), ("1.5G", 3 * 2**29, "1536M"), ("1T", 2**40, "1T"), ("512k", 2**19, "512K")],
)
def test_a_size_is_read_as_docker_container_reads_it(size: str, number: int, shown: str) -> None:
    assert human_to_bytes(size) == number
    spec = SPEC | {"memory": size, "shm_size": size}
    spec["mounts"] = [{"type": "tmpfs", "target": "/scratch", "tmpfs_size": size}]
    mount = {"Type": "tmpfs", "Target": "/scratch", "TmpfsOptions": {"SizeBytes": number}}
    host = {"Memory": number, "MemorySwap": number, "ShmSize": number, "Mounts": [mount]}
    host = inspected(spec)["HostConfig"] | host
    assert differences(inspected(spec, HostConfig=host), spec) == []
    assert f"shm size: declared {shown}, running 1K" in differences(
        inspected(spec, HostConfig=host | {"ShmSize": 1024}), spec
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"memory": "1Q"}, "site-blue-web: 1Q is not a size. Write one such as 512M or 1.5G."),
        ({"shm_size": "64Mb"}, "site-blue-web: 64Mb is not a size."),
        (
            {"healthcheck": {"test": ["true"], "interval": "5"}},
            "site-blue-web: 5 is not a duration. Write one",
        ),
    ],
)
def test_what_docker_container_would_not_read_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(AnsibleFilterError, match=re.escape(said)):
        differences(inspected(), SPEC | changes)


def test_a_size_by_hand_may_be_one_that_cannot_be_declared() -> None:
    host = inspected()["HostConfig"] | {"Tmpfs": {"/scratch": "size=50%"}}
    assert differences(inspected(HostConfig=host)) == [
        "mount /scratch: declared none, running tmpfs, 50%, the engine's mode"
    ]


def test_durations_are_validated_before_anything_starts() -> None:
    values = {"a": "10s", "b": "1m30s", "c": "500ms", "d": 10, "e": "soon"}
    assert durations.duration_faults(values) == [
        f"{name}: {value} is not a duration. Write one such as 10s or 1m30s."
        for name, value in {"d": 10, "e": "soon"}.items()
    ]


def test_no_environment_and_no_secret_leaves_the_comparison() -> None:
    secrets = {"SECRET_KEY": "canary-1", "DATABASE_URL": "pg://me:canary-2@host/db", "API_TOKEN": "canary-3"}
    spec = SPEC | {"env": SPEC["env"] | secrets, "command": ["serve"]}
    env = [
        "PATH=/bin",
        "LOG_LEVEL=INFO canary-1",
        "SECRET_KEY=canary-4",
        "DATABASE_URL=pg://me:canary-5@host/db",
    ]
    found = inspected(spec, Config__Env=env, Config__Cmd=["serve", "canary-1", "pg://me:canary-6@host"])
    told = compared(survey(site_blue_web=found, other=inspected()), spec)
    assert [container["Config"].get("Env") for container in told["containers"].values()] == [None, None]
    assert "canary" not in str(told["containers"]["site-blue-web"]["Drift"])
    assert differences(found, spec) == [
        "command: declared serve, running serve *** pg://me:***@host",
        "env API_TOKEN: declared ***, running none",
        "env DATABASE_URL: declared pg://me:***@host/db, running another pg://me:***@host/db",
        "env LOG_LEVEL: declared INFO, running INFO ***",
        "env SECRET_KEY: declared ***, running another ***",
    ]


@pytest.mark.parametrize("none", [None, 0, -1])
def test_no_pids_limit_is_none_however_the_engine_says_it(none: int | None) -> None:
    spec = SPEC | {"pids_limit": 0}
    assert differences(inspected(spec, HostConfig__PidsLimit=none), spec) == []


def test_limits_that_are_the_engines_own_are_not_compared() -> None:
    limits = [*inspected()["HostConfig"]["Ulimits"], {"Name": "core", "Soft": 0, "Hard": 0}]
    assert differences(inspected(HostConfig__Ulimits=limits)) == []


@pytest.mark.parametrize("swap", [0, -1, 64 * 1024**2])
def test_no_swap_is_none_however_the_engine_says_it(swap: int) -> None:
    assert differences(inspected(HostConfig__MemorySwap=swap)) == []


@pytest.mark.parametrize(
    ("processors", "lines"),
    [({"processors": 2}, []), ({}, ["cpu limit: declared 4, running 2"])],
)
def test_a_container_has_no_more_processors_than_the_engine(
    processors: dict[str, int], lines: list[str]
) -> None:
    spec = SPEC | {"cpus": 4.0}
    found = inspected(spec, HostConfig__NanoCpus=2_000_000_000)
    seen = survey(site_blue_web=found) | {"networks": {"site-blue-network": {"Id": "network 1"}}} | processors
    told = container_drift.container_differences([spec], compared(seen, spec))
    assert container_drift.drift_lines(told) == lines


@pytest.mark.parametrize(
    ("limit", "value"),
    [("memory", "65M"), ("cpus", 0.6), ("pids_limit", 201), ("nofile", 1025), ("init", False)],
)
def test_a_changed_limit_means_a_new_container(limit: str, value: Any) -> None:
    assert state(inspected(), SPEC | {limit: value}) == ("changed", "its declaration changed")


def test_no_restart_policy_is_none_however_the_engine_says_it() -> None:
    spec = SPEC | {"restart_policy": "no"}
    assert state(inspected(spec, HostConfig__RestartPolicy={"Name": ""}), spec)[0] == "running"


@pytest.mark.parametrize(
    ("size", "limit"),
    [("0", 0), ("512", 512), ("2K", 2048), ("2k", 2048), ("64MB", 64 * 1024**2), ("1G", 1024**3)],
)
def test_a_memory_limit_in_any_unit(size: str, limit: int) -> None:
    spec = SPEC | {"memory": size}
    found = inspected(spec, HostConfig__Memory=limit, HostConfig__MemorySwap=limit)
    assert differences(found, spec) == []


def test_states_are_in_the_order_of_the_declarations() -> None:
    other = SPEC | {"name": "site-blue-api"}
    answer = containers.container_states(
        [SPEC, other], survey(site_blue_api=inspected(other)), IDENTITY, HASH
    )
    assert [(one["name"], one["state"]) for one in answer] == [
        ("site-blue-web", "missing"),
        ("site-blue-api", "running"),
    ]


def test_published_ports() -> None:
    two = SPEC | {"published_ports": ["127.0.0.1:8001:80", "[::1]:8002:80"]}
    assert container_ports.published_ports([SPEC, two]) == [
        ("127.0.0.1", 8000),
        ("127.0.0.1", 8001),
        ("::1", 8002),
    ]


OTHER = inspected(SPEC | {"labels": SPEC["labels"] | {"own.instance": "copy"}})
STOPPED = {"State__Status": "exited", "State__Running": False}


def clashes(
    seen: dict[str, Any], bound: list[int] | None = None, holders: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = container_ports.container_port_clashes(
        [SPEC], seen, bound or [], holders or {}
    )
    return found


def test_a_free_port_clashes_with_nothing() -> None:
    assert clashes(survey()) == []


def test_a_program_holds_the_port() -> None:
    clash = {"port": 8000, "spec": "site-blue-web"}
    assert clashes(survey(), [8000], {"8000": "nginx (pid 7)"}) == [clash | {"holder": "nginx (pid 7)"}]
    assert clashes(survey(), [8000]) == [clash | {"holder": "another program"}]
    assert clashes(survey(), [8001]) == []


def test_our_own_running_container_holds_the_port() -> None:
    assert clashes(survey(site_blue_web=inspected()) | {"ports": {"8000": "site-blue-web"}}, [8000]) == []


def test_a_program_took_the_port_of_our_own_stopped_container() -> None:
    seen = survey(site_blue_web=inspected(**STOPPED))
    assert clashes(seen, [8000])[0]["holder"] == "another program"
    assert clashes(seen) == []


def test_our_own_container_that_ends_again_and_again_is_no_clash() -> None:
    looping = survey(site_blue_web=inspected(State__Status="restarting", State__Running=False))
    assert clashes(looping, [8000]) == []
    assert clashes(survey(site_blue_web=inspected(**STOPPED)), [8000], {"8000": "docker-proxy (pid 7)"}) == []


def test_another_instance_wants_the_port_although_it_is_stopped() -> None:
    seen = survey(copy_blue_web=OTHER | {"State": {"Status": "exited", "Running": False}})
    assert clashes(seen) == [{"port": 8000, "spec": "site-blue-web", "holder": "the container copy-blue-web"}]


def test_a_container_without_our_labels_holds_the_port() -> None:
    assert clashes(survey() | {"ports": {"8000": "stranger"}}, [8000], {"8000": "docker-proxy (pid 7)"}) == [
        {"port": 8000, "spec": "site-blue-web", "holder": "the container stranger"}
    ]


def test_a_port_chosen_by_the_engine_is_nobodys() -> None:
    any_port = {"8000/tcp": [{"HostIp": "", "HostPort": ""}], "9000/tcp": None}
    assert clashes(survey(copy_blue_web=inspected(HostConfig__PortBindings=any_port))) == []
    assert clashes(survey(copy_blue_web=inspected(HostConfig__PortBindings=None))) == []


def test_lines_that_move_a_port_to_one_that_nobody_holds() -> None:
    wanted = [
        {"port": 8000, "spec": "site-blue-web", "holder": "x"},
        {"port": 8000, "spec": "site-blue-api", "holder": "x"},
    ]
    held = inspected(
        HostConfig__PortBindings={"80/tcp": [{"HostIp": "", "HostPort": "9000"}], "81/tcp": None}
    )

    def lines(clashes: list[dict[str, Any]], seen: dict[str, Any], bound: list[int]) -> list[str]:
        proposed = container_ports.with_free_ports(clashes, seen, bound)
        told: list[str] = container_ports.port_lines(proposed, "site-blue-")
        return told

    assert lines(wanted, survey(), []) == ["web_host_port: 9000", "api_host_port: 9001"]
    assert lines(wanted, survey(copy_blue_web=held), []) == ["web_host_port: 9001", "api_host_port: 9002"]
    stranger = survey() | {"ports": {"9000": "stranger"}}
    assert 9000 in container_ports.port_candidates(wanted[:1])
    hyphened = [{"port": 8000, "spec": "site-blue-mail-relay", "holder": "x"}]
    assert lines(hyphened, survey(), []) == ["mail_relay_host_port: 9000"]
    assert lines(wanted[:1], stranger, [9001]) == ["web_host_port: 9002"]


def test_the_line_names_the_variable_that_publishes_the_port() -> None:
    clash = [{"port": port, "spec": "site-blue-web", "free": port + 1000} for port in (8000, 5678, 7000)]
    more = {"web_debug_port": "5678", "web_more_ports": {"70": 7000, 71: "7001"}, "web_other_port": None}
    assert container_ports.port_lines(clash, "site-blue-", more) == [
        "web_host_port: 9000",
        "web_debug_port: 6678",
        "web_more_ports: {70: 8000, 71: 7001}",
    ]
    assert container_ports.port_lines(clash[:1], "site-blue-", more) == ["web_host_port: 9000"]


@pytest.mark.parametrize("kind", ["networks", "volumes"])
def test_other_checkouts_of_networks_and_volumes(kind: str) -> None:
    theirs = OWN | {"own.checkout": "/home/me/copy"}
    seen = survey() | {kind: {"a": {"Labels": theirs}, "b": {"Labels": OWN}, "c": {"Labels": None}}}
    assert containers.other_checkouts(seen, OWN, "own.checkout") == ["/home/me/copy"]


def test_other_checkouts_of_containers_once_each() -> None:
    theirs = inspected(Config__Labels=OWN | {"own.checkout": "/b"})
    seen = survey(a=theirs, b=theirs, c=inspected(Config__Labels=OWN | {"own.checkout": "/a"}), d=inspected())
    assert containers.other_checkouts(seen, OWN, "own.checkout") == ["/a", "/b"]


@pytest.mark.parametrize(
    "labels",
    [
        OWN | {"own.checkout": "/b", "own.instance": "copy"},
        OWN | {"own.checkout": "/b", "own.environment": "red"},
        {"own.environment": "blue", "own.instance": "site"},
        None,
    ],
)
def test_another_environment_or_instance_is_no_other_checkout(labels: dict[str, str] | None) -> None:
    assert containers.other_checkouts(survey(a=inspected(Config__Labels=labels)), OWN, "own.checkout") == []


@pytest.mark.parametrize("label", IDENTITY)
def test_foreign_volumes(label: str) -> None:
    declared = {"name": "data", "labels": SPEC["labels"]}

    def foreign(**volumes: Any) -> list[tuple[str, str]]:
        seen = survey() | {"volumes": volumes}
        told = containers.foreign_objects([], {}, [declared], seen, IDENTITY)
        return [(one["kind"], one["name"]) for one in told]

    assert foreign() == []
    assert foreign(data={"Labels": SPEC["labels"] | {"more": "1"}}, other={"Labels": {}}) == []
    assert foreign(data={"Labels": SPEC["labels"] | {label: "other"}}) == [("volume", "data")]
    assert foreign(data={"Labels": None}) == [("volume", "data")]


def test_volumes_are_declared_by_the_mounts_that_make_them() -> None:
    ours = {"type": "volume", "source": "data", "target": "/data", "labels": {"own": "yes"}}
    others = [{"type": "volume", "source": "cache", "target": "/cache"}, {"type": "tmpfs", "target": "/tmp"}]
    specs = [SPEC | {"mounts": [*others, ours]}, SPEC | {"mounts": []}]
    assert containers.declared_volumes(specs) == [{"name": "data", "labels": {"own": "yes"}}]


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (None, "missing"),
        ({"Labels": {"own": "yes"}, "Internal": True}, "present"),
        ({"Labels": {"own": "yes"}, "Internal": False}, "changed"),
        ({"Labels": {"own": "no"}, "Internal": True}, "foreign"),
        ({"Labels": None, "Internal": True}, "foreign"),
    ],
)
def test_the_state_of_a_declared_network(found: dict[str, Any] | None, state: str) -> None:
    declared = {"name": SPEC["network"], "internal": True, "labels": {"own": "yes"}}
    seen = survey() | {"networks": {SPEC["network"]: found} if found else {}}
    assert containers.network_states([SPEC], [declared], seen) == {SPEC["network"]: state}
    # Of a network that nobody declares only the presence counts.
    assert containers.network_states([SPEC], [], seen) == {SPEC["network"]: "present" if found else "missing"}


def test_redaction_hides_what_may_be_a_secret_and_nothing_else() -> None:
    env = {
        "DB_PASSWORD": "pass",
        "DATABASE_URL": "sql://me:pass@host",
        "API_KEY": "key-1",
        "CLIENT_SECRET": "secret-1",
        "ACCESS_TOKEN": 12345,
        "SSL_KEY": "yes",
        "LOG_LEVEL": "DEBUG",
    }
    text = "sql://me:pass@host pass key-1 secret-1 12345 yes DEBUG"
    assert (
        containers.container_redact(text, [{"env": {}}, {"env": env}])
        == "sql://me:***@host *** *** *** *** yes DEBUG"
    )


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (172799, "47 h"),
        (172800, "2 days"),
    ],
)
def test_an_age_for_people(seconds: int, told: str) -> None:
    assert container_status.container_age(seconds) == told


def test_status_has_a_line_for_each_object_with_the_labels() -> None:
    seen = survey(
        web=inspected(State__Health={"Status": "healthy"}),
        api=inspected(State__Status="exited", State__ExitCode=3, HostConfig__PortBindings=None),
        old=inspected(State__Status="created"),
        copy=inspected(Config__Labels=OWN | {"own.instance": "copy"}),
        bare=inspected(Config__Labels=None),
    )
    seen["networks"] = {"net": {"Labels": OWN}, "bridge": {"Labels": None}}
    seen["volumes"] = {"data": {"Labels": OWN}, "other": {"Labels": OWN | {"own.instance": "copy"}}}
    assert [line.split() for line in container_status.container_status_lines(seen, OWN)] == [
        ["api", "exited", "with", "3"],
        ["old", "created", "127.0.0.1:8000"],
        ["web", "running", "healthy", "127.0.0.1:8000"],
        ["net", "network"],
        ["data", "volume"],
    ]


def test_probes_carry_no_environment() -> None:
    assert containers.container_probes([SPEC]) == [{"name": "site-blue-web", "ready": ["true"]}]


@pytest.fixture(params=["127.0.0.1", EVERYWHERE, "::"])
def listener(request: pytest.FixtureRequest) -> Iterator[int]:
    family = socket.AF_INET6 if request.param == "::" else socket.AF_INET
    try:
        server = socket.create_server((request.param, 0), family=family, dualstack_ipv6=request.param == "::")
    except OSError:
        assert request.param == "::"
        pytest.skip("this machine has no IPv6")
    with closing(server):
        yield server.getsockname()[1]


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@pytest.mark.parametrize("address", ["127.0.0.1", EVERYWHERE])
def test_a_listeners_port_is_taken_and_the_listener_named(
    listener: int, free_port: int, address: str
) -> None:
    assert host_ports.taken(address, listener)
    assert not host_ports.taken(address, free_port)
    assert host_ports.holders([listener])[listener].endswith(f" (pid {os.getpid()})")


def test_a_port_is_taken_although_nobody_answers_there() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert host_ports.taken("127.0.0.1", bound.getsockname()[1])


def test_a_port_on_which_connections_ended_a_moment_ago_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as visitor:
            server.accept()[0].close()
            visitor.recv(1)
    assert not host_ports.taken("127.0.0.1", port)


def test_a_port_that_cannot_be_had_for_another_reason_is_not_taken(free_port: int) -> None:
    assert not host_ports.taken("192.0.2.1", free_port)  # documentation's, so nobody's


def test_a_port_of_ipv6_is_free_on_a_machine_without_it(
    free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = socket.socket

    def without(family: int = socket.AF_INET, *more: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return own(family, *more)

    monkeypatch.setattr(socket, "socket", without)
    assert not host_ports.taken("::1", free_port)


def test_a_connection_does_not_hold_the_port_it_comes_from() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as one,
    ):
        assert host_ports.holders([one.getsockname()[1]]) == {}


def test_who_holds_a_port_may_stay_unknown(listener: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_kind: str) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", refuse)
    assert host_ports.holders([listener]) == {}
    monkeypatch.setattr(host_ports, "psutil", None)
    assert host_ports.holders([listener]) == {}


@pytest.mark.parametrize("fraction", ["", ".9", ".912345678"])
def test_the_age_of_the_engines_time_stamp(fraction: str) -> None:
    moment = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=2)
    expected = (datetime.now(UTC) - moment).total_seconds() - float(fraction or 0)
    stamp = f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"
    assert container_wait.started_seconds_ago(stamp) == pytest.approx(expected, abs=0.5)


def test_the_family_of_each_volume_that_says_so() -> None:
    volumes = {
        "data": {"Labels": {"family": "debian"}},
        "other": {"Labels": {"family": "official"}},
        "plain": {"Labels": None},
    }
    found = containers.volume_families({"volumes": volumes}, ["data", "plain", "absent"], "family")
    assert found == [{"name": "data", "family": "debian"}]
