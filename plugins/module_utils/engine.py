"""The Docker engine, asked through its API in the controller's own process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ansible.errors import AnsibleLookupError

try:
    import docker
    from docker.errors import APIError, DockerException
    from requests.exceptions import RequestException
except ImportError as error:
    raise AnsibleLookupError(f"The Python that runs Ansible lacks the docker package: {error}") from error


class EngineError(AnsibleLookupError):
    """The engine does not answer, or it refuses; the message is for people.

    Ansible reports it as it is from a lookup and from an action plugin alike.
    """


@contextmanager
def client(timeout: float = 60) -> Iterator[docker.APIClient]:
    """Yield a client of the engine that the docker client would talk to, and close it.

    DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH say which one that is, else it is the default socket.

    :param timeout: seconds that each answer may take.
    :raises EngineError: for all that the SDK raises and the body does not catch.
    """
    api = None
    try:
        api = docker.from_env(timeout=timeout).api
        yield api
    except APIError as error:
        raise EngineError(f"The Docker engine refuses: {error.explanation or error}") from error
    except (DockerException, RequestException) as error:
        raise EngineError(f"The Docker engine does not answer: {error}") from error
    finally:
        if api is not None:
            api.close()


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
    :raises docker.errors.APIError: there is no such container, or it does not run.
    """
    environment = {key: str(value) for key, value in (env or {}).items()}
    created = api.exec_create(container, command, user=user, environment=environment)
    output = api.exec_start(created["Id"])
    return int(api.exec_inspect(created["Id"])["ExitCode"]), output.decode(errors="replace")
