"""What a release holds: the files of one commit, or it is refused in one line."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleLookupError

from tests.by_path import ROOT, load

images_release = load("plugins/lookup/images_release.py")
FILES = ("src/main.py", "src/fake/__init__.py", "src/fakes.py", "requirements.txt", "README.md")


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message=First")
    return tmp_path


def release(checkout: Path, exclude: tuple[str, ...] = ("src/fake",)) -> dict[str, Any]:
    found: dict[str, Any] = images_release.release(checkout, ["src"], list(exclude), ["requirements.txt"])
    return found


def refusal(checkout: Path) -> str:
    with pytest.raises(AnsibleLookupError) as caught:
        release(checkout)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_release_is_the_commits_files_without_what_is_excluded(checkout: Path) -> None:
    (checkout / "README.md").write_text("edited: it is not in the image")
    found = release(checkout)
    assert found["commit"] == git(checkout, "rev-parse", "HEAD")
    assert found["created"] == git(checkout, "show", "--no-patch", "--format=%cI")
    assert found["files"] == {name: str(checkout / name) for name in ("src/fakes.py", "src/main.py")}


@pytest.mark.parametrize("name", ["src/main.py", "src/new.py", "src/a name.py", "requirements.txt"])
def test_what_differs_from_the_commit_is_refused(checkout: Path, name: str) -> None:
    (checkout / name).write_text("edited")
    assert f", and {name} differ from {git(checkout, 'rev-parse', 'HEAD')[:12]}. " in refusal(checkout)
    if name == "src/main.py":
        git(checkout, "add", "--all")
        (checkout / "src/fakes.py").unlink()
        assert " and 1 more differ" in refusal(checkout)


def test_without_a_commit_there_is_no_release(tmp_path: Path) -> None:
    assert f"{tmp_path} has none: fatal: not a git repository" in refusal(tmp_path)
    git(tmp_path, "init", "--quiet")
    assert f"{tmp_path} has none: fatal: " in refusal(tmp_path)


def test_a_path_without_files_is_refused(checkout: Path) -> None:
    with pytest.raises(AnsibleLookupError, match=r"^src: the commit [0-9a-f]{12} has no such file"):
        release(checkout, ("src",))


def test_ours_has_neither_tests_nor_fakes() -> None:
    """By the same settings as `make release`, whatever is committed at present."""
    environment = (ROOT / "playbooks/environment/vars/main/services.yml").read_text()
    (line,) = (line for line in environment.splitlines() if line.startswith("images_release_exclude: "))
    exclude = line.partition("[")[2].rstrip("]").split(", ")
    listed = [str(path.relative_to(ROOT)) for path in (ROOT / "src").rglob("*.py")]
    left = [path for path in listed if not images_release.below(path, exclude)]
    assert all(any(images_release.below(path, [each]) for path in listed) for each in exclude)
    assert "src/start.py" in left
    imports = [path for path in left if any(name in (ROOT / path).read_text() for name in modules(exclude))]
    assert imports == []


def modules(paths: list[str]) -> list[str]:
    return [f"from {path.removesuffix('.py').replace('/', '.')}" for path in paths]
