"""The runs whose output `tests/canaries.py` searches for secrets."""

import json

OWN_INVENTORY = {"ci": ("-i", "inventories/ci")}
MODES: dict[str, tuple[str, ...]] = {
    "quiet": (),
    "-v": ("-v",),
    "-vvvvv": ("-vvvvv",),
    "--diff": ("--diff",),
    "--check": ("--check", "--diff", "-vvvvv"),
}
KILLED = "killed"
INIT = ("-e", '{"test_steps": ["init"]}')
# In the order of a life. A playbook that is in no line is an error.
LIFE: list[tuple[str, tuple[str, ...], int]] = [
    *(("keys", ("--limit", one), 0) for one in ("dev", "test")),
    ("certificates", (), 0),
    ("engine", (), 0),
    ("inventory", (), 0),
    ("examples", ("-i", "inventories/dev", "-i", "inventories/test", "-i", "inventories/ci", "--check"), 0),
    *(("plan", ("-e", f"plan_format={form}"), 0) for form in ("yaml", "json")),
    # A compose file cannot have the hash of a password that it only refers to.
    ("plan", ("--limit", "dev", "-e", '{"plan_format": "compose", "dashtam_services": []}'), 0),
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
    ("staging_plan", ("-i", "inventories/staging"), 0),
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
# Runs whose processes are killed, and after how many seconds: while values are read, and while they are used.
SHORT_LIVES: list[tuple[str, tuple[str, ...], float]] = [
    (playbook, arguments, seconds)
    for playbook, arguments in (("dev", ()), ("test", INIT), ("rotate", ()))
    for seconds in (0.8, 1.6, 3.0, 5.0)
]
# What those runs have begun, these finish.
HEALED = [run for run in LIFE if run[0] in ("dev", "test", "status") and not run[2]]
