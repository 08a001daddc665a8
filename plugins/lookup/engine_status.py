"""Whether an engine answers, and if not, in which of the ways that need different things done."""

from __future__ import annotations

import contextlib
import errno
import io
import secrets
import socket
import tarfile
import time
from pathlib import Path
from typing import Any

import docker
from ansible import context
from ansible.plugins.lookup import LookupBase
from ansible_collections.dashtam.stack.plugins.module_utils import engine, host_ports
from docker.errors import APIError, DockerException, ImageNotFound
from docker.utils import version_lt

DOCUMENTATION = """
name: engine_status
short_description: State of the Docker engine that the docker client would talk to
description:
  - Asks the engine that C(DOCKER_HOST) names, else the one of the docker client's context, else the default
    socket. Changes nothing, but for what O(probe) allows.
options:
  minimum_api:
    description: Oldest API version that will do.
    type: str
    default: "1.41"
  folder:
    description:
      - A folder that containers are to mount. A unix socket is taken as local, C(ssh://) as another
        machine; an engine behind anything else is asked whether it sees the folder.
    type: str
  probe:
    description:
      - Whether that may be asked. It takes a container, an image and a folder within the folder for a moment.
    type: bool
    default: true
  wait:
    description: Seconds to go on asking while none answers; ends early where no dockerd runs any more.
    type: int
    default: 0
"""

RETURN = """
_raw:
  description:
    - One dict. C(state) is C(ok), C(none) (nothing answers), C(denied) (one is there, this user may not use
      it), C(old) (its API is older than C(minimum_api)) or C(remote) (it runs elsewhere, without C(folder)).
    - C(url) is its address, C(given_by) who says so (C(DOCKER_HOST) or a context; empty for the default
      socket), C(version) and C(api) what it is,
      C(reason) why it is not ok, C(untried) what was not asked for want of O(probe), C(password) whether
      Ansible was given one to become root with.
  type: list
  elements: dict
"""

# dockerd needs a moment before it can be seen at all.
GRACE = 3


def knock(path: str) -> tuple[str, str]:
    """Connect to a unix socket; the docker SDK would report all of its errors in one shape."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(10)
        try:
            client.connect(path)
        except OSError as error:
            state = "denied" if error.errno in (errno.EACCES, errno.EPERM) else "none"
            return state, error.strerror or str(error)
    return "ok", ""


def sees(client: docker.APIClient, folder: str) -> bool:
    """Ask an engine for a container that mounts a folder made this moment: it refuses a source that it lacks.

    Another machine may have a folder of the same name, so the name is new each time. The container is never
    started, and its image is an empty archive, so no registry is needed.
    """
    token = secrets.token_hex(8)
    image = f"engine-sees:{token}"
    probe = Path(folder, f".engine-sees-{token}")
    empty = io.BytesIO()
    tarfile.open(fileobj=empty, mode="w").close()
    probe.mkdir()
    container = None
    try:
        client.import_image_from_data(empty.getvalue(), repository="engine-sees", tag=token)
        mount = docker.types.Mount("/probe", str(probe), type="bind", read_only=True)
        container = client.create_container(
            image, ["probe"], host_config=client.create_host_config(mounts=[mount])
        )
    except APIError as error:
        if "bind source path does not exist" not in str(error):
            raise
        return False
    finally:
        probe.rmdir()
        if container is not None:
            client.remove_container(container["Id"], v=True, force=True)
        with contextlib.suppress(ImageNotFound):
            client.remove_image(image)
    return True


def status(minimum_api: str, folder: str | None = None, probe: bool = True) -> dict[str, Any]:
    """Look once; see RETURN."""
    result: dict[str, Any] = {"state": "ok", "url": "the docker client's context", "given_by": "a context"}
    result |= dict.fromkeys(("version", "api", "reason", "untried"), "")
    try:
        address = engine.address()
    except engine.EngineError as error:
        return result | {"state": "none", "reason": error.message}
    url = address.host
    result |= {"url": url, "given_by": address.given_by}
    local = url.startswith(("unix://", "/"))
    if local:
        result["state"], result["reason"] = knock(url.removeprefix("unix://"))
        if result["state"] != "ok":
            return result
    if url.startswith("ssh://"):
        return result | {"state": "remote", "reason": "it is reached by ssh"}
    client = None
    try:
        client = engine.connect(timeout=20)
        found = client.version(api_version=False)
        result |= {"version": found["Version"], "api": found["ApiVersion"]}
        if version_lt(found["ApiVersion"], minimum_api):
            result |= {"state": "old", "reason": f"its API is {found['ApiVersion']}, {minimum_api} is needed"}
        elif folder and not local and not probe:
            result["untried"] = f"whether it sees {folder}"
        elif folder and not local and not sees(client, folder):
            result |= {"state": "remote", "reason": f"it does not see {folder}"}
    except (DockerException, OSError, ValueError, KeyError) as error:
        result |= {"state": "none", "reason": engine.reason(error)}
    finally:
        if client is not None:
            client.close()
    return result


class LookupModule(LookupBase):
    """Look, and go on looking for as long as wanted."""

    def run(
        self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, Any]]:
        """Return a list with one dict, see RETURN; never fails."""
        self.set_options(var_options=variables, direct=kwargs)
        asked = any(context.CLIARGS.get(option) for option in ("become_ask_pass", "become_password_file"))
        password = asked or "ansible_become_password" in (variables or {})
        started = time.monotonic()
        while True:
            result = status(*(self.get_option(name) for name in ("minimum_api", "folder", "probe")))
            result["password"] = password
            waited = time.monotonic() - started
            if result["state"] != "none" or waited >= self.get_option("wait"):
                return [result]
            if waited > GRACE and not host_ports.may_run("dockerd"):
                return [result]
            time.sleep(0.2)
