"""What `python -m tests.canaries` would find, so that its finding nothing means something."""

import base64
import json
import shlex
from collections.abc import Callable
from urllib.parse import quote

import pytest

from tests.by_path import ROOT
from tests.canaries import canary, names, traces
from tests.canary_runs import LIFE


@pytest.mark.parametrize("name", ["POSTGRES_PASSWORD", "RELAY_TOKEN", "ENCRYPTION_KEY"])
@pytest.mark.parametrize(
    "encoded",
    [
        str,
        repr,
        quote,
        shlex.quote,
        json.dumps,
        lambda value: json.dumps(value, ensure_ascii=False),
        lambda value: quote(value, safe=""),
        lambda value: json.dumps(json.dumps(value)),
        lambda value: base64.b64encode(value.encode()).decode(),
        lambda value: base64.b64encode(f"xy: {value}, z".encode()).decode(),
        lambda value: base64.urlsafe_b64encode(f"x: {value}, z".encode()).decode(),
        lambda value: base64.b64encode(f"z: u:{quote(value, safe='')}@host".encode()).decode(),
    ],
)
def test_a_canary_is_found(name: str, encoded: Callable[[str], str]) -> None:
    value, core = canary(name)
    output = f"TASK [x] ***\nok: {encoded(value)} => ..."
    assert any(text in output for text in traces(value, core))
    other, other_core = canary(name)
    assert not any(text in output for text in traces(other, other_core))


def test_every_playbook_and_every_secret_of_a_person_is_in_it() -> None:
    assert {playbook for playbook, _, _ in LIFE} == {path.stem for path in (ROOT / "playbooks").glob("*.yml")}
    template = (ROOT / "templates/local.yml.j2").read_text(encoding="utf-8")
    assert all(f"# {name}: ''" in template for name in names())
