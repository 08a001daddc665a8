"""Up, down and up again, in a database of the test's own."""

import asyncio
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from src.core import init_db
from src.core.config import ConfigurationError, OwnerSettings
from src.core.schema import migrate, revisions
from src.core.schema.migrate import (
    alembic_config,
    downgrade,
    in_transaction,
    merged_revision,
    new_revision,
    run_migrations,
    schema_differences,
    upgrade,
)
from src.core.schema.revisions import heads
from src.models import metadata

ROWS = """
    INSERT INTO users (email, password_hash, name) VALUES ('ann@example.org', 'hash', 'Ann');
    INSERT INTO refresh_tokens (user_id, family_id, token_hash, expires_at)
        SELECT id, id, 'hash', now() FROM users;
    INSERT INTO mailed_tokens (user_id, purpose, token_hash, expires_at)
        SELECT id, 'verify_email', 'hash', now() FROM users;
    INSERT INTO providers (user_id, provider_key, alias) SELECT id, 'schwab', 'Mine' FROM users;
    INSERT INTO provider_connections (provider_id, status) SELECT id, 'active' FROM providers;
    INSERT INTO provider_tokens (connection_id, access_token_encrypted, key_id, expires_at)
        SELECT id, 'secret', 'k1', now() FROM provider_connections;
    INSERT INTO provider_audit_logs (action, outcome) VALUES ('connect', 'success');
"""


def add_rows(connection: Connection) -> None:
    for statement in filter(str.strip, ROWS.split(";")):
        connection.execute(text(statement))


def count_rows(connection: Connection) -> dict[str, int]:
    return {
        name: connection.scalar(text(f"SELECT count(*) FROM {name}")) or 0  # noqa: S608 - names of our tables
        for name in metadata.tables
    }


def tables(connection: Connection) -> set[str]:
    return set(sa.inspect(connection).get_table_names())


def types(connection: Connection) -> set[str]:
    """Types that are no table's row."""
    rows = connection.execute(
        text(
            "SELECT typname FROM pg_type"
            " WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd')"
        )
    )
    return set(rows.scalars())


def current(connection: Connection) -> set[str]:
    return set(connection.execute(text("SELECT version_num FROM alembic_version")).scalars())


async def test_down_and_up_again_with_rows_present(scratch: OwnerSettings) -> None:
    await in_transaction(scratch, add_rows)
    assert set((await in_transaction(scratch, count_rows)).values()) == {1}

    await downgrade(scratch, "base")
    assert await in_transaction(scratch, tables) == {"alembic_version"}
    assert await in_transaction(scratch, types) == set()

    await upgrade(scratch)
    assert await in_transaction(scratch, schema_differences) == []
    assert set((await in_transaction(scratch, count_rows)).values()) == {0}
    await in_transaction(scratch, add_rows)
    assert set((await in_transaction(scratch, count_rows)).values()) == {1}


async def test_every_step_goes_down_and_up(scratch: OwnerSettings) -> None:
    """One revision at a time: a downgrade that forgets something makes the next upgrade fail."""
    await downgrade(scratch, "base")
    with alembic_config() as config:
        history = [item.revision for item in ScriptDirectory.from_config(config).walk_revisions()]
    for revision in reversed(history):
        await upgrade(scratch, revision)
        await downgrade(scratch, "-1")
        await upgrade(scratch, revision)
        assert await in_transaction(scratch, current) == {revision}
    assert await in_transaction(scratch, current) == heads()


async def test_upgrade_keeps_rows(scratch: OwnerSettings) -> None:
    await in_transaction(scratch, add_rows)
    before = await in_transaction(scratch, count_rows)
    await upgrade(scratch)
    await upgrade(scratch)
    assert await in_transaction(scratch, count_rows) == before


async def test_an_upgrade_is_part_of_the_callers_transaction(scratch: OwnerSettings) -> None:
    await downgrade(scratch, "base")

    def interrupted(connection: Connection) -> None:
        run_migrations(connection, scratch.runtime.username)
        assert set(metadata.tables) <= tables(connection)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        await in_transaction(scratch, interrupted)
    assert await in_transaction(scratch, tables) == {"alembic_version"}
    assert await in_transaction(scratch, current) == set()


async def test_two_starts_at_once(scratch: OwnerSettings) -> None:
    await downgrade(scratch, "base")
    await asyncio.gather(upgrade(scratch), upgrade(scratch))
    assert await in_transaction(scratch, schema_differences) == []


async def test_init_db_any_number_of_times(scratch: OwnerSettings) -> None:
    await downgrade(scratch, "base")
    assert await init_db.init_db(scratch) == []
    assert set((await in_transaction(scratch, count_rows)).values()) == {0}
    await in_transaction(scratch, add_rows)
    assert await init_db.init_db(scratch) == []
    assert set((await in_transaction(scratch, count_rows)).values()) == {1}


async def test_init_db_reports_a_damaged_schema(scratch: OwnerSettings) -> None:
    await in_transaction(scratch, lambda connection: connection.execute(text("DROP TABLE provider_tokens")))
    assert any("provider_tokens" in difference for difference in await init_db.init_db(scratch))


async def test_alembic_alone_changes_nothing(scratch: OwnerSettings) -> None:
    """Whoever runs it without our command has neither connection nor the name of the app's role."""
    with (
        alembic_config() as config,
        pytest.raises(RuntimeError, match=r"python -m src\.core\.schema\.migrate"),
    ):
        command.upgrade(config, "head")
    await downgrade(scratch, "base")
    with pytest.raises(RuntimeError, match="no runtime role"):
        await in_transaction(scratch, lambda connection: run_migrations(connection, ""))
    assert await in_transaction(scratch, tables) == {"alembic_version"}


async def test_create_writes_what_is_missing(scratch: OwnerSettings) -> None:
    await in_transaction(
        scratch, lambda connection: connection.execute(text("ALTER TABLE users DROP COLUMN name"))
    )
    name, content = await in_transaction(
        scratch, lambda connection: new_revision(connection, "Give users a name", empty=False)
    )
    assert name.endswith("_give_users_a_name.py")
    assert "op.add_column('users', sa.Column('name', sa.String(200), nullable=False))" in content
    (head,) = heads()
    assert f"down_revision = '{head}'" in content
    assert "sqlmodel" not in content
    compile(content, name, "exec")


async def test_create_refuses_to_make_nothing(scratch: OwnerSettings) -> None:
    with pytest.raises(ConfigurationError, match="models and database agree"):
        await in_transaction(scratch, lambda connection: new_revision(connection, "Nothing", empty=False))
    _, content = await in_transaction(
        scratch, lambda connection: new_revision(connection, "Nothing", empty=True)
    )
    assert "def upgrade() -> None:\n    pass\n" in content


async def test_create_writes_a_changed_check(scratch: OwnerSettings) -> None:
    """As where a model's list of values has changed: the old constraint goes, the model's comes."""
    for statement in changed_check("'pending', 'active'"):
        await in_transaction(scratch, partial(Connection.execute, statement=text(statement)))
    _, content = await in_transaction(
        scratch, lambda connection: new_revision(connection, "More states", empty=False)
    )
    upgrade_part, _, downgrade_part = content.partition("def downgrade")
    name = "ck_provider_connections_status_known"
    assert f"op.drop_constraint(op.f('{name}'), 'provider_connections', type_='check')" in upgrade_part
    assert f"op.create_check_constraint(op.f('{name}'), 'provider_connections', " in upgrade_part
    assert "'revoked'" in upgrade_part
    assert "'revoked'" not in downgrade_part


def changed_check(values: str) -> list[str]:
    constraint = "ck_provider_connections_status_known"
    return [
        f"ALTER TABLE provider_connections DROP CONSTRAINT {constraint}",
        f"ALTER TABLE provider_connections ADD CONSTRAINT {constraint} CHECK (status IN ({values}))",
    ]


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the revisions as they are, for a test that adds some."""
    folder = tmp_path / "versions"
    shutil.copytree(revisions.VERSIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(revisions, "VERSIONS", folder)
    return folder


def add_revision(versions: Path, name: str) -> None:
    (head,) = heads()
    content = (
        f"revision = '{name}'\ndown_revision = '{head}'\n\n\ndef upgrade(): pass\ndef downgrade(): pass\n"
    )
    (versions / f"{name}.py").write_text(content, encoding="utf-8")


async def test_two_heads_and_their_merge(scratch: OwnerSettings, versions: Path, tmp_path: Path) -> None:
    (head,) = heads()
    add_revision(versions, "first")
    first = (versions / "first.py").rename(tmp_path / "first.py")
    add_revision(versions, "second")
    first.rename(versions / "first.py")
    with pytest.raises(ConfigurationError, match=r"2 heads, first, second.*`make migrate-merge`"):
        await upgrade(scratch)
    with pytest.raises(ConfigurationError, match="`make migrate-merge`"):
        await in_transaction(scratch, lambda connection: new_revision(connection, "More", empty=True))
    assert await in_transaction(scratch, current) == {head}

    name, content = merged_revision()
    (versions / name).write_text(content, encoding="utf-8")
    await upgrade(scratch)
    assert await in_transaction(scratch, current) == heads()
    with pytest.raises(ConfigurationError, match="one head"):
        merged_revision()


async def test_a_database_ahead_of_the_code(scratch: OwnerSettings, versions: Path) -> None:
    (head,) = heads()
    add_revision(versions, "newer")
    await upgrade(scratch)
    (versions / "newer.py").rename(versions.parent / "newer.py")
    said = f"at revision newer, which this code does not have.*`make migrate-down REVISION={head}`"
    with pytest.raises(ConfigurationError, match=said):
        await upgrade(scratch)
    with pytest.raises(ConfigurationError, match=said):
        await downgrade(scratch, "-1")
    with pytest.raises(ConfigurationError, match=said):
        await in_transaction(scratch, lambda connection: new_revision(connection, "More", empty=True))
    assert await in_transaction(scratch, current) == {"newer"}

    (versions.parent / "newer.py").rename(versions / "newer.py")
    await downgrade(scratch, head)
    assert await in_transaction(scratch, current) == {head}


async def test_a_module_beside_the_revisions(scratch: OwnerSettings, versions: Path) -> None:
    (versions / "helpers.py").write_text("def money(): return 1\n", encoding="utf-8")
    await downgrade(scratch, "-1")
    await upgrade(scratch)
    assert await in_transaction(scratch, current) == heads()


async def test_create_wants_the_head(scratch: OwnerSettings) -> None:
    await downgrade(scratch, "base")
    with pytest.raises(ConfigurationError, match="make migrate"):
        await in_transaction(scratch, lambda connection: new_revision(connection, "Again", empty=False))


class Commands:
    """The command lines, in this process: a start of Python for each would cost more than all else here."""

    def __init__(self, patch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture) -> None:
        self.patch = patch
        self.log = log

    def __call__(self, main: Callable[[], int], *arguments: str) -> tuple[int, str]:
        """Exit code and what was logged."""
        self.log.clear()
        self.patch.setattr(sys, "argv", ["command", *arguments])
        return main(), self.log.text


@pytest.fixture
def commands(
    scratch: OwnerSettings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Commands:
    caplog.set_level("INFO")
    monkeypatch.setenv("DATABASE_URL", scratch.database_url.get_secret_value())
    monkeypatch.setenv("APP_DATABASE_URL", scratch.app_database_url.get_secret_value())
    return Commands(monkeypatch, caplog)


def execute(settings: OwnerSettings, statement: str) -> None:
    asyncio.run(in_transaction(settings, lambda connection: connection.execute(text(statement))))


def test_migrate_command(
    scratch: OwnerSettings, commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commands(migrate.main, "downgrade")[0] == 0
    assert asyncio.run(in_transaction(scratch, current)) != heads()

    code, said = commands(migrate.main, "upgrade")
    assert code == 0
    assert "Running Alembic migrations..." in said
    assert "Migrations completed successfully" in said
    assert commands(migrate.main, "check")[0] == 0

    execute(scratch, "DROP TABLE provider_tokens")
    code, said = commands(migrate.main, "check")
    assert code == 1
    assert "provider_tokens" in said

    code, said = commands(migrate.main, "upgrade", "nonsense")
    assert code == 1
    assert "Can't locate revision" in said
    assert capsys.readouterr().out == ""


def test_create_command_prints_name_and_content_only(
    commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commands(migrate.main, "create", "--empty", "-m", "By hand")[0] == 0
    name, _, content = capsys.readouterr().out.partition("\n")
    assert name.endswith("_by_hand.py")
    assert content.startswith('"""By hand')
    compile(content, name, "exec")


def test_init_db_command(scratch: OwnerSettings, commands: Commands) -> None:
    code, said = commands(init_db.main)
    assert code == 0
    assert "Database initialized successfully: mailed_tokens, " in said

    execute(scratch, "DROP TABLE provider_tokens")
    code, said = commands(init_db.main)
    assert code == 1
    assert "The database differs from the models: " in said
    assert "initialized successfully" not in said


@pytest.mark.parametrize("main", [migrate.main, init_db.main])
def test_a_missing_variable_is_one_line(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, main: Callable[[], int]
) -> None:
    monkeypatch.delenv("DATABASE_URL")
    code, said = commands(main, "check")
    assert code == 1
    assert "DATABASE_URL: is not set" in said
    assert len(said.splitlines()) == 1
