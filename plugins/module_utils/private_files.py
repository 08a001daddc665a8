"""Write files that only their owner may read, from the first byte on and whatever the umask."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700


def give_to_owner_of(folder: Path, path: Path) -> None:
    """Give the path to the folder's owner if root runs this: `sudo` once must not lock a developer out."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def make_parents(folder: Path) -> None:
    """Create the folder and its missing parents with 0700; those that exist stay as they are."""
    if folder.is_dir():
        return
    make_parents(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=PRIVATE_FOLDER)
        give_to_owner_of(folder.parent, folder)


def write(path: Path, content: str | bytes, mode: int = PRIVATE_FILE) -> None:
    """Replace the file in one step. Readers see the old content or the new one, never a part of it."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(descriptor, mode)
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(descriptor)
        give_to_owner_of(path.parent, temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def publish(part: Path, path: Path) -> None:
    """Give a file that is whole its name, by another one of which it goes on; none of that name is replaced.

    :raises FileExistsError: there is one.
    """
    try:
        path.hardlink_to(part)
    except FileExistsError:
        raise
    except OSError:
        # exFAT, and many a file system of a network, have no links.
        path.touch(PRIVATE_FILE, exist_ok=False)
        part.replace(path)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one run at a time in. The lock is on the folder itself: it leaves no file, and a kill frees it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
