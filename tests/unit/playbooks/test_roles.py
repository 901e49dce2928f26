"""All roles have one skeleton: a value stands once, in the defaults, and its meaning once, in the argument specs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from wrklab.catalogue.deployment import node_files
from wrklab.paths import PLAYBOOKS_DIR, PROJECT_DIR

ROLES = sorted(path for path in (PLAYBOOKS_DIR / "roles").iterdir() if path.is_dir())


def read(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file."""
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def specs_of(role: Path) -> dict[str, Any]:
    """The entry points of a role."""
    specs: dict[str, Any] = read(role / "meta/argument_specs.yml")["argument_specs"]
    return specs


@pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)
def test_defaults_and_argument_specs_list_the_same_names(role: Path) -> None:
    """What has a value has a meaning, and what has a meaning has a value."""
    assert set(read(role / "defaults/main.yml")) == set(specs_of(role)["main"]["options"])


@pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)
def test_every_name_begins_with_its_role(role: Path) -> None:
    """So no role reads another's variable by accident."""
    assert [name for name in read(role / "defaults/main.yml") if not name.startswith(f"{role.name}_")] == []


@pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)
def test_values_stand_in_the_defaults_alone(role: Path) -> None:
    """A default in the specs would be a second copy that can drift."""
    options = [option for spec in specs_of(role).values() for option in spec["options"].items()]
    assert [name for name, option in options if "default" in option] == []
    assert [name for name, option in options if not option.get("description") or not option.get("type")] == []


@pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)
def test_every_role_has_a_page(role: Path) -> None:
    """A README beside the role says what it leaves on a host."""
    assert (role / "README.md").read_text(encoding="utf-8").startswith(f"# {role.name}\n")


@pytest.mark.parametrize("path", sorted((PLAYBOOKS_DIR / "roles").rglob("*.yml")), ids=lambda path: str(path)[-40:])
def test_no_task_puts_a_proxy_on_a_command_line(path: Path) -> None:
    """Ansible writes a task's environment into the command line of its shell, and a URL may hold a password."""
    content = yaml.safe_load(path.read_text(encoding="utf-8")) or []
    environments = [task["environment"] for task in content if isinstance(task, dict) and "environment" in task]
    defaults = read(path.parents[1] / "defaults/main.yml") if path.parent.name == "tasks" else {}
    for environment in environments:
        if isinstance(environment, dict):
            assert "proxy" not in str(environment).lower()
            continue
        name = environment.removeprefix("{{ ").split()[0]
        assert "rejectattr('value', 'search', '@')" in environment or "proxy" not in str(defaults[name]).lower()


def test_reset_removes_no_folder_that_others_may_have_filled() -> None:
    """On a controller /var/lib/wrklab holds the container lab; a checkout may lie in /opt/wrklab."""
    removed = [Path(path) for path in read(PLAYBOOKS_DIR / "roles/base/vars/main.yml")["__base_left_on_hosts"]]
    kept = [Path("/var/lib/wrklab/container/nodes"), Path("/opt/wrklab/inv"), Path("/var/cache/wrklab/uv")]
    assert [path for path in kept if any(folder == path or folder in path.parents for folder in removed)] == []


def test_reset_removes_every_script_that_provisioning_puts_on_hosts() -> None:
    """A new package below /opt/wrklab needs its line in the list."""
    removed = [Path(path) for path in read(PLAYBOOKS_DIR / "roles/base/vars/main.yml")["__base_left_on_hosts"]]
    installed = [Path("/opt/wrklab") / each["path"] for each in node_files(PROJECT_DIR)]
    assert installed
    assert [path for path in installed if not any(gone == path or gone in path.parents for gone in removed)] == []
