"""What the app container is, and what the process that answers in it has."""

import os
import subprocess
from pathlib import Path

import asyncpg
import pytest

from src.core.config import Settings
from src.core.database_address import DatabaseAddress


def status(process: Path) -> dict[str, str]:
    lines = (process / "status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def server(file: str) -> list[str]:
    """Return what a file in /proc says of the process that the init has started."""
    (process,) = (each for each in Path("/proc").glob("[0-9]*") if status(each)["PPid"] == "1")
    return [item.decode() for item in (process / file).read_bytes().split(b"\0") if item]


def test_the_first_process_is_an_init() -> None:
    assert status(Path("/proc/1"))["Name"] == "docker-init"


def test_the_init_has_started_uvicorn() -> None:
    assert "src.main:create_app" in server("cmdline")


def test_the_server_has_no_owners_credentials() -> None:
    names = {item.partition("=")[0] for item in server("environ")}
    assert "APP_DATABASE_URL" in names
    assert not {"DATABASE_URL", "POSTGRES_USER", "POSTGRES_PASSWORD"} & names


def test_no_other_variable_has_the_owners_password() -> None:
    password = DatabaseAddress.parse(os.environ["DATABASE_URL"]).password
    assert not [item for item in server("environ") if password in item]


def test_user_is_not_root() -> None:
    assert os.getuid() != 0
    assert Path("/proc/1").stat().st_uid == os.getuid()


@pytest.mark.parametrize("path", ["/", "/app/src", "/app/tests", "/app/certs/ca.pem"])
def test_nothing_but_tmp_can_be_written(path: str) -> None:
    # tests/conftest.py runs on the developer's machine, too.
    assert os.statvfs(path).f_flag & os.ST_RDONLY


def test_nothing_in_tmp_can_be_run(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    with pytest.raises(PermissionError):
        subprocess.run([program], check=True)


def test_only_these_are_mounted() -> None:
    assert sorted(path.name for path in Path("/app").iterdir()) == ["certs", "src", "tests"]
    assert sorted(path.name for path in Path("/app/certs").iterdir()) == ["ca.pem", "cert.pem", "key.pem"]


@pytest.mark.parametrize(
    "statement", ["UPDATE provider_audit_logs SET action = ''", "DELETE FROM provider_audit_logs"]
)
async def test_app_cannot_change_the_audit_log(settings: Settings, statement: str) -> None:
    address = settings.runtime
    connection = await asyncpg.connect(
        host=address.host,
        port=address.port,
        user=address.username,
        password=address.password,
        database=address.database,
        ssl=address.tls,
    )
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()
