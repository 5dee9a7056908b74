# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A role's argument spec, its defaults, its README and the names in it say the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).parents[2] / "roles"
NAMES = sorted(path.name for path in ROLES.iterdir() if path.is_dir())
#: Facts that a role documents as its result.
RESULTS = {
    "adopt_primary_done",
    "adopt_primary_possible",
    "adopt_primary_reason",
    "backup_deployment_done",
    "backup_director_done",
    "director_preflight_findings",
    "find_phase_found",
    "find_phase_seen",
    "find_phase_proofs",
    "pin_host_keys_found",
    "plan_rollback_lines",
    "plan_rollback_micro_vms",
    "plan_rollback_primary_vm",
    "reach_deployment_instance",
    "record_director_counts",
    "rehearse_restore_done",
    "run_bbr_command_failures",
    "run_bbr_command_kinds",
    "run_bbr_command_seconds_locked",
    "run_bbr_scripts_failures",
    "run_bbr_scripts_ran",
    "start_meta_answered_at",
    "stop_boshes_began_at",
    "stop_boshes_served_until",
    "sync_store_done",
}
#: Variables of the collection; a name such as bosh_ha_staging or bosh_ha_sync is a directory's or a key's.
SHARED = re.compile(
    r"(?<![\w./-])bosh_ha_(?:directors|cli_options|known_hosts|work_dir|freeze|handover|backup|backup_dir|pin_host_keys)\b"
)
ROW = re.compile(r"^\| `(\w+)` \| (.*?) \| (.+) \|$")
INCLUDES = {"ansible.builtin.include_role", "ansible.builtin.import_role"}

#: What action plugins read besides, by their modules, without the prefix.
READ_BY = {
    "pair_info": ("directors", "work_dir"),
    "inputs_info": ("directors", "known_hosts", "backup", "backup_dir"),
    "pair_host_keys": ("directors",),
}
#: Modules whose action plugins find out how a director is reached.
DIRECTOR_MODULES = {
    *READ_BY,
    *yaml.safe_load((ROLES.parent / "meta" / "runtime.yml").read_text(encoding="utf-8"))["action_groups"]["director"],
}

per_role = pytest.mark.parametrize("role", NAMES)


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None


def spec(role: str) -> dict[str, Any]:
    return load(ROLES / role / "meta" / "argument_specs.yml")["argument_specs"]


def options(role: str) -> dict[str, dict[str, Any]]:
    """The options of all entry points."""
    return {name: option for entry in spec(role).values() for name, option in entry.get("options", {}).items()}


def defaults(role: str) -> dict[str, Any]:
    return load(ROLES / role / "defaults" / "main.yml") or {}


def is_expression(value: Any) -> bool:
    return isinstance(value, str) and "{{" in value


def files(role: str) -> list[Path]:
    return sorted(path for kind in ("tasks", "handlers") for path in (ROLES / role / kind).rglob("*.yml"))


def tasks(nodes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each task and block, those in blocks too."""
    for node in nodes:
        yield node
        for part in ("block", "rescue", "always"):
            yield from tasks(node.get(part) or [])


def made(task: dict[str, Any]) -> Iterator[str]:
    """Names that a task gives to variables of its own role."""
    if "register" in task:
        yield task["register"]
    loop_control = task.get("loop_control", {})
    yield from (loop_control[key] for key in ("loop_var", "index_var") if key in loop_control)
    yield from (name for name in task.get("ansible.builtin.set_fact", {}) if name != "cacheable")
    if not INCLUDES & set(task):
        yield from task.get("vars", {})


def shown(role: str, name: str) -> str:
    """How the README's table has an option's default."""
    option, default = options(role)[name], defaults(role).get(name)
    if is_expression(default):
        return f"from `{SHARED.findall(default)[0]}`"
    if option.get("required"):
        return "needed"
    if "default" not in option:
        return "none"
    value = option["default"]
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


@per_role
def test_the_files_of_a_role_are_there(role: str) -> None:
    for name in ("README.md", "meta/main.yml", "meta/argument_specs.yml", "tasks/main.yml"):
        assert (ROLES / role / name).is_file(), f"roles/{role} has no {name}"


@per_role
def test_every_entry_point_and_option_is_described(role: str) -> None:
    assert "main" in spec(role)
    for point, entry in spec(role).items():
        assert (ROLES / role / "tasks" / f"{point}.yml").is_file(), f"there is no entry point {point}"
        assert entry.get("short_description") and entry.get("description"), f"{point} is not described"
    for name, option in options(role).items():
        assert option.get("description") and option.get("type"), f"{name} is not described"


@per_role
def test_entry_points_agree_on_an_option_that_they_share(role: str) -> None:
    for entry in spec(role).values():
        for name, option in entry.get("options", {}).items():
            assert option == options(role)[name], name


@per_role
def test_defaults_are_those_of_the_spec(role: str) -> None:
    given, specified = defaults(role), options(role)
    assert set(given) <= set(specified), "defaults without an option"
    told = {name: option["default"] for name, option in specified.items() if "default" in option}
    # Several entry points share one defaults/main.yml; an empty list or mapping is a default, too.
    assert {name: value for name, value in given.items() if not is_expression(value)} == told


@per_role
def test_a_needed_option_has_no_default(role: str) -> None:
    for name, option in options(role).items():
        assert not (option.get("required") and ("default" in option or name in defaults(role))), name


@per_role
def test_public_names_are_the_collections_or_the_roles(role: str) -> None:
    for name in {*options(role), *defaults(role)}:
        assert name.startswith(("bosh_ha_", f"{role}_")), name


@per_role
def test_private_names_are_the_roles(role: str) -> None:
    names = set(load(ROLES / role / "vars" / "main.yml") or {})
    for path in files(role):
        names |= {name for task in tasks(load(path)) for name in made(task)}
    # A role that knows other directors gives them to its tasks by the one name that action plugins read.
    assert not {name for name in names - RESULTS - {"bosh_ha_directors"} if not name.startswith(f"_{role}_")}


def needed(role: str, condition: Any) -> set[str]:
    """Every name that a condition is made of, those of the role's own vars too."""
    own, found, waiting = load(ROLES / role / "vars" / "main.yml") or {}, set(), {str(condition)}
    while waiting:
        names = set(re.findall(r"\b[a-z_]\w+", waiting.pop())) - found
        found |= names
        waiting |= {str(own[name]) for name in names & set(own)}
    return found


def inside(role: str, task: dict[str, Any]) -> list[dict[str, Any]]:
    """Tasks that are asked a task's condition, each of them: a block's, with what they include, or an import's."""
    nodes = [node for part in ("block", "rescue", "always") for node in task.get(part) or []]
    included = task.get("ansible.builtin.import_tasks", "")
    found = [*tasks(nodes), *(tasks(load(ROLES / role / "tasks" / included)) if included else ())]
    for node in list(found):
        name = node.get("ansible.builtin.include_tasks") or node.get("ansible.builtin.import_tasks") or ""
        if isinstance(name, str) and (ROLES / role / "tasks" / name).is_file():
            found += tasks(load(ROLES / role / "tasks" / name))
    return found


@per_role
def test_no_task_of_a_block_changes_the_condition_of_those_after_it(role: str) -> None:
    """Ansible asks a block's condition anew for each of its tasks, even within a loop that registers its results."""
    for path in files(role):
        for task in tasks(load(path)):
            changed = {name for node in inside(role, task) for name in made(node)}
            assert not changed & needed(role, task.get("when", "")), f"{path}: {task['name']}"


@per_role
def test_the_spec_has_what_the_role_uses_and_nothing_else(role: str) -> None:
    directory = ROLES / role
    sources = [*files(role), *sorted((directory / "vars").glob("*.yml")), directory / "defaults" / "main.yml"]
    sources += sorted((directory / "templates").glob("*.j2"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources if path.exists())
    used = set(SHARED.findall(text))
    made_here = bool(re.search(r"^ +bosh_ha_directors: .\{\{ _", text, re.MULTILINE))
    # Their action plugins read these variables.
    asked = {name for name in re.findall(r"^ *bosh\.ha\.(\w+):", text, re.MULTILINE) if name in DIRECTOR_MODULES}
    if asked:
        used.add("bosh_ha_cli_options")
    used |= {f"bosh_ha_{variable}" for name in asked for variable in READ_BY.get(name, ())}
    if made_here:
        used.remove("bosh_ha_directors")
    elif re.search(r"^ *director: ", text, re.MULTILINE):
        used.add("bosh_ha_directors")
    assert used == {name for name in options(role) if name.startswith("bosh_ha_")}
    own = set(re.findall(rf"(?<![\w./-]){role}_\w+", text)) - RESULTS
    assert own == {name for name in options(role) if not name.startswith("bosh_ha_")}


@per_role
def test_a_boolean_that_came_as_a_text_is_tested_as_a_boolean(role: str) -> None:
    """`-e name=false` is a text, and the argument spec converts only what it looks at itself."""
    names = [name for name, option in options(role).items() if option["type"] == "bool"]
    for path in files(role):
        text = path.read_text(encoding="utf-8")
        for name in names:
            # A module converts what is given to its own option; a sentence may tell what to give.
            rest = text.replace(f'"{{{{ {name} }}}}"', "").replace(f"-e {name}=true", "")
            # AWX gives null for an empty answer.
            rest = rest.replace(f"{name} is none or {name} | bool", "")
            assert not re.search(rf"(?<![\w./-]){name}\b(?! \| bool\b)", rest), f"{path}: {name} without | bool"


@per_role
def test_the_readme_has_the_options_and_their_defaults(role: str) -> None:
    readme = (ROLES / role / "README.md").read_text(encoding="utf-8")
    assert readme.startswith(f"# bosh.ha.{role}\n")
    assert "\n## Variables\n" in readme
    section = readme.partition("\n## Variables\n")[2].partition("\n## ")[0]
    rows = [ROW.match(line) for line in section.splitlines() if line.startswith("| `")]
    assert all(rows), "a row that is none"
    assert len(rows) == len({row[1] for row in rows if row}), "a variable twice"
    assert {row[1]: row[2] for row in rows if row} == {name: shown(role, name) for name in options(role)}


@per_role
def test_the_readme_names_the_results(role: str) -> None:
    readme = (ROLES / role / "README.md").read_text(encoding="utf-8")
    for name in RESULTS:
        if name.startswith(f"{role}_"):
            assert f"`{name}`" in readme.partition("\n## Results\n")[2]


@per_role
def test_the_readme_names_every_entry_point(role: str) -> None:
    readme = (ROLES / role / "README.md").read_text(encoding="utf-8")
    for point in set(spec(role)) - {"main"}:
        assert f"tasks_from: {point}" in readme


@per_role
def test_what_is_waited_for_is_looked_at(role: str) -> None:
    # With 0 retries Ansible does not evaluate `until` at all (executor/task_executor.py).
    for path in files(role):
        for task in tasks(load(path) or []):
            if "until" in task:
                retries = task.get("retries")
                always = retries > 0 if isinstance(retries, int) else str(retries).endswith(", 1] | max }}")
                assert always, f"{path.name}: {task['name']}: retries may be 0"
