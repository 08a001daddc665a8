"""Every password is the same for all who read it, or is refused with the reason before anything starts."""

import json
import os
import random
import string
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from dotenv import dotenv_values

from src.core.config import OwnerSettings, load
from src.core.database_address import DatabaseAddress
from src.core.security.secret_strength import PLACEHOLDER
from src.core.test_databases import policy
from tests.by_path import environment_variables
from tests.by_path import load as plugin
from tests.provisioning import playbook

quoting = plugin("plugins/filter/dotenv_value.py")
local = plugin("plugins/action/keys_local.py")

COUNT = 500
VISIBLE = string.ascii_letters + string.digits + string.punctuation * 3 + " äß€ж漢😀🔑"
INVISIBLE = "\n\r\t\0\x1b\x7f\x85\u00a0\u00ad\u200b\u200d\u2028\u2060\ufeff\ue000"
OWN = [
    *(
        "'",
        '"',
        "\\",
        "$",
        "%",
        "#",
        "/",
        ":",
        "@",
        "?",
        "&",
        "`",
        "!",
        "~",
        " ",
        "{{",
        "{%",
        "${HOME}",
        "$(id)",
    ),
    *(
        "{{ lookup('env', 'HOME') }}",
        "%2F",
        "%",
        "%%41",
        " leading",
        "trailing ",
        "a b",
        "it's",
        "\\'",
        "\\\\",
        "\\n",
    ),
    *(
        "-rf",
        "=",
        "a=b",
        "#no comment",
        "a #b",
        "null",
        "true",
        "0123",
        "1e5",
        "[]",
        "*",
        "😀",
        "é",
        "e\u0301",
    ),
]
PLAY = """
- hosts: localhost
  gather_facts: false
  vars: {ansible_python_interpreter: "{{ ansible_playbook_python }}"}
  tasks:
    - name: Write URLs as playbooks/environment does, and all of it as the env file
      ansible.builtin.import_role: {name: dashtam.stack.env_file}
      vars:
        passwords: "{{ lookup('ansible.builtin.file', 'passwords.json') | from_json }}"
        urls: "{{ lookup('ansible.builtin.template', 'urls.j2') | split }}"
        env_file_path: "{{ playbook_dir }}/rendered.env"
        env_file_header: rendered
        names: "{{ range(passwords | length * 2) | map('regex_replace', '^', 'V') }}"
        env_file_values: "{{ dict(names | zip(passwords + urls)) }}"
    - name: Hand over what a container is given
      ansible.builtin.copy:
        content: "{{ lookup('ansible.builtin.template', 'urls.j2') | split | to_json }}"
        dest: "{{ playbook_dir }}/urls.json"
        mode: "0600"
      vars:
        passwords: "{{ lookup('ansible.builtin.file', 'passwords.json') | from_json }}"
"""


def generated() -> list[str]:
    """500, always the same; a fifth of them hold one character that nobody sees."""
    chance = random.Random(9017)  # noqa: S311 - they protect nothing
    found = dict.fromkeys(OWN)
    while len(found) < COUNT:
        value = "".join(chance.choices(VISIBLE, k=chance.randint(1, 40)))
        if len(found) % 5 == 0:
            place = chance.randint(0, len(value))
            value = value[:place] + chance.choice(INVISIBLE) + value[place:]
        # The application refuses what looks like a placeholder, whatever its characters.
        if not PLACEHOLDER.search(value):
            found[value] = None
    return list(found)


PASSWORDS = generated()
ACCEPTED = [value for value in PASSWORDS if not set(value) & set(INVISIBLE)]


def rendered(folder: Path, passwords: list[str]) -> tuple[Path, list[str]]:
    """The env file and the URLs that Ansible makes of them, by the project's own expression for one."""
    variables = environment_variables()
    url = variables["dashtam_app_env"]["DATABASE_URL"]
    fixed = "{% set postgres_owner, postgres_database = 'owner', 'dashtam_test' %}"
    each = "{% set keys_values = {'POSTGRES_PASSWORD': password} %}"
    template = f"{fixed}{{% for password in passwords %}}{each}{url}\n{{% endfor %}}"
    (folder / "urls.j2").write_text(template, encoding="utf-8")
    (folder / "passwords.json").write_text(json.dumps(passwords), encoding="utf-8")
    playbook.finish(playbook.start_alone(folder, PLAY))
    return folder / "rendered.env", json.loads((folder / "urls.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    return rendered(tmp_path_factory.mktemp("passwords"), ACCEPTED)


def test_there_are_enough() -> None:
    assert len(set(PASSWORDS)) == COUNT
    assert 350 < len(ACCEPTED) < 450
    assert set("".join(ACCEPTED)) >= set(string.printable.rstrip(string.whitespace)) | {" "}
    assert {character for value in PASSWORDS for character in value} >= set(INVISIBLE)


@pytest.mark.parametrize("value", [value for value in PASSWORDS if value not in set(ACCEPTED)], ids=ascii)
def test_what_nobody_sees_is_refused_with_the_reason(value: str) -> None:
    (message,) = quoting.dotenv_refused({"POSTGRES_PASSWORD": value})
    assert message.startswith("POSTGRES_PASSWORD cannot be an environment variable: it holds ")
    assert message.isprintable()
    # And the guard agrees, whoever set its variable.
    with pytest.raises(policy.RefusalError):
        policy.read_target(environment(value))


def environment(password: str, url: str = "") -> dict[str, str]:
    url = url or f"postgresql+asyncpg://owner:{quote(password, safe='')}@postgres:5432/dashtam_test"
    return {"ENVIRONMENT": "testing", "TESTING": "true", "DATABASE_URL": url}


def test_the_application_and_its_guard_read_the_password_that_was_given(
    made: tuple[Path, list[str]],
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    record_property("cases", len(ACCEPTED))
    for password, url in zip(ACCEPTED, made[1], strict=True):
        assert quoting.dotenv_refused({"POSTGRES_PASSWORD": password, "DATABASE_URL": url}) == []
        monkeypatch.setenv("DATABASE_URL", url)
        monkeypatch.setenv("APP_DATABASE_URL", url)
        address = load(OwnerSettings).owner
        assert address == DatabaseAddress("owner", password, "postgres", 5432, "dashtam_test")
        assert policy.read_target(environment(password, url)).password == password


def written(path: Path) -> set[str]:
    """The names that stand in the file: all URLs, and the passwords for which there is a spelling."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {line.partition("=")[0] for line in lines if line}


def test_the_env_file_holds_them_for_python_dotenv_and_a_shell(made: tuple[Path, list[str]]) -> None:
    path, urls = made
    expected = {f"V{number}": value for number, value in enumerate([*ACCEPTED, *urls])}
    names = written(path)
    assert len(names) > 0.8 * len(expected)
    assert {f"V{number}" for number in range(len(ACCEPTED), len(expected))} <= names
    expected = {name: value for name, value in expected.items() if name in names}
    assert dict(dotenv_values(path)) == expected
    tell = "import json, os; print(json.dumps(dict(os.environ)))"
    command = ["sh", "-c", 'set -a; . "$1"; exec "$2" -c "$3"', "sh", str(path), sys.executable, tell]
    clean = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=clean)
    seen = json.loads(run.stdout)
    assert {name: seen[name] for name in names} == expected


def test_a_person_can_write_them_into_the_local_file() -> None:
    for password in ACCEPTED:
        text = "POSTGRES_PASSWORD: '" + password.replace("'", "''") + "'\n"
        assert local.parse(Path("local.dev.yml"), text).values == {"POSTGRES_PASSWORD": password}


def test_nothing_of_them_is_printed(tmp_path: Path) -> None:
    """Not even where one of them is refused."""
    (tmp_path / "passwords.json").write_text(
        json.dumps([*ACCEPTED[:30], "canary-\u200b-canary"]), encoding="utf-8"
    )
    (tmp_path / "urls.j2").write_text("x", encoding="utf-8")
    said = playbook.finish(playbook.start_alone(tmp_path, PLAY, "-vvvvv", "--diff"), 2)
    assert "an invisible character (U+200B, zero width space); give another value" in " ".join(said.split())
    assert "canary" not in said
