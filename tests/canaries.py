"""No playbook prints a secret: `python -m tests.canaries [INSTANCE PORT_OFFSET]`, half an hour.

Each secret of dev, test and ci is a canary in a copy of the checkout, with containers of its own. Every
playbook runs at each verbosity, with --diff and with --check, and so do some runs that fail. Their output is
searched for each canary: as it is, in base64, and encoded for URLs and JSON. The last line is
`canaries: N of N`: so many were in use and are printed nowhere. Otherwise the exit code is 1.
"""

import base64
import json
import secrets
import sys
import time
from urllib.parse import quote

from tests.by_path import ROOT, environment_variables
from tests.check_mode.checkout import Checkout, copied
from tests.provisioning.playbook import start

ENVIRONMENTS = ("dev", "test", "ci")
OWN_INVENTORY = {"ci": ("-i", "inventories/ci")}
MODES = {
    "quiet": (),
    "-v": ("-v",),
    "-vvvvv": ("-vvvvv",),
    "--diff": ("--diff",),
    "--check": ("--check", "--diff", "-vvvvv"),
}
INIT = ("-e", '{"test_steps": ["init"]}')
# In the order of a life. A playbook that is in no line is an error.
LIFE: list[tuple[str, tuple[str, ...], int]] = [
    *(("keys", ("--limit", one), 0) for one in ("dev", "test")),
    ("certificates", (), 0),
    ("engine", (), 0),
    ("inventory", (), 0),
    ("examples", ("-i", "inventories/dev", "-i", "inventories/test", "-i", "inventories/ci", "--check"), 0),
    *(("plan", ("-e", f"plan_format={form}"), 0) for form in ("yaml", "json")),
    ("plan", ("--limit", "dev", "-e", "plan_format=compose"), 0),
    ("trust", (), 0),
    ("dev", (), 0),
    ("test", INIT, 0),
    ("test", (*OWN_INVENTORY["ci"], *INIT), 0),
    ("rotate", (), 0),
    ("status", (), 0),
    ("ls", (), 0),
    ("shards", (), 2),
    ("drift", (), 0),
    # No copy is a git checkout. A stage would make this engine a Swarm: .ci/three-engines looks for secrets.
    ("release", (), 2),
    ("staging_plan", (), 0),
    *(
        (f"staging{verb}", (), 2)
        for verb in ("", "_status", "_drift", "_rotate", "_backup", "_drill", "_restore", "_down")
    ),
    ("backup", (), 0),
    ("seed", (), 0),
    ("snapshot", ("-e", "snapshot_name=canaries"), 0),
    ("snapshots", (), 0),
    ("snapshot_restore", ("-e", "snapshot_name=canaries"), 0),
    ("export", (), 0),
    ("import", ("-e", "backup_source=backups/nowhere.sql"), 2),
    ("reset", ("-e", "reset_confirm=dev"), 0),
    ("upgrade_postgres", (), 0),
    ("branch", ("-e", "dashtam_from=nowhere"), 2),
    ("restore", ("--limit", "dev", "-e", "backup_source=backups/nowhere.dump"), 2),
    ("dev", ("-e", "postgres_host_port=many"), 2),
    ("dev", ("-e", json.dumps({"app_command": ["false"], "app_ready_timeout": 5})), 2),
    ("down", ("--limit", "dev"), 0),
    ("clean", ("--limit", "dev", "-e", "clean_backup=false", "-e", "clean_confirm=dev"), 0),
]


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


def play(checkout: Checkout, playbook: str, arguments: tuple[str, ...], code: int | None) -> str:
    """What a run prints, which must end with that code."""
    own = ("-e", f"dashtam_instance={checkout.instance}", "-e", f"dashtam_port_offset={checkout.port_offset}")
    folder = checkout.folder
    collections = folder / "playbooks/collections"
    process = start(
        f"playbooks/{playbook}.yml", *own, *arguments, folder=folder, config=folder, collections=collections
    )
    output, _ = process.communicate()
    if code is not None and process.returncode != code:
        sys.stdout.write(output[-3000:])
        raise LeakError(f"{playbook} {' '.join(arguments)}: exit code {process.returncode}, not {code}")
    return output


def in_use(checkout: Checkout, canaries: dict[tuple[str, str], str]) -> set[tuple[str, str]]:
    """The canaries that the environments' apps have really been given."""
    found = set()
    for environment in ENVIRONMENTS:
        app = checkout.container(f"{checkout.instance}-{environment}-app")
        given = dict(pair.split("=", 1) for pair in app.attrs["Config"]["Env"])
        # The password of the runtime role is in its URL alone.
        values = "\n".join(given.values())
        found |= {key for key, core in canaries.items() if key[0] == environment and core in values}
    return found


def main() -> int:
    """Print a line for each run that shows a canary, and the result; an exit code."""
    instance, offset = sys.argv[1:] or ("canaries", "700")
    tested = {playbook for playbook, _, _ in LIFE}
    if missing := {path.stem for path in (ROOT / "playbooks").glob("*.yml")} - tested:
        sys.stdout.write(f"no run of {', '.join(sorted(missing))}: add it to tests/canaries.py\n")
        return 1
    made = {(environment, name): canary(name) for environment in ENVIRONMENTS for name in names()}
    cores = {key: core for key, (_, core) in made.items()}
    marks = {key: traces(value, core) for key, (value, core) in made.items()}
    printed: set[tuple[str, str]] = set()
    used: set[tuple[str, str]] = set()
    with copied(*ENVIRONMENTS, instance=instance, port_offset=int(offset)) as checkout:
        for (environment, name), (value, _) in made.items():
            checkout.local(environment, **{name: "'" + value.replace("'", "''") + "'"})
        for mode, options in MODES.items():
            begun = time.monotonic()
            for playbook, arguments, code in LIFE:
                # What --check predicts of a run that fails differs from run to run.
                output = play(checkout, playbook, (*arguments, *options), None if mode == "--check" else code)
                shown = {key for key, texts in marks.items() if any(text in output for text in texts)}
                for environment, name in sorted(shown):
                    said = (
                        f"{environment}: {name} is printed by {playbook} {' '.join((*arguments, *options))}"
                    )
                    sys.stdout.write(f"{said}\n")
                printed |= shown
                if playbook == "status" and mode != "--check":
                    used |= in_use(checkout, cores)
            sys.stdout.write(f"{mode}: {len(LIFE)} runs in {time.monotonic() - begun:.0f} s\n")
            sys.stdout.flush()
    for environment, name in sorted(made.keys() - used):
        sys.stdout.write(f"{environment}: {name} reached no container, so nothing is proven of it\n")
    sys.stdout.write(f"canaries: {len(used - printed)} of {len(made)}\n")
    return 0 if used - printed == made.keys() else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LeakError as error:
        sys.exit(str(error))
