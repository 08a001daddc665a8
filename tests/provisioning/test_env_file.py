"""The env_file role: values that every real reader reads alike, and hand edits that are never lost."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from ansible.errors import AnsibleFilterError
from dotenv import dotenv_values

from tests.by_path import ROOT, load
from tests.provisioning import playbook

DOCKER = shutil.which("docker") or ""

quoting = load("plugins/filter/dotenv_value.py")
env_file = load("plugins/action/env_file.py")


def every_short_value() -> list[str]:
    """All texts of up to three characters that mean something to one of the readers, and some longer ones."""
    alphabet = " '\"$\\`#={}(a!~*"
    short = [
        "".join(letters) for length in range(4) for letters in itertools.product(alphabet, repeat=length)
    ]
    own = [
        "p%a@s:s/w#o",
        "two words",
        "it's",
        'say "x"',
        " a ",
        "a #b",
        "$HOME",
        "a$'b",
        "C:\\new",
        "ü€😀",
    ]
    return short + own


def spelled(values: list[str]) -> dict[str, tuple[str, str]]:
    """Those of the values that can be written: by name, the value and how it is spelled."""
    result = {}
    for number, value in enumerate(values):
        try:
            result[f"V{number}"] = (value, quoting.spell(value))
        except quoting.Unwritable:
            continue
    return result


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[str, str]]]:
    values = spelled(every_short_value())
    path = tmp_path_factory.mktemp("a folder") / "values.env"
    path.write_text(
        "".join(f"{name}={spelling}\n" for name, (_, spelling) in values.items()), encoding="utf-8"
    )
    return path, values


def test_python_dotenv_reads_what_was_meant(written: tuple[Path, dict[str, tuple[str, str]]]) -> None:
    path, values = written
    assert dict(dotenv_values(path)) == {name: value for name, (value, _) in values.items()}


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_shell_reads_what_was_meant(written: tuple[Path, dict[str, tuple[str, str]]], shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"no {shell} on this machine")
    path, values = written
    tell = "import json, os; print(json.dumps(dict(os.environ)))"
    command = [shell, "-c", 'set -a; . "$1"; exec "$2" -c "$3"', shell, str(path), sys.executable, tell]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    seen = json.loads(run.stdout)
    assert {name: seen[name] for name in values} == {name: value for name, (value, _) in values.items()}


class Recorder(BaseHTTPRequestHandler):
    """Takes down what the docker client asks an engine to create; the client is the real one."""

    created: ClassVar[list[str]] = []

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.split("?")[0].endswith("/containers/create"):
            self.created[:] = json.loads(body)["Env"]
        self.send_response(400 if body else 200)
        self.send_header("Api-Version", "1.41")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD = do_POST = answer

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.mark.skipif(not DOCKER, reason="no docker client on this machine")
def test_the_docker_client_reads_what_is_plain_and_keeps_quotes(
    written: tuple[Path, dict[str, tuple[str, str]]],
) -> None:
    path, values = written
    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        subprocess.run(
            [DOCKER, "create", "--pull", "never", "--env-file", str(path), "image"],
            env={
                **os.environ,
                "DOCKER_HOST": f"tcp://127.0.0.1:{server.server_port}",
                "DOCKER_API_VERSION": "1.41",
            },
            capture_output=True,
            check=False,
        )
    finally:
        server.shutdown()
        server.server_close()
    seen = dict(line.partition("=")[::2] for line in Recorder.created)
    assert {name: seen[name] for name in values} == {name: spelling for name, (_, spelling) in values.items()}
    named = quoting.dotenv_quoted({name: value for name, (value, _) in values.items()})
    assert {name for name, (value, _) in values.items() if seen[name] != value} == set(named)


@pytest.mark.parametrize(
    ("value", "spelling"),
    [
        ("", ""),
        ("postgresql+asyncpg://u:p%27@postgres:5432/x", "postgresql+asyncpg://u:p%27@postgres:5432/x"),
        ('a b#c$d"e', "'a b#c$d\"e'"),
        ("it's", '"it\'s"'),
        ("it's \\ \"", '"it\'s \\\\ \\""'),
        ("~", "'~'"),
    ],
)
def test_spellings(value: str, spelling: str) -> None:
    assert quoting.dotenv_value(value) == spelling


@pytest.mark.parametrize("value", ["it's $HOME", "it's `x`", "${HOME}", "a'${b", "\\\\$x", "$\\"])
def test_what_no_spelling_means_to_all_is_left_out_with_the_reason(value: str) -> None:
    line = quoting.dotenv_line(value, "PASSWORD")
    assert line.startswith("# PASSWORD is set in the container, not in this file: ")
    assert value not in line
    assert quoting.dotenv_refused({"PASSWORD": value}) == []
    with pytest.raises(AnsibleFilterError):
        quoting.dotenv_value(value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("can\nary", "a newline"),
        ("can\rary", "a carriage return"),
        ("can\tary", "a tab"),
        ("can\0ary", "a NUL character"),
        ("can\x1bary", "a control character"),
        ("can\x85ary", "a control character"),
        ("can\ud800ary", "a control character"),
        ("can\u00a0ary", "an invisible character (U+00A0, no-break space)"),
        ("can\u200bary", "an invisible character (U+200B, zero width space)"),
        ("\ufeffary", "an invisible character (U+FEFF, zero width no-break space)"),
        ("can\u2028ary", "an invisible character (U+2028, line separator)"),
        ("can\ue000ary", "an invisible character (U+E000, without a name)"),
        (5432, "needs a string, not int"),
        (True, "needs a string, not bool"),
        (None, "needs a string, not NoneType"),
    ],
)
def test_what_no_environment_can_hold_is_refused_without_the_value(value: object, reason: str) -> None:
    (message,) = quoting.dotenv_refused({"PASSWORD": value})
    assert message.startswith("PASSWORD ")
    assert reason in message
    assert "ary" not in message
    with pytest.raises(AnsibleFilterError):
        quoting.dotenv_line(value, "PASSWORD")


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "Ä", "A\nB"])
def test_names_that_no_shell_takes_are_refused(name: str) -> None:
    assert len(quoting.dotenv_refused({name: "x"})) == 1


BODY = """\
# Application
LOG_LEVEL=INFO

PASSWORD='secret one'
# TOKEN is set in the container, not in this file: x
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a folder" / ".env.dev"


def keep(path: Path, body: str = BODY, *, dry_run: bool = False) -> bool:
    changed: bool = env_file.keep(path, env_file.compose("rendered, edit local.yml", body), dry_run=dry_run)
    return changed


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_file_is_private_and_written_once(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        assert keep(path, dry_run=True)
        assert not path.parent.exists()
        assert keep(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.read_text(encoding="utf-8").splitlines()[0] == "# rendered, edit local.yml"
    assert not keep(path)
    assert list(path.parent.iterdir()) == [path]
    path.chmod(0o644)
    assert keep(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_other_values_replace_a_file_that_nobody_edited(path: Path) -> None:
    keep(path)
    assert keep(path, BODY.replace("INFO", "DEBUG"))
    assert "LOG_LEVEL=DEBUG" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("LOG_LEVEL=INFO", "LOG_LEVEL=DEBUG", "LOG_LEVEL"),
        ("'secret one'", "'secret two'", "PASSWORD"),
        ("LOG_LEVEL=INFO", "LOG_LEVEL=INFO\r", "LOG_LEVEL"),
        ("LOG_LEVEL=INFO\n", "", "LOG_LEVEL"),
        ("LOG_LEVEL=INFO\n", "LOG_LEVEL=INFO\nexport NEW=1\n", "NEW"),
        ("# TOKEN is set in the container, not in this file: x", "TOKEN=secret", "TOKEN"),
        ("LOG_LEVEL=INFO\n", "LOG_LEVEL=INFO\nsecret\n", "line 3 below the checksum"),
        ("# Application", "# secret", "a comment"),
        ("\n\nPASSWORD", "\nPASSWORD", "blank lines or the order of lines"),
    ],
)
def test_a_hand_edit_is_named_and_kept(path: Path, old: str, new: str, named: str) -> None:
    keep(path)
    edited = path.read_text(encoding="utf-8").replace(old, new)
    path.write_bytes(edited.encode())
    for dry_run in (True, False):
        with pytest.raises(env_file.Problem) as caught:
            keep(path, dry_run=dry_run)
        assert str(caught.value).startswith(f"{path} was edited by hand: {named}. Move the edit ")
    assert path.read_bytes() == edited.encode()


def test_an_edit_that_was_moved_to_its_proper_place_is_taken_back(path: Path) -> None:
    keep(path)
    path.write_text(path.read_text(encoding="utf-8").replace("=INFO", "=DEBUG"), encoding="utf-8")
    assert keep(path, BODY.replace("=INFO", "=DEBUG"))
    assert not keep(path, BODY.replace("=INFO", "=DEBUG"))


def test_a_file_of_somebody_else_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("LOG_LEVEL=INFO\n", encoding="utf-8")
    with pytest.raises(env_file.Problem, match="was not written by this role"):
        keep(path)


PLAY = """
- name: Env file
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Render
      ansible.builtin.import_role: {name: dashtam.stack.env_file}
      vars:
        env_file_path: "{{ playbook_dir }}/.env.dev"
        env_file_template: "{{ project }}/templates/env.j2"
        env_file_header: rendered, edit env/local.dev.yml
        env_file_values: "{{ lookup('ansible.builtin.file', playbook_dir ~ '/values.json') | from_json }}"
"""


def play(folder: Path, values: dict[str, object], *arguments: str, code: int = 0) -> str:
    (folder / "values.json").write_text(json.dumps(values), encoding="utf-8")
    extra = ("-e", json.dumps({"project": str(ROOT)}))
    return playbook.finish(playbook.start_alone(folder, PLAY, *extra, *arguments), code)


def test_role_shows_no_value_at_any_verbosity(tmp_path: Path) -> None:
    values: dict[str, object] = {
        "ENVIRONMENT": "development",
        "POSTGRES_PASSWORD": "canary % @ : / # $ ' \" {{ 1 + 1 }}",
        "SECRET_KEY": "canary two words",
        "SCHWAB_API_KEY": "{% canary %}",
    }
    path = tmp_path / ".env.dev"
    dry = play(tmp_path, values, "--check", "-vvvvv", "--diff")
    assert not path.exists()
    first = play(tmp_path, values, "-vvvvv", "--diff")
    assert dict(dotenv_values(path)) == values
    assert "keep the quotes of POSTGRES_PASSWORD, SECRET_KEY" in path.read_text(encoding="utf-8")
    assert "changed=0" in play(tmp_path, values)

    path.write_text(path.read_text(encoding="utf-8").replace("two words", "three words"), encoding="utf-8")
    edited = play(tmp_path, values, "-vvvvv", "--diff", code=2)
    assert ".env.dev was edited by hand: SECRET_KEY. Move" in edited

    wrong = values | {"SECRET_KEY": "canary\n", "SCHWAB_API_KEY": 4711}
    refused = play(tmp_path, wrong, "-vvvvv", "--diff", code=2)
    assert "SECRET_KEY cannot be an environment variable: it holds a newline" in refused
    assert "SCHWAB_API_KEY needs a string, not int" in refused

    for output in (dry, first, edited, refused):
        assert "canary" not in output
        assert "4711" not in output
