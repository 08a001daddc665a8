"""Records of flows that somebody with access to Redis wrote, moved or kept: none counts."""

import json
import time
import uuid
from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from src.connections.audit import Action
from src.connections.flows import LIFETIME, PURPOSE, FlowStore, _dump, _hash
from src.core.config import Settings
from src.core.redis import tls_arguments
from src.core.security.encryption import Keyring
from src.models import Provider, User
from tests import factories
from tests.api.oauth_flow import OAuthFlow, audited, stored

OTHER_KEY = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
# In every answer, and in none the same.
OWN = {"instance", "request_id"}


def answer_of(response: httpx.Response) -> tuple[int, dict[str, Any]]:
    return response.status_code, {name: v for name, v in response.json().items() if name not in OWN}


@pytest.fixture
async def raw(app_settings: Settings) -> AsyncIterator[Redis]:
    """Redis as an attacker sees it: bytes."""
    client = Redis.from_url(app_settings.redis_url.get_secret_value(), **tls_arguments(app_settings))
    yield client
    await client.aclose()


def state_key(prefix: str, state: str) -> str:
    return f"{prefix}oauth:state:{_hash(state)}"


def plain(user: User, provider: Provider, cookie: str) -> str:
    """What the app itself would have stored if it did not encrypt."""
    record = {
        "user_id": str(user.id),
        "provider_id": str(provider.id),
        "provider_key": provider.provider_key,
        "code_verifier": "A" * 86,
        "expires_at": time.time() + LIFETIME,
        "browser": _hash(cookie),
    }
    return json.dumps(record)


DAMAGES = ["plain", "other key", "other purpose", "cut", "flipped", "header only", "empty", "no text", "list"]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_forged_record_is_an_unknown_state(
    flow: OAuthFlow,
    app: FastAPI,
    session: AsyncSession,
    raw: Redis,
    redis_prefix: str,
    user: User,
    provider: Provider,
    damage: str,
) -> None:
    opened = await flow.open(user, provider)
    answer = await flow.consent(opened)
    (cookie,) = opened.cookies.values()
    key = state_key(redis_prefix, opened.state)
    genuine = await raw.get(key)
    assert isinstance(genuine, bytes)
    forged = plain(user, provider, cookie)
    keyring: Keyring = app.state.keyring
    values: dict[str, bytes] = {
        "plain": forged.encode(),
        "other key": Keyring.parse(OTHER_KEY).derived(PURPOSE).seal(forged, key.encode()),
        # What the app encrypts for the database is no record, whatever place it names.
        "other purpose": keyring.seal(forged, key.encode()),
        "cut": genuine[:-1],
        "flipped": genuine[:-20] + bytes([genuine[-20] ^ 1]) + genuine[-19:],
        "header only": genuine[:9],
        "empty": b"",
        "no text": b"\xff\xfe",
    }
    if damage == "list":
        await raw.delete(key)
        await raw.rpush(key, genuine)
    else:
        await raw.set(key, values[damage], keepttl=True)
    refused = answer_of(await flow.complete(answer, opened.cookies))
    # The same, word by word, as a state that nobody has seen.
    assert refused == answer_of(await flow.complete(answer | {"state": "A" * 43}, opened.cookies))
    assert refused[0] == 400
    assert await stored(session) == (0, 0)
    entry = (await audited(session, Action.AUTHORIZATION_COMPLETED))[0]
    assert (entry.user_id, entry.details["problem"]) == (None, "state-invalid")
    assert flow.asked("authorization_code") == 0


Parties = tuple[tuple[User, Provider], ...]


@pytest.fixture
async def parties(session: AsyncSession, user: User, other_user: User, provider: Provider) -> Parties:
    """A victim and an attacker, each with a provider."""
    return (user, provider), (other_user, await factories.provider(session, other_user))


async def test_a_record_counts_under_its_own_key_only(
    flow: OAuthFlow, session: AsyncSession, raw: Redis, redis_prefix: str, parties: Parties
) -> None:
    """An attacker's genuine record in the place of a victim's, and the victim's in the attacker's."""
    victim, attacker = [await flow.open(*party) for party in parties]
    answer = await flow.consent(attacker)
    keys = [state_key(redis_prefix, opened.state) for opened in (victim, attacker)]
    await raw.mset(dict(zip(keys, reversed(await raw.mget(keys)), strict=True)))
    for state in (victim.state, attacker.state):
        response = await flow.complete(answer | {"state": state}, attacker.cookies)
        assert (response.status_code, response.json()["type"]) == (400, "urn:dashtam:problem:state-invalid")
    assert await stored(session) == (0, 0)
    assert flow.asked("authorization_code") == 0


async def test_a_ticket_is_for_its_own_flow_only(
    flow: OAuthFlow, raw: Redis, redis_prefix: str, parties: Parties
) -> None:
    """Another user's genuine ticket does not open a victim's flow, whatever Redis says it is for."""
    victim, attacker = [
        dict(parse_qsl(urlsplit((await flow.start(*party))["auth_url"]).query)) for party in parties
    ]
    ticket_keys = [f"{redis_prefix}oauth:ticket:{_hash(each['ticket'])}" for each in (victim, attacker)]
    for forged in (await raw.get(ticket_keys[0]), _hash(victim["state"]).encode()):
        await raw.set(ticket_keys[1], forged)
        response = await flow.relay("begin", {"ticket": attacker["ticket"], "state": victim["state"]})
        assert (response.status_code, response.json()["type"]) == (400, "urn:dashtam:problem:link-invalid")
    # The victim's own link still works.
    assert (await flow.relay("begin", victim)).status_code == 200


async def test_a_record_that_was_kept_ends_all_the_same(
    app: FastAPI, raw: Redis, redis: Redis, redis_prefix: str
) -> None:
    keyring: Keyring = app.state.keyring
    for age, lives in ((LIFETIME - 60, True), (LIFETIME, False)):
        then = FlowStore(redis, redis_prefix, keyring, now=partial(float, time.time() - age))
        link = await then.start(uuid.uuid4(), uuid.uuid4(), "schwab")
        await raw.persist(state_key(redis_prefix, link.state))
        store = FlowStore(redis, redis_prefix, keyring)
        opened = await store.open(link.ticket, link.state)
        assert (opened is not None) == lives
        assert (await store.consume(link.state) is not None) == lives


async def test_a_flow_survives_a_new_key(redis: Redis, redis_prefix: str, app_settings: Settings) -> None:
    old = app_settings.encryption_key.get_secret_value()
    user_id = uuid.uuid4()
    link = await FlowStore(redis, redis_prefix, Keyring.parse(old)).start(user_id, uuid.uuid4(), "schwab")
    store = FlowStore(redis, redis_prefix, Keyring.parse(f"{OTHER_KEY},{old}"))
    assert await store.open(link.ticket, link.state) is not None
    # Bound to its browser it is under the new key.
    store = FlowStore(redis, redis_prefix, Keyring.parse(OTHER_KEY))
    consumed = await store.consume(link.state)
    assert consumed is not None
    assert consumed.user_id == user_id
    assert consumed.code_verifier not in repr(consumed)
    assert str(user_id) in _dump(consumed)


async def test_redis_tells_nothing_about_a_flow(
    flow: OAuthFlow, raw: Redis, redis_prefix: str, user: User, provider: Provider
) -> None:
    await flow.start(user, provider)
    keys = [key async for key in raw.scan_iter(f"{redis_prefix}oauth:*")]
    assert len(keys) == 2
    everything = b" ".join(keys + await raw.mget(keys))
    for telling in (str(user.id), str(provider.id), "schwab", "code_verifier", "user_id"):
        assert telling.encode() not in everything
