"""Write how long each test took, from the reports of a whole run: shards are made by it.

    python -m tests.durations reports/test

rewrites tests/durations.json, in the form that pytest-split reads: a test's id to seconds. A test that is not
in it counts as the average, so it needs to be written again only when shards have become uneven.
"""

import argparse
import json
import sys
from pathlib import Path

from tests.by_path import ROOT
from tests.report import cases

FILE = ROOT / "tests/durations.json"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.durations")
    parser.add_argument("reports", type=Path)
    folder = parser.parse_args().reports
    missing = [name for name in ("junit-container.xml", "junit-host.xml") if not (folder / name).is_file()]
    if missing:
        sys.stderr.write(f"{folder} has no {' and no '.join(missing)}. Run all tests first: make test\n")
        return 1
    seconds = {name: round(took, 2) for name, took in cases(folder).items()}
    text = json.dumps(seconds, indent=0, sort_keys=True, ensure_ascii=False)
    FILE.write_text(f"{text}\n", encoding="utf-8")
    total = sum(seconds.values())
    sys.stdout.write(f"{FILE.relative_to(ROOT)}: {len(seconds)} tests, {total:.0f} seconds\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
