"""One log format for every process of ours, uvicorn's own lines included: logfmt, on standard error.

    time=2026-11-21T13:12:02.199Z level=info msg="Migrations completed successfully" logger=src.start

Modules log with ``logging`` (or structlog) and name further fields in ``extra``. An event is one line; only a
traceback follows its line, indented, so that nothing in it passes for an event. What looks like a secret is
redacted, whoever logs it and at whatever level. That is a net: log no secret in the first place.
"""

import logging
import re
import sys
import traceback
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, unquote

import structlog
from structlog.stdlib import ExtraAdder, ProcessorFormatter
from structlog.typing import EventDict, WrappedLogger

from src.core.web.request_ids import current_request_id

# For uvicorn, which sets up the logs of its processes before it imports anything of ours.
UVICORN_CONFIG = Path(__file__).with_name("logging.json")
# Outside production mails are logged, and the link in them is what a developer wants.
MAIL_LOGGER = "src.accounts.mail"
# At their own wish these log requests, headers and bodies of other servers, or what nobody asked.
QUIET = (
    "alembic.runtime.plugins",
    "authlib",
    "httpcore",
    "httpcore2",
    "httpx",
    "httpx2",
    "mail.log",  # of aiosmtpd
    "python_multipart",
    "watchfiles",
)

REDACTED = "***"
_NAMES = (
    r"(?:[a-z]+_)*(?:token|password|passwd|secret|api_key|secret_key|encryption_key|verifier)"
    r"|code|state|ticket|authorization|(?:set-)?cookie"
)
_SECRET_NAME = re.compile(_NAMES, re.IGNORECASE)
_PATTERNS = (
    # name=value in queries, forms and reprs
    (re.compile(rf"(?<![\w-])({_NAMES})=(b?[\"']?)[^\s&\"',;)}}\]]+", re.IGNORECASE), rf"\1=\2{REDACTED}"),
    # "name": "value" in JSON and dicts
    (re.compile(rf"([\"'])({_NAMES})\1(\s*:\s*b?[\"'])[^\"']+", re.IGNORECASE), rf"\1\2\1\3{REDACTED}"),
    # headers, as they are sent and as tuples of bytes
    (
        re.compile(
            r"(?<![\w-])((?:proxy-)?authorization|(?:set-)?cookie)([\"']?\s*[:,]\s*b?[\"']?)[^\"'\n]+", re.I
        ),
        rf"\1\2{REDACTED}",
    ),
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/-]{16,}=*", re.IGNORECASE), rf"\1 {REDACTED}"),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)*"), REDACTED),
    (re.compile(r"(://[^\s/:@]*:)[^\s/@]+@"), rf"\1{REDACTED}@"),
)
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")

_hidden: tuple[str, ...] = ()
_exempt: frozenset[str] = frozenset()


def configure(level: str, hide: Iterable[str] = (), mails: bool = False) -> None:
    """Set up this process's logs, any number of times.

    :param level: name of the least level that is printed.
    :param hide: the process's own secrets: none of them is printed, whatever it stands in.
    :param mails: print links and tokens in lines of :data:`MAIL_LOGGER`.
    """
    global _hidden, _exempt
    _hidden = _spellings(hide)
    _exempt = frozenset({MAIL_LOGGER} if mails else ())
    root = logging.getLogger()
    if not root.handlers:  # uvicorn's are ours, too; pytest has its own
        root.addHandler(handler())
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def handler() -> logging.Handler:
    """What prints a line. Named in ``logging.json``."""
    stream = logging.StreamHandler()
    stream.setFormatter(ProcessorFormatter(foreign_pre_chain=[ExtraAdder()], processors=[_render]))
    return stream


_logfmt = structlog.processors.LogfmtRenderer(
    key_order=["time", "level", "msg", "logger", "request_id"], drop_missing=True, bool_as_flag=False
)


def _render(logger: WrappedLogger, method: str, event: EventDict) -> str:
    record: logging.LogRecord = event.pop("_record")
    error = event.pop("exc_info", None)
    stack = event.pop("stack_info", None)
    for name in ("_from_structlog", "color_message"):
        event.pop(name, None)
    fields = {
        "time": f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03d}Z",
        "level": record.levelname.lower(),
        "msg": event.pop("event"),
        "logger": record.name,
    }
    if (request_id := current_request_id()) is not None:
        fields["request_id"] = request_id
    fields |= event
    exempt = record.name in _exempt
    line = _logfmt(logger, method, {name: _value(name, value, exempt) for name, value in fields.items()})
    if isinstance(error, BaseException):
        error = (type(error), error, error.__traceback__)
    elif error is True:
        error = sys.exc_info()
    told = "".join(traceback.format_exception(*error)) if error and error[0] else ""
    for text in (told, stack):
        for row in _redacted(str(text or "")).splitlines():
            line += f"\n    | {_CONTROL.sub(_escaped, row)}"
    return line


def _value(name: str, value: object, exempt: bool) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if not exempt and _SECRET_NAME.fullmatch(name):
        return REDACTED
    return _CONTROL.sub(_escaped, _redacted(str(value), () if exempt else _PATTERNS))


def _redacted(text: str, patterns: Iterable[tuple[re.Pattern[str], str]] = _PATTERNS) -> str:
    for secret in _hidden:
        text = text.replace(secret, REDACTED)
    for pattern, replacement in patterns:
        text = pattern.sub(replacement, text)
    return text


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def _spellings(secrets: Iterable[str]) -> tuple[str, ...]:
    """Each as it is, as a URL has it and as ``repr`` does, longest first; too short ones would hide words."""
    found = {
        spelling
        for secret in secrets
        for spelling in (secret, quote(secret, safe=""), unquote(secret), repr(secret)[1:-1])
        if len(spelling) >= 8
    }
    return tuple(sorted(found, key=len, reverse=True))
