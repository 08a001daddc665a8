"""Which images an environment runs, and what is missing for that."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
from ansible.plugins.lookup import LookupBase
from ansible_collections.dashtam.stack.plugins.module_utils import engine
from ansible_collections.dashtam.stack.plugins.module_utils.image_references import (
    BUILT,
    MADE,
    OWN,
    AppImage,
    built_reference,
    built_references,
    same_content,
)
from ansible_collections.dashtam.stack.plugins.module_utils.requirements_file import read_requirements
from requests.exceptions import RequestException

DOCUMENTATION = r"""
name: images_plan
short_description: Resolves image references, asking the engine what is present
description:
  - Asks the engine, in the controller's own process, and a registry only if O(ask_registry) says so.
  - Built images are tagged with a hash of what they are made of, so a present one is also up to date.
  - The answer holds C(family), C(images) (the references to run), C(app), C(python), C(base), C(pull) and
    C(build) (what is missing, in order), C(undecided) (only a registry's answer can decide, about the image
    C(ask)), C(reason) and C(error) (one line each, or empty). C(twins) has what is missing by name only,
    reference to the image of the same content that another project has built here.
options:
  source: {description: "V(auto), V(pull) or V(build).", type: str, required: true}
  family: {description: Family recorded on a data volume, or empty., type: str, default: ""}
  registry: {description: Prefix of the official references., type: str, default: ""}
  postgres: {description: Official PostgreSQL image., type: str, required: true}
  redis: {description: Official Redis image., type: str, required: true}
  python: {description: Official Python image., type: str, required: true}
  haproxy: {description: Official HAProxy image., type: str, default: "haproxy:3.0-bookworm"}
  grafana: {description: Grafana's image., type: str, default: "grafana/grafana:12.2.0"}
  prefix: {description: Prefix of the built references., type: str, required: true}
  names: {description: As C(images_wanted)., type: list, elements: str, required: true}
  app_name: {description: Name of the app image., type: str, default: app}
  requirements: {description: Path of the app image's hash-pinned requirements., type: str, default: ""}
  test_requirements: {description: Path of what the tests' image has besides., type: str, default: ""}
  packages: {description: Debian packages of the app image., type: list, elements: str, default: []}
  build_packages: {description: Those that only its build has., type: list, elements: str, default: []}
  files: {description: Folder with one build context per image., type: str, required: true}
  shared: {description: Whether images that another project has built here count., type: bool, default: true}
  rebuild: {description: Whether present images are taken as missing., type: bool, default: false}
  ask_registry: {description: Whether an undecided plan may ask the registry., type: bool, default: false}
"""

FAMILIES = {"official": "the official images", "debian": "the images built from Debian packages"}
MOVE = "To move the data: make a backup, remove the environment with its volume, start it again, restore."

OFFICIAL = ("postgres", "redis", "haproxy", "python")
# Comes from a registry, whatever the others do.
PULLED = "grafana"
# Seconds; below the engine's own patience with a registry that swallows packets.
PATIENCE = 20

# What the engine says when it did not reach a registry at all, unlike one that answers with a refusal.
NO_ANSWER = re.compile(
    "dial tcp|no such host|connection (refused|reset)|(i/o|handshake) timeout|timed out|timeout exceeded"
    "|deadline exceeded|network is unreachable|proxyconnect|eof|x509|request canceled|server misbehaving",
    re.IGNORECASE,
)

# https://www.debian.org/doc/debian-policy/ch-controlfields.html#source, and a version behind =
PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(=[A-Za-z0-9.+:~-]+)?")


@dataclass(frozen=True)
class Wanted:
    """What the role was asked for."""

    source: str
    family: str
    official: dict[str, str]
    built: dict[str, str]
    rebuild: bool = False
    names: tuple[str, ...] = ("postgres", "redis", "app")


@dataclass
class Plan:
    """The answer of the lookup, see DOCUMENTATION."""

    family: str = ""
    images: dict[str, str] = field(default_factory=dict)
    base: str = ""
    python: str = ""
    app: str = ""
    pull: list[str] = field(default_factory=list)
    build: list[str] = field(default_factory=list)
    undecided: bool = False
    ask: str = ""
    reason: str = ""
    error: str = ""
    twins: dict[str, str] = field(default_factory=dict)


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
        # These can be made wherever an image is that they start from.
        ready = {name: present(references[name]) for name in wanted.names if name != PULLED}
        bases = {name: ("app", "python") if name == "tests" else ("python",) for name in MADE}
        if all(
            there or any(present(references[base]) for base in bases.get(name, ()))
            for name, there in ready.items()
        ):
            return family, False
    return "official", True


def make_plan(
    wanted: Wanted, present: Callable[[str], bool], registry_error: Callable[[str], str] | None = None
) -> Plan:
    """Decide the family and list what is missing.

    registry_error gives one line where no registry answers for a reference; without it nothing is asked.
    """
    if error := contradiction(wanted.source, wanted.family):
        return Plan(error=error)
    (family, undecided), reason = decide(wanted, present), ""
    ask = wanted.official[next((name for name in wanted.names if name not in MADE), "python")]
    if undecided and registry_error is not None:
        undecided, reason = False, registry_error(ask)
        family = "debian" if reason else family
    references = wanted.official if family == "official" else wanted.built
    plan = Plan(
        family=family,
        images={name: references[name] for name in wanted.names},
        base=references.get("base", ""),
        python=references["python"],
        app=references["app"],
        undecided=undecided,
        ask=ask,
        reason=reason,
    )

    def missing(name: str) -> bool:
        return wanted.rebuild or not present(references[name])

    needed = [name for name in wanted.names if missing(name)]
    made = BUILT if family == "debian" else {name: BUILT[name] for name in MADE}
    for name in reversed(made):
        children = [child for child in plan.build if BUILT[child] == name]
        if name in needed or (children and missing(name)):
            plan.build.insert(0, name)
    plan.pull = [references[name] for name in needed if name not in made]
    if family == "official" and missing("python") and any(BUILT[name] == "python" for name in plan.build):
        plan.pull.append(references["python"])
    return plan


def no_answer(message: str) -> bool:
    """Whether the engine's words mean that no registry answered."""
    return NO_ANSWER.search(message) is not None


class LookupModule(LookupBase):
    """The lookup itself: files and engine in, plan out."""

    def run(
        self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, Any]]:
        """Return one plan."""
        self.set_options(var_options=variables, direct=kwargs)
        try:
            with engine.client(timeout=PATIENCE) as api:
                return [self.plan(api).__dict__]
        except engine.EngineError as error:
            return [Plan(error=str(error)).__dict__]

    def plan(self, api: docker.APIClient) -> Plan:
        """Make the plan with what this engine has."""
        wanted_names, texts = tuple(self.get_option("names")), {"requirements": "", "test_requirements": ""}
        packages, build_packages = (tuple(self.get_option(name)) for name in ("packages", "build_packages"))
        if set(OWN) & set(wanted_names):
            for name in texts if "tests" in wanted_names else ["requirements"]:
                texts[name], fault = read_requirements(self.get_option(name), f"images_{name}")
                if fault:
                    return Plan(error=fault)
            if wrong := [name for name in [*packages, *build_packages] if not PACKAGE.fullmatch(name)]:
                return Plan(error=f"There is no Debian package {wrong[0]!r}: write names such as libpq-dev.")
        prefix, registry, files = map(self.get_option, ("prefix", "registry", "files"))
        app = AppImage(self.get_option("app_name"), packages=packages, build_packages=build_packages, **texts)
        pulled = {PULLED: self.get_option(PULLED)}
        official = {name: registry + self.get_option(name) for name in OFFICIAL} | pulled
        for name in MADE:
            base, own = official[BUILT[name]], app if name in OWN else None
            official[name] = built_reference(prefix, Path(files), name, base, own)
        wanted = Wanted(
            source=self.get_option("source"),
            family=self.get_option("family"),
            official=official,
            built=built_references(prefix, Path(files), app) | pulled,
            rebuild=self.get_option("rebuild"),
            names=wanted_names,
        )
        ours = {*map(official.get, MADE), *wanted.built.values()} if self.get_option("shared") else set()
        twins: dict[str, str] = {}

        def present(reference: str) -> bool:
            try:
                api.inspect_image(reference)
            except docker.errors.ImageNotFound:
                twin = same_content(api, reference) if reference in ours else ""
                if twin:
                    twins[reference] = twin
                return bool(twin)
            return True

        def registry_error(reference: str) -> str:
            try:
                api.inspect_distribution(reference)
            except docker.errors.APIError as error:
                message = str(error.explanation or error)
                return message if no_answer(message) else ""
            except RequestException:
                return f"no answer within {PATIENCE} s"
            return ""

        plan = make_plan(wanted, present, registry_error if self.get_option("ask_registry") else None)
        used = {*plan.images.values(), plan.base, plan.python, plan.app}
        plan.twins = {reference: twin for reference, twin in twins.items() if reference in used}
        return plan
