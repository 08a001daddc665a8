"""Names of built images: each is tagged with a hash of what it is made of."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Each built image and the one it starts from.
BUILT = {
    "base": "",
    **dict.fromkeys(("postgres", "redis", "haproxy", "python"), "base"),
    "app": "python",
    "tests": "app",
    "monitoring": "python",
}
# The application's, and all that no registry has.
OWN = ("app", "tests")
MADE = (*OWN, "monitoring")


@dataclass(frozen=True)
class AppImage:
    """What an application's images are made of: requirements (the files' texts) and Debian packages."""

    name: str = "app"
    requirements: str = ""
    packages: tuple[str, ...] = ()
    build_packages: tuple[str, ...] = ()
    test_requirements: str = ""

    def made(self, name: str) -> tuple[str, list[str]]:
        """Return the repository and the content of the image itself, or of the tests' over it."""
        if name == "tests":
            return f"{self.name}-tests", [self.test_requirements]
        packages = [" ".join(sorted(names)) for names in (self.packages, self.build_packages)]
        return self.name, [self.requirements, *(packages if any(packages) else [])]


def digest(*parts: str) -> str:
    """Hash parts so that no two lists of parts give the same text."""
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()[:12]


def folder_digest(folder: Path) -> str:
    """Hash names and contents of a build context."""
    files = sorted(folder.iterdir())
    return digest(*(part for path in files for part in (path.name, path.read_text(encoding="utf-8"))))


def built_reference(prefix: str, files: Path, name: str, base: str, app: AppImage | None = None) -> str:
    """Reference of a built image, whose repository is its name unless it is an app's.

    The CA bundle and the package index are no inputs: hashes and signatures fix what is installed.
    """
    folders = [folder_digest(files / folder) for folder in (name, *(["shared"] if base else []))]
    repository, content = app.made(name) if app else (name, [""])
    return f"{prefix}/{repository}:{digest(*folders, base, *content)}"


def built_references(prefix: str, files: Path, app: AppImage) -> dict[str, str]:
    """References of all images that are built from Debian packages."""
    references: dict[str, str] = {}
    for name, parent in BUILT.items():
        own = app if name in OWN else None
        references[name] = built_reference(prefix, files, name, references.get(parent, ""), own)
    return references


def same_content(api: Any, reference: str) -> str:
    """Find an image of another name whose tag, the hash of what it is made of, is the same.

    :param api: a client of the engine.
    :returns: its reference, or nothing.
    """
    tag = reference.rpartition(":")[2]
    images = api.images(filters={"reference": f"*/*:{tag}", "label": "images.built"})
    names = sorted(name for image in images for name in image["RepoTags"] if name.endswith(f":{tag}"))
    return names[0] if names else ""
