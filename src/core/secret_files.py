"""Settings in files, as Docker, Swarm and Kubernetes hand secrets over: one each, named as the variable.

    /run/secrets/APP_DATABASE_URL, /run/secrets/SECRET_KEY, ...

SECRETS_DIR names another folder than /run/secrets. A file counts where the process environment does not set
the variable, or sets it to nothing: whoever sets a variable by hand means it, and an empty one, as templates
leave it, must not hide the secret.
"""

import logging
import os
import stat
from collections.abc import Iterable
from pathlib import Path

FOLDER = Path("/run/secrets")

logger = logging.getLogger(__name__)
_reported: set[Path] = set()


class SecretFileError(Exception):
    """What is wrong with a file, in one line, without what is in it."""


def folder() -> Path:
    """Where the files are; it need not exist unless SECRETS_DIR names it."""
    return Path(os.environ.get("SECRETS_DIR") or FOLDER)


def secret_files(names: Iterable[str]) -> dict[str, str]:
    """Return the value of each variable whose file counts, without the newline that editors end a file with.

    Raise SecretFileError if SECRETS_DIR is not a folder or a file cannot be read. A file that every user may
    read is logged once, as a warning: Swarm and Kubernetes make such files unless they are told otherwise.
    """
    place = folder()
    if os.environ.get("SECRETS_DIR") and not place.is_dir():
        raise SecretFileError(
            f"SECRETS_DIR: {place} is not a folder; name the folder that has a file for each secret"
        )
    found = {name: _content(name, place / name) for name in names if not os.environ.get(name)}
    return {name: value for name, value in found.items() if value is not None}


def _content(name: str, path: Path) -> str | None:
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise SecretFileError(f"{name}: {path} is not UTF-8 text; write the value itself into it") from None
    except OSError as error:
        raise SecretFileError(
            f"{name}: {path}: {error.strerror}; the file must be readable to the user {os.getuid()}"
        ) from None
    if mode & stat.S_IROTH and path not in _reported:
        _reported.add(path)
        logger.warning(
            "%s: every user may read %s; mode 0400 and the owner %s suffice", name, path, os.getuid()
        )
    return content.removesuffix("\n")
