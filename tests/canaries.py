"""No playbook prints a secret, or leaves one behind: `python -m tests.canaries`, half an hour.

Each secret of dev, test and ci is a canary in a copy of the checkout, with containers of its own. Every
playbook runs at each verbosity, with --diff and with --check, and so do some runs that fail or whose
processes are killed. Their output, and the files that they leave in Ansible's own folder, are searched for
each canary: as it is, in base64, and encoded for URLs and JSON. The last line is `canaries: N of N`: so many
were in use and are nowhere. Otherwise the exit code is 1. With names of modes, only these are tried:
`python -m tests.canaries quiet -vvvvv killed`.
"""

import argparse
import base64
import json
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psutil

from tests.by_path import environment_variables
from tests.canary_runs import HEALED, KILLED, LIFE, MODES, SHORT_LIVES
from tests.check_mode.checkout import Checkout, copied
from tests.provisioning.playbook import start

ENVIRONMENTS = ("dev", "test", "ci")


class LeakError(Exception):
    """What printed a canary, or proves nothing; one line without any canary."""


def canary(name: str) -> tuple[str, str]:
    """A value for a variable, and the part of it that stays the same in a URL and in JSON."""
    if name == "ENCRYPTION_KEY":
        key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        return key, key.rstrip("=")
    core = "canary" + secrets.token_hex(16)
    # A token goes into a header, as it is.
    return (core, core) if "TOKEN" in name else (f"ä% @:/#$'\"{{{{ {core} }}}}\\ ", core)


def traces(value: str, core: str) -> set[str]:
    """The texts by which a canary is found, however it is encoded."""
    found = {value, core, quote(value), quote(value, safe=""), json.dumps(value)[1:-1]}
    for text in (value, core):
        for skipped in range(3):
            # Base64 of a text that stands anywhere in another one, without what its neighbours change.
            encoded = base64.b64encode(b"\0" * skipped + text.encode()).decode()
            found.add(encoded[4 if skipped else 0 : len(encoded) - 4])
    return found | {text.replace("+", "-").replace("/", "_") for text in found}


def names() -> list[str]:
    """The secrets that a person can set."""
    variables = environment_variables()
    return [*variables["keys_given"], "SCHWAB_API_KEY", "SCHWAB_API_SECRET", "SMTP_PASSWORD"]


def begin(checkout: Checkout, playbook: str, arguments: tuple[str, ...]) -> subprocess.Popen[str]:
    """Start a run, whose own files are in a folder beside the checkout."""
    own = ("-e", f"dashtam_instance={checkout.instance}", "-e", f"dashtam_port_offset={checkout.port_offset}")
    folder = checkout.folder
    return start(
        f"playbooks/{playbook}.yml",
        *own,
        *arguments,
        folder=folder,
        config=folder,
        collections=folder / "playbooks/collections",
        ANSIBLE_HOME=str(home(checkout)),
        ANSIBLE_REMOTE_TEMP=str(home(checkout) / "tmp"),
    )


def home(checkout: Checkout) -> Path:
    """Where Ansible keeps files, its modules' among them."""
    return checkout.folder.parent / "ansible"


def play(checkout: Checkout, playbook: str, arguments: tuple[str, ...], code: int | None) -> str:
    """What a run prints, which must end with that code."""
    process = begin(checkout, playbook, arguments)
    output, _ = process.communicate()
    if code is not None and process.returncode != code:
        sys.stdout.write(output[-3000:])
        raise LeakError(f"{playbook} {' '.join(arguments)}: exit code {process.returncode}, not {code}")
    return output


def cut_short(
    checkout: Checkout, playbook: str, arguments: tuple[str, ...], seconds: float, whole: bool
) -> str:
    """What a run prints that is killed after some seconds, or whose workers are."""
    process = begin(checkout, playbook, arguments)
    with suppress(subprocess.TimeoutExpired):
        return process.communicate(timeout=seconds)[0]
    run = psutil.Process(process.pid)
    workers = run.children(recursive=True)
    for each in [run] if whole else workers:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    output, _ = process.communicate()
    # They finish what they were given. One with a long result waits for ever for a run that would read it.
    _, left_alone = psutil.wait_procs(workers, timeout=30)
    for each in left_alone:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    return output


def runs(checkout: Checkout, mode: str) -> Iterator[tuple[str, str]]:
    """Do all runs of a mode; yield what each is called, and what it printed."""
    if mode == KILLED:
        for playbook, arguments, seconds in SHORT_LIVES:
            for whole in (True, False):
                killed = (
                    f"{playbook} {' '.join(arguments)}, {'' if whole else 'workers '}killed after {seconds} s"
                )
                yield killed, cut_short(checkout, playbook, (*arguments, "-vvvvv"), seconds, whole)
    # What is there to be predicted, and what killed runs have begun.
    healed = [(*run, ("-v",)) for run in HEALED] if mode in (KILLED, "--check") else []
    lived = [(*run, MODES[mode]) for run in LIFE] if mode != KILLED else []
    for playbook, arguments, code, options in [*healed, *lived]:
        # What --check predicts of a run that fails differs from run to run.
        expected = None if "--check" in options else code
        begun = time.monotonic()
        output = play(checkout, playbook, (*arguments, *options), expected)
        said = " ".join((playbook, *arguments, *options))
        sys.stdout.write(f"{time.monotonic() - begun:5.1f} s  {said}\n")
        sys.stdout.flush()
        yield said, output


def left(checkout: Checkout) -> str:
    """What is in the files that runs have left."""
    files = [path for path in home(checkout).rglob("*") if path.is_file()]
    return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files)


def in_use(checkout: Checkout, canaries: dict[tuple[str, str], str]) -> set[tuple[str, str]]:
    """The canaries that the environments' containers have really been given."""
    found = set()
    for environment in ENVIRONMENTS:
        labels = [f"dashtam.instance={checkout.instance}", f"dashtam.environment={environment}"]
        running = checkout.engine.containers.list(filters={"label": labels})
        # The password of the runtime role is in its URL alone.
        values = json.dumps([container.attrs["Config"]["Env"] for container in running])
        found |= {key for key, core in canaries.items() if key[0] == environment and core in values}
    return found


def main() -> int:
    """Print a line for each run that shows a canary, and the result; an exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.canaries")
    parser.add_argument("--instance", default="canaries")
    parser.add_argument("--port-offset", type=int, default=700)
    own, modes = parser.parse_known_args()
    if set(modes) - {*MODES, KILLED}:
        parser.error(f"{' '.join(modes)}: the modes are {', '.join([*MODES, KILLED])}")
    made = {(environment, name): canary(name) for environment in ENVIRONMENTS for name in names()}
    cores = {key: core for key, (_, core) in made.items()}
    marks = {key: traces(value, core) for key, (value, core) in made.items()}
    shown: set[tuple[str, str]] = set()
    used: set[tuple[str, str]] = set()
    with copied(*ENVIRONMENTS, instance=own.instance, port_offset=own.port_offset) as checkout:
        for (environment, name), (value, _) in made.items():
            checkout.local(environment, **{name: "'" + value.replace("'", "''") + "'"})
        # Of a stage, no more than the plan is tried.
        shutil.copy(checkout.folder / "env/local.dev.yml", checkout.folder / "env/local.staging.yml")
        for environment in ENVIRONMENTS:
            # Not the fake Schwab, which knows no client of such a name.
            checkout.local(environment, dashtam_services="[monitoring]")

        def search(text: str, where: str) -> None:
            found = {key for key, texts in marks.items() if any(each in text for each in texts)}
            for environment, name in sorted(found):
                sys.stdout.write(f"{environment}: {name} is {where}\n")
            shown.update(found)

        for mode in modes or [*MODES, KILLED]:
            begun, count = time.monotonic(), 0
            for run, output in runs(checkout, mode):
                count += 1
                search(output, f"printed by {run}")
                search(left(checkout), f"in a file in Ansible's folder after {run}")
                if run.startswith("status") and "--check" not in run:
                    used |= in_use(checkout, cores)
            sys.stdout.write(f"{mode}: {count} runs in {time.monotonic() - begun:.0f} s\n")
            sys.stdout.flush()
    for environment, name in sorted(made.keys() - used):
        sys.stdout.write(f"{environment}: {name} reached no container, so nothing is proven of it\n")
    sys.stdout.write(f"canaries: {len(used - shown)} of {len(made)}\n")
    return 0 if used - shown == made.keys() else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LeakError as error:
        sys.exit(str(error))
