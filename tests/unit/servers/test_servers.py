"""The stacks of this checkout, as far as they can be checked without a host."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from wrklab.catalogue.catalogue import read_catalogue
from wrklab.catalogue.stack import Stack
from wrklab.paths import PROJECT_DIR

STACKS = read_catalogue().stacks
PYTHON_STACKS = [name for name, stack in STACKS.items() if stack.runtime == "python"]
LOCKS = sorted(PROJECT_DIR.glob("servers/*/*.txt"))
RECIPE_LOCKS = sorted(PROJECT_DIR.glob("recipes/*.txt"))

#: Park and Miller publish this value after 10,000 steps from 1 (Communications of the ACM 31, 1988, page 1195).
PARK_MILLER_AFTER_10_000 = 1043618065
#: What GET /cpu answers in every stack.
CPU_ANSWER = 46831694


def folder_of(stack: Stack | str) -> Path:
    """Where a stack's files lie in this checkout."""
    return PROJECT_DIR / "servers" / (stack if isinstance(stack, str) else stack.name)


def computation_of(path: Path) -> dict[str, Any]:
    """`minimal_standard` and `CPU_STEPS` of an application, without importing its framework."""
    wanted: list[ast.stmt] = [
        node
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if (isinstance(node, ast.FunctionDef) and node.name == "minimal_standard")
        or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CPU_STEPS")
    ]
    assert len(wanted) == 2, path
    found: dict[str, Any] = {}
    exec(compile(ast.Module(wanted, []), str(path), "exec"), found)
    return found


@pytest.mark.parametrize("stack", PYTHON_STACKS)
def test_the_computation_of_python_stacks_is_park_and_millers(stack: str) -> None:
    """/cpu gives one result in every stack, from a generator whose values are published."""
    computation = computation_of(folder_of(stack) / "app.py")

    assert computation["minimal_standard"](10_000) == PARK_MILLER_AFTER_10_000
    assert computation["minimal_standard"](computation["CPU_STEPS"]) == CPU_ANSWER


@pytest.mark.parametrize("source", ["go_net_http/main.go", "openresty/app.lua"])
def test_the_other_languages_compute_the_same(source: str) -> None:
    """The same multiplier, modulus and steps; the nodes' tests compare the answers themselves."""
    text = (PROJECT_DIR / "servers" / source).read_text(encoding="utf-8")

    assert re.search(r"value = value \* 16807 % 2147483647\b", text)
    assert re.search(r"(?i)\bcpu_?steps = 100_?000\b", text)


def test_nginx_listens_where_its_stack_says() -> None:
    """nginx cannot take its port from the command line, so two files say it."""
    text = (folder_of("openresty") / "nginx.conf").read_text(encoding="utf-8")

    assert re.findall(r"listen \S+:(\d+)", text) == [str(STACKS["openresty"].port)]


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
def test_every_file_of_an_application_is_deployed(stack: Stack) -> None:
    """What lies in a stack's folder is listed in `files`, unless it is a card, a text or a lock."""
    lying = {
        path.name
        for path in folder_of(stack).iterdir()
        if path.is_file() and path.suffix not in (".yml", ".md", ".in", ".txt")
    }

    assert lying == set(stack.files)


@pytest.mark.parametrize("lock", LOCKS + RECIPE_LOCKS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_lock_pins_every_package_by_hash_and_names_no_address(lock: Path) -> None:
    """Each requirement has one exact version and at least one hash; no index and no URL."""
    text = lock.read_text(encoding="utf-8")
    requirements = text.replace("\\\n", "").splitlines()

    assert requirements
    for line in requirements:
        assert re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+(\s+--hash=sha256:[0-9a-f]{64})+\s*", line), line[:80]
    assert "://" not in text
    asked = re.findall(r"^[a-z0-9-]+", lock.with_suffix(".in").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(asked) <= {line.split("==")[0] for line in requirements}


def test_every_lock_of_a_recipe_is_used() -> None:
    """One for each that a recipe names, with what was asked for next to it."""
    named = {recipe.requirements for recipe in read_catalogue().recipes.values()}

    assert {lock.name for lock in RECIPE_LOCKS} == named
    assert {path.with_suffix(".txt").name for path in (PROJECT_DIR / "recipes").glob("*.in")} == named


def test_there_is_a_lock_for_each_python_stack_and_the_go_toolchain() -> None:
    """Nothing is installed that is not locked."""
    assert [f"{path.parent.name}/{path.name}" for path in LOCKS] == [
        "fastapi/requirements.txt",
        "flask/requirements.txt",
        "go_net_http/toolchain.txt",
        "sanic/requirements.txt",
    ]
