"""What is made of a token endpoint's answers, and whom nobody speaks to."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from src.connections.oauth_client import (
    KNOWN_ERRORS,
    ConsentLostError,
    Grant,
    InvalidResponseError,
    OAuthClient,
    ProviderError,
    ProviderRefusedError,
    ProviderUnavailableError,
    _TokenResponses,
)
from src.connections.token_response import LONGEST_LIFETIME, TokenResponse
from src.core.config import Settings, load
from src.provider_types import ProviderType, define_all
from tests.properties import given, st

REASONS = {f"invalid_{name}" for name in TokenResponse.model_fields} | {
    "http_200",
    "unknown_error",
    *KNOWN_ERRORS,
}
GOOD = {"access_token": "I0.access@", "token_type": "Bearer", "expires_in": 1800}
JSON = "application/json"


@pytest.fixture
def settings(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("SCHWAB_API_KEY", "the-key")
    monkeypatch.setenv("SCHWAB_API_SECRET", "the-secret")
    return load(Settings)


@pytest.fixture
def schwab(settings: Settings) -> ProviderType:
    return define_all(settings)["schwab"]


def answered(provider_type: ProviderType, content: Any, status: int = 200, content_type: str = JSON) -> Grant:
    answers = _TokenResponses(provider_type)
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    answers.check(httpx2.Response(status, headers={"Content-Type": content_type}, content=body))
    return answers.grant()


def test_answer_with_everything(schwab: ProviderType) -> None:
    before = datetime.now(UTC)
    everything = {"refresh_token": "r", "id_token": "i", "scope": "api", "new_in_2030": {}}
    grant = answered(schwab, GOOD | everything)
    assert (grant.access_token, grant.refresh_token, grant.id_token) == ("I0.access@", "r", "i")
    assert (grant.token_type, grant.scope) == ("Bearer", "api")
    assert before <= grant.expires_at - timedelta(seconds=1800) <= datetime.now(UTC)
    assert "I0.access@" not in repr(grant)


def test_answer_with_the_least(schwab: ProviderType) -> None:
    grant = answered(schwab, {"access_token": "a", "token_type": "bEARER"})
    assert (grant.refresh_token, grant.id_token, grant.scope) == (None, None, None)
    assert grant.token_type == "Bearer"
    lifetime = grant.expires_at - datetime.now(UTC)
    assert timedelta(minutes=29) < lifetime <= schwab.access_token_lifetime


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=UTF-8", "Application/JSON", "application/json;"]
)
def test_content_types_that_are_json(schwab: ProviderType, content_type: str) -> None:
    assert answered(schwab, GOOD, content_type=content_type).access_token == "I0.access@"


@pytest.mark.parametrize(
    "content_type", ["text/html", "", "application/jsonp", "text/json", "text/plain", "application/xml"]
)
def test_an_answer_is_understood_whatever_it_is_called(schwab: ProviderType, content_type: str) -> None:
    assert answered(schwab, GOOD, content_type=content_type).access_token == "I0.access@"
    with pytest.raises(InvalidResponseError, match=r"^content_type$"):
        answered(schwab, b"<html>", content_type=content_type)


WITHOUT_MEANING: list[Any] = [None, "", "soon", 0, "0", -1, True, [], {}, 10**400, "9" * 400]
WITHOUT_MEANING += [float("inf"), float("nan")]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1800, 1800),
        ("1800", 1800),
        (" 1800 ", 1800),
        (1800.0, 1800),
        ("1800.0", 1800),
        (1799.2, 1800),
        (0.5, 1),
        (LONGEST_LIFETIME + 1, LONGEST_LIFETIME),
        (10**30, LONGEST_LIFETIME),
        # Whatever says nothing: as if it were missing.
        *[(value, None) for value in WITHOUT_MEANING],
    ],
)
def test_a_lifetime(schwab: ProviderType, value: Any, seconds: int | None) -> None:
    expected = schwab.access_token_lifetime if seconds is None else timedelta(seconds=seconds)
    before = datetime.now(UTC)
    grant = answered(schwab, GOOD | {"expires_in": value})
    assert before <= grant.expires_at - expected <= datetime.now(UTC)


@pytest.mark.parametrize("name", ["refresh_token", "id_token", "scope"])
@pytest.mark.parametrize("value", [None, "", 7, [1], {}, "a\0", "é", "a" * 8193])
def test_an_optional_value_that_makes_no_sense_counts_as_missing(
    schwab: ProviderType, name: str, value: Any
) -> None:
    grant = answered(schwab, GOOD | {name: value})
    assert getattr(grant, name) is None
    assert grant.access_token == "I0.access@"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"token_type": "bearer"}, ("Bearer", "api")),
        ({"token_type": "BEARER"}, ("Bearer", "api")),
        ({"token_type": "Bearer "}, ("Bearer", "api")),
        ({"token_type": ""}, ("Bearer", "api")),
        ({"token_type": None}, ("Bearer", "api")),
        ({"scope": ["api", "trade"]}, ("Bearer", "api trade")),
        ({"error": None}, ("Bearer", "api")),
        ({"error": ""}, ("Bearer", "api")),
        ({"unknown": {"deep": [1]}}, ("Bearer", "api")),
    ],
)
def test_what_is_written_sloppily(
    schwab: ProviderType, change: dict[str, Any], expected: tuple[str, str]
) -> None:
    grant = answered(schwab, GOOD | {"scope": "api"} | change)
    assert (grant.token_type, grant.scope) == expected


@pytest.mark.parametrize("status", [200, 201, 203])
def test_any_success(schwab: ProviderType, status: int) -> None:
    assert answered(schwab, GOOD, status).access_token == "I0.access@"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"access_token": None}, "invalid_access_token"),
        ({"access_token": ""}, "invalid_access_token"),
        ({"access_token": 7}, "invalid_access_token"),
        ({"access_token": ["a"]}, "invalid_access_token"),
        ({"access_token": "a\0b"}, "invalid_access_token"),
        ({"access_token": "a\r\nX-Header: b"}, "invalid_access_token"),
        ({"access_token": "a\n"}, "invalid_access_token"),
        ({"access_token": "é"}, "invalid_access_token"),
        ({"access_token": "a" * 8193}, "invalid_access_token"),
        ({"token_type": "mac"}, "invalid_token_type"),
        ({"token_type": 1}, "invalid_token_type"),
    ],
)
def test_answers_that_make_no_sense(schwab: ProviderType, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidResponseError, match=f"^{reason}$"):
        answered(schwab, GOOD | change)


def test_an_answer_without_a_token(schwab: ProviderType) -> None:
    with pytest.raises(InvalidResponseError, match=r"^invalid_access_token$"):
        answered(schwab, {name: value for name, value in GOOD.items() if name != "access_token"})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not_json"),
        (b"access_token=a", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b"[" * 60_000, "not_json"),
        (b'{"expires_in": ' + b"9" * 60_000 + b"}", "not_json"),
        (b"[]", "not_an_object"),
        (b"null", "not_an_object"),
        (b'"access_token"', "not_an_object"),
    ],
)
def test_bodies_that_make_no_sense(schwab: ProviderType, content: bytes, reason: str) -> None:
    with pytest.raises(InvalidResponseError, match=f"^{reason}$"):
        answered(schwab, content)


@pytest.mark.parametrize(
    ("status", "content_type", "content", "kind", "reason"),
    [
        (400, JSON, {"error": "invalid_grant"}, ConsentLostError, "invalid_grant"),
        # As Schwab writes it, with quotes that RFC 6749 does not allow.
        (
            400,
            JSON,
            {"error": "unsupported_token_type", "error_description": '400 Bad Request: "{\\"a\\":1}"'},
            ConsentLostError,
            "unsupported_token_type",
        ),
        (401, JSON, {"error": "invalid_client"}, ProviderRefusedError, "invalid_client"),
        (400, JSON, {"error": "I0.access@"}, ProviderRefusedError, "unknown_error"),
        (400, JSON, {"error": "<script>"}, ProviderRefusedError, "unknown_error"),
        (200, JSON, {"error": "invalid_grant", "access_token": "a"}, ConsentLostError, "invalid_grant"),
        (400, JSON, {"error": {"code": 1}}, ProviderUnavailableError, "http_400"),
        (400, JSON, {}, ProviderUnavailableError, "http_400"),
        (302, JSON, GOOD, ProviderUnavailableError, "http_302"),
        (403, "text/html", b"<html>Access denied", ProviderUnavailableError, "http_403"),
        (429, "text/plain", b"", ProviderUnavailableError, "http_429"),
        (500, JSON, {"error": "invalid_grant"}, ProviderUnavailableError, "http_500"),
        (503, "text/html", b"", ProviderUnavailableError, "http_503"),
    ],
)
def test_refusals(
    schwab: ProviderType,
    status: int,
    content_type: str,
    content: Any,
    kind: type[ProviderError],
    reason: str,
) -> None:
    with pytest.raises(kind, match=f"^{reason}$") as raised:
        answered(schwab, content, status, content_type)
    assert type(raised.value) is kind


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


# Drawing a hundred leaves, the default, takes longer than all else here; ten make every shape.
@given(st.recursive(scalars, st.lists, max_leaves=10))
def test_no_answer_is_anything_but_a_grant_or_an_error(value: Any) -> None:
    schwab = ProviderType(
        key="schwab",
        name="",
        client_id="",
        client_secret="",
        redirect_uri="",
        authorize_url="",
        token_url="",
        access_token_lifetime=timedelta(minutes=30),
    )
    for name in ("access_token", "token_type", "expires_in", "refresh_token", "scope", "error"):
        reason = ""
        try:
            expires_at = answered(schwab, GOOD | {name: value}).expires_at
        except ProviderError as error:
            reason = error.reason
        assert reason in REASONS or (not reason and expires_at > datetime.now(UTC))


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://localhost:9443/token", ProviderUnavailableError),
        ("https://api.schwabapi.com/v1/oauth/token", ProviderUnavailableError),
        ("https://localhost.example/token", ProviderUnavailableError),
        ("https://fake-schwab@api.schwabapi.com/token", ProviderUnavailableError),
    ],
)
async def test_whom_the_tests_app_does_not_speak_to(
    settings: Settings, schwab: ProviderType, url: str, kind: type[ProviderError]
) -> None:
    """The network is blocked here, which would be another error."""
    client = OAuthClient(dataclasses.replace(schwab, token_url=url), settings)
    with pytest.raises(kind, match=r"^unreachable$"):
        await client.exchange("code", "v" * 43)
    with pytest.raises(kind, match=r"^unreachable$"):
        await client.refresh("refresh-token")


async def test_authorization_url(settings: Settings, schwab: ProviderType) -> None:
    """The challenge is that of RFC 7636, appendix B."""
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    url = httpx2.URL(await OAuthClient(schwab, settings).authorization_url("5tate", verifier))
    assert str(url).startswith("https://api.schwabapi.com/v1/oauth/authorize?")
    assert dict(url.params) == {
        "response_type": "code",
        "client_id": "the-key",
        "redirect_uri": "https://127.0.0.1:8182",
        "state": "5tate",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
    }


async def test_scopes_are_asked_for(settings: Settings, schwab: ProviderType) -> None:
    client = OAuthClient(dataclasses.replace(schwab, scopes=("accounts", "trade")), settings)
    assert httpx2.URL(await client.authorization_url("5tate", "v" * 43)).params["scope"] == "accounts trade"


async def test_nowhere_to_revoke(settings: Settings, schwab: ProviderType) -> None:
    with pytest.raises(ValueError, match="no revocation endpoint"):
        await OAuthClient(schwab, settings).revoke("token", "refresh_token")
