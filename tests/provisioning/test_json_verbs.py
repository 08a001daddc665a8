"""Every verb that answers in JSON is called so, and its answer parsed, by a test or a step of CI."""

from __future__ import annotations

import re

from tests.by_path import ROOT

MAKEFILES = [ROOT / "Makefile", *sorted((ROOT / "playbooks").glob("*.mk")), ROOT / "tests/targets.mk"]
# A rule: its targets, and what make runs for it.
RULE = re.compile(r"^([a-z][a-z -]*):(?![:=]).*\n((?:\t.*\n)+)", re.MULTILINE)
ASKS = re.compile(r"\$\((?:FORMAT|data|status|status_format)\)|[,(]json,\$\(FORMAT\)")
CALLERS = [*(ROOT / "tests").rglob("*.py"), *(ROOT / ".ci").iterdir()]
# answer("seed"), make("ls", "FORMAT=json"), `make seed FORMAT=json`, and staging's, on engines of their own
CALLED = re.compile(
    r'answer\(\s*"([a-z-]+)"|"(?!make")([a-z][a-z-]+)",(?: "[^"\n]*",| f"[^"\n]*",| [A-Z]+,)* "FORMAT=json"'
    r'|make ([a-z-]+) FORMAT=json|"(staging_[a-z]+)", [^\n]*_format=json'
)


def test_every_answer_in_json_is_parsed_by_somebody() -> None:
    rules = [rule for path in MAKEFILES for rule in RULE.findall(path.read_text())]
    verbs = {verb for targets, recipe in rules if ASKS.search(recipe) for verb in targets.split()}
    assert {"plan", "drift", "doctor", "history", "open", "snapshot", "staging-status"} <= verbs
    found = [call for path in CALLERS if path.is_file() for call in CALLED.findall(path.read_text())]
    called = {name.replace("_", "-") for call in found for name in call if name}
    # `make status` is its other name.
    assert verbs - called <= {"dev-status"}
    assert "status" in called
