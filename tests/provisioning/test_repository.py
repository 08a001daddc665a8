"""House rules for the repository's files as a whole: what a person who reads or edits them relies on."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.by_path import ROOT

MOST_LINES = 250


def tracked(*patterns: str) -> list[Path]:
    """Return the files that git knows, new ones included."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return [path for name in names if (path := ROOT / name).is_file()]


# Pages and data; tests may be longer, but not the tools among them.
NO_CODE = {".md", ".json", ".txt", ".svg", ".png"}
CODE = [
    path
    for path in [*tracked(":!tests"), *tracked(":(glob)tests/*", "tests/verify")]
    if path.suffix not in NO_CODE
]


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_of_code_can_be_read_at_once(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES, "give a part of it its own file"


def test_what_a_command_in_a_container_prints_is_read_whole() -> None:
    """The SDK's own functions lose some of it under load, see module_utils/engine_exec.py."""
    found = {
        str(path.relative_to(ROOT))
        for path in [*tracked("*.py"), *tracked(".ci")]
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"\.exec_(run|start)\(", line) and "detach=True" not in line
    }
    assert found == {"tests/guard/test_engine_exec.py"}


def test_programs_in_python_without_an_ending_are_linted() -> None:
    plain = [path for path in tracked() if not path.suffix]
    programs = {str(path.relative_to(ROOT)) for path in plain if re.match(rb"#!.*python", path.read_bytes())}
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]
    assert programs, "they are found"
    assert programs <= set(settings["extend-include"])


CODE_SPAN = re.compile(r"`([\w./-]+)`")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
PAGES = tracked("*.md")
# What a run makes, in the folders that hold it.
MADE = ("env/", "certs/", "reports/", "backups/", ".venv/", "inventories/shards")


def dead_paths(page: Path) -> list[str]:
    """Return the paths that a page names, as links or as code, and that are not in the repository."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    folders = {path.relative_to(ROOT).parts[0] for path in tracked() if path.parent != ROOT}
    links = [target for target in LINK.findall(text) if "://" not in target]
    spans = [span for span in CODE_SPAN.findall(text) if "/" in span and span.split("/")[0] in folders]
    return [
        *(target for target in links if not (page.parent / target).exists()),
        *(span for span in spans if not span.startswith(MADE) and not (ROOT / span).exists()),
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    assert dead_paths(page) == []


def test_a_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "See `src/main.py`, `src/gone.py`, `GET /health`, [this](page.md#top), [that](gone.md).\n"
    )
    assert dead_paths(page) == ["gone.md", "src/gone.py"]


def test_git_hooks_are_the_checks_of_make_lint() -> None:
    (listed,) = re.findall(r"^lints = (.*)$", (ROOT / "tests/targets.mk").read_text(), re.MULTILINE)
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert {hook["id"]: hook["entry"] for hook in local["hooks"]} == {
        name: f"make {name}" for name in listed.split()
    }


def test_the_pipelines_run_every_step() -> None:
    run = (ROOT / ".ci/run").read_text()
    steps = set(re.findall(r"^ *step ([a-z-]+) ", run, re.MULTILINE)) - {"packages", "bootstrap", "engine"}
    github = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())["jobs"]
    gitlab = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text())["step"]["parallel"]["matrix"]
    # GitHub's job `lint` has the two that need no engine.
    assert {*github["step"]["strategy"]["matrix"]["step"], "lint", "generate"} == steps
    assert set(gitlab[0]["STEP"]) == steps
    page = (ROOT / "docs/ci.md").read_text()
    assert {step for step in steps if f"`{step}`" not in page} == set()


def test_actions_are_pinned_by_commit() -> None:
    workflow = (ROOT / ".github/workflows/test.yml").read_text()
    used = re.findall(r"uses: (.*)", workflow)
    assert used
    assert [each for each in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[0-9.]+", each)] == []
    assert workflow.count("actions/checkout@") == workflow.count("persist-credentials: false")
    assert "secrets." not in workflow


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_lines_of_a_page_fit_a_narrow_window(page: Path) -> None:
    """A table's row and what a terminal shows cannot be wrapped; everything else can."""
    text = re.sub(r"(?ms)^```console\n.*?^```$", "", page.read_text(encoding="utf-8"))
    assert [line for line in text.splitlines() if len(line) > 120 and not line.startswith("|")] == []


def test_the_readme_names_every_folder() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    folders = {path.relative_to(ROOT).parts[0] for path in tracked() if path.parent != ROOT}
    assert {folder for folder in folders if f"`{folder}/`" not in text} == set()


def test_every_licence_has_its_text() -> None:
    named = set(
        re.findall(r'^SPDX-License-Identifier = "(.*)"$', (ROOT / "REUSE.toml").read_text(), re.MULTILINE)
    )
    assert {path.stem for path in (ROOT / "LICENSES").iterdir()} == named
    assert (ROOT / "LICENSES/MIT.txt").read_text() == (ROOT / "LICENSE").read_text()
    assert set(yaml.safe_load((ROOT / "galaxy.yml").read_text())["license"]) == named
