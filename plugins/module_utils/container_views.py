"""What a container is declared to be, and what the engine has, under the same names for people."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from ansible_collections.dashtam.stack.plugins.module_utils.container_parts import bound, published
from ansible_collections.dashtam.stack.plugins.module_utils.quantities import (
    NANOSECONDS,
    in_bytes,
    in_seconds,
    shown_size,
)

# What a declaration has no word for, so that it is always the engine's own default; HostConfig's names.
UNDECLARED = {
    "AutoRemove": "removed when it ends",
    "BlkioWeight": "block IO weight",
    "CapAdd": "added capabilities",
    "CgroupParent": "cgroup parent",
    "CpuPeriod": "cpu period",
    "CpuQuota": "cpu quota",
    "CpuRealtimePeriod": "cpu real-time period",
    "CpuRealtimeRuntime": "cpu real-time runtime",
    "CpuShares": "cpu shares",
    "CpusetCpus": "cpus allowed",
    "CpusetMems": "memory nodes allowed",
    "DeviceCgroupRules": "device rules",
    "DeviceRequests": "device requests",
    "Devices": "devices",
    "Dns": "DNS servers",
    "DnsOptions": "DNS options",
    "DnsSearch": "DNS search domains",
    "ExtraHosts": "extra hosts",
    "GroupAdd": "added groups",
    "KernelMemory": "kernel memory limit",
    "Links": "links",
    "MemoryReservation": "memory reservation",
    "OomKillDisable": "never killed for memory",
    "OomScoreAdj": "OOM score adjustment",
    "PidMode": "process namespace",
    "Privileged": "privileged",
    "PublishAllPorts": "all ports published",
    "Sysctls": "kernel parameters",
    "UTSMode": "UTS namespace",
    "UsernsMode": "user namespace",
    "VolumesFrom": "volumes from",
}

Shown = dict[str, str | None]


def _seconds(duration: Any) -> str:
    """Seconds of a declared duration, or of the engine's nanoseconds."""
    passed = duration / NANOSECONDS if isinstance(duration, int) else in_seconds(duration) if duration else 0
    return f"{passed:g}s"


def _asked(size: str) -> str:
    """A size that --tmpfs asked for, which may be one that cannot be declared, as 50% of the memory."""
    with suppress(ValueError):
        return shown_size(in_bytes(size))
    return size


def _words(words: Iterable[Any] | None) -> str | None:
    return shlex.join(map(str, words or [])) or None


def _value(value: Any) -> str | None:
    """An undeclared setting's value, None where it is the engine's default, however that is spelt."""
    if value in (None, "", 0, False, -1) or value == [] or value == {}:
        return None
    if value is True:
        return "yes"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


def _each(prefix: str, words: Iterable[str] | None, value: str) -> Shown:
    return {f"{prefix} {word}": value for word in words or []}


def _named(prefix: str, values: Mapping[str, Any] | None) -> Shown:
    return {f"{prefix} {name}": str(value) for name, value in (values or {}).items()}


def _mount(kind: str, source: str | None, read_only: bool, size: str = "", mode: int | None = None) -> str:
    words = [kind if kind == "tmpfs" else f"{kind} {source}"]
    if kind == "tmpfs":
        words += [size, f"mode {mode:04o}" if mode is not None else "the engine's mode"]
    return ", ".join([*words, *(["read-only"] if read_only else [])])


def _declared_mount(mount: Mapping[str, Any]) -> str:
    mode = mount.get("tmpfs_mode")
    return _mount(
        mount.get("type", "volume"),
        mount.get("source"),
        bool(mount.get("read_only")),
        shown_size(in_bytes(mount.get("tmpfs_size") or 0)),
        int(str(mode), 8) if mode is not None else None,
    )


def _running_mounts(host: Mapping[str, Any]) -> Shown:
    """What --mount, -v and --tmpfs asked for; the engine's own list of mounts has other paths on macOS."""
    mounts: Shown = {}
    for mount in host.get("Mounts") or []:
        tmpfs = mount.get("TmpfsOptions") or {}
        mounts[mount["Target"]] = _mount(
            mount["Type"],
            mount.get("Source"),
            bool(mount.get("ReadOnly")),
            shown_size(tmpfs.get("SizeBytes") or 0),
            tmpfs.get("Mode"),
        )
    for bind in host.get("Binds") or []:
        source, target, *mode = bind.split(":")
        kind = "bind" if source.startswith("/") else "volume"
        mounts[target] = _mount(kind, source, "ro" in ",".join(mode).split(","))
    for target, options in (host.get("Tmpfs") or {}).items():
        said = dict(option.partition("=")[::2] for option in options.split(",") if option)
        mode = int(said["mode"], 8) if "mode" in said else None
        mounts[target] = _mount("tmpfs", None, "ro" in said, _asked(said.get("size", "0")), mode)
    return {f"mount {target}": mount for target, mount in mounts.items()}


def _ports(ports: Iterable[tuple[str, Any, str]]) -> Shown:
    shown: dict[str, list[str]] = {}
    for address, outside, inside in ports:
        shown.setdefault(f"port {inside}", []).append(f"{address or '0.0.0.0'}:{outside}")  # noqa: S104 - only shown
    return {name: ", ".join(sorted(places)) for name, places in shown.items()}


def _health(
    test: Any = None, interval: Any = None, timeout: Any = None, retries: Any = None, start_period: Any = None
) -> Shown:
    words = ["CMD-SHELL", test] if isinstance(test, str) else test
    return {
        "health check": _words(words),
        "health check's interval": _seconds(interval),
        "health check's timeout": _seconds(timeout),
        "health check's retries": str(int(retries or 0)),
        "health check's start period": _seconds(start_period),
    }


def _open_files(host: Mapping[str, Any]) -> str | None:
    """The soft limit, and the hard one where it is another; other limits may be the engine's own defaults."""
    for limit in host.get("Ulimits") or []:
        if limit["Name"] == "nofile":
            return ":".join(dict.fromkeys((str(limit["Soft"]), str(limit["Hard"]))))
    return None


def declared(
    spec: dict[str, Any], image: dict[str, Any], labels: dict[str, str], log: dict[str, Any]
) -> Shown:
    """What the engine should have, each thing under the name that people read."""
    return {
        "state": "running",
        "health": "healthy",
        "entrypoint": _words(image.get("Entrypoint")),
        "command": _words(spec["command"] or image.get("Cmd")),
        "user": spec.get("user") or image.get("User") or None,
        "working folder": spec.get("working_dir") or image.get("WorkingDir") or None,
        "stop signal": image.get("StopSignal") or None,
        "stop timeout": f"{spec['stop_timeout']}s",
        "restart policy": spec["restart_policy"],
        "memory limit": shown_size(in_bytes(spec["memory"])),
        "cpu limit": f"{float(spec['cpus']):g}" if float(spec["cpus"]) else "no limit",
        "pids limit": str(spec["pids_limit"] or "no limit"),
        "open files limit": f"{spec['nofile']}",
        "init process": "yes" if spec["init"] else "no",
        "read-only root": "yes" if spec["read_only"] else "no",
        "shm size": shown_size(in_bytes(spec["shm_size"])),
        "log driver": log["driver"],
        f"network {spec['network']}": "connected",
        **_health(**spec["healthcheck"]),
        **_each("alias", spec["aliases"], "present"),
        **_each("dropped capability", spec["cap_drop"], "present"),
        **_each("security option", spec["security_opts"], "present"),
        **_named("log option", log["options"]),
        **_named("label", {**(image.get("Labels") or {}), **labels}),
        **_ports(published(spec)),
        **{f"mount {mount['target']}": _declared_mount(mount) for mount in spec["mounts"]},
    }


def running(spec: dict[str, Any], found: dict[str, Any], networks: dict[str, Any]) -> Shown:
    """What the engine has, under the same names."""
    config, host = found["Config"], found["HostConfig"]
    attached = found["NetworkSettings"]["Networks"]
    own = attached.get(spec["network"], {})
    lost = own.get("NetworkID") and own["NetworkID"] != networks.get(spec["network"], {}).get("Id")
    health = config.get("Healthcheck") or {}
    checked = found["State"].get("Health") or {}
    policy = host["RestartPolicy"]
    unhealthy = found["State"]["Status"] == "running" and checked.get("Status") == "unhealthy"
    return {
        "state": found["State"]["Status"],
        "health": "unhealthy" if unhealthy else "healthy",
        "entrypoint": _words(config.get("Entrypoint")),
        "command": _words(config.get("Cmd")),
        "user": config.get("User") or None,
        "working folder": config.get("WorkingDir") or None,
        "stop signal": config.get("StopSignal") or None,
        "stop timeout": f"{config['StopTimeout']}s" if config.get("StopTimeout") is not None else None,
        "restart policy": policy["Name"] or "no",
        "memory limit": shown_size(host["Memory"]),
        "cpu limit": f"{host['NanoCpus'] / 1e9:g}" if host["NanoCpus"] else "no limit",
        # The engine says null, 0 or -1 for "no limit", depending on its version and on who set it last.
        "pids limit": str(host["PidsLimit"]) if (host.get("PidsLimit") or 0) > 0 else "no limit",
        "open files limit": _open_files(host),
        "init process": "yes" if host.get("Init") else "no",
        "read-only root": "yes" if host["ReadonlyRootfs"] else "no",
        "shm size": shown_size(host["ShmSize"]),
        "log driver": host["LogConfig"]["Type"],
        **{f"network {name}": "connected" for name in attached},
        **({f"network {spec['network']}": "connected to one that was removed"} if lost else {}),
        **_health(*(health.get(key) for key in ("Test", "Interval", "Timeout", "Retries", "StartPeriod"))),
        # Engines before 25 add the container's short id.
        **_each("alias", set(own.get("Aliases") or []) - {found["Id"][:12]}, "present"),
        **_each(
            "dropped capability", [name.removeprefix("CAP_") for name in host["CapDrop"] or []], "present"
        ),
        **_each("security option", host["SecurityOpt"], "present"),
        **_named("log option", host["LogConfig"]["Config"]),
        **_named("label", config["Labels"]),
        **_ports(bound(found)),
        **_running_mounts(host),
        **{told: _value(host.get(name)) for name, told in UNDECLARED.items()},
    }
