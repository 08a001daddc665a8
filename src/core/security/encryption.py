"""Secrets of users as they lie in the database: AES-256-GCM, under one of several keys.

A value is ``version (1 byte) | key id (8) | nonce (12) | ciphertext and tag``. Table, column and row are
authenticated with it, so that a value copied to another place does not open there. Nonces are random: with
96 bits that is sound for 2^32 values of one key (NIST SP 800-38D, 8.3), and keys can be changed long before.
"""

import base64
import binascii
import hashlib
import os
import re
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from src.core.security import secret_strength

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION = b"\x01"
KEY_BYTES = 32
KEY_ID_BYTES = 8
NONCE_BYTES = 12
TAG_BYTES = 16
HEADER_BYTES = len(VERSION) + KEY_ID_BYTES
LEAST_BYTES = HEADER_BYTES + NONCE_BYTES + TAG_BYTES
COMMAND = "`openssl rand -base64 32 | tr +/ -_`"


class DecryptionError(Exception):
    """A value cannot be opened: cut, changed, or brought from another row. Says where, never what."""


class UnknownKeyError(DecryptionError):
    """A value was encrypted under a key that this process was not given."""


def key_id_of(value: bytes) -> str:
    """The id, 16 hexadecimal digits, of the key that ``value`` was encrypted under."""
    if value[:1] != VERSION or len(value) < LEAST_BYTES:
        raise DecryptionError("this is no encrypted value")
    return value[1:HEADER_BYTES].hex()


@dataclass(frozen=True)
class Keyring:
    """Keys by id, in the order given: the first encrypts, all decrypt."""

    _keys: dict[str, bytes] = field(repr=False)

    @classmethod
    def parse(cls, value: str) -> "Keyring":
        """Read ENCRYPTION_KEY: URL-safe base64 of 32 random bytes each, separated by commas.

        ``ValueError`` says which of them is wrong and how, without any of its characters.
        """
        parts = [part.strip() for part in value.split(",")]
        keys: dict[str, bytes] = {}
        for number, part in enumerate(parts, start=1):
            which = f"key {number} of {len(parts)}: " if len(parts) > 1 else ""
            try:
                key = _decode(part)
            except ValueError as error:
                raise ValueError(f"{which}{error}; a new one is made by {COMMAND}") from None
            if _id(key) in keys:
                raise ValueError(f"{which}is there twice; a new one is made by {COMMAND}")
            keys[_id(key)] = key
        return cls(keys)

    @property
    def primary_id(self) -> str:
        """The id of the key that encrypts."""
        return next(iter(self._keys))

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self._keys)

    def derived(self, purpose: str) -> "Keyring":
        """Keys for another purpose, made from these in the same order (HKDF, RFC 5869).

        What is encrypted with one keyring opens with no other, and a derived key does not reveal its origin.
        """
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        keys = [HKDF(SHA256(), KEY_BYTES, None, purpose.encode()).derive(key) for key in self._keys.values()]
        return Keyring({_id(key): key for key in keys})

    def encrypt(self, plaintext: str, *, table: str, column: str, row_id: uuid.UUID) -> bytes:
        """``plaintext`` as the column of the row stores it; it opens nowhere else."""
        return self.seal(plaintext, _place(table, column, row_id))

    def decrypt(self, value: bytes, *, table: str, column: str, row_id: uuid.UUID) -> str:
        """The plaintext; :class:`UnknownKeyError` or :class:`DecryptionError` if it cannot be decrypted."""
        return self.unseal(value, _place(table, column, row_id), where=f"{table}.{column} of {row_id}")

    def seal(self, plaintext: str, place: bytes) -> bytes:
        """``plaintext`` encrypted and authenticated together with ``place``, which is not in the result."""
        header = VERSION + bytes.fromhex(self.primary_id)
        nonce = os.urandom(NONCE_BYTES)
        cipher = self._cipher(self.primary_id)
        return header + nonce + cipher.encrypt(nonce, plaintext.encode(), header + place)

    def unseal(self, value: bytes, place: bytes, where: str) -> str:
        """The plaintext of ``value``, which was sealed for this ``place``; errors call the place ``where``.

        Raises :class:`UnknownKeyError` or :class:`DecryptionError`.
        """
        # Here and not on top: a start reads the keys only to refuse bad ones, and somebody waits for it.
        from cryptography.exceptions import InvalidTag

        try:
            key_id = key_id_of(value)
        except DecryptionError as error:
            raise DecryptionError(f"{where}: {error}") from None
        if key_id not in self._keys:
            raise UnknownKeyError(f"{where}: ENCRYPTION_KEY has no key {key_id}; put it behind the others")
        header, nonce = value[:HEADER_BYTES], value[HEADER_BYTES : HEADER_BYTES + NONCE_BYTES]
        ciphertext = value[HEADER_BYTES + NONCE_BYTES :]
        try:
            plaintext = self._cipher(key_id).decrypt(nonce, ciphertext, header + place)
        except InvalidTag:
            raise DecryptionError(f"{where}: was changed, or belongs to another place") from None
        return plaintext.decode()

    def _cipher(self, key_id: str) -> "AESGCM":
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(self._keys[key_id])


def _decode(text: str) -> bytes:
    secret_strength.check(text)
    try:
        if not re.fullmatch(r"[A-Za-z0-9_-]+=*", text):
            raise binascii.Error
        key = base64.urlsafe_b64decode(text)
    except binascii.Error:
        raise ValueError("is not URL-safe base64") from None
    if len(key) != KEY_BYTES:
        raise ValueError(f"has {len(key)} bytes, it must have {KEY_BYTES}")
    return key


def _id(key: bytes) -> str:
    return hashlib.sha256(b"dashtam encryption key id\0" + key).hexdigest()[: 2 * KEY_ID_BYTES]


def _place(table: str, column: str, row_id: uuid.UUID) -> bytes:
    # No name of a table or column has a NUL, and the id's length is fixed: no two places read the same.
    return b"\0".join((table.encode(), column.encode(), row_id.bytes))
