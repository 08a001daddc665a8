"""Certificates and rendered env files."""

from __future__ import annotations

import contextlib
import platform
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from ansible_collections.dashtam.stack.plugins.action.env_file import checksum, split
from ansible_collections.dashtam.stack.plugins.filter.drift import dotenv_parsed
from ansible_collections.dashtam.stack.plugins.module_utils import certificate_set
from cryptography.hazmat.primitives.serialization import Encoding

from doctor.declared import Environment
from doctor.findings import FAIL, OK, ROOT, WARN, Finding, make

MAKE_CERTS = "make certs, then make dev"


def certificates(folder: Path, now: datetime) -> list[Finding]:
    """Say whether clients that trust our CA accept each server's certificate, and for how long.

    :param folder: it has the app's certificate, and those of the servers that have one to themselves.
    """
    ca = certificate_set.load(certificate_set.Files(folder).ca)
    if ca is None:
        return [Finding("certificate", WARN, "certs/ca.pem is not made yet", "make certs")]
    # A pair is looked at although one half of it is missing.
    pairs = {
        path.name.rpartition("-")[0] for kind in ("cert", "key") for path in folder.glob(f"*-{kind}.pem")
    }
    found = [certificate(certificate_set.Files(folder, server), now) for server in ["", *sorted(pairs)]]
    return [*found, *trust(ca.public_bytes(Encoding.DER))]


def certificate(files: certificate_set.Files, now: datetime) -> Finding:
    """Say the same of one server."""
    cert, name = certificate_set.load(files.cert), f"certs/{files.cert.name}"
    if cert is None:
        return Finding("certificate", WARN, f"{name} is not made yet", "make certs")
    try:
        refusal = certificate_set.refusal(files.ca, files.cert, files.key, "localhost")
    except OSError as error:
        refusal = f"{files.key.name}: {error.strerror}"
    ends = f"{cert.not_valid_after_utc:%Y-%m-%d}"
    days = (cert.not_valid_after_utc - now).days
    defaults = yaml.safe_load((ROOT / "roles/certificates/defaults/main.yml").read_text(encoding="utf-8"))
    if now >= cert.not_valid_after_utc:
        return Finding("certificate", FAIL, f"{name}: it expired on {ends}", MAKE_CERTS)
    if refusal:
        return Finding("certificate", FAIL, f"{name}: {refusal}", MAKE_CERTS)
    if certificate_set.exposed(files.key):
        return Finding("certificate", FAIL, f"others can read its key, certs/{files.key.name}", MAKE_CERTS)
    if cert.not_valid_after_utc - now < timedelta(days=defaults["certificates_renew_before"]):
        return Finding("certificate", WARN, f"{name}: it expires on {ends}, in {days} days", MAKE_CERTS)
    return Finding("certificate", OK, f"{name}: it expires on {ends}, in {days} days")


def trust(ca: bytes) -> list[Finding]:
    """Say whether this system trusts our CA. On macOS that is in a keychain, which OpenSSL does not read."""
    if platform.system() == "Darwin":
        return []
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    # What OpenSSL looks up in a folder when it needs it is not in the context yet.
    for path in sorted(Path(paths.capath).glob("*.pem")) if paths.capath else []:
        with contextlib.suppress(OSError):
            context.load_verify_locations(path)
    if ca in context.get_ca_certs(binary_form=True):
        return [
            Finding(
                "CA", OK, "this system's programs trust certs/ca.pem (browsers may keep a list of their own)"
            )
        ]
    return [Finding("CA", WARN, "this system does not trust certs/ca.pem; browsers will warn", "make trust")]


def env_file(environment: Environment, folder: Path, command: str) -> list[Finding]:
    """Say whether a rendered env file is as a run left it and has the declared variables.

    :param folder: where env files are.
    :param command: what renders it.
    """
    path = folder / f".env.{environment.name}{environment.suffix}"
    name = f"env/{path.name}"
    check = f"{environment.name} env file"
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return [Finding(check, OK, f"{name} is not rendered yet; {command} does it")]
    except OSError as error:
        return [Finding(check, FAIL, f"{name}: {error.strerror}", f"sudo chown $(id -u) {name}")]
    recorded, body = split(text)
    if recorded != checksum(body):
        remedy = f"move the edit to {environment.own_file}, then: rm {name} && {command}"
        return [Finding(check, FAIL, f"{name} was edited by hand", remedy)]
    differing = sorted(environment.variables ^ set(dotenv_parsed(body)))
    if differing:
        return [Finding(check, WARN, f"{name} is from an earlier run: {', '.join(differing)}", command)]
    if path.stat().st_mode & 0o077:
        return [Finding(check, FAIL, f"others can read {name}, which holds secrets", f"chmod 600 {name}")]
    return [Finding(check, OK, f"{name} has all {len(environment.variables)} variables")]


def all_findings(environments: list[Environment], instance: str, port_offset: int) -> list[Finding]:
    """Return what there is to say about files that a run makes."""
    found = certificates(ROOT / "certs", datetime.now(UTC))
    for environment in environments:
        target = {"dev": "dev", "test": "test-up"}[environment.name]
        found += env_file(environment, ROOT / "env", make(target, instance, port_offset))
    return found
