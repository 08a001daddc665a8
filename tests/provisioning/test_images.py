"""The images role's own decisions: which family, what is missing, what may go. No engine is asked."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.by_path import ROOT, load

FILES = ROOT / "roles/images/files"

plan = load("plugins/lookup/images_plan.py")
requirements_fault = load("plugins/module_utils/requirements_file.py").requirements_fault
build = load("plugins/action/images_build.py")

OFFICIAL = {
    "postgres": "postgres:17",
    "redis": "redis:8",
    "python": "python:3.13",
    "app": "local/app:official",
    "tests": "local/app-tests:official",
    "monitoring": "local/monitoring:official",
    "grafana": "grafana/grafana:12",
}
BUILT = {
    name: f"local/{name}:built"
    for name in ("base", "postgres", "redis", "python", "app", "tests", "monitoring")
} | {"grafana": OFFICIAL["grafana"]}
ALL_OFFICIAL = set(OFFICIAL.values())
ALL_BUILT = set(BUILT.values())


def planned(
    present: set[str],
    source: str = "auto",
    family: str = "",
    answer: str | None = None,
    rebuild: bool = False,
) -> Any:
    """Make a plan; `answer` is what the registry says, None where it must not be asked."""
    wanted = plan.Wanted(source, family, OFFICIAL, BUILT, rebuild)
    return plan.make_plan(wanted, present.__contains__, None if answer is None else lambda _: answer)


@pytest.mark.parametrize(
    ("source", "family", "present", "chosen"),
    [
        ("auto", "", ALL_OFFICIAL, "official"),
        ("auto", "", ALL_BUILT, "debian"),
        ("auto", "", ALL_OFFICIAL | ALL_BUILT, "official"),
        ("auto", "debian", ALL_OFFICIAL | ALL_BUILT, "debian"),
        ("auto", "official", ALL_OFFICIAL | ALL_BUILT, "official"),
        ("pull", "", ALL_OFFICIAL | ALL_BUILT, "official"),
        ("build", "", ALL_OFFICIAL | ALL_BUILT, "debian"),
        ("pull", "official", ALL_OFFICIAL, "official"),
        ("build", "debian", ALL_BUILT, "debian"),
    ],
)
def test_what_is_present_decides_and_nothing_is_left_to_do(
    source: str, family: str, present: set[str], chosen: str
) -> None:
    result = planned(present, source, family)
    assert (result.family, result.pull, result.build) == (chosen, [], [])
    assert not result.undecided
    assert not result.error


@pytest.mark.parametrize(
    ("names", "present", "family", "ask", "made"),
    [
        (("redis",), {OFFICIAL["redis"]}, "official", OFFICIAL["redis"], []),
        (("redis",), {BUILT["redis"]}, "debian", OFFICIAL["redis"], []),
        (("app",), {BUILT["python"]}, "debian", OFFICIAL["python"], ["app"]),
        (("app", "redis"), {OFFICIAL["app"], OFFICIAL["redis"]}, "official", OFFICIAL["redis"], []),
        (("monitoring",), {BUILT["python"]}, "debian", OFFICIAL["python"], ["monitoring"]),
        (("monitoring",), {OFFICIAL["python"]}, "official", OFFICIAL["python"], ["monitoring"]),
    ],
)
def test_an_image_that_is_not_wanted_is_not_looked_for(
    names: tuple[str, ...], present: set[str], family: str, ask: str, made: list[str]
) -> None:
    result = plan.make_plan(plan.Wanted("auto", "", OFFICIAL, BUILT, names=names), present.__contains__)
    assert (result.family, result.undecided, result.ask) == (family, False, ask)
    assert (set(result.images), result.pull, result.build) == (set(names), [], made)


def test_nothing_but_what_is_wanted_is_pulled_or_built() -> None:
    wanted = plan.Wanted("auto", "", OFFICIAL, BUILT, names=("redis",))
    asked: list[str] = []

    def answer(reference: str) -> str:
        asked.append(reference)
        return ""

    pulled = plan.make_plan(wanted, set().__contains__, answer)
    assert (asked, pulled.pull, pulled.build) == ([OFFICIAL["redis"]], [OFFICIAL["redis"]], [])
    assert plan.make_plan(wanted, set().__contains__, lambda _: "no such host").build == ["base", "redis"]


@pytest.mark.parametrize("there", [ALL_OFFICIAL, ALL_BUILT])
def test_what_only_a_registry_has_is_pulled_and_decides_nothing(there: set[str]) -> None:
    grafana = OFFICIAL["grafana"]
    wanted = plan.Wanted("auto", "", OFFICIAL, BUILT, names=("postgres", "redis", "app", "grafana"))
    result = plan.make_plan(wanted, (there - {grafana}).__contains__)
    assert (result.undecided, result.pull, result.build) == (False, [grafana], [])
    assert result.images["grafana"] == grafana
    assert plan.make_plan(wanted, (there | {grafana}).__contains__).pull == []


@pytest.mark.parametrize(("source", "family"), [("pull", "debian"), ("build", "official")])
def test_a_volume_of_the_other_family_is_refused(source: str, family: str) -> None:
    error = planned(ALL_OFFICIAL | ALL_BUILT, source, family).error
    assert f"images_source is {source}" in error
    assert f"family {family}" in error
    assert "backup" in error
    assert "\n" not in error


def test_only_a_registry_can_decide_on_a_bare_engine() -> None:
    assert planned(set()).undecided


def test_a_registry_that_answers_is_pulled_from() -> None:
    result = planned(set(), answer="")
    assert result.family == "official"
    assert result.pull == ["postgres:17", "redis:8", "python:3.13"]
    assert result.build == ["app"]


def test_where_no_registry_answers_all_is_built_parents_first() -> None:
    result = planned(set(), answer="no such host")
    assert result.family == "debian"
    assert result.pull == []
    assert result.build == ["base", "postgres", "redis", "python", "app"]
    assert result.reason == "no such host"


def test_an_edited_dependency_asks_no_registry_and_builds_one_image() -> None:
    for present, family in ((ALL_OFFICIAL, "official"), (ALL_BUILT, "debian")):
        result = planned(present - {OFFICIAL["app"], BUILT["app"]})
        assert (result.family, result.pull, result.build) == (family, [], ["app"])
        assert not result.undecided


@pytest.mark.parametrize(("present", "family"), [(ALL_OFFICIAL, "official"), (ALL_BUILT, "debian")])
def test_the_tests_image_is_made_over_the_apps_where_it_is_wanted(present: set[str], family: str) -> None:
    references = OFFICIAL if family == "official" else BUILT

    def planned(*missing: str) -> Any:
        there = present - {references[name] for name in missing}
        wanted = plan.Wanted("auto", "", OFFICIAL, BUILT, names=("postgres", "redis", "app", "tests"))
        result = plan.make_plan(wanted, there.__contains__)
        assert (result.family, result.undecided, result.images["tests"]) == (
            family,
            False,
            references["tests"],
        )
        return result.pull, result.build

    assert planned() == ([], [])
    assert planned("python") == ([], [])
    assert planned("tests") == ([], ["tests"])
    assert planned("tests", "python") == ([], ["tests"])
    assert planned("app", "tests") == ([], ["app", "tests"])


def test_a_parent_that_nobody_needs_may_be_missing() -> None:
    assert planned(ALL_BUILT - {BUILT["base"], BUILT["python"]}).build == []
    assert planned(ALL_OFFICIAL - {OFFICIAL["python"]}).pull == []


def test_a_missing_parent_is_made_with_its_child() -> None:
    result = planned(ALL_BUILT - {BUILT["base"], BUILT["redis"]}, "build")
    assert result.build == ["base", "redis"]


def test_a_volume_of_official_images_never_falls_back() -> None:
    result = planned(ALL_BUILT, family="official", answer="no such host")
    assert result.family == "official"
    assert result.build == ["app"]


def test_rebuild_takes_nothing_as_present() -> None:
    assert planned(ALL_BUILT, rebuild=True, family="debian").build == [
        "base",
        "postgres",
        "redis",
        "python",
        "app",
    ]
    assert planned(ALL_OFFICIAL, rebuild=True, family="official").pull == [
        "postgres:17",
        "redis:8",
        "python:3.13",
    ]


@pytest.mark.parametrize(
    ("message", "silent"),
    [
        ('Get "https://registry.example/v2/": dial tcp: lookup registry.example: no such host', True),
        ("dial tcp 127.0.0.1:5999: connect: connection refused", True),
        ("net/http: request canceled while waiting for connection (Client.Timeout exceeded)", True),
        ("manifest unknown: manifest unknown", False),
        ("toomanyrequests: You have reached your pull rate limit", False),
        ("unauthorized: authentication required", False),
    ],
)
def test_a_refusal_is_an_answer(message: str, silent: bool) -> None:
    assert plan.no_answer(message) is silent


def references(files: Path, requirements: str = "a==1") -> dict[str, str]:
    result: dict[str, str] = plan.built_references("local", files, plan.AppImage(requirements=requirements))
    return result


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize(
    ("edited", "affected"),
    [
        ("postgres/docker-entrypoint.sh", {"postgres"}),
        ("redis/Dockerfile", {"redis"}),
        ("python/Dockerfile", {"python", "app", "tests", "monitoring"}),
        ("app/Dockerfile", {"app", "tests"}),
        ("tests/Dockerfile", {"tests"}),
        ("monitoring/Dockerfile", {"monitoring"}),
        (
            "shared/install-packages.sh",
            {"postgres", "redis", "haproxy", "python", "app", "tests", "monitoring"},
        ),
        (
            "base/build-rootfs.sh",
            {"base", "postgres", "redis", "haproxy", "python", "app", "tests", "monitoring"},
        ),
    ],
)
def test_a_tag_follows_its_inputs_and_nothing_else(tmp_path: Path, edited: str, affected: set[str]) -> None:
    shutil.copytree(FILES, tmp_path / "files")
    before = references(tmp_path / "files")
    assert before == references(FILES)
    with (tmp_path / "files" / edited).open("a") as file:
        file.write("# edited\n")
    assert changed(before, references(tmp_path / "files")) == affected


def test_an_application_of_its_own_has_an_image_of_its_own() -> None:
    theirs = plan.built_references("local", FILES, plan.AppImage("shop-app", "a==1"))
    ours = references(FILES)
    assert changed(ours, theirs) == {"app", "tests"}
    assert theirs["tests"].startswith("local/shop-app-tests:")
    assert theirs["app"] == ours["app"].replace("local/app:", "local/shop-app:")


def test_an_edited_requirement_changes_its_image_and_what_starts_from_it() -> None:
    assert changed(references(FILES), references(FILES, "a==2")) == {"app", "tests"}
    more = plan.built_references("local", FILES, plan.AppImage(requirements="a==1", test_requirements="b==1"))
    assert changed(references(FILES), more) == {"tests"}


@pytest.mark.parametrize(
    ("packages", "build_packages", "same"),
    [((), (), True), (("libpq5",), (), False), ((), ("libpq5",), False), (("b", "a"), (), False)],
)
def test_packages_are_inputs_whatever_their_order(
    packages: tuple[str, ...], build_packages: tuple[str, ...], same: bool
) -> None:
    def tag(*names: tuple[str, ...]) -> str:
        built: dict[str, str] = plan.built_references("local", FILES, plan.AppImage("app", "a==1", *names))
        return built["app"]

    assert (tag(packages, build_packages) == references(FILES)["app"]) is same
    assert tag(packages[::-1], build_packages) == tag(packages, build_packages)


HASH = "--hash=sha256:0123"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ""),
        (f"# all\na==1 {HASH}\nb==2 ; python_version < '4' \\\n    {HASH} \\\n    {HASH}\n    # via a\n", ""),
        (f"--only-binary :all:\na @ https://a.example/a.whl#egg=a {HASH}\n", ""),
        ("a==1\n", "r.txt:1: a==1 has no hash. "),
        (f"a==1 {HASH}\n# all\nb>=2  # newest\nc\n", "r.txt:3: b>=2 has no hash, and 1 more have none. "),
        ("a==1 \\\n  # --hash=sha256:0\nb\n", "r.txt:1: a==1 has no hash, and 1 more have none. "),
        (f"a==1 {HASH}\n-r more.txt\n", "r.txt:2: -r names another file, and the build has only this one. "),
        ("--editable=.\n", "r.txt:1: --editable=. names another file, and the build has only this one. "),
    ],
)
def test_requirements_that_pip_would_refuse_are_named_at_once(text: str, said: str) -> None:
    fault = requirements_fault("r.txt", text)
    assert fault.startswith(said)
    assert bool(fault) is bool(said)
    assert not said or fault.endswith("uv pip compile --generate-hashes requirements.in -o r.txt")


def test_a_context_does_not_depend_on_the_checkout(tmp_path: Path) -> None:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    contexts = []
    for mode in (0o600, 0o664):
        (folder / "run.sh").chmod(mode)
        (folder / "Dockerfile").chmod(mode)
        target = io.BytesIO()
        build.write_context(target, folder, {"ca.pem": "/dev/null"}, {"pip.conf": "[global]\n"})
        contexts.append(target.getvalue())
    assert contexts[0] == contexts[1]
    with tarfile.open(fileobj=io.BytesIO(contexts[0])) as context:
        assert {entry.name: entry.mode for entry in context} == {
            "Dockerfile": 0o644,
            "run.sh": 0o755,
            "ca.pem": 0o644,
            "pip.conf": 0o644,
        }


def test_a_context_may_have_folders(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    target = io.BytesIO()
    build.write_context(target, tmp_path, {"source/src/a.py": "/dev/null"}, {})
    with tarfile.open(fileobj=target) as context:
        found = {entry.name: (entry.isdir(), entry.mode) for entry in context}
    assert found == {
        "source": (True, 0o755),
        "source/src": (True, 0o755),
        "Dockerfile": (False, 0o644),
        "source/src/a.py": (False, 0o644),
    }


def test_a_failed_build_shows_the_end_of_its_log() -> None:
    message = build.failure("local/app:1", "".join(f"line {n}\n\n" for n in range(100)), "returned 1")
    assert message.startswith("Building local/app:1 failed.")
    assert message.splitlines()[-2:] == ["  line 99", "  returned 1"]
    assert "line 50" not in message


def test_only_older_builds_of_the_same_image_may_go() -> None:
    images = [
        {"Created": 5, "RepoTags": ["local/app:now"]},
        {"Created": 4, "RepoTags": ["local/app:last"]},
        {"Created": 3, "RepoTags": ["local/app:old", "other/app:kept"]},
        {"Created": 2, "RepoTags": None},
        {"Created": 1, "RepoTags": ["local/redis:old"]},
    ]
    assert build.superseded("local/app:now", images, keep=1) == ["local/app:old"]
    assert build.superseded("local/app:now", images, keep=0) == [
        "local/app:last",
        "local/app:old",
    ]
