"""The fake Schwab against the app's own kind of client (Authlib's) and against RFCs 6749, 7636 and 7009."""

import base64
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, quote_plus

import httpx
import pytest
from authlib.common.security import generate_token
from authlib.integrations.httpx_client import AsyncOAuth2Client, OAuthError
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from src.core.config import ServerSettings, load
from src.core.security.tls import client_context
from src.fake_schwab import endpoints
from src.fake_schwab.provider import FakeSchwab
from tests.api.fake_schwab import Served

VERIFIER = "v" * 64


@pytest.fixture
async def http(fake_schwab: Served) -> AsyncIterator[httpx.AsyncClient]:
    context = client_context(load(ServerSettings).tls_ca_file)
    async with httpx.AsyncClient(base_url=fake_schwab.url, verify=context) as client:
        yield client


@pytest.fixture
async def oauth(fake_schwab: Served) -> AsyncIterator[AsyncOAuth2Client]:
    provider = fake_schwab.provider
    async with AsyncOAuth2Client(
        provider.client_id,
        provider.client_secret,
        redirect_uri=provider.redirect_uri,
        code_challenge_method="S256",
        token_endpoint=f"{fake_schwab.url}/v1/oauth/token",
        verify=client_context(load(ServerSettings).tls_ca_file),
    ) as client:
        yield client


def asked(fake: Served, **changes: Any) -> dict[str, Any]:
    parameters = {
        "response_type": "code",
        "client_id": fake.provider.client_id,
        "redirect_uri": fake.provider.redirect_uri,
        "scope": "api",
        "state": "5tate&=#é",
        "code_challenge": create_s256_code_challenge(VERIFIER),
        "code_challenge_method": "S256",
    } | changes
    return {name: value for name, value in parameters.items() if value is not None}


def answer(response: httpx.Response, fake: Served) -> dict[str, str]:
    assert response.status_code in {302, 303}
    assert response.headers["cache-control"] == "no-store"
    address, _, query = response.headers["location"].partition("?")
    assert address == fake.provider.redirect_uri
    return dict(parse_qsl(query, strict_parsing=True))


async def code(http: httpx.AsyncClient, fake: Served) -> str:
    return answer(await http.get("/v1/oauth/authorize", params=asked(fake)), fake)["code"]


def basic(client_id: str, client_secret: str) -> str:
    return (
        "Basic " + base64.b64encode(f"{quote_plus(client_id)}:{quote_plus(client_secret)}".encode()).decode()
    )


async def post(
    http: httpx.AsyncClient, fake: Served, path: str = "token", authorization: str | None = None, **form: Any
) -> httpx.Response:
    authorization = authorization or basic(fake.provider.client_id, fake.provider.client_secret)
    return await http.post(f"/v1/oauth/{path}", data=form, headers={"Authorization": authorization})


async def exchange(http: httpx.AsyncClient, fake: Served, **changes: Any) -> httpx.Response:
    form = {
        "grant_type": "authorization_code",
        "code": changes.pop("code", None) or await code(http, fake),
        "redirect_uri": fake.provider.redirect_uri,
        "code_verifier": VERIFIER,
    } | changes
    return await post(http, fake, **{name: value for name, value in form.items() if value is not None})


async def refresh(http: httpx.AsyncClient, fake: Served, token: str, **more: Any) -> httpx.Response:
    return await post(http, fake, grant_type="refresh_token", refresh_token=token, **more)


def is_error(response: httpx.Response, error: str, status: int = 400) -> bool:
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-type"] == "application/json"
    return (response.status_code, response.json()["error"]) == (status, error)


async def test_a_whole_connection_by_authlib(
    fake_schwab: Served, http: httpx.AsyncClient, oauth: AsyncOAuth2Client
) -> None:
    verifier = generate_token(64)
    url, state = oauth.create_authorization_url(
        f"{fake_schwab.url}/v1/oauth/authorize", code_verifier=verifier, scope="api"
    )
    back = await http.get(url)
    assert answer(back, fake_schwab)["state"] == state
    token = await oauth.fetch_token(
        authorization_response=back.headers["location"], code_verifier=verifier, state=state
    )
    assert (token["token_type"], token["scope"], token["expires_in"]) == ("Bearer", "api", 1800)
    assert fake_schwab.provider.is_active(token["access_token"])
    newer = await oauth.refresh_token()
    assert newer["refresh_token"] != token["refresh_token"]
    assert (
        await oauth.revoke_token(f"{fake_schwab.url}/v1/oauth/revoke", newer["refresh_token"])
    ).status_code == 200
    assert not fake_schwab.provider.is_active(newer["access_token"])
    with pytest.raises(OAuthError, match="invalid_grant"):
        await oauth.refresh_token()


async def test_the_redirect_gives_the_state_back(fake_schwab: Served, http: httpx.AsyncClient) -> None:
    found = answer(await http.get("/v1/oauth/authorize", params=asked(fake_schwab)), fake_schwab)
    assert found["state"] == "5tate&=#é"
    assert found.keys() == {"code", "session", "state"}
    assert found["code"].endswith("@")


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "another"},
        {"client_id": None},
        {"redirect_uri": "https://127.0.0.1:8183/"},
        {"redirect_uri": "https://evil.example"},
        {"redirect_uri": None},
        {"redirect_uri": ["https://127.0.0.1:8182", "https://evil.example"]},
    ],
)
async def test_nobody_is_sent_to_an_address_that_is_not_registered(
    fake_schwab: Served, http: httpx.AsyncClient, changes: dict[str, Any]
) -> None:
    response = await http.get("/v1/oauth/authorize", params=asked(fake_schwab, **changes))
    assert response.status_code == 400
    assert "location" not in response.headers
    assert "evil" not in response.text


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "api everything"}, "invalid_scope"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"scope": ["api", "api"]}, "invalid_request"),
    ],
)
async def test_other_mistakes_come_back_as_errors(
    fake_schwab: Served, http: httpx.AsyncClient, changes: dict[str, Any], error: str
) -> None:
    found = answer(await http.get("/v1/oauth/authorize", params=asked(fake_schwab, **changes)), fake_schwab)
    assert (found["error"], found["state"]) == (error, "5tate&=#é")


@pytest.mark.parametrize(("consent", "error"), [("denied", "access_denied"), ("server_error",) * 2])
async def test_a_person_may_refuse(
    fake_schwab: Served, http: httpx.AsyncClient, consent: Any, error: str
) -> None:
    fake_schwab.provider.switches.consent = consent
    found = answer(await http.get("/v1/oauth/authorize", params=asked(fake_schwab)), fake_schwab)
    assert (found["error"], "code" in found) == (error, False)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code": "unknown"}, "invalid_grant"),
        ({"code_verifier": "w" * 64}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_request"),
        ({"code_verifier": "short"}, "invalid_request"),
        ({"redirect_uri": "https://evil.example"}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": None}, "invalid_request"),
        ({"code_verifier": [VERIFIER, VERIFIER]}, "invalid_request"),
    ],
)
async def test_an_exchange_that_does_not_fit(
    fake_schwab: Served, http: httpx.AsyncClient, changes: dict[str, Any], error: str
) -> None:
    assert is_error(await exchange(http, fake_schwab, **changes), error)


@pytest.mark.parametrize(
    "authorization",
    [
        "Basic",
        "Basic ???",
        "Basic /w==",
        "Bearer x",
        basic("fake-schwab-key", "wrong"),
        basic("wrong", "fake-schwab-secret"),
    ],
)
async def test_a_client_that_is_not_who_it_says(
    fake_schwab: Served, http: httpx.AsyncClient, authorization: str
) -> None:
    for path in ("token", "revoke"):
        response = await post(http, fake_schwab, path, authorization, grant_type="refresh_token", token="x")
        assert is_error(response, "invalid_client", 401)
        assert response.headers["www-authenticate"].startswith("Basic")


def test_credentials_are_form_encoded() -> None:
    FakeSchwab("a key+%:", "a secret/&=é", "").authenticate(basic("a key+%:", "a secret/&=é"))


async def test_a_body_that_is_no_form(fake_schwab: Served, http: httpx.AsyncClient) -> None:
    assert is_error(await http.post("/v1/oauth/token", json={}), "invalid_request")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert is_error(await http.post("/v1/oauth/token", content=b"\xff", headers=form), "invalid_request")
    large = await http.post("/v1/oauth/token", content=b"a" * 70_000, headers=form)
    assert is_error(large, "invalid_request", 413)


async def test_a_code_is_good_once(fake_schwab: Served, http: httpx.AsyncClient) -> None:
    single = await code(http, fake_schwab)
    token = (await exchange(http, fake_schwab, code=single)).json()
    assert is_error(await exchange(http, fake_schwab, code=single), "invalid_grant")
    assert not fake_schwab.provider.is_active(token["access_token"])
    assert is_error(await refresh(http, fake_schwab, token["refresh_token"]), "invalid_grant")


async def test_switches_of_the_exchange(fake_schwab: Served, http: httpx.AsyncClient) -> None:
    fake_schwab.provider.switches.code = "expired"
    assert is_error(await exchange(http, fake_schwab), "invalid_grant")
    fake_schwab.provider.switches.code = "good"
    fake_schwab.provider.switches.verifier = "mismatch"
    assert is_error(await exchange(http, fake_schwab), "invalid_grant")


async def test_rotation(fake_schwab: Served, http: httpx.AsyncClient) -> None:
    first = (await exchange(http, fake_schwab)).json()["refresh_token"]
    second = (await refresh(http, fake_schwab, first)).json()["refresh_token"]
    assert first != second
    # Whoever comes with the old one has copied it, and then nobody has any.
    assert is_error(await refresh(http, fake_schwab, first), "invalid_grant")
    assert is_error(await refresh(http, fake_schwab, second), "invalid_grant")


async def test_the_same_refresh_token_or_none(fake_schwab: Served, http: httpx.AsyncClient) -> None:
    fake_schwab.provider.switches.refresh_token = "same"
    first = (await exchange(http, fake_schwab)).json()["refresh_token"]
    assert (await refresh(http, fake_schwab, first)).json()["refresh_token"] == first
    fake_schwab.provider.switches.refresh_token = "omit"
    assert "refresh_token" not in (await refresh(http, fake_schwab, first)).json()
    assert (await refresh(http, fake_schwab, first)).status_code == 200
    fake_schwab.provider.switches.refresh_token = "never"
    assert "refresh_token" not in (await exchange(http, fake_schwab)).json()


async def test_refreshes_that_are_refused(fake_schwab: Served, http: httpx.AsyncClient) -> None:
    token = (await exchange(http, fake_schwab)).json()
    assert is_error(await refresh(http, fake_schwab, "unknown"), "invalid_grant")
    assert is_error(await refresh(http, fake_schwab, token["access_token"]), "invalid_grant")
    assert is_error(await refresh(http, fake_schwab, token["refresh_token"], scope="all"), "invalid_scope")
    assert is_error(await post(http, fake_schwab, grant_type="refresh_token"), "invalid_request")
    fake_schwab.provider.withdraw_consent()
    assert is_error(await refresh(http, fake_schwab, token["refresh_token"]), "invalid_grant")
    fake_schwab.provider.switches.refresh_token_seconds = 0
    expired = (await exchange(http, fake_schwab)).json()["refresh_token"]
    assert is_error(await refresh(http, fake_schwab, expired), "invalid_grant")


async def test_revocation(fake_schwab: Served, http: httpx.AsyncClient) -> None:
    token = (await exchange(http, fake_schwab)).json()
    revoked = await post(http, fake_schwab, "revoke", token=token["access_token"])
    assert (revoked.status_code, fake_schwab.provider.is_active(token["access_token"])) == (200, False)
    assert (await refresh(http, fake_schwab, token["refresh_token"])).status_code == 200
    assert (await post(http, fake_schwab, "revoke", token="unknown")).status_code == 200
    assert is_error(await post(http, fake_schwab, "revoke"), "invalid_request")


async def test_answers_that_no_client_should_believe(fake_schwab: Served, http: httpx.AsyncClient) -> None:
    switches = fake_schwab.provider.switches
    switches.answer = "server_error"
    single = await code(http, fake_schwab)
    assert (await exchange(http, fake_schwab, code=single)).status_code == 500
    switches.answer = "html"
    assert (await exchange(http, fake_schwab)).headers["content-type"].startswith("text/html")
    switches.answer = "not_json"
    with pytest.raises(ValueError, match="Expecting value"):
        (await exchange(http, fake_schwab)).json()
    switches.answer = "oversized"
    assert len((await exchange(http, fake_schwab)).content) > 1024 * 1024
    switches.answer = "slow"
    with pytest.raises(httpx.ReadTimeout):
        await http.post("/v1/oauth/token", data={"token": "x"}, timeout=0.2)
    switches.slow_seconds = 0
    # A server that failed had not used the code up.
    assert (await exchange(http, fake_schwab, code=single)).status_code == 200


async def test_a_browser_is_asked(fake_schwab: Served, http: httpx.AsyncClient) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    state = '"><script>alert(1)</script>'
    form = asked(fake_schwab, state=state)
    page = await http.get("/v1/oauth/authorize", params=form, headers=browser)
    assert page.status_code == 200
    assert 'value="allow"' in page.text
    assert "<script>" not in page.text
    origin = fake_schwab.provider.redirect_uri
    assert f"form-action 'self' {origin}" in page.headers["content-security-policy"]
    allowed = await http.post("/v1/oauth/authorize", data=form | {"choice": "allow"}, headers=browser)
    assert allowed.status_code == 303
    assert answer(allowed, fake_schwab)["state"] == state
    for choice in ("refuse", "unknown", None):
        refused = await http.post(
            "/v1/oauth/authorize", data=form | {"choice": choice or ""}, headers=browser
        )
        assert answer(refused, fake_schwab)["error"] == "access_denied"


async def test_what_the_page_chose_is_for_one_connection(
    fake_schwab: Served, http: httpx.AsyncClient
) -> None:
    form = asked(fake_schwab) | {"choice": "server_error"}
    chosen = answer(await http.post("/v1/oauth/authorize", data=form), fake_schwab)["code"]
    assert (await exchange(http, fake_schwab, code=chosen)).status_code == 500
    assert (await exchange(http, fake_schwab)).status_code == 200


async def test_switches_from_outside(fake_schwab: Served, http: httpx.AsyncClient) -> None:
    assert (await http.get("/control/switches")).json()["refresh_token"] == "rotate"
    changed = await http.patch("/control/switches", json={"refresh_token": "same", "slow_seconds": 1})
    assert (changed.json()["refresh_token"], fake_schwab.provider.switches.slow_seconds) == ("same", 1)
    refused: list[Any] = [{"unknown": 1}, {"answer": "yes"}, [], {"slow_seconds": -1}]
    for wrong in refused:
        assert (await http.patch("/control/switches", json=wrong)).status_code == 422
    assert (await http.patch("/control/switches", content="{}")).status_code == 422
    token = (await exchange(http, fake_schwab)).json()
    assert (await http.delete("/control/grants")).status_code == 204
    assert is_error(await refresh(http, fake_schwab, token["refresh_token"]), "invalid_grant")
    assert (await http.delete("/control/switches")).json()["refresh_token"] == "rotate"


async def test_its_log_holds_nothing_secret(
    fake_schwab: Served, http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "src.fake_schwab")
    single = await code(http, fake_schwab)
    token = (await exchange(http, fake_schwab, code=single)).json()
    await refresh(http, fake_schwab, token["refresh_token"])
    lines = [record.getMessage() for record in caplog.records if record.name == endpoints.__name__]
    assert lines == [
        "authorize answered 302",
        "token (authorization_code) answered 200",
        "token (refresh_token) answered 200",
    ]
    granted = [one.grant_type for one in fake_schwab.provider.answered]
    assert granted == ["", "authorization_code", "refresh_token"]
