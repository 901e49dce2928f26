"""All roles have one skeleton: a value stands once, in the defaults, and its meaning once, in the argument specs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from wrklab.paths import PLAYBOOKS_DIR

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
