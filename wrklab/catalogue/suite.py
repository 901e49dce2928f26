"""Suites: variants under scenarios or probed, with the published rows that they answer to (`suites/*.yml`)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field, model_validator

from wrklab.articles.claim_cards import Claim
from wrklab.catalogue.cards import Card, Name, read_card


class SuiteRow(Card):
    """One line of an article's table: which variant under which scenario, and the `row` of reference/wrk-*.csv."""

    variant: Name
    scenario: Name
    published: str | None = None


class SuiteProbe(Card):
    """One line of an article's probes: which variant, and the `row` of reference/probe-*.csv."""

    variant: Name
    published: str | None = None


class Suite(Card):
    """An article's table, or a list of your own: what is benched (`rows`), probed (`probes`), claimed (`claims`)."""

    given_by_place: ClassVar[frozenset[str]] = frozenset({"name"})

    name: Name
    description: str = Field(min_length=10)
    rows: tuple[SuiteRow, ...] = ()
    probes: tuple[SuiteProbe, ...] = ()
    #: What the article says of its figures.
    claims: tuple[Claim, ...] = ()
    #: One of the rows' variants, against which the report sets all others (one worker, for what more of them gain).
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
    """The suite in a file of suites/. Raises CardError (file, line, key)."""
    return read_card(path, Suite, name=path.stem)
