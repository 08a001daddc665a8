"""What each environment is, against the committed plans: a review sees as a diff whatever changes it."""

import difflib
import json
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests import collection
from tests.by_path import ROOT, environment_variables
from tests.provisioning import clean_plan, playbook

SECRET = "Pa5s %@:/#$'\" wörd"


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clean_plan.clone(tmp_path_factory.mktemp("plan"))


@pytest.fixture(scope="module")
def plans(checkout: Path) -> dict[str, str]:
    before = tree(checkout)
    shown = clean_plan.show(checkout) + clean_plan.show_staging(checkout)
    assert tree(checkout) == before, "nothing is written"
    return clean_plan.by_environment(shown)


@pytest.mark.parametrize("environment", clean_plan.ENVIRONMENTS)
def test_the_plan_is_the_committed_one(plans: dict[str, str], environment: str) -> None:
    committed = clean_plan.PLANS / f"{environment}.yml"
    difference = "".join(
        difflib.unified_diff(
            committed.read_text(encoding="utf-8").splitlines(keepends=True),
            plans[environment].splitlines(keepends=True),
            str(committed.relative_to(ROOT)),
            "what is declared now",
        )
    )
    assert not difference, f"if this is meant, {clean_plan.COMMAND} writes the new one\n{difference}"


@pytest.mark.skipif(not shutil.which("make"), reason="no make on this machine")
def test_a_stages_plan_is_json_on_request() -> None:
    command = ["make", "--old-file=venv", "staging-plan", "FORMAT=json"]
    outside = collection.outside()
    run = subprocess.run(command, cwd=ROOT, env=outside, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    (stage,) = json.loads(run.stdout).values()
    assert {f"dashtam-staging-{name}" for name in ("postgres", "app", "balancer")} <= set(stage["services"])


def test_there_is_a_plan_for_each_environment_and_no_other(plans: dict[str, str]) -> None:
    assert {path.stem for path in clean_plan.PLANS.glob("*")} == set(plans) == {*clean_plan.ENVIRONMENTS}


COMMAND = "{{ lookup('ansible.builtin.pipe', 'touch FOLDER/ran') }}"


@pytest.mark.parametrize("place", ["a person's file", "a CI job's environment"])
def test_a_value_that_looks_like_a_template_stays_text(place: str, tmp_path: Path) -> None:
    checkout = clean_plan.clone(tmp_path)
    command = COMMAND.replace("FOLDER", str(tmp_path))
    names = environment_variables()["dashtam_value_names"]
    # What must have a form. The value of a level is not shown, as it is that of the secrets, too.
    formed = ("LOG_LEVEL", "DB_ECHO", "SMTP_HOST", "SMTP_PORT", "SMTP_SECURITY")
    for refused in ({}, {"LOG_LEVEL": command}):
        given = dict.fromkeys(names, command) | dict.fromkeys(formed, "") | refused
        arguments = ("-i", "inventories/ci", "playbooks/plan.yml", "-e", "plan_format=json")
        if place == "a person's file":
            (checkout / "env").mkdir(exist_ok=True)
            (checkout / "env/local.ci.yml").write_text(yaml.safe_dump(given), encoding="utf-8")
            given = dict.fromkeys(names, "")
        settings = {"folder": checkout, "config": checkout, "collections": checkout / "playbooks/collections"}
        output = playbook.finish(playbook.start(*arguments, **settings, **given), 2 if refused else 0)
        if refused:
            levels = "DEBUG, INFO, WARNING, ERROR, CRITICAL"
            assert f"LOG_LEVEL must be one of: {levels}, got: ***\n" in output
        else:
            env = json.loads(output)["ci"]["containers"]["dashtam-ci-app"]["env"]
            assert (env["LOG_LEVEL"], env["RELAY_TOKEN"]) == ("INFO", "GIVEN-RELAY-TOKEN")
        assert not (tmp_path / "ran").exists()


def test_a_given_secret_is_told_from_a_generated_one_and_neither_is_shown(checkout: Path) -> None:
    local = checkout / "env/local.dev.yml"
    local.parent.mkdir()
    names = ("POSTGRES_PASSWORD", "SCHWAB_API_SECRET")
    local.write_text("".join(f"{name}: {json.dumps(SECRET)}\n" for name in names) + "LOG_LEVEL: DEBUG\n")
    local.chmod(0o644)
    extra = json.dumps({"plan_format": "json", "SCHWAB_API_KEY": SECRET})
    try:
        shown = clean_plan.show(checkout, "--limit", "dev", "-e", extra)
        assert stat.S_IMODE(local.stat().st_mode) == 0o644, "nothing is changed"
    finally:
        local.unlink()
        local.parent.rmdir()
    env = json.loads(shown)["dev"]["containers"]["dashtam-dev-app"]["env"]
    assert env["LOG_LEVEL"] == "DEBUG"
    assert env["POSTGRES_PASSWORD"] == "GIVEN-POSTGRES-PASSWORD"
    assert "dashtam_user:GIVEN-POSTGRES-PASSWORD@" in env["DATABASE_URL"]
    assert (env["SCHWAB_API_KEY"], env["SCHWAB_API_SECRET"]) == (
        "GIVEN-SCHWAB-API-KEY",
        "GIVEN-SCHWAB-API-SECRET",
    )
    assert env["SECRET_KEY"] == "GENERATED-SECRET-KEY"
    assert "Pa5s" not in shown


def test_what_is_declared_otherwise_is_seen(checkout: Path, plans: dict[str, str]) -> None:
    shown = clean_plan.show(checkout, "--limit", "test", "-e", "postgres_host_port=6543 images_source=pull")
    lines = set(shown.splitlines()) - set(plans["test"].splitlines())
    assert {line.strip() for line in lines} == {
        "published_ports: ['127.0.0.1:6543:5432']",
        "image: postgres:17.6-alpine3.22",
        "image: redis:8.2.1-alpine3.22",
    }


def variables(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "docs/variables.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_page_of_variables_is_up_to_date() -> None:
    run = variables(ROOT, "--check")
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize(
    ("file", "said", "other", "row"),
    [
        (
            "roles/redis/meta/argument_specs.yml",
            "default: 256M",
            "default: 1G",
            "| `redis_tmpfs_size` | `1G` |  |  |  |  |",
        ),
        (
            "inventories/dev/group_vars/dev.yml",
            "app_reload: true",
            "app_reload: 1",
            "| `app_reload` | `false` |  | [`1`](../inventories/dev/group_vars/dev.yml) |  |  |",
        ),
        (
            "playbooks/environment/vars/main/services.yml",
            "images_prefix: dashtam",
            "images_prefix: a|b",
            r"| `images_prefix` | `local` | [`a\|b`](../playbooks/environment/vars/main/services.yml) "
            "|  |  |  |",
        ),
        (
            "env/.env.test.example",
            "LOG_LEVEL=INFO",
            "LOG_LEVEL=DEBUG",
            "| `LOG_LEVEL` | own | `INFO` | `DEBUG` | `INFO` |",
        ),
    ],
)
def test_what_differs_on_the_page_is_named_then_mended(
    checkout: Path, tmp_path: Path, file: str, said: str, other: str, row: str
) -> None:
    root = tmp_path / "root"
    shutil.copytree(checkout, root)
    shutil.copytree(ROOT / "docs", root / "docs")
    for example in (ROOT / "env").glob(".env.*.example"):
        (root / "env").mkdir(exist_ok=True)
        shutil.copy(example, root / "env")
    assert (root / file).read_text().count(said) == 1
    (root / file).write_text((root / file).read_text().replace(said, other))
    run = variables(root, "--check")
    assert (run.returncode, run.stderr.split(";")[0]) == (
        1,
        f"{root}/docs/variables.md: not what roles and inventories say",
    )
    assert variables(root).returncode == 0
    assert row in (root / "docs/variables.md").read_text().splitlines()
    assert variables(root, "--check").returncode == 0
