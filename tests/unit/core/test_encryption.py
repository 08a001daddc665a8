import base64
import uuid

import pytest

from src.core.security.encrypted_rows import COLUMNS, TABLE
from src.core.security.encryption import DecryptionError, Keyring, UnknownKeyError, key_id_of
from src.models import metadata
from tests.properties import given, st

ROW = uuid.UUID("6b1f5b0e-7d5c-4a53-9a5e-0d9a4c1b2f3e")
PLACE = {"table": "provider_tokens", "column": "access_token_encrypted", "row_id": ROW}


def key(number: int) -> str:
    """A key that repeats, unlike those that are used."""
    return base64.urlsafe_b64encode(
        bytes((number * 37 + position * 11) % 256 for position in range(32))
    ).decode()


one, two = Keyring.parse(key(1)), Keyring.parse(key(2))
both = Keyring.parse(f"{key(2)},{key(1)}")


@given(plaintext=st.text(max_size=5000))
def test_opens_what_it_closed(plaintext: str) -> None:
    assert one.decrypt(one.encrypt(plaintext, **PLACE), **PLACE) == plaintext


def test_no_two_values_are_alike() -> None:
    assert len({one.encrypt("token", **PLACE) for _ in range(100)}) == 100


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    assert both.primary_id == two.primary_id
    assert both.ids == (two.primary_id, one.primary_id)
    value = both.encrypt("token", **PLACE)
    assert key_id_of(value) == two.primary_id
    assert two.decrypt(value, **PLACE) == "token"
    assert both.decrypt(one.encrypt("token", **PLACE), **PLACE) == "token"


def test_what_is_stored_today_opens_tomorrow() -> None:
    """The format is written down in every database: whoever changes it takes another version byte."""
    value = bytes.fromhex(
        "01" + "4f3ec20d0a5d4c90" + "000102030405060708090a0b" + "b16cb4df65f99b08d8695595444dff5776b44f77a2"
    )
    assert one.decrypt(value, **PLACE) == "token"


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"table": "other"},
        {"column": "refresh_token_encrypted"},
        {"row_id": uuid.UUID("6b1f5b0e-7d5c-4a53-9a5e-0d9a4c1b2f3f")},
        # The same letters, cut elsewhere.
        {"table": "provider_tokensaccess_", "column": "token_encrypted"},
    ],
)
def test_opens_nowhere_else(elsewhere: dict[str, str]) -> None:
    with pytest.raises(DecryptionError, match="was changed, or belongs to another place"):
        one.decrypt(one.encrypt("token", **PLACE), **(PLACE | elsewhere))


def test_every_changed_bit_is_noticed() -> None:
    value = one.encrypt("token", **PLACE)
    for position in range(len(value) * 8):
        changed = bytearray(value)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(DecryptionError) as caught:
            one.decrypt(bytes(changed), **PLACE)
        assert "token" not in str(caught.value).removeprefix("provider_tokens.access_token_encrypted")


@pytest.mark.parametrize("length", range(38))
def test_what_is_cut_is_no_value(length: int) -> None:
    with pytest.raises(DecryptionError):
        one.decrypt(one.encrypt("token", **PLACE)[:length], **PLACE)


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(UnknownKeyError, match=f"has no key {two.primary_id}"):
        one.decrypt(two.encrypt("token", **PLACE), **PLACE)


def test_keys_do_not_show() -> None:
    assert key(1) not in repr(one)
    assert repr(one) == "Keyring()"
    # Nor can the id be compared with a hash of the key that somebody made elsewhere.
    assert len(one.primary_id) == 16


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "has 0 characters"),
        (",", "key 1 of 2: has 0 characters"),
        (f"{key(1)},", "key 2 of 2: has 0 characters"),
        (key(1)[:-1], "is not URL-safe base64"),
        (key(1)[:40], "has 30 bytes, it must have 32"),
        (base64.urlsafe_b64encode(bytes(range(33))).decode(), "has 33 bytes, it must have 32"),
        (base64.urlsafe_b64encode(bytes(range(16))).decode(), "has 24 characters"),
        (base64.urlsafe_b64encode(bytes(32)).decode(), "repeats too few different characters"),
        ("change-me-change-me-change-me-change-me-abc=", "is a placeholder"),
        (f"{key(1)},your-key-here-0123456789abcdefghijklmnopqrs=", "key 2 of 2: is a placeholder"),
        ("ä" + key(1)[1:], "is not URL-safe base64"),
        ("+" + key(1)[1:], "is not URL-safe base64"),
        (f"{key(1)} {key(2)}", "is not URL-safe base64"),
        (f"{key(1)},{key(2)},{key(1)}", "key 3 of 3: is there twice"),
    ],
)
def test_a_bad_key_is_refused_without_showing_it(value: str, reason: str) -> None:
    with pytest.raises(ValueError, match="openssl rand") as caught:
        Keyring.parse(value)
    message = str(caught.value)
    assert message.startswith(reason)
    assert "\n" not in message
    assert not any(part and part in message for part in value.split(","))


def test_space_around_keys_is_no_part_of_them() -> None:
    assert Keyring.parse(f" {key(2)} ,\n {key(1)}\n").ids == both.ids


def test_the_tables_encrypted_columns_are_those_that_are_rotated() -> None:
    encrypted = {
        (table.name, column.name)
        for table in metadata.tables.values()
        for column in table.columns
        if column.name.endswith("_encrypted")
    }
    assert encrypted == {(TABLE, column) for column in COLUMNS}


def test_a_derived_keyring_is_for_its_purpose_alone() -> None:
    derived, other = both.derived("letters"), both.derived("parcels")
    value = derived.seal("token", b"place")
    assert both.derived("letters").unseal(value, b"place", where="here") == "token"
    for keyring in (both, other):
        with pytest.raises(UnknownKeyError):
            keyring.unseal(value, b"place", where="here")
    with pytest.raises(DecryptionError, match=r"^here: was changed, or belongs to another place$"):
        derived.unseal(value, b"elsewhere", where="here")
    # The order stays, and with it what a change of keys needs.
    assert derived.primary_id == two.derived("letters").primary_id
    assert derived.unseal(one.derived("letters").seal("old", b""), b"", where="here") == "old"
