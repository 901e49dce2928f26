"""Suites: variants under scenarios, with the published rows that they answer to (`suites/*.yml`)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from wrklab.model.cards import Card, Name, read_card


class SuiteRow(Card):
    """One line of an article's table: which variant under which scenario, and the `row` of reference/wrk-*.csv."""

    variant: Name
    scenario: Name
    published: str | None = None


class Suite(Card):
    """An article's table, or a list of your own."""

    given_by_place: ClassVar[frozenset[str]] = frozenset({"name"})

    name: Name
    description: str = Field(min_length=10)
    rows: tuple[SuiteRow, ...] = Field(min_length=1)


def read_suite(path: Path) -> Suite:
    """The suite in a file of suites/. Raises CardError (file, line, key)."""
    return read_card(path, Suite, name=path.stem)
