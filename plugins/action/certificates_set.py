"""Inspect a folder's CA and server certificates, say what is missing, and put new ones in place.

An action plugin: a good set costs no module call. New material is made by community.crypto and handed over
here, so that a single place decides, under a lock, whether it is still needed: of two runs that start at
once the first one's files stay and the second one's are dropped. Each file is replaced in one step, keys
first. What an interruption leaves does not belong together; the next run sees that and makes it again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from ansible.utils.display import Display
from ansible_collections.dashtam.stack.plugins.module_utils import private_files
from ansible_collections.dashtam.stack.plugins.module_utils.certificate_set import (
    Files,
    State,
    Wanted,
    exposed,
    inspect,
)
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction, Problem
from cryptography import x509
from cryptography.exceptions import InvalidSignature

# By server; the first one has no name.
Sets = dict[str, tuple[Files, Wanted]]
PUBLIC_FILE, PUBLIC_FOLDER = 0o644, 0o755


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


def install_ca(files: Files, state: State, cert: str, key: str) -> bool:
    """Put a new CA in place unless another run was first."""
    if not state.ca:
        return False
    if files.ca.exists():
        Display().warning(
            f"{files.ca} is a new CA, because {state.ca}. "
            "Trust it again in browsers and tools that trusted the old one."
        )
    private_files.write(files.ca_key, key)
    private_files.write(files.ca, cert, PUBLIC_FILE)
    return True


def install_server(files: Files, state: State, cert: str, key: str) -> bool:
    """Put a new server certificate in place unless another run was first; refuse one of another CA."""
    if not state.server:
        return False
    try:
        ca = x509.load_pem_x509_certificate(files.ca.read_bytes())
        x509.load_pem_x509_certificate(cert.encode()).verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        raise Problem(f"{files.ca}: was replaced while its certificate was being made; run again") from None
    private_files.write(files.key, key)
    private_files.write(files.cert, cert, PUBLIC_FILE)
    return True


def work(
    files: Files, wanted: Wanted, ca: Sequence[str], server: Sequence[str], *, dry_run: bool
) -> tuple[State, bool]:
    """Put what is given in place, then judge; return whether anything changed (or, in a dry run, would)."""
    if dry_run:
        state = inspect(files, wanted)
        return state, repair(files, wanted, dry_run=True) or bool(state.ca or state.server)
    changed = not files.private.is_dir()
    private_files.make_parents(files.private)
    with private_files.locked(files.folder):
        remove_mount_points(files)
        if ca:
            changed |= install_ca(files, inspect(files, wanted), *ca)
        if server:
            changed |= install_server(files, inspect(files, wanted), *server)
        changed |= repair(files, wanted, dry_run=False)
        state = inspect(files, wanted)
    if (ca and state.ca) or (server and state.server):
        raise Problem(
            f"{files.folder}: what was just made cannot be used ({state.ca or state.server}); "
            "see certificates_permitted, certificates_ca_days and certificates_days"
        )
    return state, changed


def work_on_all(
    sets: dict[str, tuple[Files, Wanted]],
    ca: Sequence[str],
    server: Sequence[str],
    new: str,
    *,
    dry_run: bool,
) -> tuple[dict[str, State], bool]:
    """Do that for each server, by name; ``server`` is for the one called ``new``."""
    states, changed = {}, False
    for name, (files, wanted) in sets.items():
        states[name], touched = work(files, wanted, ca, server if name == new else [], dry_run=dry_run)
        changed |= touched
    if ca:
        # The one that needed the new CA may have come after others.
        states = {name: inspect(files, wanted) for name, (files, wanted) in sets.items()}
    return states, changed


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
    """Returns `ca` and `servers` (why they must be made), `fingerprints`, `files` and `expected`.

    Fails in one line.
    """

    arguments: ClassVar[Any] = {
        "directory": {"type": "str", "required": True},
        "names": {"type": "list", "elements": "str", "required": True},
        "servers": {"type": "dict", "default": {}},
        "renew_before": {"type": "int", "required": True},
        "days": {"type": "int", "required": True},
        "ca_days": {"type": "int", "required": True},
        "key_owner": {"type": "int", "default": -1},
        "new_ca": {"type": "list", "elements": "str", "default": []},
        "new_server": {"type": "list", "elements": "str", "default": []},
        "server": {"type": "str", "default": ""},
    }

    def act(self, arguments: dict[str, Any]) -> dict[str, Any]:
        folder = Path(arguments["directory"])
        sets = {
            name: (
                Files(folder, name),
                Wanted(
                    names=frozenset(names),
                    renew_before=timedelta(days=arguments["renew_before"]),
                    server_lifetime=timedelta(days=arguments["days"]),
                    ca_lifetime=timedelta(days=arguments["ca_days"]),
                    key_owner=arguments["key_owner"],
                ),
            )
            for name, names in {"": arguments["names"], **arguments["servers"]}.items()
        }
        material = arguments["new_ca"], arguments["new_server"], arguments["server"]
        try:
            states, changed = work_on_all(sets, *material, dry_run=self.dry_run)
        except OSError as error:
            place = error.filename or folder
            raise Problem(f"{place}: {error.strerror}; make it yours, then run again") from None
        return answer(sets, states) | {"changed": changed}
