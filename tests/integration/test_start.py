"""The app container's command and the callback's, as processes of their own on ports of their own."""

import asyncio
import base64
import contextlib
import os
import re
import shutil
import signal
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from src.core.config import OwnerSettings, Settings, load
from src.core.database import engine_of
from src.core.schema.migrate import downgrade, in_transaction
from src.core.security.encrypted_rows import TABLE
from src.core.security.encryption import Keyring
from src.core.web.server import SOURCE
from tests import factories
from tests.integration.servers import PATIENCE, Server, free_port, position, serving

CALLBACKS_VARIABLES = (
    "APP_URL",
    "DEBUG",
    "ENVIRONMENT",
    "LOG_LEVEL",
    "PATH",
    "RELAY_TOKEN",
    "SSL_ENABLED",
    "TLS_CA_FILE",
    "TLS_CERT_FILE",
    "TLS_KEY_FILE",
)


async def test_migrates_then_serves_without_the_owners_credentials(
    scratch: OwnerSettings, env: dict[str, str], port: int, http: httpx.AsyncClient
) -> None:
    await downgrade(scratch, "base")
    # As a fresh database is.
    await in_transaction(scratch, lambda connection: connection.execute(text("DROP TABLE alembic_version")))
    async with serving("src.start", port=port, env=env) as server:
        await server.read(f"Uvicorn running on https://0.0.0.0:{port}")
        assert (
            position(server.log, "Running Alembic migrations...")
            < position(server.log, "Migrations completed successfully")
            < position(server.log, "Uvicorn running")
        )
        assert (await http.get(f"{server.url}/health")).content == b'{"status":"ok"}'
        assert (await http.get(f"{server.url}/ready")).status_code == 200
        names = server.environment()
        assert "APP_DATABASE_URL" in names
        assert not {"DATABASE_URL", "POSTGRES_USER", "POSTGRES_PASSWORD"} & names
        server.process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(server.process.communicate(), 10)


# In uvicorn's place: what could be read by whoever runs code in the app.
READS = """
import os, subprocess, sys
environment = f"/proc/{os.getppid()}/environ"
try:
    print("read:", len(open(environment).read()))
except PermissionError:
    print("read: refused")
print("a child read:", subprocess.run(["cat", environment], capture_output=True).stderr.decode() or "it")
print("read of its own:", "APP_DATABASE_URL" in open("/proc/self/environ").read(), flush=True)
"""


async def test_what_serves_cannot_read_the_environment_of_other_processes(
    env: dict[str, str], port: int, tmp_path: Path
) -> None:
    command = (
        "import sys; from src.core.security.landlock import keep_to_itself; sys.exit(not keep_to_itself())"
    )
    tried = await asyncio.create_subprocess_exec(sys.executable, "-c", command, cwd=SOURCE.parent)
    if await tried.wait():
        pytest.skip("this kernel has no Landlock")
    (tmp_path / "uvicorn.py").write_text(READS)
    # This very process, which the server's is a child of, has what the container has.
    assert b"DATABASE_URL=" in Path("/proc/self/environ").read_bytes()
    async with serving("src.start", port=port, env=env | {"PYTHONPATH": str(tmp_path)}) as server:
        await server.read("read of its own: True")
        said = "".join(server.log)
        assert "\nread: refused\n" in said
        assert "a child read: cat:" in said
        assert await asyncio.wait_for(server.process.wait(), PATIENCE) == 0


async def test_says_the_same_at_an_up_to_date_database(
    env: dict[str, str], port: int, http: httpx.AsyncClient
) -> None:
    async with serving("src.start", port=port, env=env) as server:
        await server.read("Uvicorn running")
        assert position(server.log, "Running Alembic migrations...") < position(
            server.log, "Migrations completed successfully"
        )
        assert (await http.get(f"{server.url}/ready")).status_code == 200


async def test_stops_at_once_while_it_waits(env: dict[str, str], port: int) -> None:
    env["DATABASE_URL"] = "postgresql+asyncpg://owner:secret@127.0.0.1:1/dashtam"
    async with serving("src.start", port=port, env=env) as server:
        await server.read("Waiting for owner at 127.0.0.1:1/dashtam")
        server.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(server.process.wait(), 5) == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    ("module", "break_it", "said"),
    [
        ("src.start", lambda env: env.update(SECRET_KEY="change-me"), "SECRET_KEY: is a placeholder"),
        ("src.start", lambda env: env.pop("DATABASE_URL"), "DATABASE_URL: is not set"),
        (
            "src.start",
            lambda env: env.update(TLS_KEY_FILE="/nowhere"),
            "TLS_KEY_FILE: /nowhere: No such file",
        ),
        ("src.callback", lambda env: env.update(ENVIRONMENT="qa"), "ENVIRONMENT: "),
        ("src.callback", lambda env: env.update(TLS_CERT_FILE="/nowhere"), "TLS_CERT_FILE: /nowhere"),
    ],
)
async def test_a_bad_environment_is_one_line(
    env: dict[str, str], port: int, module: str, break_it: Callable[[dict[str, str]], object], said: str
) -> None:
    break_it(env)
    async with serving(module, port=port, env=env) as server:
        output, _ = await asyncio.wait_for(server.process.communicate(), PATIENCE)
    assert server.process.returncode == 1
    assert said in output.decode()
    assert len(output.decode().splitlines()) == 1


async def test_callback_needs_only_its_own_variables(
    env: dict[str, str], port: int, http: httpx.AsyncClient
) -> None:
    own = {name: os.environ[name] for name in CALLBACKS_VARIABLES if name in os.environ}
    # An app of the test's own: it keeps a record of what it is asked.
    async with serving("src.start", port=port, env=env) as app:
        await app.read("Uvicorn running")
        own |= {"APP_URL": app.url, "CALLBACK_PORT": str(free_port())}
        async with serving("src.callback", port=int(own["CALLBACK_PORT"]), env=own) as server:
            await server.read("Uvicorn running")
            assert (await http.get(f"{server.url}/health")).json() == {"status": "ok"}
            # The app, asked over verified TLS, knows no such state.
            assert (await http.get(f"{server.url}/?code=C0de&state=5tate")).status_code == 400
            server.process.send_signal(signal.SIGTERM)
            rest, _ = await asyncio.wait_for(server.process.communicate(), PATIENCE)
    assert "C0de" not in "".join(server.log) + rest.decode()


async def test_a_needed_encryption_key_cannot_be_dropped(
    scratch: OwnerSettings, env: dict[str, str], port: int
) -> None:
    before, after = (base64.urlsafe_b64encode(os.urandom(32)).decode() for _ in range(2))
    old = Keyring.parse(before)
    row_id = uuid.uuid4()
    place = {"table": TABLE, "column": "access_token_encrypted", "row_id": row_id}
    engine = engine_of(scratch.runtime)
    async with AsyncSession(engine, expire_on_commit=False) as session:
        provider = await factories.provider(session, await factories.user(session))
        connection = await factories.connection(session, provider)
        value = old.encrypt("token", **place)
        await factories.token(
            session, connection, id=row_id, access_token_encrypted=value, key_id=old.primary_id
        )
    await engine.dispose()
    async with serving("src.start", port=port, env=env | {"ENCRYPTION_KEY": after}) as server:
        output, _ = await asyncio.wait_for(server.process.communicate(), PATIENCE)
    assert server.process.returncode == 1
    (line,) = (line for line in output.decode().splitlines() if "level=error" in line)
    assert f"ENCRYPTION_KEY: lacks the key {old.primary_id}, under which provider_tokens has rows: 1" in line
    assert not {before, after} & set(re.split(r"[\s\"',]", output.decode()))
    async with serving("src.start", port=port, env=env | {"ENCRYPTION_KEY": f"{after},{before}"}) as server:
        await server.read("Uvicorn running")


async def test_every_line_has_one_form_and_none_a_secret(
    env: dict[str, str], port: int, http: httpx.AsyncClient
) -> None:
    """Where everything is logged that there is to log."""
    env |= {"LOG_LEVEL": "DEBUG", "DB_ECHO": "true"}
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJub2JvZHkifQ.c2lnbmF0dXJl"
    headers = {
        "Authorization": f"Bearer {token}",
        "Cookie": "__Host-dashtam-0=C00kie",
        "X-Request-ID": "a-request",
    }
    async with serving("src.start", port=port, env=env) as server:
        await server.read("Uvicorn running")
        assert (await http.get(f"{server.url}/ready", headers=headers)).status_code == 200
        assert (await http.get(f"{server.url}/api/v1/auth/me", headers=headers)).status_code == 401
        await http.get(f"{server.url}/api/v1/password-resets/T0ken", headers=headers)
        await http.get(f"{server.url}/none/T0ken?code=C0de&state=5tate", headers=headers)
        credentials = {"email": "nobody@example.org", "password": "Passw0rd!"}
        await http.post(f"{server.url}/api/v1/auth/login", json=credentials, headers=headers)
        server.process.send_signal(signal.SIGTERM)
        rest, _ = await asyncio.wait_for(server.process.communicate(), PATIENCE)
    log = "".join(server.log) + rest.decode()
    assert not [line for line in log.splitlines() if not line.startswith(("time=", "    | "))]
    assert "request_id=a-request method=GET route=/api/v1/password-resets/{token}" in log
    assert "request_id=a-request method=GET route=(none) status=404" in log
    assert "logger=sqlalchemy.engine" in log
    said = ["T0ken", "C0de", "5tate", "C00kie", "Passw0rd!", token, token.rpartition(".")[2]]
    secrets = load(Settings).secret_values() + load(OwnerSettings).secret_values()
    assert not [secret for secret in said + secrets if secret in log]


async def answers(http: httpx.AsyncClient, server: Server, expected: dict[str, str]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await http.get(f"{server.url}/health")).json() == expected:
                    return
            await asyncio.sleep(0.1)


async def test_an_edited_file_answers(
    env: dict[str, str], port: int, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    shutil.copytree(SOURCE, tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    async with serving("src.start", "--reload", port=port, env=env, cwd=tmp_path) as server:
        await answers(http, server, {"status": "ok"})
        edited = tmp_path / "src/core/web/health.py"
        text = edited.read_text(encoding="utf-8")
        edited.write_text(text.replace('["ok"] = "ok"', '["edited"] = "edited"'), encoding="utf-8")
        await answers(http, server, {"status": "edited"})
