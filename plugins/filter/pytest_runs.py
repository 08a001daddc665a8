"""One command for two runners: which tests go where, and what they came to together."""

from __future__ import annotations

import posixpath
import re
import shlex
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ansible_collections.dashtam.stack.plugins.module_utils.filter_module import filters

CONTAINER = ("tests/unit", "tests/integration", "tests/api", "tests/smoke")
HOST = ("tests/provisioning", "tests/guard")
# Where the checkout's tests are in the app container.
INSIDE = "/app"
# How long each test took, by which shards are made (tests/durations.py writes it).
DURATIONS = "tests/durations.json"
RUNNERS = {"container": f"{INSIDE}/", "host": ""}
SHARD = re.compile(r"([1-9]\d{0,2})/([1-9]\d{0,2})")
# Options of pytest, and of the plugins in pytest.ini, whose value may be the next word.
WITH_VALUE = {
    *("-c", "-k", "-m", "-n", "-o", "-p", "-r", "-W"),
    *(
        "--basetemp",
        "--capture",
        "--color",
        "--confcutdir",
        "--deselect",
        "--dist",
        "--durations",
        "--durations-min",
    ),
    *("--cov-config", "--cov-fail-under", "--cov-report", "--hypothesis-profile", "--hypothesis-seed"),
    *(
        "--ignore",
        "--ignore-glob",
        "--import-mode",
        "--junit-xml",
        "--log-cli-level",
        "--log-file",
    ),
    *(
        "--log-level",
        "--maxfail",
        "--maxprocesses",
        "--numprocesses",
        "--override-ini",
        "--pdbcls",
        "--rootdir",
    ),
    *("--show-capture", "--tb", "--verbosity"),
}
# Of these, the value is a path, or begins with one.
WITH_PATH = {"--deselect", "--ignore", "--ignore-glob"}


def below_checkout(word: str, checkout: str) -> str:
    """Return a path, or a test's id, as it is below the checkout: of ./, of the container, or absolute."""
    path, *rest = word.split("::", 1)
    path = posixpath.normpath(path)
    for root in (checkout, INSIDE):
        path = path.removeprefix(f"{root.rstrip('/')}/")
    return "::".join([path, *rest])


def split(arguments: str, checkout: str) -> tuple[list[str], list[str]]:
    """Return the options with their values, and all other words, which name tests.

    :raises ValueError: a quote is not closed.
    """
    options: list[str] = []
    named = []
    words = iter(shlex.split(arguments))
    for word in words:
        if not word.startswith("-"):
            named.append(below_checkout(word, checkout))
            continue
        option, equals, value = word.partition("=")
        takes_next = not equals and option in WITH_VALUE
        if takes_next:
            value = next(words, "")
        if option in WITH_PATH:
            value = below_checkout(value, checkout)
            # An id that is deselected counts from the folder of pytest.ini.
            value = value.removeprefix("tests/") if option == "--deselect" else value
        options += [option, value] if takes_next else [f"{option}{equals}{value}"]
    return options, named


def shard_options(shard: str) -> dict[str, list[str]]:
    """Return runner to the options of pytest-split for a shard such as ``2/4``, the second of four.

    Chunks of neighbours: pytest-split's other algorithm scatters the tests of a file over all shards, and
    each imports it and makes its fixtures (https://github.com/jerry-git/pytest-split).

    :raises ValueError: there is no such shard.
    """
    match = SHARD.fullmatch(shard)
    if not match or int(match[1]) > int(match[2]):
        raise ValueError(f"There is no shard {shard}. Say which of how many, such as SHARD=2/4.")
    options = ["-p", "pytest_split.plugin", "--splitting-algorithm=duration_based_chunks"]
    options += [f"--group={match[1]}", f"--splits={match[2]}"]
    return {runner: [*options, f"--durations-path={at}{DURATIONS}"] for runner, at in RUNNERS.items()}


def pytest_runs(arguments: str, checkout: str, shard: str = "") -> dict[str, Any]:
    """Split pytest's arguments between the runner in the app container and the one on the host.

    :param arguments: as a shell would read them: options go to both, a path below ``tests/`` to its runner.
    :param checkout: the folder that ``tests`` is in; folders that are not there are left out.
    :param shard: ``2/4`` for the second of four parts of what each runner would run; empty for all.
    :returns: ``container`` and ``host``, each pytest's arguments, empty where it has nothing to run;
        ``whole``, whether the container runs all of its tests; ``database`` and ``servers``, whether a test
        may use the environment's database and its running servers; ``coverage``, whether the arguments ask
        for it; ``faults``, a line for each argument that cannot be understood.
    """
    runs: dict[str, Any] = {"faults": []}
    try:
        options, named = split(arguments, checkout)
    except ValueError as error:
        options, named = [], []
        runs["faults"] = [f"{str(error).rstrip('.')} in the arguments for pytest: {arguments}"]
    try:
        part = shard_options(shard) if shard else {}
    except ValueError as error:
        part = {}
        runs["faults"].append(str(error))
    for word in named:
        path = word.split("::")[0]
        if path != "tests" and "/".join(path.split("/")[:2]) not in (*CONTAINER, *HOST):
            runs["faults"].append(f"{word} is not in {', '.join((*CONTAINER, *HOST))}.")
        elif not Path(checkout, path).exists():
            runs["faults"].append(f"There is no {path}.")
    for runner, folders in (("container", CONTAINER), ("host", HOST)):
        present = [folder for folder in folders if (Path(checkout) / folder).is_dir()]
        own = [word for word in named if word.startswith(folders)]
        chosen = present if not named or "tests" in named else own
        runs[runner] = options + chosen if chosen else []
        if runner == "container":
            runs["whole"] = runs["container"] == present
            used = {"/".join(re.split("/|::", word)[:2]) for word in chosen}
    runs["database"] = bool(used - {"tests/unit"})
    runs["servers"] = bool(used - {"tests/unit", "tests/integration", "tests/api"})
    runs["coverage"] = any(word.startswith("--cov") for word in options)
    for runner, more in part.items():
        runs[runner] = runs[runner] and more + runs[runner]
    return runs


def junit_totals(files: list[str]) -> dict[str, int]:
    """Add up JUnit files.

    :param files: paths; one that is not there counts nothing.
    :returns: ``passed``, ``failed`` (failures and errors) and ``skipped``.
    """
    totals = {"passed": 0, "failed": 0, "skipped": 0}
    for file in files:
        if not Path(file).exists():
            continue
        suites = ElementTree.parse(file).iter("testsuite")  # noqa: S314 - our own pytest wrote it
        for suite in suites:
            failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            skipped = int(suite.get("skipped", 0))
            totals["failed"] += failed
            totals["skipped"] += skipped
            totals["passed"] += int(suite.get("tests", 0)) - failed - skipped
    return totals


FilterModule = filters(pytest_runs, junit_totals)
