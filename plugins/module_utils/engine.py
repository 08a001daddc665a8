"""The Docker engine: which one it is, and how it is asked in the controller's own process."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ansible import constants as C
from ansible.errors import AnsibleLookupError

try:
    import docker
    from docker.errors import APIError, DockerException
    from requests.exceptions import RequestException
    from urllib3.exceptions import HTTPError as BrokenAnswer
except ImportError as error:
    raise AnsibleLookupError(f"The Python that runs Ansible lacks the docker package: {error}") from error


class EngineError(AnsibleLookupError):
    """The engine does not answer, or it refuses; the message is for people.

    Ansible reports it as it is from a lookup and from an action plugin alike.
    """


OTHER_ENGINE = """\
{host} is another Docker engine now than the one that was inspected. Nothing was touched. Run this again."""
DEFAULT_HOST = "unix:///var/run/docker.sock"
# Python's SDK would need paramiko even to run the ssh command, which forwards a socket by itself.
BY_SSH = """\
{host}: no engine is asked over ssh. Forward its socket and use unix://$HOME/engine.sock instead: \
ssh -fNT -o ExitOnForwardFailure=yes{port} -L $HOME/engine.sock:/var/run/docker.sock {target}"""


@dataclass(frozen=True)
class Address:
    """The engine that the docker client would use, and who says so: nobody, a variable or a context."""

    host: str = DEFAULT_HOST
    given_by: str = ""
    certificates: str = ""
    verify: bool = True

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead SDK, docker client and modules to this engine.

        :raises EngineError: it would be reached over ssh.
        """
        if self.host.startswith("ssh://"):
            target, _, port = self.host.removeprefix("ssh://").partition("/")[0].partition(":")
            raise EngineError(
                BY_SSH.format(host=self.host, target=target, port=f" -p {port}" if port else "")
            )
        variables = {"DOCKER_HOST": self.host}
        if self.certificates:
            verify = "1" if self.verify else ""
            variables |= {
                "DOCKER_CERT_PATH": self.certificates,
                "DOCKER_TLS": "1",
                "DOCKER_TLS_VERIFY": verify,
            }
        return variables


def address() -> Address:
    """Find the engine that the docker client would use, by DOCKER_HOST, a context, or the default socket.

    Modules know DOCKER_HOST alone, and the SDK follows contexts only from version 7.2 on: without this they
    would use different engines. A run of Ansible keeps the first answer: `docker context use` in another
    terminal must not let it change another engine than the one that it has inspected.

    :raises EngineError: there is no such context.
    """
    if host := os.environ.get("DOCKER_HOST"):
        return Address(host, "DOCKER_HOST")
    # Ansible's folder for this run, of which all of its processes know.
    kept = Path(C.DEFAULT_LOCAL_TMP, "dashtam.stack-engine.json")
    with contextlib.suppress(OSError):
        return Address(**json.loads(kept.read_text(encoding="utf-8")))
    found = _by_context()
    with contextlib.suppress(OSError):
        part = kept.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(asdict(found)), encoding="utf-8")
        part.replace(kept)
    return found


def _by_context() -> Address:
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    name, given_by = os.environ.get("DOCKER_CONTEXT"), "DOCKER_CONTEXT"
    if not name:
        name, given_by = _current_context(folder / "config.json"), str(folder / "config.json")
    if name in ("", "default"):
        return Address()
    digest = hashlib.sha256(name.encode()).hexdigest()
    try:
        context = json.loads((folder / "contexts/meta" / digest / "meta.json").read_text(encoding="utf-8"))
        endpoint = context["Endpoints"]["docker"]
        host, verify = endpoint.get("Host") or DEFAULT_HOST, not endpoint.get("SkipTLSVerify")
    except (OSError, ValueError, LookupError, AttributeError, TypeError):
        raise EngineError(
            f"there is no usable context {name}, which {given_by} names (`docker context ls` lists them)"
        ) from None
    certificates = folder / "contexts/tls" / digest / "docker"
    return Address(host, f"the context {name}", str(certificates) if certificates.is_dir() else "", verify)


def _current_context(file: Path) -> str:
    """Return the context that the client's settings name; the client takes damaged settings for none."""
    try:
        return str(json.loads(file.read_text(encoding="utf-8")).get("currentContext") or "")
    except (OSError, ValueError, AttributeError):
        return ""


def reason(error: Exception) -> str:
    """Shorten what requests and urllib3 wrap around a system's error."""
    text = str(error) or type(error).__name__
    system = re.findall(r"(?:\[Errno -?\d+\] |Error\(\d+, ')([^'\")]+)", text)
    return system[-1] if system else text.splitlines()[0]


def connect(timeout: float = 60, version: str = "auto", host: str = "") -> docker.APIClient:
    """Return a client of the engine's API, which the caller closes.

    :param timeout: seconds that each answer may take.
    :param version: the API's version, if another client of the same engine has found it out.
    :param host: another engine's address, as DOCKER_HOST has it.
    :raises EngineError: there is no such context, or the engine would be reached over ssh.
    :raises docker.errors.DockerException: the engine does not answer.
    """
    environment = os.environ | (Address(host) if host else address()).environment
    return docker.from_env(timeout=timeout, version=version, environment=environment).api


def require_same(api: docker.APIClient, identity: str) -> None:
    """Compare an engine's identity with that of the one that was inspected.

    :param identity: what `/info` said of that one as ID; empty if nobody asked.
    :raises EngineError: it is another one.
    """
    if identity and api.info().get("ID") != identity:
        raise EngineError(OTHER_ENGINE.format(host=address().host))


@contextmanager
def client(timeout: float = 60, host: str = "") -> Iterator[docker.APIClient]:
    """Yield a client of the engine that the docker client would talk to, and close it.

    :param timeout: seconds that each answer may take.
    :param host: another engine's address, as DOCKER_HOST has it.
    :raises EngineError: for all that the SDK raises and the body does not catch.
    """
    api = None
    try:
        api = connect(timeout, host=host)
        yield api
    except APIError as error:
        raise EngineError(f"The Docker engine refuses: {error.explanation or error}") from None
    # The SDK lets the last of them through where it tells of a build, or of images that it loads.
    except (DockerException, RequestException, BrokenAnswer) as error:
        # Not `from error`: Ansible would append all that requests and urllib3 say of it.
        raise EngineError(
            f"The Docker engine at {host or address().host} does not answer: {reason(error)}. "
            "Start it (make engine), then run this again."
        ) from None
    finally:
        if api is not None:
            api.close()
