"""Passwords: what a new one must have, and their argon2id hashes (RFC 9106)."""

import asyncio
import base64
import os
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from pydantic import AfterValidator, Field, SecretStr

MIN_LENGTH = 8
MAX_LENGTH = 128

_hasher = PasswordHasher()
# A hash takes 64 MiB and a core's time: off the event loop, and no more at once than there are cores.
_threads = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="argon2")


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode().rstrip("=")


# Looks like a hash of today's parameters and is the hash of nothing: to verify against it takes as long.
_NOBODYS = (
    f"$argon2id$v=19$m={_hasher.memory_cost},t={_hasher.time_cost},p={_hasher.parallelism}"
    f"${_base64(bytes(_hasher.salt_len))}${_base64(bytes(_hasher.hash_len))}"
)


def missing(password: str) -> list[str]:
    """Which kinds of characters ``password`` lacks, in words."""
    kinds = {
        "an upper-case letter": any(map(str.isupper, password)),
        "a lower-case letter": any(map(str.islower, password)),
        "a digit": any(map(str.isdecimal, password)),
        "a special character": any(
            character.isprintable() and not character.isalnum() and not character.isspace()
            for character in password
        ),
    }
    return [kind for kind, present in kinds.items() if not present]


def _complete(password: SecretStr) -> SecretStr:
    if lacking := missing(password.get_secret_value()):
        raise ValueError(f"must have {', '.join(lacking)}")
    return password


Password = Annotated[SecretStr, Field(min_length=1, max_length=MAX_LENGTH)]
NewPassword = Annotated[
    SecretStr,
    Field(
        min_length=MIN_LENGTH,
        max_length=MAX_LENGTH,
        description="With an upper-case letter, a lower-case letter, a digit and a special character.",
    ),
    AfterValidator(_complete),
]


async def hashed(password: SecretStr) -> str:
    return await asyncio.get_running_loop().run_in_executor(_threads, _hasher.hash, _bytes(password))


async def is_right(password: SecretStr, password_hash: str | None) -> bool:
    """Whether ``password`` is the one hashed. Without a hash it is not, and that takes as long to say."""

    def verify() -> bool:
        try:
            return _hasher.verify(password_hash or _NOBODYS, _bytes(password))
        except (VerificationError, InvalidHashError):
            return False

    return await asyncio.get_running_loop().run_in_executor(_threads, verify)


def is_outdated(password_hash: str) -> bool:
    """Whether a hash was made with other parameters than today's."""
    return _hasher.check_needs_rehash(password_hash)


def _bytes(password: SecretStr) -> bytes:
    """The same bytes however a keyboard composes the characters (NIST SP 800-63B, 5.1.1.2)."""
    return unicodedata.normalize("NFKC", password.get_secret_value()).encode(errors="surrogatepass")
