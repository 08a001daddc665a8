import io
import json
import logging
import logging.config
import sys
import warnings
from collections.abc import Iterator

import pytest
import structlog

from src.core import logs
from src.core.web.request_ids import serving

KEY = "v6HpNmfQnEMu_Kti7urtz3HiD2IGvQHdhsciuCTLulY="
PASSWORD = "p@ss w/rd'%20"


class Printed(io.StringIO):
    """What one handler of ours has printed."""

    @property
    def lines(self) -> list[str]:
        return self.getvalue().splitlines()


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Printed]:
    """The logs as a process of ours has them, on a standard error that can be read."""
    root = logging.getLogger()
    before = list(root.handlers), root.level
    stream = Printed()
    monkeypatch.setattr(sys, "stderr", stream)
    root.handlers[:] = []
    logs.configure("DEBUG")
    yield stream
    root.handlers[:], level = before
    root.setLevel(level)
    logs.configure(logging.getLevelName(level))


def test_a_line_is_logfmt(printed: Printed) -> None:
    logging.getLogger("src.some").info('said "%s"', "a=b", extra={"provider_key": "schwab", "count": 3})
    (line,) = printed.lines
    time, rest = line.split(" ", 1)
    assert time.startswith("time=20")
    assert time.endswith("Z")
    assert rest == r'level=info msg="said \"a=b\"" logger=src.some provider_key=schwab count=3'


def test_request_id_is_in_every_line_of_the_request(printed: Printed) -> None:
    with serving("0123456789"):
        logging.getLogger("sqlalchemy.pool").warning("inside")
    logging.getLogger("sqlalchemy.pool").warning("outside")
    inside, outside = printed.lines
    assert "msg=inside logger=sqlalchemy.pool request_id=0123456789" in inside
    assert "request_id" not in outside


def test_structlog_says_the_same_way(printed: Printed) -> None:
    structlog.get_logger("src.some").info("said", provider_key="schwab", password="hunter2-hunter2")
    (line,) = printed.lines
    assert line.endswith("level=info msg=said logger=src.some provider_key=schwab password=***")


def test_nothing_forges_a_line(printed: Printed) -> None:
    forged = "x\r\n\x1b[2K\u2028time=2026 level=info msg=forged"
    logging.getLogger("src.some").info("said %s", forged, extra={"more": forged})
    try:
        raise ValueError(forged)
    except ValueError:
        logging.getLogger("src.some").exception("failed")
    assert "\x1b" not in printed.getvalue()
    said, failed, *told = printed.lines
    assert 'msg="said x' in said
    assert "msg=failed" in failed
    assert told[0] == "    | Traceback (most recent call last):"
    assert all(row.startswith("    | ") for row in told)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("GET https://a.example/?code=C0.ffee%40&state=5tate HTTP/1.1", "C0.ffee"),
        ("GET https://a.example/?code=C0.ffee%40&state=5tate HTTP/1.1", "5tate"),
        ("https://localhost:8000/verify-email?token=T0ken_-", "T0ken"),
        ("grant_type=refresh_token&refresh_token=R3fresh", "R3fresh"),
        ('{"access_token": "Acc3ss", "expires_in": 1800}', "Acc3ss"),
        ("{'refresh_token': 'R3fresh'}", "R3fresh"),
        ("login(email='a@b.example', password='Passw0rd!')", "Passw0rd!"),
        ("code_verifier=V3rifier&x=1", "V3rifier"),
        ("Authorization: Bearer opaque", "opaque"),
        ("[(b'Host', b'x'), (b'Authorization', b'Basic dTpw')]", "dTpw"),
        ("Cookie: a=First; __Host-dashtam-00=Second", "Second"),
        ("{'Set-Cookie': '__Host-x=Second; Secure'}", "Second"),
        ("sent Bearer 0123456789abcdef0123", "0123456789abcdef0123"),
        ("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "c2lnbmF0dXJl"),
        ("redis://default:R3dis@redis:6379/0", "R3dis"),
        ("postgresql+asyncpg://app:s%40cret@postgres/dashtam", "s%40cret"),
        (f"no key {KEY}!", KEY),
        (f"connecting with {PASSWORD!r}", "w/rd"),
        ("connecting with p%40ss%20w%2Frd%27%2520", "w%2Frd"),
    ],
)
def test_what_looks_like_a_secret_is_redacted(printed: Printed, text: str, secret: str) -> None:
    logs.configure("DEBUG", hide=[KEY, PASSWORD])
    for name in ("src.some", logs.MAIL_LOGGER, "httpx2"):
        logger = logging.getLogger(name)
        logger.error("%s", text)
        logger.error("more", extra={"detail": text})
        try:
            raise ValueError(text)
        except ValueError:
            logger.exception("failed")
    assert len([line for line in printed.lines if line.startswith("time=")]) == 9
    assert "***" in printed.getvalue()
    assert secret not in printed.getvalue()


@pytest.mark.parametrize(
    "text",
    ["Running Alembic migrations...", "Uvicorn running on https://0.0.0.0:8000 (Press CTRL+C to quit)"],
)
def test_what_people_look_for_is_there_to_be_found(printed: Printed, text: str) -> None:
    logging.getLogger("uvicorn.error").info(text, extra={"color_message": "coloured"})
    assert f'msg="{text}"' in printed.lines[0]
    assert "coloured" not in printed.lines[0]


def test_mails_keep_their_links_only_where_told_so(printed: Printed) -> None:
    mail = logging.getLogger(logs.MAIL_LOGGER)
    link = "https://localhost:8000/verify-email?token=T0ken"
    mail.info("Mail", extra={"link": link})
    logs.configure("INFO", mails=True)
    mail.info("Mail", extra={"link": link})
    logging.getLogger("src.some").info("Mail", extra={"link": link})
    assert [link in line for line in printed.lines] == [False, True, False]
    logs.configure("INFO", hide=[KEY], mails=True)
    mail.info("Mail %s", KEY)
    assert KEY not in printed.lines[-1]


@pytest.mark.parametrize("name", logs.QUIET)
def test_libraries_that_log_requests_do_not_at_any_level(printed: Printed, name: str) -> None:
    logging.getLogger(name).debug("headers")
    logging.getLogger(f"{name}.http11").info("headers")
    assert not printed.lines


def test_configuring_twice_says_things_once(printed: Printed) -> None:
    logs.configure("INFO")
    logging.getLogger("src.some").info("said")
    logging.getLogger("src.some").debug("not said")
    assert len(printed.lines) == 1


def test_uvicorn_logs_as_we_do(printed: Printed, capsys: pytest.CaptureFixture[str]) -> None:
    """Its processes have read this file before anything of ours runs."""
    logging.config.dictConfig(json.loads(logs.UVICORN_CONFIG.read_text(encoding="utf-8")))
    logging.getLogger("uvicorn.error").info("Started reloader process [%d]", 7)
    logs.configure("INFO")
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 8)
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith('level=info msg="Started reloader process [7]" logger=uvicorn.error')
    assert second.endswith('level=info msg="Started server process [8]" logger=uvicorn.error')


def test_warnings_are_lines_too(printed: Printed) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)  # what pytest put there in the meantime is not ours
        logs.configure("INFO")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert "logger=py.warnings" in printed.lines[0]
