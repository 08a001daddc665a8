"""Looks at everything and reports it. Exit code 0: nothing failed, 1: something did."""

from __future__ import annotations

import argparse
import sys

from doctor import __doc__ as purpose
from doctor import machine
from doctor.findings import FAIL, ROOT, WARN, Finding, as_json, as_lines


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m doctor", description=purpose)
    parser.add_argument("--instance", default="", help="the instance whose ports and files are meant")
    parser.add_argument("--port-offset", type=int, default=0, help="its port offset")
    parser.add_argument("--format", choices=["text", "json"], default="text")
    return parser.parse_args()


def findings(instance: str, port_offset: int) -> list[Finding]:
    """Return all that was found, in the order in which things depend on each other."""
    found = [*machine.python(), *machine.disk(ROOT, "disk"), *machine.memory()]
    try:
        from doctor import declared, engine, files
    except ImportError as error:
        # Without .venv that is expected, and it has been said.
        if found[0].state != FAIL:
            found.append(Finding(".venv", FAIL, f"it lacks {error.name}", "rm -rf .venv && ./bootstrap"))
        text = "engine, ports, certificates and env files: .venv is needed for them"
        return [*found, Finding("not checked", WARN, text, "make doctor, once .venv works")]
    environments, settings = declared.environments(instance, port_offset)
    found.append(settings)
    found += engine.all_findings(environments)
    return found + files.all_findings(environments, instance, port_offset)


def main() -> int:
    """Report, and return the exit code."""
    asked = arguments()
    found = findings(asked.instance, asked.port_offset)
    sys.stdout.write((as_json(found) if asked.format == "json" else as_lines(found)) + "\n")
    return int(any(finding.state == FAIL for finding in found))


if __name__ == "__main__":
    sys.exit(main())
