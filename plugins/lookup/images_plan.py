"""Which images an environment runs, and what is missing for that."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = r"""
name: images_plan
short_description: Resolves image references, asking the engine what is present
description:
  - Asks the engine through its API, in the controller's own process.
  - No registry is asked unless O(ask_registry) says so.
  - Built images are tagged with a hash of what they are made of, so a present one is also up to date.
  - The answer holds C(family), C(images) (the references to run), C(python), C(base), C(pull) and C(build)
    (what is missing, in order), C(undecided) (only a registry's answer can decide, about the image C(ask)),
    C(reason) and C(error) (one line each, or empty).
options:
  source: {description: "V(auto), V(pull) or V(build).", type: str, required: true}
  family: {description: Family recorded on a data volume, or empty., type: str, default: ""}
  registry: {description: Prefix of the official references., type: str, default: ""}
  postgres: {description: Official PostgreSQL image., type: str, required: true}
  redis: {description: Official Redis image., type: str, required: true}
  python: {description: Official Python image., type: str, required: true}
  prefix: {description: Prefix of the built references., type: str, required: true}
  names: {description: "Of V(postgres), V(redis), V(app).", type: list, elements: str, required: true}
  app_name: {description: Name of the app image., type: str, default: app}
  requirements: {description: Path of the app image's hash-pinned requirements., type: str, default: ""}
  files: {description: Folder with one build context per image., type: str, required: true}
  rebuild: {description: Whether present images are taken as missing., type: bool, default: false}
  ask_registry: {description: Whether an undecided plan may ask the registry., type: bool, default: false}
"""

FAMILIES = {"official": "the official images", "debian": "the images built from Debian packages"}
MOVE = "To move the data: make a backup, remove the environment with its volume, start it again, restore."

# Each built image and the one it starts from.
BUILT = {"base": "", "postgres": "base", "redis": "base", "python": "base", "app": "python"}
RUN = ("postgres", "redis", "app")

# What the engine says when it did not reach a registry at all, unlike one that answers with a refusal.
NO_ANSWER = (
    "dial tcp",
    "no such host",
    "connection refused",
    "connection reset",
    "i/o timeout",
    "timed out",
    "timeout exceeded",
    "handshake timeout",
    "deadline exceeded",
    "network is unreachable",
    "proxyconnect",
    "eof",
    "x509",
    "request canceled",
    "server misbehaving",
)


@dataclass(frozen=True)
class Wanted:
    """What the role was asked for."""

    source: str
    family: str
    official: dict[str, str]
    built: dict[str, str]
    rebuild: bool = False
    names: tuple[str, ...] = RUN


@dataclass
class Plan:
    """The answer of the lookup, see DOCUMENTATION."""

    family: str = ""
    images: dict[str, str] = field(default_factory=dict)
    base: str = ""
    python: str = ""
    pull: list[str] = field(default_factory=list)
    build: list[str] = field(default_factory=list)
    undecided: bool = False
    ask: str = ""
    reason: str = ""
    error: str = ""


def digest(*parts: str) -> str:
    """Hash parts so that no two lists of parts give the same text."""
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()[:12]


def folder_digest(folder: Path) -> str:
    """Hash names and contents of a build context."""
    parts: list[str] = []
    for path in sorted(folder.iterdir()):
        parts += [path.name, path.read_text(encoding="utf-8")]
    return digest(*parts)


def built_reference(
    prefix: str, files: Path, name: str, base: str, requirements: str = "", repository: str = ""
) -> str:
    """Reference of a built image, whose repository is its name unless told another.

    The CA bundle and the package index are no inputs: hashes and signatures fix what is installed.
    """
    folders = [folder_digest(files / folder) for folder in (name, *(["shared"] if base else []))]
    return f"{prefix}/{repository or name}:{digest(*folders, base, requirements)}"


def built_references(prefix: str, files: Path, requirements: str, app: str = "app") -> dict[str, str]:
    """References of all images that are built from Debian packages."""
    references: dict[str, str] = {}
    for name, parent in BUILT.items():
        own = (requirements, app) if name == "app" else ()
        references[name] = built_reference(prefix, files, name, references.get(parent, ""), *own)
    return references


def contradiction(source: str, family: str) -> str:
    """Why a volume's family forbids a source, or nothing."""
    asked = {"pull": "official", "build": "debian"}.get(source)
    if not family or asked in (None, family):
        return ""
    return (
        f"images_source is {source}, but the data volume belongs to {FAMILIES[family]} (family {family}), "
        "and the other family's PostgreSQL must not open its files. Set images_source to auto to go on as "
        f"before. {MOVE}"
    )


def decide(wanted: Wanted, present: Callable[[str], bool]) -> tuple[str, bool]:
    """The family, and whether only a registry can tell."""
    if wanted.source != "auto":
        return ("official" if wanted.source == "pull" else "debian"), False
    if wanted.family:
        return wanted.family, False
    for family, references in (("official", wanted.official), ("debian", wanted.built)):
        # The app image can be made wherever its Python is.
        ready = {name: present(references[name]) for name in wanted.names}
        if all(there or (name == "app" and present(references["python"])) for name, there in ready.items()):
            return family, False
    return "official", True


def make_plan(
    wanted: Wanted, present: Callable[[str], bool], registry_error: Callable[[str], str] | None = None
) -> Plan:
    """Decide the family and list what is missing.

    registry_error gives one line where no registry answers for a reference; without it nothing is asked.
    """
    error = contradiction(wanted.source, wanted.family)
    if error:
        return Plan(error=error)
    family, undecided = decide(wanted, present)
    reason = ""
    # The app image is in no registry.
    ask = wanted.official[next((name for name in wanted.names if name != "app"), "python")]
    if undecided and registry_error is not None:
        undecided = False
        reason = registry_error(ask)
        if reason:
            family = "debian"
    references = wanted.official if family == "official" else wanted.built
    plan = Plan(
        family=family,
        images={name: references[name] for name in wanted.names},
        base=references.get("base", ""),
        python=references["python"],
        undecided=undecided,
        ask=ask,
        reason=reason,
    )

    def missing(name: str) -> bool:
        return wanted.rebuild or not present(references[name])

    needed = [name for name in wanted.names if missing(name)]
    if family == "official":
        plan.pull = [references[name] for name in needed if name != "app"]
        if "app" in needed:
            plan.build = ["app"]
            if missing("python"):
                plan.pull.append(references["python"])
    else:
        for name in reversed(BUILT):
            children = [child for child in plan.build if BUILT[child] == name]
            if name in needed or (children and missing(name)):
                plan.build.insert(0, name)
    return plan


def no_answer(message: str) -> bool:
    """Whether the engine's words mean that no registry answered."""
    return any(sign in message.lower() for sign in NO_ANSWER)


class LookupModule(LookupBase):
    """The lookup itself: files and engine in, plan out."""

    def run(
        self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, Any]]:
        """Return one plan."""
        self.set_options(var_options=variables, direct=kwargs)
        try:
            import docker
            from requests.exceptions import RequestException
        except ImportError as error:
            raise AnsibleError(f"The Python that runs Ansible lacks the docker package: {error}") from error

        wanted_names, app_name = tuple(self.get_option("names")), self.get_option("app_name")
        requirements = ""
        if "app" in wanted_names:
            path = self.get_option("requirements")
            if not path:
                return [Plan(error="images_requirements: give the file of Python requirements.").__dict__]
            try:
                requirements = Path(path).read_text(encoding="utf-8")
            except OSError as error:
                return [Plan(error=f"images_requirements: {path}: {error.strerror}.").__dict__]
        prefix, files = self.get_option("prefix"), Path(self.get_option("files"))
        names = ("postgres", "redis", "python")
        official = {name: self.get_option("registry") + self.get_option(name) for name in names}
        official["app"] = built_reference(prefix, files, "app", official["python"], requirements, app_name)
        wanted = Wanted(
            source=self.get_option("source"),
            family=self.get_option("family"),
            official=official,
            built=built_references(prefix, files, requirements, app_name),
            rebuild=self.get_option("rebuild"),
            names=wanted_names,
        )
        try:
            # Below the engine's own patience with a registry that swallows packets.
            api = docker.from_env(timeout=20).api
        except docker.errors.DockerException as error:
            return [Plan(error=f"No Docker engine answers: {error}").__dict__]

        def present(reference: str) -> bool:
            try:
                api.inspect_image(reference)
            except docker.errors.ImageNotFound:
                return False
            return True

        def registry_error(reference: str) -> str:
            try:
                api.inspect_distribution(reference)
            except docker.errors.APIError as error:
                message = str(error.explanation or error)
                return message if no_answer(message) else ""
            except RequestException:
                return "no answer within 20 s"
            return ""

        try:
            plan = make_plan(wanted, present, registry_error if self.get_option("ask_registry") else None)
        except (docker.errors.DockerException, RequestException) as error:
            return [Plan(error=f"The Docker engine does not answer: {error}").__dict__]
        finally:
            api.close()
        return [plan.__dict__]
