"""Every path of the API answers with and without a slash at its end, and no response is a redirect."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from src.models import User
from tests.api.conftest import Login

API = "/api/v1"


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/providers", None, 200),
        ("POST", "/providers", {"provider_key": "schwab", "alias": "Mine"}, 201),
        ("GET", "/provider-types", None, 200),
        ("POST", "/password-resets", {"email": "ann@example.org"}, 202),
        ("GET", "/auth/me", None, 200),
    ],
)
async def test_a_slash_at_the_end_changes_nothing(
    client: httpx.AsyncClient,
    user: User,
    login: Login,
    method: str,
    path: str,
    body: Any,
    status: int,
    slash: str,
) -> None:
    response = await client.request(method, f"{API}{path}{slash}", json=body, headers=login(user))
    assert response.status_code == status, response.text


@pytest.mark.parametrize("path", ["/providers//", "/none", "/none/"])
async def test_a_path_that_does_not_exist_is_not_found(
    client: httpx.AsyncClient, user: User, login: Login, path: str
) -> None:
    response = await client.get(f"{API}{path}", headers=login(user))
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


def test_each_path_is_documented_once(app: FastAPI) -> None:
    paths = list(app.openapi()["paths"])
    assert not [path for path in paths if path.endswith("/")]
