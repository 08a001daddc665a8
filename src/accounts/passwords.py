"""Passwords: what a new one must have, and their argon2id hashes (RFC 9106)."""

import asyncio
import base64
import os
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import ARGON2_VERSION
from pydantic import AfterValidator, Field, SecretStr

from src.accounts.common_passwords import is_common

MIN_LENGTH = 8
MAX_LENGTH = 128

hasher = PasswordHasher()
# A hash takes 64 MiB and a core's time: off the event loop, and no more at once than there are cores.
threads = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="argon2")


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
        *others, last = lacking
        raise ValueError(f"must have {', '.join(others)} and {last}" if others else f"must have {last}")
    return password


def _uncommon(password: SecretStr) -> SecretStr:
    if is_common(password.get_secret_value()):
        raise ValueError("is a common password; choose one that is harder to guess")
    return password


Password = Annotated[SecretStr, Field(min_length=1, max_length=MAX_LENGTH)]
NewPassword = Annotated[
    SecretStr,
    Field(
        min_length=MIN_LENGTH,
        max_length=MAX_LENGTH,
        description="With an upper-case letter, a lower-case letter, a digit and a special character. Common"
        " passwords, such as `Password1!`, are refused.",
    ),
    AfterValidator(_complete),
    AfterValidator(_uncommon),
]


async def hashed(password: SecretStr) -> str:
    return await asyncio.get_running_loop().run_in_executor(threads, hasher.hash, _bytes(password))


async def is_right(password: SecretStr, password_hash: str | None) -> bool:
    """Whether ``password`` is the one hashed. Without a hash it is not, and that takes as long to say."""

    def verify() -> bool:
        try:
            return hasher.verify(password_hash or dummy_hash(), _bytes(password))
        except (VerificationError, InvalidHashError):
            return False

    return await asyncio.get_running_loop().run_in_executor(threads, verify)


def is_outdated(password_hash: str) -> bool:
    """Whether a hash was made with other parameters than today's."""
    return hasher.check_needs_rehash(password_hash)


def dummy_hash() -> str:
    """Return a hash that no password has. To verify it takes as long as to verify a user's."""
    salt, value = (
        base64.b64encode(bytes(length)).decode().rstrip("=") for length in (hasher.salt_len, hasher.hash_len)
    )
    parameters = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v={ARGON2_VERSION}${parameters}${salt}${value}"


def _bytes(password: SecretStr) -> bytes:
    """The same bytes however a keyboard composes the characters (NIST SP 800-63B, 5.1.1.2)."""
    return unicodedata.normalize("NFKC", password.get_secret_value()).encode(errors="surrogatepass")
