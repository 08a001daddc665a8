"""The keys role: secrets that are made once, kept privately and never shown; a person's own values."""

from __future__ import annotations

import base64
import json
import os
import stat
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from tests.by_path import environment_variables, load
from tests.provisioning import playbook

NAMES: dict[str, dict[str, Any]] = {
    "PASSWORD": {"kind": "password", "length": 24},
    "TOKEN": {"kind": "token"},
    "KEY": {"kind": "base64_32"},
}


store = load("plugins/action/keys_store.py")
local = load("plugins/action/keys_local.py")


def provide(path: Path, **changes: Any) -> tuple[dict[str, str], bool]:
    arguments = {
        "names": NAMES,
        "given": {},
        "may_generate": True,
        "refusal": "",
        "dry_run": False,
        **changes,
    }
    names, given = arguments.pop("names"), arguments.pop("given")
    values, changed = store.provide(path, names, given, **arguments)
    return values, changed


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a folder" / "secrets.yml"


def test_kinds() -> None:
    assert len(store.generate("password", 24)) == 24
    assert store.generate("password").isalnum()
    assert len(base64.urlsafe_b64decode(store.generate("base64_32"))) == 32
    assert store.generate("token") != store.generate("token")
    with pytest.raises(store.Problem, match="keys_names: 'pasword' is not a kind"):
        store.generate("pasword")


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_first_run_is_private_and_the_second_changes_nothing(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        values, changed = provide(path)
    finally:
        os.umask(before)
    assert changed
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    assert set(values) == set(NAMES)
    content = path.read_bytes()
    assert provide(path) == (values, False)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_only_what_is_missing_is_generated_and_the_rest_of_the_file_stays(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("# mine\nTOKEN: keep\nOLD: other", encoding="utf-8")
    path.chmod(0o600)
    values, changed = provide(path)
    assert changed
    assert values["TOKEN"] == "keep"
    assert "OLD" not in values
    assert path.read_text(encoding="utf-8").startswith("# mine\nTOKEN: keep\nOLD: other\nPASSWORD: ")
    assert provide(path) == (values, False)


def test_a_given_value_wins_and_is_not_stored(path: Path) -> None:
    values, _ = provide(path, given={"TOKEN": "of a person"})
    assert values["TOKEN"] == "of a person"
    assert "of a person" not in path.read_text(encoding="utf-8")
    assert provide(path, given={"TOKEN": "another"}, may_generate=False)[0]["TOKEN"] == "another"


def test_nothing_is_generated_where_a_missing_secret_is_a_loss(path: Path) -> None:
    with pytest.raises(store.Problem, match=r"secrets\.yml is missing\. Restore it\.$"):
        provide(path, may_generate=False, refusal="Restore it.")
    assert not path.exists()
    provide(path, names={"TOKEN": NAMES["TOKEN"]})
    with pytest.raises(store.Problem, match="has no PASSWORD, KEY"):
        provide(path, may_generate=False)


def test_what_no_data_depends_on_is_generated_in_any_case(path: Path) -> None:
    stored, _ = provide(path, names={"TOKEN": NAMES["TOKEN"]})
    names = {"TOKEN": NAMES["TOKEN"], "LATER": {"kind": "token", "replaceable": True}}
    values, changed = provide(path, names=names, may_generate=False)
    assert changed
    assert values.keys() == {"TOKEN", "LATER"}
    assert values["TOKEN"] == stored["TOKEN"]
    path.unlink()
    with pytest.raises(store.Problem, match=r"secrets\.yml is missing"):
        provide(path, names=names, may_generate=False)


def test_a_dry_run_has_values_and_writes_nothing(path: Path) -> None:
    values, changed = provide(path, dry_run=True)
    assert changed
    assert all(values.values())
    assert not path.parent.exists()


def test_a_file_that_others_can_read_is_closed(path: Path) -> None:
    provide(path)
    path.chmod(0o644)
    assert provide(path, dry_run=True)[1]
    assert mode(path) == 0o644
    assert provide(path)[1]
    assert mode(path) == 0o600


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A: 'canary\nB: x\n", "line 3: not valid YAML"),
        ("- canary\n", "not a list of NAME: value lines"),
        ("TOKEN: 12\n", "TOKEN is not quoted text"),
        ("TOKEN:\n", "TOKEN is not quoted text"),
        ("TOKEN: [canary]\n", "TOKEN is not quoted text"),
    ],
)
def test_damage_is_told_and_left_alone(path: Path, text: str, message: str) -> None:
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    with pytest.raises(store.Problem, match=message) as caught:
        provide(path)
    assert "canary" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_text(encoding="utf-8") == text


def run_once(path: Path) -> dict[str, str]:
    return provide(path)[0]


def test_runs_at_the_same_time_agree(path: Path) -> None:
    with ProcessPoolExecutor(4) as pool:
        results = list(pool.map(run_once, [path] * 8))
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("password", ["p%a@s:s/w#o$r'd\" \\?&=+~ü", "{{ 1 + 1 }}", "%2F", "😀 \t\n"])
def test_a_url_keeps_a_password_within_its_part(password: str) -> None:
    declared = environment_variables()["dashtam_app_env"]
    variables = {
        "keys_values": {"POSTGRES_PASSWORD": password},
        "postgres_owner": "o",
        "postgres_database": "d",
    }
    template = trust_as_template(declared["DATABASE_URL"])
    url = urlsplit(Templar(loader=DataLoader(), variables=variables).template(template))
    assert (url.hostname, url.port, url.path, url.query, url.fragment) == ("postgres", 5432, "/d", "", "")
    assert url.password == quote(password, safe="")
    assert unquote(url.password) == password


def test_container_variables_are_taken_as_written_and_role_variables_as_yaml(path: Path) -> None:
    read = local.parse(
        path,
        "# a comment\nPOSTGRES_PASSWORD: 0123\nDB_ECHO: yes\nSECRET_KEY: 'p%a@s:s/w#o$r\"d {{ x }}'\n"
        "SCHWAB_API_KEY:\nLOG_LEVEL: ''\npostgres_host_port: 5532\nredis_host_port: null\n",
    )
    assert read.values == {
        "POSTGRES_PASSWORD": "0123",
        "DB_ECHO": "yes",
        "SECRET_KEY": 'p%a@s:s/w#o$r"d {{ x }}',
    }
    assert read.variables == {"postgres_host_port": 5532, "redis_host_port": None}
    assert read.lines["SECRET_KEY"] == 4
    assert local.parse(path, "---\n# nothing yet\n") == local.Local()


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("A: x\nPASSWORD: 'canary\n", "line 3: not valid YAML"),
        ("A: x\nPASSWORD: @canary\n", "line 2: not valid YAML"),
        ("A: x\nPASSWORD: *canary\n", "line 2: not valid YAML"),
        ("A: x\nPASSWORD: a: canary\n", "line 2: not valid YAML"),
        ("PASSWORD:canary\n", "line 1: write NAME: value, with a space"),
        ("A: x\nPASSWORD: {canary: 1}\n", "line 2: PASSWORD needs one text"),
        ("A: x\nB: y\nA: canary\n", "line 3: A is given in line 1 too"),
        ("port: !!python/object:canary {}\n", "line 1: the value of port is not valid"),
        ("A: '{{ fine }}'\nport: '{{ canary }}'\n", "line 2: port holds a template"),
        ("A: can\0ary\n", "characters that YAML does not allow"),
    ],
)
def test_a_fault_in_a_persons_file_is_one_line_without_the_value(path: Path, text: str, where: str) -> None:
    with pytest.raises(local.Problem, match=where) as caught:
        local.parse(path, text)
    assert str(path) in str(caught.value)
    assert "canary" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_renewal_makes_other_values_and_keeps_a_keyrings_old_one_until_it_is_finished(path: Path) -> None:
    names = NAMES | {"KEYRING": {"kind": "base64_32", "keyring": True}}
    before, _ = provide(path, names=names, may_generate=True)
    given = {"TOKEN": "of a person"}
    begun, changed = provide(path, names=names, given=given, renewal="begin", may_generate=False)
    assert changed
    assert {name for name in names if begun[name] != before[name]} == set(names)
    assert begun["TOKEN"] == "of a person"
    new, old = begun["KEYRING"].split(",")
    assert (old, len(base64.urlsafe_b64decode(new))) == (before["KEYRING"], 32)
    again, _ = provide(path, names=names, given=given, renewal="begin")
    assert again["KEYRING"].endswith(f",{begun['KEYRING']}")
    finished, changed = provide(path, names=names, given=given, renewal="finish")
    assert changed
    assert finished == again | {"KEYRING": again["KEYRING"].split(",")[0]}
    assert provide(path, names=names, given=given, renewal="finish") == (finished, False)
    # What a person gives was not renewed in the file.
    assert provide(path, names=names)[0]["TOKEN"] == before["TOKEN"]
    assert mode(path) == 0o600


PLAY = """
- name: Keys
  hosts: localhost
  gather_facts: false
  vars:
    folder: "{{ playbook_dir }}/env"
  tasks:
    - name: Local
      ansible.builtin.import_role: {name: dashtam.stack.keys, tasks_from: local_file}
      vars:
        keys_local_file: "{{ folder }}/local.yml"
        keys_local_template: "{{ playbook_dir }}/local.yml.j2"
    - name: Keys
      ansible.builtin.import_role: {name: dashtam.stack.keys}
      vars:
        keys_file: "{{ folder }}/secrets.yml"
        keys_names: {PASSWORD: {kind: password}, TOKEN: {kind: token}}
        keys_given: "{{ keys_local_values }}"
    - name: Compare
      ansible.builtin.assert:
        that: keys_values.TOKEN == lookup('ansible.builtin.env', 'WANTED_TOKEN')
      when: lookup('ansible.builtin.env', 'WANTED_TOKEN') | length > 0
      no_log: true
"""


def play(folder: Path, *arguments: str, code: int = 0, **environment: str) -> str:
    (folder / "local.yml.j2").write_text("# yours\n# TOKEN: ''\n", encoding="utf-8")
    return playbook.finish(playbook.start_alone(folder, PLAY, *arguments, **environment), code)


def test_role_shows_no_secret_at_any_verbosity(tmp_path: Path) -> None:
    local_file = tmp_path / "env" / "local.yml"
    play(tmp_path, "--check", "--diff")
    assert not local_file.parent.exists()

    loud = play(tmp_path, "-vvvvv", "--diff", code=2, WANTED_TOKEN="another, so that Compare fails")
    secrets = list(yaml.safe_load((tmp_path / "env" / "secrets.yml").read_text(encoding="utf-8")).values())
    assert len(secrets) == 2
    assert mode(local_file) == 0o600
    assert "changed=0" in play(tmp_path)

    # A value that means something to Jinja or YAML arrives as it is, and is not shown either.
    own = "canary % @ : / # $ ' \" {{ 1 + 1 }} 0x1"
    local_file.write_text(f"TOKEN: {json.dumps(own)}\n", encoding="utf-8")
    given = play(tmp_path, "-vvvvv", "--diff", WANTED_TOKEN=own)
    local_file.write_text("TOKEN: 'canary\n", encoding="utf-8")
    broken = play(tmp_path, "-vvvvv", "--diff", code=2)
    assert "local.yml, line 2: not valid YAML" in broken

    for output in (loud, given, broken):
        for secret in [*secrets, "canary"]:
            assert secret not in output
