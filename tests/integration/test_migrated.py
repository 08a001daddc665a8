"""Starts without the owner's credentials, and two versions at one database: expand and contract."""

import asyncio
import shutil
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from src.core.config import OwnerSettings
from src.core.schema.migrate import downgrade, in_transaction
from src.core.schema.revisions import heads
from src.core.web.server import SOURCE
from tests.integration.servers import PATIENCE, free_port, serving

OWNERS = ("DATABASE_URL", "POSTGRES_USER", "POSTGRES_PASSWORD")
SECRETS = ("APP_DATABASE_URL", "REDIS_URL", "SECRET_KEY", "ENCRYPTION_KEY", "RELAY_TOKEN")
NEWER = "9999"
REVISION = f'''
import sqlalchemy as sa
from alembic import op

revision: str = "{NEWER}"
down_revision: str | None = "{", ".join(heads())}"


def upgrade() -> None:
    op.add_column("users", sa.Column("nickname", sa.String(length=50), nullable=True))


def downgrade() -> None:
    op.drop_column("users", "nickname")
'''


@pytest.fixture
def app_env(env: dict[str, str]) -> dict[str, str]:
    """What a replica of the app has: nothing of the owner's."""
    return {name: value for name, value in env.items() if name not in OWNERS}


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """The folder of the next version: its model has one more column, and a revision makes it."""
    shutil.copytree(SOURCE, tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / f"src/migrations/versions/{NEWER}_nickname.py").write_text(REVISION, encoding="utf-8")
    model = tmp_path / "src/models/user.py"
    column = "    nickname: str | None = Field(default=None, max_length=50)\n"
    before, name, after = model.read_text(encoding="utf-8").partition("    name: ")
    assert name
    model.write_text(before + column + name + after, encoding="utf-8")
    return tmp_path


async def ended(
    module: str, *arguments: str, env: dict[str, str], cwd: Path = SOURCE.parent
) -> tuple[int | None, list[str]]:
    """Run something to its end: its code, and its errors."""
    async with serving(module, *arguments, port=0, env=env, cwd=cwd) as process:
        output, _ = await asyncio.wait_for(process.process.communicate(), PATIENCE)
    lines = output.decode().splitlines()
    assert not [line for line in lines if not line.startswith("time=")], "a traceback"
    return process.process.returncode, [line for line in lines if "level=error" in line]


async def test_serves_with_secrets_in_files_and_nothing_of_the_owners(
    app_env: dict[str, str], port: int, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    for name in SECRETS:
        (tmp_path / name).write_text(app_env.pop(name) + "\n", encoding="utf-8")
        (tmp_path / name).chmod(0o400)
    app_env |= {"SECRETS_DIR": str(tmp_path), "SECRET_KEY": ""}
    async with serving("src.start", "--migrated", port=port, env=app_env) as server:
        await server.read("Uvicorn running")
        assert (await http.get(f"{server.url}/ready")).status_code == 200
        assert not set(SECRETS) - {"SECRET_KEY"} & server.environment()
        assert not [line for line in server.log if "level=warning" in line and "secret" in line.lower()]


async def test_says_so_where_the_owners_secret_is_at_hand(
    app_env: dict[str, str], env: dict[str, str], port: int, tmp_path: Path
) -> None:
    (tmp_path / "DATABASE_URL").write_text(env["DATABASE_URL"], encoding="utf-8")
    app_env["SECRETS_DIR"] = str(tmp_path)
    async with serving("src.start", "--migrated", port=port, env=app_env) as server:
        await server.read(f"The app can read the owner's {tmp_path}/DATABASE_URL: ")


@pytest.mark.parametrize(
    ("revision", "at"), [("-1", "it is at "), ("base", "it has none"), (None, "it has none")]
)
async def test_a_database_that_lacks_a_revision_is_refused_in_one_line(
    scratch: OwnerSettings, app_env: dict[str, str], revision: str | None, at: str
) -> None:
    await downgrade(scratch, revision or "base")
    if revision is None:
        await in_transaction(
            scratch, lambda connection: connection.execute(text("DROP TABLE alembic_version"))
        )
    code, (line,) = await ended("src.start", "--migrated", env=app_env)
    assert code == 1
    assert f"the database lacks revision {', '.join(heads())}, which this code needs: {at}" in line
    assert "python -m src.core.init_db" in line


async def test_an_older_version_serves_what_a_newer_one_has_expanded(
    env: dict[str, str],
    app_env: dict[str, str],
    port: int,
    http: httpx.AsyncClient,
    newer: Path,
    scratch: OwnerSettings,
) -> None:
    async with serving("src.start", "--migrated", port=port, env=app_env) as old:
        await old.read("Uvicorn running")

        # The newer one does not start before its migration, which has to come first.
        code, (line,) = await ended("src.start", "--migrated", env=app_env, cwd=newer)
        assert code == 1
        assert f"lacks revision {NEWER}" in line
        assert await ended("src.core.init_db", env=env, cwd=newer) == (0, [])

        # The old replica stays in the balancer, and its work is done.
        assert (await http.get(f"{old.url}/ready")).json()["checks"]["migrations"] == "ok"
        ann = {"email": "ann@example.org", "password": "Mellow-comet-42", "name": "Ann"}
        assert (await http.post(f"{old.url}/api/v1/auth/register", json=ann)).status_code == 201

        app_env["APP_PORT"] = str(second := free_port())
        async with serving("src.start", "--migrated", port=second, env=app_env, cwd=newer) as new:
            await new.read("Uvicorn running")
            assert (await http.get(f"{new.url}/ready")).status_code == 200
            bob = {"email": "bob@example.org", "password": "Mellow-comet-42", "name": "Bob"}
            assert (await http.post(f"{new.url}/api/v1/auth/register", json=bob)).status_code == 201

    # Rolled back: the migration of the old version has nothing to do, and the old version starts.
    assert await ended("src.core.init_db", env=env | {"SCHEMA_AHEAD": "accept"}) == (0, [])
    async with serving("src.start", "--migrated", port=second, env=app_env) as again:
        await again.read("Uvicorn running")
        assert (await http.get(f"{again.url}/ready")).status_code == 200
    found = await in_transaction(
        scratch,
        lambda connection: connection.scalars(text("SELECT email FROM users WHERE nickname IS NULL")).all(),
    )
    assert set(found) == {"ann@example.org", "bob@example.org"}

    # Without being told so, both say what is wrong, as in development.
    for module in ("src.core.init_db", "src.start"):
        code, (line,) = await ended(module, env=env)
        assert code == 1
        assert f"the database is at revision {NEWER}, which this code does not have" in line
