"""One command for two runners: which tests go where, and what they came to together."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

CONTAINER = ("tests/unit", "tests/integration", "tests/api", "tests/smoke")
HOST = ("tests/provisioning", "tests/guard")


def pytest_runs(arguments: str, checkout: str) -> dict[str, list[str]]:
    """Split pytest's arguments between the runner in the app container and the one on the host.

    :param arguments: as a shell would read them: options go to both, a path below ``tests/`` to its runner.
    :param checkout: the folder that ``tests`` is in; folders that are not there are left out.
    :returns: ``container`` and ``host``, each pytest's arguments, empty where it has nothing to run.
    :raises ValueError: a quote is not closed.
    """
    words = shlex.split(arguments)
    paths = [word for word in words if word.rstrip("/") == "tests" or word.startswith("tests/")]
    options = [word for word in words if word not in paths]
    runs = {}
    for runner, folders in (("container", CONTAINER), ("host", HOST)):
        present = [folder for folder in folders if (Path(checkout) / folder).is_dir()]
        own = [
            path
            for path in paths
            if any(path == folder or path.startswith(f"{folder}/") for folder in folders)
        ]
        everything = not paths or any(path.rstrip("/") == "tests" for path in paths)
        chosen = present if everything else own
        runs[runner] = options + chosen if chosen else []
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


class FilterModule:
    """Names under which Ansible finds the filters."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        return {"pytest_runs": pytest_runs, "junit_totals": junit_totals}
