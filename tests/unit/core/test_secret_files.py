"""Settings in files: which counts, what is taken of it, and what is said of one that cannot be read."""

import os
from pathlib import Path

import pytest

from src.core import secret_files
from src.core.config import CallbackSettings, ConfigurationError, OwnerSettings, Settings, load

KEY = "Kq8vN2xLr4Ta9KpWm3Hs7Yd1Bf6Gc5Ej0UiOoPq"


@pytest.fixture
def folder(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place that orchestrators use, somewhere else."""
    monkeypatch.setattr(secret_files, "FOLDER", tmp_path)
    monkeypatch.setattr(secret_files, "_reported", set())
    return tmp_path


def write(folder: Path, name: str, content: bytes | str, mode: int = 0o400) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


def refusal() -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(Settings)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("content", "value"),
    [(KEY, KEY), (f"{KEY}\n", KEY), (f"{KEY}\r\n", KEY), (f" {KEY}\n\n", f" {KEY}\n")],
)
def test_the_value_is_what_the_file_has_but_its_last_newline(
    folder: Path, monkeypatch: pytest.MonkeyPatch, content: str, value: str
) -> None:
    monkeypatch.delenv("SECRET_KEY")
    write(folder, "SECRET_KEY", content)
    assert load(Settings).secret_key.get_secret_value() == value


def test_the_environment_wins_over_a_file_unless_it_is_empty(
    folder: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, "SECRET_KEY", KEY)
    assert load(Settings).secret_key.get_secret_value() == environment["SECRET_KEY"]
    monkeypatch.setenv("SECRET_KEY", "")
    assert load(Settings).secret_key.get_secret_value() == KEY


def test_every_class_reads_its_own_files_and_redacts_them(
    folder: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATABASE_URL", "APP_DATABASE_URL", "RELAY_TOKEN"):
        monkeypatch.delenv(name)
        write(folder, name, environment[name] + "\n")
    assert load(OwnerSettings).owner.username == "owner"
    assert load(Settings).runtime.username == "runtime"
    assert load(CallbackSettings).secret_values() == [environment["RELAY_TOKEN"]]


def test_another_spelling_and_other_files_do_not_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECRET_KEY")
    write(folder, "secret_key", KEY)
    write(folder, "OF_SOMETHING_ELSE", b"\xff")
    assert refusal().startswith("SECRET_KEY: is not set")


def test_another_folder(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECRET_KEY")
    other = tmp_path / "other"
    other.mkdir()
    write(other, "SECRET_KEY", KEY)
    monkeypatch.setenv("SECRETS_DIR", str(other))
    assert load(Settings).secret_key.get_secret_value() == KEY
    monkeypatch.setenv("SECRETS_DIR", str(other / "none"))
    assert refusal().startswith(f"SECRETS_DIR: {other}/none is not a folder; ")
    monkeypatch.setenv("SECRETS_DIR", "")
    assert refusal().startswith("SECRET_KEY: is not set")


def test_without_the_usual_folder_the_environment_is_all(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secret_files, "FOLDER", tmp_path / "none")
    assert load(Settings).secret_key.get_secret_value() == environment["SECRET_KEY"]


def test_what_is_wrong_with_a_file_is_one_line_without_its_content(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SECRET_KEY")
    path = write(folder, "SECRET_KEY", b"Zq8vN2xL\xff")
    assert refusal() == f"SECRET_KEY: {path} is not UTF-8 text; write the value itself into it"
    path.unlink()
    path.mkdir()
    assert refusal() == (
        f"SECRET_KEY: {path}: Is a directory; the file must be readable to the user {os.getuid()}"
    )
    path.rmdir()
    write(folder, "SECRET_KEY", "change-me-Zq8vN2xL")
    message = refusal()
    assert message.startswith("SECRET_KEY: is a placeholder")
    assert "Zq8vN2xL" not in message


def test_a_file_that_every_user_may_read_is_reported_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("SECRET_KEY")
    path = write(folder, "SECRET_KEY", KEY, mode=0o444)
    for _ in range(2):
        assert load(Settings).secret_key.get_secret_value() == KEY
    (line,) = caplog.messages
    assert line.startswith(f"SECRET_KEY: every user may read {path}; ")
    assert KEY not in line
