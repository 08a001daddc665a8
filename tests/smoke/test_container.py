"""What the app container is, and what the process that answers in it has."""

import os
from pathlib import Path

import asyncpg
import pytest

from src.core.config import DatabaseAddress, Settings


def first_process(file: str) -> list[str]:
    return [item.decode() for item in Path(f"/proc/1/{file}").read_bytes().split(b"\0") if item]


def test_first_process_is_uvicorn() -> None:
    assert "src.main:create_app" in first_process("cmdline")


def test_first_process_has_no_owners_credentials() -> None:
    names = {item.partition("=")[0] for item in first_process("environ")}
    assert "APP_DATABASE_URL" in names
    assert not {"DATABASE_URL", "POSTGRES_USER", "POSTGRES_PASSWORD"} & names


def test_no_other_variable_has_the_owners_password() -> None:
    password = DatabaseAddress.parse(os.environ["DATABASE_URL"]).password
    assert not [item for item in first_process("environ") if password in item]


def test_user_is_not_root() -> None:
    assert os.getuid() != 0
    assert Path("/proc/1").stat().st_uid == os.getuid()


def test_only_these_are_mounted() -> None:
    assert sorted(path.name for path in Path("/app").iterdir()) == ["certs", "src", "tests"]
    assert sorted(path.name for path in Path("/app/certs").iterdir()) == ["ca.pem", "cert.pem", "key.pem"]


@pytest.mark.parametrize(
    "statement", ["UPDATE provider_audit_logs SET action = ''", "DELETE FROM provider_audit_logs"]
)
async def test_app_cannot_change_the_audit_log(settings: Settings, statement: str) -> None:
    address = DatabaseAddress.parse(settings.app_database_url.get_secret_value())
    connection = await asyncpg.connect(
        host=address.host,
        port=address.port,
        user=address.username,
        password=address.password,
        database=address.database,
    )
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()
