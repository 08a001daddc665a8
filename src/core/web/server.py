"""How our servers are run: uvicorn over TLS, the same for all of them."""

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from src.core.config import ConfigurationError, ServerSettings, load
from src.core.logs import UVICORN_CONFIG, configure

Own = TypeVar("Own", bound=ServerSettings)

# Bytes. A browser sends all cookies of `localhost`, whatever the port.
MAX_HEADERS = 32 * 1024
# Requests on more connections are answered with 503. Each is an open file; a process mostly has 1024.
MAX_CONNECTIONS = 900

SOURCE = Path(__file__).resolve().parents[2]


def uvicorn_options(settings: ServerSettings, port: int, reload: bool) -> dict[str, Any]:
    """Keyword arguments of ``uvicorn.run``, which are also the names of its command line's options."""
    options: dict[str, Any] = {
        "factory": True,
        "host": "0.0.0.0",  # noqa: S104 - inside a container; what is published is the playbook's decision
        "port": port,
        "log_level": settings.log_level.lower(),
        "log_config": str(UVICORN_CONFIG),
        # It has the query string, hence codes and states. src.core.web.requests logs instead.
        "access_log": False,
        # Anybody else who sends X-Forwarded-For may have made it up. Where no proxy is trusted, uvicorn would
        # trust what FORWARDED_ALLOW_IPS says.
        "proxy_headers": bool(settings.trusted_proxies),
        "http": "src.core.web.connection_limits:Protocol",
        "loop": "src.core.web.connection_limits:Loop",
        "h11_max_incomplete_event_size": MAX_HEADERS,
        "limit_concurrency": MAX_CONNECTIONS,
        "timeout_keep_alive": 5,
        "ws": "none",
        "lifespan": "on",
        "server_header": False,
        # Docker kills after 10 s, and whoever edits a file waits for the answer: neither may be held up by a
        # client that just keeps its connection.
        "timeout_graceful_shutdown": 1 if reload else 5,
    }
    if settings.trusted_proxies:
        options["forwarded_allow_ips"] = settings.trusted_proxies
    if settings.ssl_enabled:
        _readable("TLS_CERT_FILE", settings.tls_cert_file)
        _readable("TLS_KEY_FILE", settings.tls_key_file)
        options |= {"ssl_certfile": str(settings.tls_cert_file), "ssl_keyfile": str(settings.tls_key_file)}
    if reload:
        options |= {"reload": True, "reload_dirs": str(SOURCE)}
    return options


def serve(module: str, settings_class: type[Own], port: Callable[[Own], int]) -> int:
    """Run ``module``'s ``create_app`` as its command line says until it is told to stop: an exit code.

    Settings that are wrong are logged, a line for each.
    """
    import uvicorn

    parser = argparse.ArgumentParser(prog=f"python -m {module}")
    parser.add_argument("--reload", action="store_true", help="restart when the source changes")
    arguments = parser.parse_args()
    configure("INFO")
    try:
        settings = load(settings_class)
        options = uvicorn_options(settings, port(settings), arguments.reload)
    except ConfigurationError as error:
        for line in str(error).splitlines():
            logging.getLogger(module).error("%s", line)
        return 1
    uvicorn.run(f"{module}:create_app", **options)
    return 0


def command_line(options: dict[str, Any]) -> list[str]:
    """``options`` as uvicorn's command line has them."""
    names = {"reload_dirs": "reload-dir"}
    arguments: list[str] = []
    for key, value in options.items():
        name = names.get(key, key.replace("_", "-"))
        if value is True:
            arguments.append(f"--{name}")
        elif value is False:
            arguments.append(f"--no-{name}")
        else:
            arguments += [f"--{name}", str(value)]
    return arguments


def _readable(variable: str, path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise ConfigurationError(
            f"{variable}: {path}: {error.strerror}; run `make certs` and start the environment again"
        ) from None
