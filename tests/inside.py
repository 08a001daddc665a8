"""Commands inside containers, with all that they print: the SDK's `exec_run` loses some of it under load."""

from docker.models.containers import Container

from tests.by_path import load

engine_exec = load("plugins/module_utils/engine_exec.py")


def run(
    container: Container, command: list[str], user: str = "", env: dict[str, str] | None = None
) -> tuple[int, str]:
    """Return a command's exit code, and what it printed, errors among it."""
    code, output = engine_exec.execute(container.client.api, container.id, command, user, env)
    return int(code), str(output)


def output(container: Container, command: list[str], user: str = "") -> bytes:
    """Return what a command printed without its errors; it must succeed."""
    execution = engine_exec.create(container.client.api, container.id, command, user=user)
    pieces = list(engine_exec.pieces(container.client.api, execution))
    errors = b"".join(piece for stream, piece in pieces if stream == engine_exec.ERRORS)
    assert engine_exec.exit_code(container.client.api, execution) == 0, errors
    return b"".join(piece for stream, piece in pieces if stream == engine_exec.OUTPUT)


def said(container: Container, command: list[str], user: str = "", env: dict[str, str] | None = None) -> str:
    """Return what a command printed; it must succeed."""
    code, output = run(container, command, user, env)
    assert code == 0, output
    return output
