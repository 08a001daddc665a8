"""The checks of a container's confinement: each fault fails the check that is about it, and no other."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from tests.by_path import ROOT
from tests.verify import confinement, hardening

STATUS = "Name:\t{name}\nUid:\t999\t999\t999\t999\n{capabilities}NoNewPrivs:\t1\nSeccomp:\t2\n"
CAPABILITIES = "".join(f"{name}:\t0000000000000000\n" for name in confinement.CAPABILITY_SETS)
PRINTED = f"""
== 1
{STATUS.format(name="docker-init", capabilities=CAPABILITIES)}
== 7
{STATUS.format(name="redis-server", capabilities=CAPABILITIES)}
== 30
== limits
Limit                     Soft Limit           Hard Limit           Units
Max cpu time              unlimited            unlimited            seconds
Max open files            10240                10240                files
== mounts
overlay / overlay ro,relatime,lowerdir=/a:/b 0 0
shm /dev/shm tmpfs rw,nosuid,nodev,noexec,relatime,size=65536k 0 0
tmpfs /tmp tmpfs rw,nosuid,nodev,noexec,relatime,size=16384k 0 0
tmpfs /run/redis tmpfs rw,nosuid,nodev,noexec,relatime,size=1024k 0 0
/dev/sda /data ext4 rw,relatime 0 0
/dev/sda /app/certs/ca.pem ext4 ro,relatime 0 0
"""
INSPECT: dict[str, Any] = {
    "Config": {
        "User": "redis",
        "Labels": {
            "dashtam.environment": "dev",
            "dashtam.service": "redis",
            "dashtam.checkout": "/home/me/dashtam",
        },
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 10**10, "Timeout": 5 * 10**9, "Retries": 2},
    },
    "HostConfig": {
        "ReadonlyRootfs": True,
        "Mounts": [{"Type": "tmpfs", "Target": "/tmp"}, {"Type": "tmpfs", "Target": "/var/run/redis"}],
        "CapDrop": ["ALL"],
        "CapAdd": None,
        "SecurityOpt": ["no-new-privileges:true"],
        "NetworkMode": "dashtam-dev-network",
        "Privileged": False,
        "PidsLimit": 64,
        "Memory": 2**29,
        "MemorySwap": 2**29,
        "NanoCpus": 10**9,
        "CpuQuota": 0,
        "Ulimits": [{"Name": "nofile", "Soft": 10240, "Hard": 10240}],
        "Init": True,
        "PortBindings": {"6379/tcp": [{"HostIp": "127.0.0.1", "HostPort": "6379"}]},
    },
    "Mounts": [
        {"Type": "volume", "Source": "/var/lib/docker/volumes/a", "Destination": "/data", "RW": True},
        {
            "Type": "bind",
            "Source": "/home/me/dashtam/certs/ca.pem",
            "Destination": "/app/certs/ca.pem",
            "RW": False,
        },
        {"Type": "tmpfs", "Source": "", "Destination": "/tmp", "RW": True},
    ],
}


def failed(inspect: dict[str, Any], proc: dict[str, Any]) -> list[str]:
    verdicts = confinement.checks(inspect, proc)
    assert len(verdicts) == confinement.CHECKS
    assert all(bool(verdict.why) is not verdict.ok for verdict in verdicts)
    return [verdict.name for verdict in verdicts if not verdict.ok]


def test_a_confined_container() -> None:
    proc = hardening.read_proc(PRINTED)
    assert proc["processes"].keys() == {"1", "7"}
    assert failed(INSPECT, proc) == []


def host(**values: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda inspect, proc: inspect["HostConfig"].update(values)


def process(**values: str) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda inspect, proc: proc["processes"]["7"].update(values)


def mounted(target: str, *options: str) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda inspect, proc: proc["mounts"].update({target: ("tmpfs", list(options))})


def label(name: str, value: str) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda inspect, proc: inspect["Config"]["Labels"].update({f"dashtam.{name}": value})


@pytest.mark.parametrize(
    ("check", "fault"),
    [
        ("no process is root", lambda inspect, proc: inspect["Config"].update({"User": ""})),
        ("no process is root", process(Uid="999 0 999 999")),
        ("the root file system is read-only", host(ReadonlyRootfs=False)),
        ("the root file system is read-only", lambda inspect, proc: proc["mounts"]["/"][1].remove("ro")),
        ("every tmpfs is sized, noexec", mounted("/tmp", "rw", "nosuid", "nodev", "noexec")),
        ("every tmpfs is sized, noexec", mounted("/tmp", "rw", "nosuid", "nodev", "size=1k")),
        ("every tmpfs is sized, noexec", mounted("/dev/shm", "rw", "noexec", "nodev", "size=1k")),
        ("every tmpfs is sized, noexec", lambda inspect, proc: proc["mounts"].pop("/run/redis")),
        ("all capabilities are dropped", host(CapDrop=["CAP_NET_RAW"])),
        ("all capabilities are dropped", host(CapAdd=["CHOWN"])),
        ("no process has a capability", process(CapBnd="00000000a80425fb")),
        ("no process can gain privileges", process(NoNewPrivs="0")),
        ("no process can gain privileges", host(SecurityOpt=None)),
        ("seccomp filters every process", process(Seccomp="0")),
        (
            "seccomp filters every process",
            host(SecurityOpt=["no-new-privileges:true", "seccomp:unconfined"]),
        ),
        ("not privileged, no namespace", host(Privileged=True)),
        ("not privileged, no namespace", host(PidMode="host")),
        ("not privileged, no namespace", host(Devices=[{"PathOnHost": "/dev/sda"}])),
        ("pids are limited", host(PidsLimit=None)),
        ("pids are limited", host(PidsLimit=-1)),
        ("memory is limited, swap included", host(Memory=0, MemorySwap=0)),
        ("memory is limited, swap included", host(MemorySwap=2**30)),
        ("cpus are limited", host(NanoCpus=0)),
        ("open files are limited", host(Ulimits=None)),
        (
            "open files are limited",
            lambda inspect, proc: proc["limits"].update({"Max open files": ("10240", "20000")}),
        ),
        ("the first process is an init", host(Init=None)),
        (
            "the first process is an init",
            lambda inspect, proc: proc["processes"]["1"].update({"Name": "python"}),
        ),
        ("mounts are read-only, but for data", lambda inspect, proc: inspect["Mounts"][1].update(RW=True)),
        ("mounts are read-only, but for data", mounted("/app/certs/ca.pem", "rw")),
        ("mounts are read-only, but for data", label("service", "app")),
        (
            "nothing of the host is mounted",
            lambda inspect, proc: inspect["Mounts"][1].update(Source="/home/me/dashtam"),
        ),
        ("nothing of the host is mounted", label("checkout", "/elsewhere")),
        (
            "nothing of the host is mounted",
            lambda inspect, proc: inspect["Mounts"][1].update(Source="/home/me/dashtam/certs/key.pem"),
        ),
        (
            "ports are published on the loopback",
            host(PortBindings={"6379/tcp": [{"HostIp": "", "HostPort": "6379"}]}),
        ),
        ("ports are published on the loopback", label("environment", "ci")),
        (
            "unhealthy within 30 s",
            lambda inspect, proc: inspect["Config"]["Healthcheck"].update(Retries=3),
        ),
        ("unhealthy within 30 s", lambda inspect, proc: inspect["Config"].pop("Healthcheck")),
    ],
)
def test_each_fault_fails_its_check(
    check: str, fault: Callable[[dict[str, Any], dict[str, Any]], None]
) -> None:
    inspect, proc = copy.deepcopy(INSPECT), hardening.read_proc(PRINTED)
    fault(inspect, proc)
    (name,) = failed(inspect, proc)
    assert name.startswith(check)


def created(node: Any) -> Iterator[dict[str, Any]]:
    """The arguments of each task below this node that makes a container by the module itself."""
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from created(value)
    module = node.get("community.docker.docker_container", {}) if isinstance(node, dict) else {}
    if "image" in module:
        yield module


def test_a_playbooks_own_container_is_confined_as_the_services_are() -> None:
    """It is gone before anybody could look at it, so its declaration is judged."""
    found = [
        module
        for path in (ROOT / "playbooks").rglob("*.yml")
        if "collections" not in path.parts
        for module in created(yaml.safe_load(path.read_text()))
    ]
    assert sorted(module["name"] for module in found) == [
        "{{ app_container.name }}-{{ dashtam_copy }}",
        "{{ dashtam_old }}",
        "{{ postgres_name }}-version",
    ]
    for module in found:
        assert module["read_only"] is True
        assert module["cap_drop"] == ["ALL"]
        # To read who owns the files that another image made.
        assert module.get("capabilities", ["DAC_OVERRIDE"]) == ["DAC_OVERRIDE"]
        assert module["security_opts"] == ["no-new-privileges:true"]
        assert module["init"] is True
        assert module["memory"] == module["memory_swap"]
        assert module["memory"] in ("{{ app_container.memory }}", "{{ postgres_container.memory }}")
        for limit, key in {"cpus": "cpu_quota", "pids_limit": "pids_limit", "nofile": "ulimits"}.items():
            assert f"_container.{limit}" in str(module[key])


@pytest.mark.parametrize("arguments", [[], ["prod"], ["dev", "a", "b"]])
def test_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert hardening.main(arguments) == 2
    assert capsys.readouterr().err.startswith("usage: ")


def test_without_an_engine() -> None:
    command = [sys.executable, "-m", "tests.verify.hardening", "dev"]
    environment = os.environ | {"DOCKER_HOST": "unix:///nowhere"}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr.startswith("The Docker engine does not answer: ")
