"""Commands run in containers through the engine's API, with all that they print.

The SDK's `exec_start` does not serve: it reads the socket itself, past the buffer of the HTTP client, and so
loses what has arrived together with the answer's headers; the exit code is 0 nevertheless
(https://github.com/docker/docker-py/issues/3332). It also takes the end of a connection for the end of the
output. Here the answer is read as any other, which the engine allows where no input is sent.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Mapping
from typing import Any

import docker
from docker.errors import APIError, create_api_error_from_http_exception
from requests.exceptions import HTTPError
from urllib3.exceptions import HTTPError as BrokenAnswer

OUTPUT, ERRORS = 1, 2
# https://docs.docker.com/reference/api/engine/ (POST /containers/{id}/attach, stream format)
HEADER = struct.Struct(">BxxxL")
# Seconds between the end of the output and the exit code, which a busy engine learns later.
PATIENCE = 30.0
PAUSE = 0.02


def create(
    api: docker.APIClient,
    container: str,
    command: list[str],
    env: Mapping[str, Any] | None = None,
    **more: Any,
) -> str:
    """Prepare a command and return its id.

    :param more: ``user`` and ``workdir``; the container's own where they are empty.
    :raises docker.errors.APIError: there is no such container, or it does not run.
    """
    environment = {name: str(value) for name, value in (env or {}).items()}
    return str(api.exec_create(container, command, environment=environment, **more)["Id"])


def pieces(api: docker.APIClient, execution: str) -> Iterator[tuple[int, bytes]]:
    """Start a command and yield what it prints while it runs, each piece with ``OUTPUT`` or ``ERRORS``.

    :raises docker.errors.APIError: it cannot be started, or the engine's answer breaks off.
    """
    url = f"{api.base_url}/v{api.api_version}/exec/{execution}/start"
    # Without a limit: a command may be silent for as long as it likes.
    with api.post(url, json={"Detach": False, "Tty": False}, stream=True) as answer:
        try:
            answer.raise_for_status()
        except HTTPError as error:
            create_api_error_from_http_exception(error)
        try:
            while header := answer.raw.read(HEADER.size):
                stream, length = HEADER.unpack(header)
                piece = answer.raw.read(length)
                if len(piece) < length:
                    raise _broken("in the middle of it")
                yield stream, piece
        except (BrokenAnswer, struct.error) as error:
            raise _broken(str(error)) from None


def _broken(why: str) -> APIError:
    return APIError("output", explanation=f"a command's output broke off ({why}). Run this again")


def exit_code(api: docker.APIClient, execution: str) -> int:
    """Return the exit code of a command whose output has ended.

    :raises docker.errors.APIError: the command goes on, so that its output was cut short, or never ran.
    """
    end = time.monotonic() + PATIENCE
    while True:
        found = api.exec_inspect(execution)
        if not found["Running"] and found["ExitCode"] is not None:
            return int(found["ExitCode"])
        if time.monotonic() > end:
            raise _broken("the command has no exit code")
        time.sleep(PAUSE)


def execute(
    api: docker.APIClient,
    container: str,
    command: list[str],
    user: str = "",
    env: Mapping[str, Any] | None = None,
) -> tuple[int, str]:
    """Run a command in a container to its end.

    :param user: the user inside, the container's own where empty.
    :param env: added to the command's environment.
    :returns: the exit code, and what it printed, errors among it.
    :raises docker.errors.APIError: there is no such container, it does not run, or the answer breaks off.
    """
    execution = create(api, container, command, env, user=user)
    output = b"".join(piece for _, piece in pieces(api, execution))
    return exit_code(api, execution), output.decode(errors="replace")
