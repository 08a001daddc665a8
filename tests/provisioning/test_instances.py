"""Which instance `INSTANCE=auto` is, and which block of ports it has: asked as the Makefile asks."""

import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.by_path import ROOT, load

instances = load("playbooks/instances.py")


class Repository:
    """A checkout with the program in it and nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def git(self, *arguments: str) -> None:
        command = ["git", "-c", "user.name=x", "-c", "user.email=x@x.test", *arguments]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-IS", "playbooks/instances.py", *arguments]
        return subprocess.Popen(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def ask(self, *arguments: str, code: int = 0) -> str:
        process = self.start(*arguments)
        said, errors = process.communicate()
        assert process.returncode == code, errors
        return said.rstrip("\n") if code == 0 else errors


engine = pytest.mark.skipif(
    subprocess.run(["docker", "version"], capture_output=True, check=False).returncode != 0
    if shutil.which("docker")
    else True,
    reason="what exists is asked of an engine",
)


@contextmanager
def volume(instance: str, checkout: Path) -> Iterator[None]:
    """Have what is left of an instance that was taken down."""
    labels = ["--label", f"dashtam.instance={instance}", "--label", f"dashtam.checkout={checkout}"]
    subprocess.run(
        ["docker", "volume", "create", *labels, f"{instance}-data"], check=True, capture_output=True
    )
    try:
        yield
    finally:
        subprocess.run(["docker", "volume", "rm", f"{instance}-data"], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "dashtam")
    for name in ("playbooks", "env"):
        (made.folder / name).mkdir(parents=True)
    shutil.copy(ROOT / "playbooks/instances.py", made.folder / "playbooks")
    made.git("init", "--initial-branch=main")
    made.git("add", "playbooks")
    made.git("commit", "--message=first")
    return made


def test_it_is_named_after_the_branch_and_remembered(repository: Repository) -> None:
    name, offset = repository.ask("auto").split()
    assert (name, repository.ask("auto")) == ("main", f"main {offset}")
    repository.git("switch", "--create", "Feature/ABC_some-very-long-name")
    named, other = repository.ask("auto").split()
    assert named == "feature-abc-some-ver"
    assert other != offset
    assert repository.ask("main") == f"main {offset}"
    repository.git("switch", "main")
    assert repository.ask("auto") == f"main {offset}"


def test_branches_that_read_alike_are_two_instances(repository: Repository) -> None:
    names = []
    for branch in ("a/b", "a-b", "a.b", "1"):
        repository.git("switch", "--create", branch)
        names.append(repository.ask("auto").split()[0])
    assert names == ["a-b", "a-b-2", "a-b-3", "b-1"]


def test_worktrees_share_the_blocks_and_a_detached_one_has_its_folders_name(repository: Repository) -> None:
    repository.git("worktree", "add", "../other", "-b", "other")
    repository.git("worktree", "add", "--detach", "../Review_1")
    worktrees = [repository, *(Repository(repository.folder.parent / name) for name in ("other", "Review_1"))]
    asked = [each.ask("auto").split() for each in worktrees]
    assert [name for name, _ in asked] == ["main", "other", "review-1"]
    assert len({offset for _, offset in asked}) == 3


def test_sixteen_at_once_have_blocks_of_their_own(repository: Repository) -> None:
    started = [repository.start(f"copy-{number}", "--new") for number in range(16)]
    offsets = [int(process.communicate()[0].split()[1]) for process in started]
    ports = [base + offset + which for offset in offsets for base in instances.PORTS for which in (0, 1)]
    assert len(set(ports)) == 16 * 2 * len(instances.PORTS)
    assert all(offset % 10 == 0 for offset in offsets)
    assert [repository.ask(f"copy-{number}") for number in range(16)] == [
        f"copy-{number} {offset}" for number, offset in enumerate(offsets)
    ]


def test_a_block_of_which_a_port_is_taken_is_passed_over(repository: Repository) -> None:
    offset = int(repository.ask("first", "--new").split()[1])
    (repository.folder / "env/.instances").unlink()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", instances.PORTS[-1] + offset + 1))
        listener.listen()
        assert int(repository.ask("first", "--new").split()[1]) > offset


@engine
def test_a_branch_that_is_gone_is_forgotten(repository: Repository) -> None:
    repository.git("switch", "--create", "short")
    offset = repository.ask("auto").split()[1]
    repository.git("switch", "main")
    repository.git("branch", "--delete", "short")
    assert repository.ask("auto") == f"main {offset}"


@engine
def test_a_branch_that_is_gone_keeps_its_block_while_its_data_is_there(repository: Repository) -> None:
    branch = f"b-{uuid.uuid4().hex[:8]}"
    repository.git("switch", "--create", branch)
    offset = repository.ask("auto").split()[1]
    repository.git("switch", "main")
    repository.git("branch", "--delete", branch)
    with volume(branch, repository.folder):
        assert repository.ask("auto").split()[1] != offset
        assert repository.ask(branch) == f"{branch} {offset}"
    repository.ask("another", "--new")
    assert repository.ask(branch) == f"{branch} "


@engine
def test_the_block_of_another_checkouts_volume_is_taken(repository: Repository, tmp_path: Path) -> None:
    """It is stopped: no container has the ports, and nothing listens there."""
    offset = int(repository.ask("first", "--new").split()[1])
    (repository.folder / "env/.instances").unlink()
    other, name = tmp_path / "other", f"b-{uuid.uuid4().hex[:8]}"
    (other / "env").mkdir(parents=True)
    address = f"SCHWAB_REDIRECT_URI=https://127.0.0.1:{8182 + offset}\n"
    (other / f"env/.env.dev.{name}").write_text(f"APP_PORT=8000\n{address}")
    with volume(name, other):
        assert int(repository.ask("first", "--new").split()[1]) > offset


@engine
def test_copies_of_which_nothing_is_left_make_room(repository: Repository) -> None:
    lines = [f"copy-{offset} {offset} name:copy-{offset}\n" for offset in instances.OFFSETS]
    (repository.folder / "env/.instances").write_text("".join(lines))
    assert repository.ask("copy-20") == "copy-20 20"
    assert int(repository.ask("hundredth", "--new").split()[1]) in instances.OFFSETS


def test_a_name_alone_has_no_block_until_one_is_wanted(repository: Repository) -> None:
    assert repository.ask("dashtam", "--new") == "dashtam "
    assert repository.ask("second") == "second "
    assert not (repository.folder / "env/.instances").exists()
    assert repository.ask("second", "--new") == repository.ask("second")


def test_what_is_wrong_is_said_in_a_line(repository: Repository) -> None:
    assert repository.ask("a b", code=1) == (
        "INSTANCE='a b': a name has lower-case letters, digits and single hyphens\n"
    )
    shutil.rmtree(repository.folder / ".git")
    assert "this folder is no repository" in repository.ask("auto", code=1)


@pytest.mark.skipif(not shutil.which("make"), reason="no make on this machine")
@pytest.mark.parametrize("name", ["INSTANCE", "PORT_OFFSET"])
@pytest.mark.parametrize("value", ["a b", "a'; touch {}; '", "`touch {}`", '"; touch {}; "'])
def test_make_refuses_what_could_be_read_as_a_command(name: str, value: str, tmp_path: Path) -> None:
    value = value.format(tmp_path / "run")
    # Run by make itself, it would say which folder it enters.
    named = ["INSTANCE=second", "PORT_OFFSET=10", f"{name}={value}"]
    command = ["make", "--no-print-directory", "dev-logs", *named]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (2, "", 1)
    assert f"*** {name}=" in run.stderr
    assert not list(tmp_path.iterdir())


def test_a_damaged_line_is_named(repository: Repository) -> None:
    (repository.folder / "env/.instances").write_text("feature 10 name:feature\nfeature ten\n")
    said = repository.ask("feature", code=1)
    assert said.endswith("/env/.instances:2: not a line of name, offset and key; remove it\n")
    assert "Traceback" not in said
