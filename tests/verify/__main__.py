"""What SECURITY.md says was measured, counted from the tests' own reports.

    python -m tests.verify paths                      the files whose tests count
    python -m tests.verify table REPORTS [--write]    the table, compared with SECURITY.md's or written

Those that bring whole environments up are counted apart, with --drift. With FULL=1 some lines repeat more
(--full); the table has a column for that.

A line counts test cases, or what a test says that it went through (the property ``cases``). A line that no
test stands for is a fault: nothing was measured. How the containers of the test environment are confined is
asked of those that run.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from tests.by_path import ROOT
from tests.verify import hardening

SECURITY = ROOT / "SECURITY.md"
TABLE = re.compile(r"(?<=<!-- verify:begin -->\n).*?(?=<!-- verify:end -->)", re.DOTALL)

# What is measured: the file of the tests, and the tests' names.
LINES = {
    "Dumps that are damaged, partial or another database's: refused, and nothing is touched": (
        "tests/guard/test_restore.py",
        r"test_refused_and_nothing_is_touched|test_a_checksum_that_differs",
    ),
    "Kills of PostgreSQL while rows are written: no acknowledged row is lost": (
        "tests/guard/test_kills.py",
        r"test_no_acknowledged_row_is_lost",
    ),
    "Full disks, in a backup, at initdb and while rows are written: reported, and nothing is lost": (
        "tests/guard/test_disk_full.py",
        r"test_",
    ),
    "Faults made by hand in running environments: found, and healed by the next run": (
        "tests/drift/test_drift.py",
        r"test_what_was_changed",
    ),
    "Kills of up, down and restore half-way: the next run heals it": (
        "tests/drift/test_runs.py",
        r"test_a_(run|restore|down)_killed",
    ),
    "Dumps of harmless kinds: accepted": ("tests/guard/test_restore.py", r"test_accepted"),
    "Ways around the layers that guard a database from being dropped: refused": (
        "tests/guard/test_refusals.py",
        r"test_(?!nothing_is_wrong)",
    ),
    "Generated process environments: the guard judges each as an independent oracle does": (
        "tests/unit/core/test_test_database_environments.py",
        r"test_no_wrong_accept_and_no_wrong_refusal",
    ),
    "Kills of the test initialisation at any point: the next one completes it": (
        "tests/guard/test_failures.py",
        r"test_killed_|test_interrupted|test_a_connection_that_breaks",
    ),
    "Statements that the app's database role must not run: denied": (
        "tests/integration/test_schema.py",
        r"test_the_apps_role_may_not",
    ),
    "Tables on which the app's role has exactly the declared privileges": (
        "tests/integration/test_schema.py",
        r"test_the_apps_role_may_do_exactly_this",
    ),
    "Incomplete clusters that a killed initdb has left: made again, refused with one line, or left alone": (
        "tests/guard/test_interrupted_initdb.py",
        # Official images have no such state.
        r"test_(?!what_our_entrypoint)",
    ),
    "Passwords with awkward characters: read alike by the application, the guard and from the env file": (
        "tests/provisioning/test_passwords.py",
        r"test_the_application_and_its_guard",
    ),
    "Passwords with invisible characters: refused when they are rendered": (
        "tests/provisioning/test_passwords.py",
        r"test_what_nobody_sees",
    ),
    "Certificates and CAs that a client refuses, that are weaker or that others could read: renewed": (
        "tests/provisioning/test_certificates.py",
        r"test_a_(server_certificate_that_clients_refuse|ca_that_clients_refuse|run_)",
    ),
    "Dangerous Redis commands, without a login and as the app's user: denied": (
        "tests/integration/test_redis_users.py",
        r"test_(without_a_password|the_app_is_refused_each)",
    ),
    "Forged, moved, truncated and expired records of OAuth flows: refused as an unknown state": (
        "tests/api/connections/test_flow_records.py",
        r"test_(a_forged|a_record|a_ticket)",
    ),
    "Slow, half-open and too large requests, and clients that read no answer: cut off or refused": (
        "tests/api/test_connection_limits.py",
        r"test_(what_is_half_open|a_request_that_drips|who_does_not_read|more_)",
    ),
    "Outages of PostgreSQL and Redis: requests are refused with 503 or succeed, never 500": (
        "tests/integration/test_outages.py",
        r"test_",
    ),
    "Routes: they show and change nothing without a token, or of another user": (
        "tests/api/test_ownership.py",
        r"test_(without_a_good_token|what_is_anothers|a_user_is_not)",
    ),
    "Hostile or broken answers of a provider: refused, and nothing is stored": (
        "tests/api/connections/test_hostile_provider.py",
        r"test_(what_is_not_good|nobody_is_there|somebody_without)",
    ),
}


# Of these, every run counts some, and one with FULL=1 all.
LONGER = {
    line
    for line, (path, test) in LINES.items()
    if path.endswith(("_kills.py", "_runs.py")) or test.startswith("test_refused_and_nothing_is_touched")
}
ENVIRONMENTS = "tests/drift/"


def lines(drift: bool) -> dict[str, tuple[str, str]]:
    """Return the lines whose tests bring whole environments up, or the others."""
    return {line: test for line, test in LINES.items() if test[0].startswith(ENVIRONMENTS) == drift}


def paths(drift: bool) -> list[str]:
    """Return the files whose tests count."""
    return sorted({path for path, _ in lines(drift).values()})


# Asked of the containers that run.
CONFINED = "Checks of how the containers are confined, the fake Schwab's too, in the test environment"


def cases(reports: Path) -> Iterator[tuple[str, str, bool, int]]:
    """Yield the file, the name, whether it passed and the count of each test in the reports, once each."""
    found: dict[tuple[str, str], tuple[bool, int]] = {}
    # Not below: shards of other runs have left theirs there.
    for report in sorted(reports.glob("junit*.xml")):
        for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - pytest's own
            file = "tests/" + case.get("classname", "").replace(".", "/") + ".py"
            name = case.get("name", "")
            passed = all(case.find(bad) is None for bad in ("failure", "error", "skipped"))
            count = next(
                (each.get("value") for each in case.iter("property") if each.get("name") == "cases"), "1"
            )
            before, _ = found.get((file, name), (True, 0))
            found[file, name] = (before and passed, int(count or 1))
    for (path, test), (good, number) in found.items():
        yield path, test, good, number


def counted(reports: Path) -> dict[str, tuple[int, int]]:
    """Return for each line how many passed, and of how many."""
    results = dict.fromkeys(LINES, (0, 0))
    for file, name, passed, count in cases(reports):
        for line, (path, pattern) in LINES.items():
            if path == file and re.match(pattern, name):
                good, total = results[line]
                results[line] = (good + count * passed, total + count)
    return results


def shown(text: str) -> dict[str, list[str]]:
    """Return the cells of the table in SECURITY.md by the line."""
    found = TABLE.search(text)
    rows = [row.strip("| ").split(" | ") for row in (found[0] if found else "").splitlines()[2:]]
    return {line: cells for line, *cells in rows}


def table(cells: dict[str, list[str]]) -> str:
    """Return the table in Markdown."""
    rows = [f"| {' | '.join([line, *cells[line]])} |\n" for line in [CONFINED, *LINES] if line in cells]
    return "| what | in every run | with FULL=1 |\n|---|---|---|\n" + "".join(rows)


def merged(
    cells: dict[str, list[str]], results: dict[str, tuple[int, int]], full: bool
) -> dict[str, list[str]]:
    """Put the results into the column that was measured."""
    cells = dict(cells)
    for line, (good, total) in results.items():
        count = f"{good:,} of {total:,}"
        short, complete = [*cells.get(line, []), "not counted", "not counted"][:2]
        if line in LONGER:
            cells[line] = [short, count] if full else [count, complete]
        else:
            cells[line] = [count, "the same"]
    return cells


def main() -> None:
    """Print what was asked for.

    :raises SystemExit: something was not verified, or SECURITY.md says something else.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.verify")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("paths")
    command.add_argument("--drift", action="store_true")
    command = commands.add_parser("table")
    command.add_argument("reports", type=Path)
    command.add_argument("--instance", default="dashtam", help="whose containers are looked at")
    command.add_argument("--drift", action="store_true")
    command.add_argument("--full", action="store_true")
    command.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if options.command == "paths":
        sys.stdout.write(" ".join(paths(options.drift)) + "\n")
        return
    counts = counted(options.reports)
    results = {line: counts[line] for line in lines(options.drift)}
    if not options.drift:
        held, total, faults = hardening.judge("test", options.instance)
        sys.stdout.writelines(f"{fault}\n" for fault in faults)
        results |= {CONFINED: (held, total)}
    for line, (good, total) in results.items():
        sys.stdout.write(f"{good} of {total}: {line}\n")
    if any(good != total or not total for good, total in results.values()):
        sys.exit("Not everything was verified.")
    text = SECURITY.read_text(encoding="utf-8")
    new = TABLE.sub(lambda _: table(merged(shown(text), results, options.full)), text)
    if options.write:
        SECURITY.write_text(new, encoding="utf-8")
    elif new != text:
        sys.exit("SECURITY.md shows another table. Run make verify and commit what it writes.")


if __name__ == "__main__":
    main()
