"""Look at a folder's CA and server certificate, say what is missing, and put new ones in place.

An action plugin: a set that is good costs no module call. New material is made by community.crypto and
handed over here, so that a single place decides, under a lock, whether it is still wanted: of two runs that
start at once the first one's files stay and the second one's are dropped. Each file is replaced in one
step, keys first; what an interruption leaves does not belong together, is seen as such, and is made anew by
the next run.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import ipaddress
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

display = Display()

PUBLIC, PRIVATE, FOLDER, PRIVATE_FOLDER = 0o644, 0o600, 0o755, 0o700


class Problem(Exception):
    """What is wrong, where, and what to do next, in one line."""


@dataclass(frozen=True)
class Wanted:
    """What a good set looks like."""

    names: frozenset[str]
    renew_before: timedelta
    server_lifetime: timedelta
    key_owner: int


@dataclass(frozen=True)
class Files:
    """Where a set lies."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def cert(self) -> Path:
        return self.folder / "cert.pem"

    @property
    def key(self) -> Path:
        return self.folder / "key.pem"

    @property
    def ca_key(self) -> Path:
        return self.folder / "private" / "ca-key.pem"


@dataclass(frozen=True)
class State:
    """Why the CA or the server certificate must be made (empty: it need not); a good set's fingerprint."""

    ca: str = ""
    server: str = ""
    fingerprint: str = ""


def normalized(name: str) -> str:
    """A DNS name in lower case, an address in its shortest spelling."""
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(name))
    return name.lower()


def names_of(certificate: x509.Certificate) -> frozenset[str]:
    """The subjectAltNames."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    dns = extension.get_values_for_type(x509.DNSName)
    addresses = extension.get_values_for_type(x509.IPAddress)
    return frozenset(normalized(str(name)) for name in [*dns, *addresses])


def covers(constraint: x509.GeneralName, name: str) -> bool:
    """As in RFC 5280: a DNS name covers itself and all below it, with a leading dot only those."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        if not isinstance(constraint, x509.DNSName):
            return False
        base = constraint.value.lower()
        return name == base or name.endswith(base if base.startswith(".") else f".{base}")
    network = constraint.value
    return isinstance(network, ipaddress.IPv4Network | ipaddress.IPv6Network) and address in network


def not_permitted(ca: x509.Certificate, names: frozenset[str]) -> list[str]:
    """The names for which this CA cannot sign."""
    try:
        constraints = ca.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return []
    permitted, excluded = constraints.permitted_subtrees or [], constraints.excluded_subtrees or []
    return sorted(
        name
        for name in names
        if not any(covers(one, name) for one in permitted) or any(covers(one, name) for one in excluded)
    )


def load(path: Path) -> x509.Certificate | None:
    """The certificate, or none where there is none that can be read as one."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (FileNotFoundError, IsADirectoryError, ValueError):
        return None


def opens(key: Path, certificate: x509.Certificate) -> bool:
    """Whether the private key is the certificate's."""
    try:
        private = load_pem_private_key(key.read_bytes(), password=None)
    except (FileNotFoundError, IsADirectoryError, ValueError, TypeError):
        return False
    spelling = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return private.public_key().public_bytes(*spelling) == certificate.public_key().public_bytes(*spelling)


def signed_by(certificate: x509.Certificate, ca: x509.Certificate) -> bool:
    """Whether the CA's key made the certificate's signature."""
    try:
        certificate.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def why_not_ca(ca: x509.Certificate | None, wanted: Wanted, now: datetime) -> str:
    """Why there must be a new CA. It must outlive every certificate that it signs."""
    if ca is None:
        return "there is none"
    try:
        is_ca = ca.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        is_ca = False
    if not is_ca:
        return "ca.pem is no CA's certificate"
    if ca.not_valid_after_utc - now < wanted.server_lifetime:
        return f"the old one ends on {ca.not_valid_after_utc:%Y-%m-%d}, before the next certificate would"
    missing = not_permitted(ca, wanted.names)
    if missing:
        return f"the old one may not sign for {', '.join(missing)}"
    return ""


def why_not_server(files: Files, ca: x509.Certificate | None, wanted: Wanted, now: datetime) -> str:
    """Why there must be a new server certificate."""
    certificate = load(files.cert)
    if certificate is None:
        return "there is none"
    if certificate.not_valid_after_utc - now < wanted.renew_before:
        return f"it ends on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if names_of(certificate) != wanted.names:
        return "its names are others"
    if not opens(files.key, certificate):
        return "key.pem does not belong to it"
    if ca is None or not signed_by(certificate, ca):
        return "another CA signed it"
    return ""


def inspect(files: Files, wanted: Wanted, now: datetime | None = None) -> State:
    """Judge what lies in the folder."""
    now = now or datetime.now(UTC)
    ca = load(files.ca)
    ca_reason = why_not_ca(ca, wanted, now)
    server_reason = why_not_server(files, ca, wanted, now)
    if server_reason and not ca_reason and ca is not None:
        if not files.ca_key.exists():
            raise Problem(
                f"{files.cert}: a new certificate is needed ({server_reason}), but the key of ca.pem is "
                f"missing: restore {files.ca_key}, or delete {files.ca} for a new CA, to be trusted anew"
            )
        if not opens(files.ca_key, ca):
            ca_reason = "the CA's key does not belong to ca.pem"
    if ca_reason:
        return State(ca=ca_reason, server=server_reason or "its CA is replaced")
    fingerprint = ""
    if not server_reason:
        parts = [load(files.ca), load(files.cert)]
        fingerprint = hashlib.sha256(
            b"".join(part.public_bytes(Encoding.DER) for part in parts if part)
        ).hexdigest()
    return State(server=server_reason, fingerprint=fingerprint)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One run at a time. The lock is on the folder itself: nothing is left behind, and a kill frees it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def give_to_owner_of(folder: Path, path: Path) -> None:
    """Root leaves files that belong to the folder's owner: `sudo` once must not lock a developer out."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def write(path: Path, text: str, mode: int) -> None:
    """Replace the file in one step; its mode is right from its first byte on, whatever the umask."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            os.fchmod(descriptor, mode)
            stream.write(text)
        give_to_owner_of(path.parent, temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def make_folders(files: Files) -> bool:
    """Create what is missing; whether anything was."""
    made = False
    for folder, mode in ((files.folder, FOLDER), (files.ca_key.parent, PRIVATE_FOLDER)):
        if not folder.is_dir():
            folder.mkdir(mode=PRIVATE_FOLDER, parents=True)
            give_to_owner_of(folder.parent, folder)
            folder.chmod(mode)
            made = True
    return made


def remove_mount_points(files: Files, *, dry_run: bool) -> None:
    """Docker makes an empty folder where a file to be mounted is missing; nobody else takes it away."""
    for path in (files.ca, files.cert, files.key):
        if path.is_dir() and not dry_run:
            try:
                path.rmdir()
            except OSError:
                raise Problem(
                    f"{path}: is a folder with something in it; move it away, then run again"
                ) from None


def repair(files: Files, wanted: Wanted, *, dry_run: bool) -> bool:
    """Set modes, and the owner of key.pem where root may; whether anything was not as it should be."""
    changed = False
    for path, mode in (
        (files.folder, FOLDER),
        (files.ca_key.parent, PRIVATE_FOLDER),
        (files.ca, PUBLIC),
        (files.cert, PUBLIC),
        (files.key, PRIVATE),
        (files.ca_key, PRIVATE),
    ):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mode & 0o7777 != mode:
                changed = True
                if not dry_run:
                    path.chmod(mode)
    with contextlib.suppress(FileNotFoundError):
        if wanted.key_owner >= 0 and files.key.stat().st_uid != wanted.key_owner:
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
        display.warning(
            f"{files.ca} is a new CA, as {state.ca}. "
            "Trust it again in browsers and tools that trusted the old one."
        )
    write(files.ca_key, key, PRIVATE)
    write(files.ca, cert, PUBLIC)
    return True


def install_server(files: Files, state: State, cert: str, key: str) -> bool:
    """Put a new server certificate in place unless another run was first; refuse one of another CA."""
    if not state.server:
        return False
    ca = load(files.ca)
    if ca is None or not signed_by(x509.load_pem_x509_certificate(cert.encode()), ca):
        raise Problem(f"{files.ca}: was replaced while its certificate was being made; run again")
    write(files.key, key, PRIVATE)
    write(files.cert, cert, PUBLIC)
    return True


def work(
    files: Files, wanted: Wanted, ca: Sequence[str], server: Sequence[str], *, dry_run: bool
) -> tuple[State, bool]:
    """Put what is given in place, then judge; whether anything changed (or, in a dry run, would)."""
    if dry_run:
        state = inspect(files, wanted)
        return state, repair(files, wanted, dry_run=True) or bool(state.ca or state.server)
    changed = make_folders(files)
    with locked(files.folder):
        remove_mount_points(files, dry_run=False)
        if ca:
            changed |= install_ca(files, inspect(files, wanted), *ca)
        if server:
            changed |= install_server(files, inspect(files, wanted), *server)
        changed |= repair(files, wanted, dry_run=False)
        return inspect(files, wanted), changed


class ActionModule(ActionBase):
    """Returns `ca` and `server` (why they must be made), `fingerprint`, or `problem`: one line."""

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
                "key_owner": {"type": "int", "default": -1},
                "new_ca": pair,
                "new_server": {**pair},
            }
        )
        files = Files(Path(arguments["directory"]))
        wanted = Wanted(
            names=frozenset(normalized(name) for name in arguments["names"]),
            renew_before=timedelta(days=arguments["renew_before"]),
            server_lifetime=timedelta(days=arguments["days"]),
            key_owner=arguments["key_owner"],
        )
        try:
            state, changed = work(
                files,
                wanted,
                arguments["new_ca"],
                arguments["new_server"],
                dry_run=bool(self._task.check_mode),
            )
        except Problem as problem:
            result.update(failed=True, msg=str(problem))
        except OSError as error:
            result.update(
                failed=True,
                msg=f"{error.filename or files.folder}: {error.strerror}; make it yours, then run again",
            )
        else:
            result.update(ca=state.ca, server=state.server, fingerprint=state.fingerprint, changed=changed)
        return result
