"""What confines a container: 17 verdicts about it, by `docker inspect` and by /proc inside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

CHECKS = 17
FAKE = "fake-schwab"
# The data; every other volume or folder that is mounted is read-only.
WRITABLE = {"postgres": {"/var/lib/postgresql/data"}, "redis": {"/data"}, "prometheus": {"/prometheus"}}
# The only parts of the checkout that a container may see; of private keys, its own alone.
VISIBLE = {
    "app": {"src", "tests", "certs/cert.pem", "certs/key.pem"},
    "callback": {"src", "certs/callback-cert.pem", "certs/callback-key.pem"},
    FAKE: {"src", "certs/fake-schwab-cert.pem", "certs/fake-schwab-key.pem"},
    "prometheus": {"certs/prometheus-cert.pem", "certs/prometheus-key.pem"},
}
FOR_ALL = {"certs/ca.pem"}
LOOPBACK = {"127.0.0.1", "::1"}
UNPUBLISHED = "ci"
HANG_SECONDS = 30
NANOSECONDS = 1e9
INITS = {"docker-init", "tini", "catatonit"}
CAPABILITY_SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
NO_CAPABILITY = "0" * 16


class Verdict(NamedTuple):
    """One check of one container: its name, whether it holds, and what was found where it does not."""

    name: str
    ok: bool
    why: str


def _processes(proc: Mapping[str, Any], *fields: str, only: str) -> list[str]:
    """Return which processes have another value than the only one allowed in a field of their status."""
    return [
        f"process {pid} ({status['Name']}) has {field} {status[field]}"
        for pid, status in proc["processes"].items()
        for field in fields
        if status[field] != only
    ]


def _root(config: Mapping[str, Any], proc: Mapping[str, Any]) -> list[str]:
    user = str(config["User"]).partition(":")[0]
    faults = [f"the container's user is {user or 'root'}"] if user in {"", "0", "root"} else []
    return faults + [
        f"process {pid} ({status['Name']}) is root"
        for pid, status in proc["processes"].items()
        if "0" in status["Uid"].split()
    ]


def _tmpfs(host: Mapping[str, Any], proc: Mapping[str, Any]) -> list[str]:
    declared = [mount["Target"] for mount in host.get("Mounts") or [] if mount["Type"] == "tmpfs"]
    faults = []
    # The engine mounts /dev/shm by itself.
    for target in (*declared, *(host.get("Tmpfs") or {}), "/dev/shm"):
        # /var/run is a link in most images.
        path = re.sub("^/var/run/", "/run/", target)
        kind, options = proc["mounts"].get(target) or proc["mounts"].get(path) or ("not mounted", [])
        sized = any(option.startswith("size=") for option in options)
        if kind != "tmpfs" or not sized or not {"noexec", "nosuid", "nodev"} <= set(options):
            faults.append(f"{target}: {kind} {','.join(options)}")
    return faults


def _capabilities(host: Mapping[str, Any]) -> list[str]:
    dropped = {name.removeprefix("CAP_") for name in host["CapDrop"] or []}
    faults = [] if dropped == {"ALL"} else [f"dropped: {', '.join(sorted(dropped)) or 'none'}"]
    return faults + [f"added: {name}" for name in host["CapAdd"] or []]


def _of_the_host(host: Mapping[str, Any]) -> list[str]:
    modes = ("NetworkMode", "PidMode", "IpcMode", "UTSMode", "UsernsMode")
    asked = ("Privileged", "Devices", "DeviceRequests", "DeviceCgroupRules", "VolumesFrom")
    return [f"{key} is host" for key in modes if host.get(key) == "host"] + [
        f"{key} is {host[key]}" for key in asked if host.get(key)
    ]


def _writable(inspect: Mapping[str, Any], proc: Mapping[str, Any]) -> list[str]:
    allowed = WRITABLE.get(inspect["Config"]["Labels"]["dashtam.service"], set())
    return [
        mount["Destination"]
        for mount in inspect["Mounts"]
        if mount["Type"] != "tmpfs" and mount["Destination"] not in allowed
        if mount["RW"] or "ro" not in proc["mounts"][mount["Destination"]][1]
    ]


def _foreign(inspect: Mapping[str, Any]) -> list[str]:
    labels = inspect["Config"]["Labels"]
    visible = VISIBLE.get(labels["dashtam.service"], set()) | FOR_ALL
    known = {f"{labels['dashtam.checkout']}/{part}" for part in visible}
    return [
        mount["Source"]
        for mount in inspect["Mounts"]
        if mount["Type"] == "bind" and mount["Source"] not in known
    ]


def _published(inspect: Mapping[str, Any]) -> list[str]:
    bindings = (inspect["HostConfig"]["PortBindings"] or {}).values()
    allowed = set() if inspect["Config"]["Labels"]["dashtam.environment"] == UNPUBLISHED else LOOPBACK
    found = {(each["HostIp"], each["HostPort"]) for bound in bindings for each in bound or []}
    return [f"{port} on {address or '*'}" for address, port in sorted(found) if address not in allowed]


def _hang(health: Mapping[str, Any] | None) -> list[str]:
    """A hang may begin just after a check; each of those that then fail takes as long as it may."""
    if not health or health["Test"][:1] == ["NONE"]:
        return ["there is no health check"]
    seconds = health["Retries"] * (health["Interval"] + health["Timeout"]) / NANOSECONDS
    return [f"may take {seconds:g} s"] if seconds > HANG_SECONDS else []


def _open_files(host: Mapping[str, Any], proc: Mapping[str, Any]) -> list[str]:
    limits = {limit["Name"]: (str(limit["Soft"]), str(limit["Hard"])) for limit in host["Ulimits"] or []}
    has = proc["limits"]["Max open files"]
    declared = limits.get("nofile")
    return [] if declared == has else [f"declared {declared}, the first process has {has}"]


def checks(inspect: Mapping[str, Any], proc: Mapping[str, Any]) -> list[Verdict]:
    """Return the 17 verdicts about one container.

    :param inspect: what `docker inspect` says of it, which has the labels `dashtam.environment`,
        `dashtam.service` and `dashtam.checkout`.
    :param proc: see :func:`read_proc`.
    """
    config, host = inspect["Config"], inspect["HostConfig"]
    options = {option.replace(":", "=") for option in host["SecurityOpt"] or []}
    first, root = proc["processes"]["1"]["Name"], proc["mounts"]["/"][1]
    read_only = host["ReadonlyRootfs"] and "ro" in root
    swap = host["MemorySwap"] - host["Memory"]
    # An engine that cannot limit swap says -1.
    memory = host["Memory"] > 0 and (swap == 0 or host["MemorySwap"] == -1)
    found = {
        "no process is root": _root(config, proc),
        "the root file system is read-only": [] if read_only else ["it is writable"],
        "every tmpfs is sized, noexec, nosuid and nodev": _tmpfs(host, proc),
        "all capabilities are dropped, none is added": _capabilities(host),
        "no process has a capability": _processes(proc, *CAPABILITY_SETS, only=NO_CAPABILITY),
        "no process can gain privileges": _processes(proc, "NoNewPrivs", only="1")
        + ([] if options & {"no-new-privileges", "no-new-privileges=true"} else ["not declared"]),
        "seccomp filters every process": _processes(proc, "Seccomp", only="2")
        + sorted(options & {"seccomp=unconfined"}),
        "not privileged, no namespace or device of the host": _of_the_host(host),
        "pids are limited": [] if (host["PidsLimit"] or 0) > 0 else ["no limit"],
        "memory is limited, swap included": [] if memory else [f"memory {host['Memory']}, swap {swap}"],
        "cpus are limited": [] if host["NanoCpus"] or host["CpuQuota"] else ["no limit"],
        "open files are limited": _open_files(host, proc),
        "the first process is an init": [] if host.get("Init") and first in INITS else [f"it is {first}"],
        "mounts are read-only, but for data": _writable(inspect, proc),
        "nothing of the host is mounted but source, tests, its own certificate": _foreign(inspect),
        "ports are published on the loopback address, in ci none": _published(inspect),
        f"unhealthy within {HANG_SECONDS} s of a hang": _hang(config.get("Healthcheck")),
    }
    return [Verdict(name, not faults, "; ".join(faults)) for name, faults in found.items()]
