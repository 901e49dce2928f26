"""Suites: variants to bench under scenarios, and variants to probe (`suites/*.yml`)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field, model_validator

from wrklab.catalogue.cards import Card, Name, read_card


class SuiteRow(Card):
    """One variant to bench under one scenario. The published row that it answers to is on the variant's card."""

    variant: Name
    scenario: Name


class SuiteProbe(Card):
    """One variant to probe."""

    variant: Name


class Suite(Card):
    """An article's table, or a list of your own: what is benched (`rows`) and probed (`probes`)."""

    given_by_place: ClassVar[frozenset[str]] = frozenset({"name"})

    name: Name
    description: str = Field(min_length=10)
    rows: tuple[SuiteRow, ...] = ()
    probes: tuple[SuiteProbe, ...] = ()
    #: What an article says of its figures. Only wrklab/articles reads and checks it (articles/claim_cards.py).
    claims: tuple[object, ...] = ()
    #: One of the rows' variants, to which the report compares all others (one worker, for what more of them gain).
    baseline: Name | None = None

    @model_validator(mode="after")
    def _has_its_baseline(self) -> Suite:
        if self.baseline is not None and self.baseline not in {row.variant for row in self.rows}:
            raise ValueError(f"baseline {self.baseline} is none of the suite's rows")
        return self

    @model_validator(mode="after")
    def _holds_something(self) -> Suite:
        if not self.rows and not self.probes:
            raise ValueError("a suite needs `rows` (variants to bench) or `probes` (variants to probe)")
        return self


def read_suite(path: Path) -> Suite:
    """The suite in a file of suites/, its claims unread. Raises CardError (file, line, key)."""
    return read_card(path, Suite, name=path.stem)
