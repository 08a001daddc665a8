"""Which passwords are too common, although they have every kind of character."""

import time

import pytest

from src.accounts.common_passwords import WORDS, is_common


@pytest.mark.parametrize(
    "password",
    [
        "Password1!",
        "P@ssw0rd1",
        "Pa$$w0rd!",
        "PASSWORD-password-1",
        "!Password1",
        "\uff30assword1!",
        "Welcome2026!",
        "$ummer2026!",
        "Qwerty123!",
        "Qwe123rty!",
        "1qaz!QAZ",
        "Abcd1234!",
        "Adm1n!2026",
        "L3tme1n!",
        "Sw0rdf!sh",
        "Dashtam1!",
        "Aa1-aaaa",
    ],
)
def test_a_well_known_word_is_common_whatever_is_around_it(password: str) -> None:
    assert is_common(password)


@pytest.mark.parametrize(
    "password",
    [
        "Correct-horse-7",
        "Battery-staple-8",
        "Password-of-Ann-7",
        "Another-one-9",
        "kJ8#mQ2x",
        "7#K9$2m!84",
        "Äö٣€-xyz",
        "中文1-Aa",
    ],
)
def test_other_passwords_are_not(password: str) -> None:
    assert not is_common(password)


@pytest.mark.parametrize("password", ["", "1!", "aA1!" * 32, "4@8({[<369&#!1/|0$5+7%2" * 6, "ab" * 63 + "!"])
def test_no_password_takes_long(password: str) -> None:
    start = time.perf_counter()
    for _ in range(10):
        is_common(password)
    assert time.perf_counter() - start < 0.5


def test_words_are_as_they_are_looked_up() -> None:
    assert len(WORDS) > 200
    assert all(word.isalpha() and word == word.casefold() for word in WORDS)
