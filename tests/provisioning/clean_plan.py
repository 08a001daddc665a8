"""What playbooks/plan.yml and staging_plan.yml say in a fresh clone, where nobody has values of their own.

Usage: python -m tests.provisioning.clean_plan

rewrites tests/provisioning/plans/<environment>.yml, to be reviewed as a diff.
"""

import re
import shutil
import tempfile
from pathlib import Path

from tests.by_path import ROOT, environment_variables
from tests.provisioning import playbook

PLANS = ROOT / "tests/provisioning/plans"
CONTAINERS = ("dev", "test", "ci")
ENVIRONMENTS = (*CONTAINERS, "staging")
WANTED = ("ansible.cfg", "inventories", "meta", "monitoring", "playbooks", "plugins", "roles", "templates")
COMMAND = ".venv/bin/python -m tests.provisioning.clean_plan"
HEADER = f"---\n# Written by {COMMAND}\n"
INVENTORIES = [argument for name in CONTAINERS for argument in ("-i", f"inventories/{name}")]


def clone(folder: Path) -> Path:
    """Return a checkout made in the folder: what the plan needs, and nothing that a run or a person made."""
    checkout = folder / "checkout"
    checkout.mkdir()
    for name in WANTED:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "molecule")
            shutil.copytree(ROOT / name, checkout / name, ignore=ignored, symlinks=True)
        else:
            shutil.copy(ROOT / name, checkout)
    return checkout


def add_make(folder: Path) -> None:
    """Put what make reads into a clone, which has playbooks/*.mk already."""
    for name in ("Makefile", "tests/targets.mk"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)


def show(checkout: Path, *arguments: str) -> str:
    """Return what the plan prints there for dev, test and ci, with no engine and no variable of a CI job."""
    return _shown(checkout, *INVENTORIES, "playbooks/plan.yml", *arguments)


def show_staging(checkout: Path, *arguments: str) -> str:
    """Return the same of a stage."""
    return _shown(checkout, "-i", "inventories/staging", "playbooks/staging_plan.yml", *arguments)


def _shown(checkout: Path, *arguments: str) -> str:
    names = environment_variables()["dashtam_value_names"]
    unset = dict.fromkeys(names, "")
    return playbook.finish(
        playbook.start(
            *arguments,
            folder=checkout,
            config=checkout,
            collections=checkout / "playbooks/collections",
            DOCKER_HOST="unix:///nowhere",
            PYTHONDONTWRITEBYTECODE="1",
            **unset,
        )
    )


def by_environment(shown: str) -> dict[str, str]:
    """Return environment to its part of the plan, as its file should be.

    :raises ValueError: something else was printed, such as a warning.
    """
    parts = [part for part in re.split(r"^(?=\S)", shown, flags=re.MULTILINE) if part.strip()]
    if others := [part for part in parts if part.split(":")[0] not in ENVIRONMENTS]:
        raise ValueError(f"no part of a plan:\n{''.join(others)}")
    return {part.split(":")[0]: HEADER + part for part in parts}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        folder = clone(Path(made))
        for environment, text in by_environment(show(folder) + show_staging(folder)).items():
            PLANS.mkdir(exist_ok=True)
            (PLANS / f"{environment}.yml").write_text(text, encoding="utf-8")
