"""A plugin of pytest (`-p tests.unit.docs.collected_tests`) that writes for each collected test whether it can run.

A test cannot where its source skips it whatever the machine: by a mark, or by the first thing that it does. A condition
of the machine (skipif, the lab's need of root) is none of that.
"""

from __future__ import annotations

import ast
import inspect
import textwrap

import pytest


def is_always_skipped(item: pytest.Item) -> bool:
    """By `mark.skip`, `mark.skipif(True)`, or `pytest.skip(...)` as the first statement."""
    if any(True for _ in item.iter_markers("skip")):
        return True
    function = getattr(item, "function", None)
    if function is None:
        return False
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef)
    if any(ast.unparse(decorator).startswith("pytest.mark.skipif(True") for decorator in tree.decorator_list):
        return True
    statements = tree.body[1:] if ast.get_docstring(tree) is not None else tree.body
    return not statements or ast.unparse(statements[0]).startswith(("pytest.skip(", "pass", "return"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before tests/lab/conftest.py marks its tests for a machine that cannot make the lab."""
    for item in items:
        print(f"\nCOLLECTED {item.nodeid} {'SKIPPED' if is_always_skipped(item) else 'RUNS'}")  # noqa: T201
