"""Keep a folder's CA and server certificates good: make those that are missing or that clients would refuse.

An action plugin: no module is called, and no key leaves this process but to its file. All is decided and done
under a lock, so that of two runs that start at once the second finds what the first has made. Each file is
replaced in one step, keys first. What an interruption leaves does not belong together; the next run sees that
and makes it again.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from ansible.utils.display import Display
from ansible_collections.dashtam.stack.plugins.module_utils import certificate_making, private_files
from ansible_collections.dashtam.stack.plugins.module_utils.certificate_set import (
    Files,
    State,
    Wanted,
    exposed,
    inspect,
)
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction, Problem
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

# By server; the first one has no name.
Sets = dict[str, tuple[Files, Wanted]]
# A new CA's name, what it may sign, and its days.
Authority = tuple[str, list[str], int]
PUBLIC_FILE, PUBLIC_FOLDER = 0o644, 0o755
NAMES_OF_ALL = ("localhost", "127.0.0.1", "::1")
# Days that Apple's systems accept, from the first to the last.
LONGEST = 825


def modes(files: Files) -> dict[Path, int]:
    """Return the mode of each folder and file of a set."""
    return {
        files.folder: PUBLIC_FOLDER,
        files.private: private_files.PRIVATE_FOLDER,
        files.ca: PUBLIC_FILE,
        files.cert: PUBLIC_FILE,
        files.key: private_files.PRIVATE_FILE,
        files.ca_key: private_files.PRIVATE_FILE,
    }


def remove_mount_points(files: Files) -> None:
    """Docker makes an empty folder where a file to be mounted is missing; nobody else removes it."""
    for path in (files.ca, files.cert, files.key):
        if path.is_dir():
            try:
                path.rmdir()
            except OSError:
                raise Problem(
                    f"{path}: is a folder with something in it; move it away, then run again"
                ) from None


def repair(files: Files, wanted: Wanted, *, dry_run: bool) -> bool:
    """Set modes, and the owner of key.pem where root may; return whether anything was not as it should be.

    A key that others could read stays as it is until it is replaced: set right, it would pass for a secret.
    """
    changed = False
    known = {path for key in (files.key, files.ca_key) if exposed(key) for path in (key, key.parent)}
    for path, mode in modes(files).items():
        if path.exists() and path not in known and path.stat().st_mode & 0o7777 != mode:
            changed = True
            if not dry_run:
                path.chmod(mode)
    if wanted.key_owner >= 0 and files.key.exists() and files.key.stat().st_uid != wanted.key_owner:
        if os.geteuid() != 0:
            raise Problem(
                f"{files.key}: belongs to uid {files.key.stat().st_uid}, and uid {wanted.key_owner} "
                f"must read it: run `sudo chown {wanted.key_owner} '{files.key}'`"
            )
        changed = True
        if not dry_run:
            os.chown(files.key, wanted.key_owner, -1)
    return changed


def replace_ca(files: Files, reason: str, authority: Authority) -> None:
    """Put a new CA in place, and say so to who trusts the old one."""
    if files.ca.exists():
        Display().warning(
            f"{files.ca} is a new CA, because {reason}. "
            "Trust it again in browsers and tools that trusted the old one."
        )
    certificate, key = certificate_making.authority(*authority)
    private_files.write(files.ca_key, key)
    private_files.write(files.ca, certificate, PUBLIC_FILE)


def replace_server(files: Files, wanted: Wanted) -> None:
    """Put a new server certificate in place."""
    days, before = wanted.server_lifetime.days, wanted.renew_before.days
    # A day of it is over already.
    if not before + 1 < days <= LONGEST:
        raise Problem(
            f"certificates_days is {days}: it must be at least 2 more than certificates_renew_before "
            f"({before}) and no more than {LONGEST}, which is what Apple's systems accept"
        )
    ca = x509.load_pem_x509_certificate(files.ca.read_bytes())
    ca_key = load_pem_private_key(files.ca_key.read_bytes(), None)
    certificate, key = certificate_making.server(ca, ca_key, wanted.names, days)
    private_files.write(files.key, key)
    private_files.write(files.cert, certificate, PUBLIC_FILE)


def judged(sets: Sets, *, dry_run: bool) -> tuple[dict[str, State], bool]:
    """Repair what needs no new certificate; return what does, and whether anything was repaired."""
    repaired = [repair(files, wanted, dry_run=dry_run) for files, wanted in sets.values()]
    return {name: inspect(files, wanted) for name, (files, wanted) in sets.items()}, any(repaired)


def provide(sets: Sets, authority: Authority, *, dry_run: bool) -> tuple[dict[str, State], bool]:
    """Make what must be made; return each server's state, and whether anything changed (or would)."""
    main, _ = sets[""]
    if dry_run:
        states, repaired = judged(sets, dry_run=True)
        return states, repaired or any(state.reason for state in states.values())
    changed = not main.private.is_dir()
    private_files.make_parents(main.private)
    with private_files.locked(main.folder):
        for files, _ in sets.values():
            remove_mount_points(files)
        states, repaired = judged(sets, dry_run=False)
        if not any(state.reason for state in states.values()):
            return states, changed or repaired
        if reason := next((state.ca for state in states.values() if state.ca), ""):
            replace_ca(main, reason, authority)
            states, _ = judged(sets, dry_run=False)
        for name, state in states.items():
            if state.server and not state.ca:
                replace_server(*sets[name])
        states, _ = judged(sets, dry_run=False)
    if left := next((state.reason for state in states.values() if state.reason), ""):
        raise Problem(
            f"{main.folder}: what was just made cannot be used ({left}); "
            "see certificates_permitted, certificates_ca_days and certificates_days"
        )
    return states, True


def expected(sets: Sets) -> list[dict[str, Any]]:
    """Return a dict for each folder and file, as the filter ``files_drift`` takes them."""
    owners = {files.key: wanted.key_owner for files, wanted in sets.values()}
    # Without the CA's key all goes on until something must be renewed.
    optional = {path for files, _ in sets.values() for path in (files.private, files.ca_key)}
    found = {path: mode for files, _ in sets.values() for path, mode in modes(files).items()}
    return [
        {"path": str(path), "mode": f"{mode:04o}", "uid": owners.get(path, -1), "optional": path in optional}
        for path, mode in found.items()
    ]


def answer(sets: Sets, states: dict[str, State]) -> dict[str, Any]:
    """Return what the role reads; the server without a name is the first one, ``cert`` and ``key``."""
    main, _ = sets[""]
    ca = next((state.ca for state in states.values() if state.ca), "")
    servers = {name: state.server or ("its CA is replaced" if ca else "") for name, state in states.items()}
    places = {"ca": str(main.ca), "ca_key": str(main.ca_key)}
    for name, (files, _) in sets.items():
        prefix = f"{name}_" if name else ""
        places |= {f"{prefix}cert": str(files.cert), f"{prefix}key": str(files.key)}
    return {
        "ca": ca,
        "servers": {name: why for name, why in servers.items() if why},
        "fingerprints": {name: "" if ca else state.fingerprint for name, state in states.items()},
        "files": places,
        "expected": expected(sets),
    }


class ActionModule(LocalAction):
    """Returns `ca` and `servers` (why they would be made), `fingerprints`, `files` and `expected`."""

    arguments: ClassVar[Any] = {
        "directory": {"type": "str", "required": True},
        "names": {"type": "list", "elements": "str", "required": True},
        "servers": {"type": "dict", "required": True},
        "permitted": {"type": "list", "elements": "str", "required": True},
        "ca_name": {"type": "str", "required": True},
        "ca_days": {"type": "int", "required": True},
        "days": {"type": "int", "required": True},
        "renew_before": {"type": "int", "required": True},
        "key_owner": {"type": "int", "required": True},
    }

    def act(self, arguments: dict[str, Any]) -> dict[str, Any]:
        folder = Path(arguments["directory"])
        sets = {
            name: (
                Files(folder, name),
                Wanted(
                    names=frozenset([*NAMES_OF_ALL, *names]),
                    renew_before=timedelta(days=arguments["renew_before"]),
                    server_lifetime=timedelta(days=arguments["days"]),
                    ca_lifetime=timedelta(days=arguments["ca_days"]),
                    key_owner=arguments["key_owner"],
                ),
            )
            for name, names in {"": arguments["names"], **arguments["servers"]}.items()
        }
        authority = (arguments["ca_name"], arguments["permitted"], arguments["ca_days"])
        try:
            states, changed = provide(sets, authority, dry_run=self.dry_run)
        except OSError as error:
            place = error.filename or folder
            raise Problem(f"{place}: {error.strerror}; make it yours, then run again") from None
        return answer(sets, states) | {"changed": changed}
