"""Access tokens: ours, complete, in time, or nothing."""

import base64
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr

from src.accounts import access_tokens
from src.accounts.access_tokens import Access, InvalidAccessTokenError
from tests.properties import given, st

KEY = SecretStr("Zq8vN2xLr4Ta9KpWm3Hs7Yd1Bf6Gc5Ej0UiOoPqZq8vN2xLr4Ta9KpWm3Hs7Yd1Bf6")
USER, LOGIN = uuid.UUID(int=1), uuid.UUID(int=2)
NOW = datetime.now(UTC)
CLAIMS: dict[str, Any] = {
    "iss": "dashtam",
    "aud": "dashtam-api",
    "sub": str(USER),
    "sid": str(LOGIN),
    "iat": NOW,
    "exp": NOW + timedelta(days=1),
}


def encoded(claims: dict[str, Any], key: str = KEY.get_secret_value(), algorithm: str = "HS256") -> str:
    return jwt.encode(claims, key, algorithm)


def test_a_token_says_who_asks_and_of_which_login() -> None:
    token = access_tokens.issue(USER, KEY, LOGIN)
    assert access_tokens.read(token, KEY) == Access(USER, LOGIN)
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}


def test_a_token_is_good_for_half_an_hour() -> None:
    claims = jwt.decode(access_tokens.issue(USER, KEY, LOGIN, now=NOW), options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 1800
    almost = datetime.now(UTC) - timedelta(minutes=29)
    assert access_tokens.read(access_tokens.issue(USER, KEY, LOGIN, now=almost), KEY).user_id == USER
    with pytest.raises(InvalidAccessTokenError):
        access_tokens.read(
            access_tokens.issue(USER, KEY, LOGIN, now=NOW - timedelta(minutes=30, seconds=10)), KEY
        )


@pytest.mark.parametrize("seconds", [5, -1805])
def test_clocks_that_differ_a_little(seconds: int) -> None:
    """Issued by a host whose clock is ahead, or expired by one's own."""
    token = access_tokens.issue(USER, KEY, LOGIN, now=datetime.now(UTC) + timedelta(seconds=seconds))
    assert access_tokens.read(token, KEY).user_id == USER


def test_clocks_that_differ_more() -> None:
    token = access_tokens.issue(USER, KEY, LOGIN, now=datetime.now(UTC) + timedelta(seconds=60))
    with pytest.raises(InvalidAccessTokenError):
        access_tokens.read(token, KEY)


def test_these_claims_are_complete() -> None:
    assert access_tokens.read(encoded(CLAIMS), KEY) == Access(USER, LOGIN)


@pytest.mark.parametrize("claim", sorted(CLAIMS))
def test_no_claim_may_be_missing(claim: str) -> None:
    with pytest.raises(InvalidAccessTokenError):
        access_tokens.read(encoded({name: value for name, value in CLAIMS.items() if name != claim}), KEY)


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("iss", "somebody"),
        ("aud", "another-api"),
        ("aud", []),
        ("exp", NOW - timedelta(seconds=11)),
        ("iat", NOW + timedelta(hours=1)),
        ("nbf", NOW + timedelta(hours=1)),
        ("sub", ""),
        ("sub", "ann@example.org"),
        ("sub", "\x00"),
        ("sid", "not a uuid"),
        ("sid", 7),
        ("sid", {"a": 1}),
    ],
)
def test_no_claim_may_be_wrong(claim: str, value: object) -> None:
    with pytest.raises(InvalidAccessTokenError):
        access_tokens.read(encoded(CLAIMS | {claim: value}), KEY)


def test_another_key_signs_nothing() -> None:
    with pytest.raises(InvalidAccessTokenError):
        access_tokens.read(encoded(CLAIMS, KEY.get_secret_value()[::-1]), KEY)


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_another_algorithm_signs_nothing(algorithm: str) -> None:
    """Even with our key."""
    with pytest.raises(InvalidAccessTokenError):
        access_tokens.read(encoded(CLAIMS, algorithm=algorithm), KEY)


def test_a_signature_of_somebodys_rsa_key_is_none() -> None:
    key: Any = rsa.generate_private_key(65537, 2048)
    with pytest.raises(InvalidAccessTokenError):
        access_tokens.read(encoded(CLAIMS, key, "RS256"), KEY)


def test_no_signature_is_none() -> None:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(
            json.dumps(value, default=lambda time: time.timestamp()).encode()
        ).decode()

    for algorithm in ("none", "None", "HS256"):
        token = f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part(CLAIMS)}.".replace("=", "")
        with pytest.raises(InvalidAccessTokenError):
            access_tokens.read(token, KEY)


@given(st.text() | st.tuples(st.text(), st.text(), st.text()).map(".".join))
def test_any_text_is_refused(token: str) -> None:
    with pytest.raises(InvalidAccessTokenError):
        access_tokens.read(token, KEY)


@given(st.data())
def test_no_character_can_be_changed(data: st.DataObject) -> None:
    token = encoded(CLAIMS)
    place = data.draw(st.integers(0, len(token) - 2))  # the last one carries bits that do not count
    other = data.draw(st.characters(codec="ascii").filter(lambda character: character != token[place]))
    with pytest.raises(InvalidAccessTokenError):
        access_tokens.read(token[:place] + other + token[place + 1 :], KEY)
