"""Read an environment's secrets, make the missing ones, keep them in a private file.

An action plugin, so that it runs in the controller's process: no module call, and the values travel through
no other file.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import yaml
from ansible_collections.dashtam.stack.plugins.module_utils import private_files
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction, Problem

HEADER = """\
# Secrets, generated once and reused. Keep this file: nothing else knows them.
# A value of your own goes into the environment's local file, not in here.
"""
ALPHANUMERIC = string.ascii_letters + string.digits


def generate(kind: str, length: int | None = None) -> str:
    """A random value whose characters mean nothing to a URL, a shell or an env file.

    password: `length` letters and digits (32).
    token: `length` random bytes (48) in URL-safe base64 without padding.
    base64_32: 32 random bytes in URL-safe base64 with padding, as ciphers take their keys.
    """
    if kind == "password":
        return "".join(secrets.choice(ALPHANUMERIC) for _ in range(length or 32))
    if kind == "token":
        return secrets.token_urlsafe(length or 48)
    if kind == "base64_32":
        return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    raise Problem(f"keys_names: {kind!r} is not a kind; use password, token or base64_32")


def read_text(path: Path) -> str:
    """Return the file's text, empty if the file does not exist."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        raise Problem(f"{path}: not a text file; restore it from a copy") from None


def parse(path: Path, text: str) -> dict[str, str]:
    """The stored secrets. Anything but a flat mapping of texts is damage, and damage is never overwritten."""
    restore = (
        "restore it from a copy (deleting it makes new secrets, and data kept with the old ones is lost)"
    )
    try:
        stored = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise Problem(f"{path}{where}: not valid YAML; {restore}") from None
    if stored is None:
        return {}
    if not isinstance(stored, dict):
        raise Problem(f"{path}: not a list of NAME: value lines; {restore}")
    for name, value in stored.items():
        if not isinstance(value, str) or not value:
            raise Problem(f"{path}: {name} is not quoted text; {restore}")
    return stored


def complete(
    stored: Mapping[str, str], names: Mapping[str, Mapping[str, Any]], given: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """All values by name, and those that had to be generated. A given value wins and is never stored."""
    generated = {
        name: generate(kind["kind"], kind.get("length"))
        for name, kind in names.items()
        if name not in stored and name not in given
    }
    values = {**stored, **generated, **given}
    return {
        name: values[name] for name in [*names, *(extra for extra in given if extra not in names)]
    }, generated


def renewed(
    stored: Mapping[str, str], names: Mapping[str, Mapping[str, Any]], given: Mapping[str, str], renewal: str
) -> dict[str, str]:
    """The stored secrets with other values, of those that nobody gives; what nobody asks for stays.

    :param renewal: ``begin`` makes new values. One of the kind ``keyring`` is put before its old ones, which
        still decrypt what they have encrypted. ``finish`` leaves a keyring its first value alone.
    """
    values = dict(stored)
    for name, kind in names.items():
        if name in stored and name not in given:
            keyring = bool(kind.get("keyring"))
            if renewal == "begin":
                new = generate(kind["kind"], kind.get("length"))
                values[name] = f"{new},{stored[name]}" if keyring else new
            elif keyring:
                values[name] = stored[name].split(",")[0]
    return values


def appended(text: str, generated: Mapping[str, str]) -> str:
    """The file's text with the generated values below; what is there stays, comments too."""
    head = text if text.strip() else HEADER
    if not head.endswith("\n"):
        head += "\n"
    return head + "".join(f"{name}: {json.dumps(value)}\n" for name, value in generated.items())


def provide(
    path: Path,
    names: Mapping[str, Mapping[str, Any]],
    given: Mapping[str, str],
    *,
    may_generate: bool,
    refusal: str,
    dry_run: bool,
    renewal: str = "",
    inherited: Mapping[str, str] | None = None,
) -> tuple[dict[str, str], bool]:
    """All values, and whether the file was (or, in a dry run, would be) changed.

    :param inherited: values that are stored in the place of what is stored or would be generated.
    """
    if not dry_run:
        private_files.make_parents(path.parent)
    with private_files.locked(path.parent) if path.parent.is_dir() else contextlib.nullcontext():
        text = read_text(path)
        stored = parse(path, text)
        other = renewed(stored, names, given, renewal) if renewal else stored
        other = {**other, **{name: value for name, value in (inherited or {}).items() if name not in given}}
        renewing = other != stored
        if renewing:
            stored, text = other, appended("", other)
        values, generated = complete(stored, names, given)
        lost = [name for name in generated if not names[name].get("replaceable")]
        if lost and not may_generate:
            what = f"has no {', '.join(lost)}" if text else "is missing"
            raise Problem(f"{path} {what}. {refusal}".strip())
        loose = path.exists() and path.stat().st_mode & 0o077 != 0
        if not dry_run:
            if generated or renewing:
                private_files.write(path, appended(text, generated))
            elif loose:
                path.chmod(0o600)
        return values, bool(generated) or renewing or loose


class ActionModule(LocalAction):
    """Returns `secrets`, all values by name; fails in one line without any value."""

    arguments: ClassVar[Any] = {
        "path": {"type": "str", "required": True},
        "names": {"type": "dict", "required": True},
        "given": {"type": "dict", "default": {}},
        "may_generate": {"type": "bool", "default": True},
        "refusal": {"type": "str", "default": ""},
        "renewal": {"type": "str", "default": "", "choices": ["", "begin", "finish"]},
        "inherited": {"type": "dict", "default": {}},
    }

    def act(self, arguments: dict[str, Any]) -> dict[str, Any]:
        # A symbolic link stays one: what it points to is replaced.
        path = Path(os.path.realpath(arguments["path"]))
        # An unset variable of a CI job arrives as an empty text; that is not a value.
        given = {name: str(value) for name, value in arguments["given"].items() if value not in (None, "")}
        try:
            values, changed = provide(
                path,
                arguments["names"],
                given,
                may_generate=arguments["may_generate"],
                refusal=arguments["refusal"],
                dry_run=self.dry_run,
                renewal=arguments["renewal"],
                inherited=arguments["inherited"],
            )
        except OSError as error:
            raise Problem(
                f"{path}: {error.strerror}; make it readable and writable for you, then run again"
            ) from None
        return {"secrets": values, "changed": changed}
