"""Inspect a folder's CA and server certificate, say what is missing, and put new ones in place.

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
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.dashtam.stack.plugins.module_utils import private_files
from ansible_collections.dashtam.stack.plugins.module_utils.certificate_set import (
    Files,
    Problem,
    State,
    Wanted,
    exposed,
    inspect,
)
from cryptography import x509
from cryptography.exceptions import InvalidSignature

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
            f"{files.ca} is a new CA, as {state.ca}. "
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
            f"{files.folder}: what was just made will not do ({state.ca or state.server}); "
            "see certificates_permitted, certificates_ca_days and certificates_days"
        )
    return state, changed


# Where each file is, below the folder.
PLACES = {"ca": "ca.pem", "cert": "cert.pem", "key": "key.pem", "ca_key": "private/ca-key.pem"}


class ActionModule(ActionBase):
    """Returns `ca` and `server` (why they must be made), `fingerprint` and `files`; fails in one line."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        pair = {"type": "list", "elements": "str", "default": []}
        _, arguments = self.validate_argument_spec(
            argument_spec={
                "directory": {"type": "str", "required": True},
                "names": {"type": "list", "elements": "str", "required": True},
                "renew_before": {"type": "int", "required": True},
                "days": {"type": "int", "required": True},
                "ca_days": {"type": "int", "required": True},
                "key_owner": {"type": "int", "default": -1},
                "new_ca": pair,
                "new_server": pair,
            }
        )
        files = Files(Path(arguments["directory"]))
        wanted = Wanted(
            names=frozenset(arguments["names"]),
            renew_before=timedelta(days=arguments["renew_before"]),
            server_lifetime=timedelta(days=arguments["days"]),
            ca_lifetime=timedelta(days=arguments["ca_days"]),
            key_owner=arguments["key_owner"],
        )
        material = arguments["new_ca"], arguments["new_server"]
        try:
            state, changed = work(files, wanted, *material, dry_run=bool(self._task.check_mode))
        except Problem as problem:
            return result | {"failed": True, "msg": str(problem)}
        except OSError as error:
            place = error.filename or files.folder
            message = f"{place}: {error.strerror}; make it yours, then run again"
            return result | {"failed": True, "msg": message}
        return result | {
            "ca": state.ca,
            "server": state.server,
            "fingerprint": state.fingerprint,
            "files": {name: str(files.folder / place) for name, place in PLACES.items()},
            "changed": changed,
        }
