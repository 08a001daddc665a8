"""Passwords: what is asked of them, and how they are hashed."""

import os

import pytest
from argon2 import Parameters, PasswordHasher, Type, extract_parameters
from argon2.profiles import RFC_9106_LOW_MEMORY
from pydantic import SecretStr, TypeAdapter, ValidationError

from src.accounts import passwords
from tests.properties import given, st

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
new_password = TypeAdapter(passwords.NewPassword)


@pytest.mark.parametrize(
    ("password", "lacking"),
    [
        ("Aa1-", []),
        ("Äö٣€", []),
        ("", ["an upper-case letter", "a lower-case letter", "a digit", "a special character"]),
        ("aa1-", ["an upper-case letter"]),
        ("AA1-", ["a lower-case letter"]),
        ("Aaa-", ["a digit"]),
        ("Aa²-", ["a digit"]),
        ("Aa11", ["a special character"]),
        ("Aa1 \t\u00a0", ["a special character"]),
        ("Aa1\x00\u200b\ud800", ["a special character"]),
        ("中文1-", ["an upper-case letter", "a lower-case letter"]),
    ],
)
def test_what_a_password_lacks(password: str, lacking: list[str]) -> None:
    assert passwords.missing(password) == lacking


@pytest.mark.parametrize(
    ("password", "told"),
    [
        ("aaaaaa1-", "must have an upper-case letter"),
        ("aaaaaaa1", "must have an upper-case letter and a special character"),
        ("aaaaaaaa", "must have an upper-case letter, a digit and a special character"),
    ],
)
def test_what_is_lacking_is_said_as_a_sentence(password: str, told: str) -> None:
    with pytest.raises(ValidationError) as refused:
        new_password.validate_python(password)
    assert refused.value.errors()[0]["msg"].endswith(told)


@given(st.text(max_size=200))
def test_a_new_password_is_complete_or_refused_without_being_repeated(password: str) -> None:
    try:
        accepted = new_password.validate_python(password)
    except ValidationError as error:
        told = [problem["msg"] for problem in error.errors()]
        assert len(password) < 8 or all(password not in message for message in told)
    else:
        assert 8 <= len(accepted.get_secret_value()) <= 128
        assert passwords.missing(password) == []
        assert password not in repr(accepted)


def test_hashes_are_argon2id_as_the_rfc_recommends() -> None:
    parameters = extract_parameters(passwords.dummy_hash())
    assert parameters == RFC_9106_LOW_MEMORY
    assert isinstance(parameters, Parameters)
    assert parameters.type is Type.ID


async def test_a_hash_knows_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "hasher", CHEAP)
    first, second = [await passwords.hashed(SecretStr("Correct-horse-7")) for _ in range(2)]
    assert first != second
    assert await passwords.is_right(SecretStr("Correct-horse-7"), first)
    assert not await passwords.is_right(SecretStr("correct-horse-7"), first)
    assert not await passwords.is_right(SecretStr(""), first)


@pytest.mark.parametrize("password_hash", [None, "", "x", "$argon2id$v=19$m=8,t=1,p=1$x", "\x00"])
async def test_without_a_hash_nothing_is_right(
    monkeypatch: pytest.MonkeyPatch, password_hash: str | None
) -> None:
    monkeypatch.setattr(passwords, "hasher", CHEAP)
    assert not await passwords.is_right(SecretStr("Correct-horse-7"), password_hash)


def test_verifying_the_dummy_hash_costs_what_a_users_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2 reads it and does the whole work: a hash that it could not read would fail at once."""
    assert not passwords.is_outdated(passwords.dummy_hash())
    monkeypatch.setattr(passwords, "hasher", CHEAP)
    assert extract_parameters(passwords.dummy_hash()).memory_cost == 8
    with pytest.raises(Exception, match="does not match"):
        CHEAP.verify(passwords.dummy_hash(), "x")


def test_other_parameters_are_outdated() -> None:
    assert passwords.is_outdated(CHEAP.hash("x"))


@given(st.text())
def test_any_text_has_bytes(password: str) -> None:
    assert isinstance(passwords._bytes(SecretStr(password)), bytes)


def test_no_more_threads_than_cores() -> None:
    assert passwords.threads._max_workers == os.cpu_count()
