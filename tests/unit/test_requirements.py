# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the collection says that it needs is what it uses, and all places that say it agree."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
AWX = (ROOT / "docs" / "awx.md").read_text(encoding="utf-8")
CONTROLLER = (ROOT / "requirements" / "controller.txt").read_text(encoding="utf-8")
INPUTS = (ROOT / "docs" / "inputs.md").read_text(encoding="utf-8")
#: They come with ansible-core.
WITH_CORE = {"ansible", "ansible_collections", "yaml"}
MODULE = re.compile(r"^\s*(?:- )?([a-z_]+\.[a-z_]+)\.[a-z_]+:$", re.MULTILINE)
OTHERS = re.compile(r"\| ((?!ansible\.builtin|bosh\.ha)[a-z_]+\.[a-z_]+)\.[a-z_]+\b")


def load(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def pinned() -> dict[str, str]:
    """Packages and versions in requirements/controller.txt, the oldest of each."""
    return dict(reversed(re.findall(r"^([\w-]+)==([\d.]+)", CONTROLLER, re.MULTILINE)))


def execution_environment() -> dict[str, Any]:
    return load("execution-environment.yml")["dependencies"]


def collections_used() -> set[str]:
    paths = [path for part in ("roles", "playbooks") for path in (ROOT / part).rglob("*.yml")]
    texts = [path.read_text(encoding="utf-8") for path in paths]
    used = {name for text in texts for name in [*MODULE.findall(text), *OTHERS.findall(text)]}
    return used - {"ansible.builtin", "bosh.ha"}


def packages_imported() -> set[str]:
    found = set()
    for path in (ROOT / "plugins").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(str(node.module).partition(".")[0])
    return found - set(sys.stdlib_module_names) - WITH_CORE


def test_collections_that_are_used_are_dependencies_and_no_others() -> None:
    assert set(load("galaxy.yml")["dependencies"]) == collections_used()


def test_an_execution_environment_has_the_same_collections() -> None:
    wanted = load("galaxy.yml")["dependencies"]
    given = execution_environment().get("galaxy", {}).get("collections", [])
    assert {one["name"]: one["version"] for one in given} == wanted


def test_a_clone_that_is_a_project_of_awx_finds_its_own_collection() -> None:
    first, *others = load("collections/requirements.yml")["collections"]
    assert first == {"name": ".", "type": "dir"}
    assert {one["name"]: one["version"] for one in others} == load("galaxy.yml")["dependencies"]


def test_the_execution_environment_has_the_ansible_that_is_tested() -> None:
    """awx-ee has an older one, and an older Python."""
    given = execution_environment()
    newest = dict(re.findall(r"^([\w-]+)==([\d.]+); python_version >=", CONTROLLER, re.MULTILINE))
    assert given["ansible_core"]["package_pip"] == f"ansible-core=={newest['ansible-core']}"
    assert given["ansible_runner"]["package_pip"] == f"ansible-runner=={pinned()['ansible-runner']}"
    assert given["python_interpreter"]["package_system"].removeprefix("python3.") >= "12"
    assert {line.split()[0] for line in given["system"]} >= {"openssh-clients", "rsync"}


def test_packages_that_are_imported_are_named_everywhere() -> None:
    assert packages_imported() == {"netaddr"}
    for package in packages_imported():
        assert package in pinned()
        assert [entry for entry in execution_environment()["python"] if entry.startswith(package)]
        for told in (AWX, INPUTS):
            assert f"`{package}` " in told


def test_the_pinned_ansible_is_one_that_the_collection_allows() -> None:
    oldest = load("meta/runtime.yml")["requires_ansible"].removeprefix(">=")
    assert pinned()["ansible-core"].startswith(oldest.removesuffix("0"))
    for told in (AWX, INPUTS):
        assert f"`ansible-core` {oldest.removesuffix('.0')} or newer" in told


def test_modules_load_on_a_vm_which_has_no_pyyaml() -> None:
    # A stemcell's Python has the standard library alone, and netaddr is the control node's, too.
    program = """
import importlib, sys
sys.modules["yaml"] = sys.modules["netaddr"] = None
for name in sys.argv[1:]:
    importlib.import_module(f"ansible_collections.bosh.ha.plugins.{name}")
"""
    files = [path for room in ("module_utils", "modules") for path in (ROOT / "plugins" / room).glob("*.py")]
    names = [f"{path.parent.name}.{path.stem}" for path in files]
    assert len(names) > 100
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, *names]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
    assert done.stderr == ""
