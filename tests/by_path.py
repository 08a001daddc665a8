"""Plugins are imported by their path; what they share, by the name of their collection."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
COLLECTIONS = ROOT / "playbooks/collections"
sys.path.append(str(COLLECTIONS))


def environment_variables(root: Path = ROOT) -> dict[str, Any]:
    """Return what the playbooks' role ``environment`` sets, templates not resolved."""
    files = sorted((root / "playbooks/environment/vars/main").glob("*.yml"))
    assert files
    return {name: value for path in files for name, value in yaml.safe_load(path.read_text("utf-8")).items()}


def load(path: str) -> ModuleType:
    """Return the plugin at a path below the repository."""
    # The whole path, as a file may have the name of a module of Python's own.
    name = ".".join(Path(path).with_suffix("").parts)
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
