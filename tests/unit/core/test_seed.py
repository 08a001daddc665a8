"""Where the seed refuses to run, before it connects to anything."""

import pytest

from src.core import seed


@pytest.mark.parametrize(
    ("environment_name", "password", "line"),
    [
        ("production", "long enough", "ENVIRONMENT is production, where nobody gets an account"),
        ("development", "", "SEED_PASSWORD must have 8 to 128 characters"),
    ],
)
def test_refused_in_a_line(
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    environment_name: str,
    password: str,
    line: str,
) -> None:
    monkeypatch.setenv("ENVIRONMENT", environment_name)
    monkeypatch.setenv("DEBUG", "false")
    monkeypatch.setenv("TESTING", "false")
    monkeypatch.setenv("SEED_PASSWORD", password)
    monkeypatch.setattr("sys.argv", ["seed"])
    assert seed.main() == 1
    assert [record.getMessage()[: len(line)] for record in caplog.records] == [line]
