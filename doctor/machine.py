"""Python, .venv, disk and memory. Nothing is imported that only .venv has."""

from __future__ import annotations

import shutil
import site
import sys
from pathlib import Path

from doctor.findings import FAIL, OK, ROOT, WARN, Finding

GIB = 1024**3
# Images and .venv take 1.3 GB (README, "The first run"), and a rebuild needs the new beside the old.
DISK_ENOUGH, DISK_LEAST = 5 * GIB, 1 * GIB
# An environment at rest takes 0.25 GiB (README, "How fast it is"), and tests several times that.
MEMORY_ENOUGH, MEMORY_LEAST = 1 * GIB, GIB // 4
BOOTSTRAP = "./bootstrap"


def python() -> list[Finding]:
    """Say whether .venv is what the lock file asks for."""
    version = "{}.{}.{}".format(*sys.version_info)
    lock, stamp = ROOT / "requirements/ops.txt", ROOT / ".venv/made-from"
    if Path(sys.prefix).resolve() != (ROOT / ".venv").resolve():
        return [
            Finding(".venv", FAIL, f"it is missing or broken; Python {version} made this report", BOOTSTRAP)
        ]
    try:
        folder, _, locked = stamp.read_text(encoding="utf-8").partition("\n")
    except OSError:
        return [Finding(".venv", FAIL, "its installation was not completed", BOOTSTRAP)]
    if locked != lock.read_text(encoding="utf-8"):
        return [Finding(".venv", FAIL, "requirements/ops.txt has changed since it was made", BOOTSTRAP)]
    if Path(folder).resolve() != ROOT:
        return [Finding(".venv", FAIL, f"it was made in {folder}", BOOTSTRAP)]
    # `python3` of the system may be a newer one by now, or that of a container with this folder.
    if not Path(site.getsitepackages()[0]).is_dir():
        return [Finding(".venv", FAIL, f"another Python made it, and this one is {version}", BOOTSTRAP)]
    return [Finding(".venv", OK, f"Python {version}, as requirements/ops.txt asks")]


def disk(folder: Path, name: str, free: int | None = None) -> list[Finding]:
    """Say how much space is left where a folder is.

    :param free: bytes, if they are known.
    """
    if free is None:
        free = shutil.disk_usage(folder).free
    text = f"{free / GIB:.1f} GiB free in {folder}"
    remedy = "docker system df shows what images and caches take; docker image prune removes unused images"
    if free < DISK_LEAST:
        return [Finding(name, FAIL, text, remedy)]
    return [Finding(name, WARN, text, remedy) if free < DISK_ENOUGH else Finding(name, OK, text)]


def memory(meminfo: Path = Path("/proc/meminfo")) -> list[Finding]:
    """Say how much memory is available; nothing where the system does not tell (macOS)."""
    try:
        lines = meminfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    kibibytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    available = kibibytes["MemAvailable"] * 1024
    text = f"{available / GIB:.1f} GiB available of {kibibytes['MemTotal'] * 1024 / GIB:.1f} GiB"
    remedy = "make ls shows what runs; make dev-down INSTANCE=<name> stops an instance and keeps its data"
    if available < MEMORY_LEAST:
        return [Finding("memory", FAIL, text, remedy)]
    return [
        Finding("memory", WARN, text, remedy) if available < MEMORY_ENOUGH else Finding("memory", OK, text)
    ]
