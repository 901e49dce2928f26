"""The articles as one value: what they printed, what they claim, and who answers to it.

This is the package's interface to the checkout and to stored runs. A verb reads the library from suites/ and reference/
before anything runs, and stores it with the run as JSON. A report reads that copy, so it needs neither cards nor CSV.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import Field, ValidationError

from wrklab.articles.claim_cards import ArticleSuite, Claim
from wrklab.articles.reference import ArticleData, PublishedProbe, PublishedRow, read_articles
from wrklab.catalogue.cards import Name, place, read_card
from wrklab.catalogue.catalogue import Catalogue, check_known, stack_file
from wrklab.catalogue.scenario import Scenario
from wrklab.errors import CardError, StoreError
from wrklab.paths import PROJECT_DIR
from wrklab.results.records import Record

#: The file in a run's folder, and in a folder of probes.
SNAPSHOT_FILE = "articles.json"

_ROW = "row of reference/wrk-*.csv"
_PROBE_ROW = "row of reference/probe-*.csv"


class AnsweringVariant(Record):
    """What the library needs to know of a variant: which published rows it answers to, and how long it holds."""

    hold_ms: int
    #: Scenario of the article -> key of a published row.
    rows: dict[Name, str] = Field(default_factory=dict)
    #: Key of a published probe.
    probe: str | None = None


class ArticleLibrary(Record):
    """Everything that articles printed and claim, by key, checked as a whole."""

    data: ArticleData
    #: Suites that hold claims, rows or probes, by name.
    suites: dict[Name, ArticleSuite]
    #: Variants that answer to anything published or that a claim is about.
    variants: dict[Name, AnsweringVariant]
    #: The scenarios of the articles.
    scenarios: dict[Name, Scenario]

    @property
    def rows(self) -> Mapping[str, PublishedRow]:
        """Every published row of wrk's figures."""
        return self.data.rows

    @property
    def probes(self) -> Mapping[str, PublishedProbe]:
        """Every published finding on concurrency."""
        return self.data.probes

    def claims(self, suite: str | None = None) -> Iterator[tuple[str, Claim]]:
        """(suite, claim) of one suite, or of all where none of that name is here; in the suites' order."""
        names = [suite] if suite in self.suites else list(self.suites)
        for name in names:
            for claim in self.suites[name].claims:
                yield name, claim

    def row_of(self, variant: str, scenario: str | None) -> PublishedRow | None:
        """The published row that a variant answers to under an article's scenario, if there is one."""
        found = self.variants.get(variant)
        key = found.rows.get(scenario or "") if found else None
        return self.rows[key] if key is not None else None

    def path_of(self, row: PublishedRow) -> str | None:
        """The path that the article drove for a row, as the scenario of the variant that answers to it says."""
        for variant in self.variants.values():
            for scenario, key in variant.rows.items():
                if key == row.row:
                    return self.scenarios[scenario].path
        return None

    def probe_of(self, variant: str) -> PublishedProbe | None:
        """What an article found out about a variant's concurrency, if one did."""
        found = self.variants.get(variant)
        return self.probes[found.probe] if found and found.probe is not None else None

    def to_json(self) -> str:
        """The text that is stored with a run."""
        return self.model_dump_json(by_alias=True, indent=1)


def attachments(library: ArticleLibrary) -> dict[str, str]:
    """The files that a run or a folder of probes stores for its reports."""
    return {SNAPSHOT_FILE: library.to_json()}


def parse_snapshot(text: str | None, folder: Path) -> ArticleLibrary | None:
    """The library as a run stored it; None where it stored none. Raises StoreError naming the file and key."""
    if text is None:
        return None
    try:
        return ArticleLibrary.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise StoreError(
            f"{folder / SNAPSHOT_FILE}: {where}: {first['msg']}; read it with the checkout that wrote it, or remove "
            "this file to report the run without the articles"
        ) from error


def read_library(catalogue: Catalogue, project: Path = PROJECT_DIR) -> ArticleLibrary:
    """The library of a checkout, with every name checked. Raises CardError (file, line, key)."""
    data = read_articles(project / "reference")
    suites = {name: read_card(_suite_file(project, name), ArticleSuite, name=name) for name in catalogue.suites}
    _check_rows(project, catalogue, data)
    _check_claims(project, catalogue, data, suites)
    claimed = {operand.variant for suite in suites.values() for claim in suite.claims for operand in claim.operands()}
    loads = {operand.scenario for suite in suites.values() for claim in suite.claims for operand in claim.operands()}
    answering = {
        name: AnsweringVariant(hold_ms=variant.hold_ms, rows=variant.published, probe=variant.published_probe)
        for name, variant in catalogue.variants.items()
        if variant.published or variant.published_probe is not None or name in claimed
    }
    loads |= {scenario for variant in answering.values() for scenario in variant.rows}
    return ArticleLibrary(
        data=data,
        suites=suites,
        variants=answering,
        scenarios={name: scenario for name, scenario in catalogue.scenarios.items() if name in loads},
    )


def _suite_file(project: Path, suite: str) -> Path:
    return project / "suites" / f"{suite}.yml"


def _check_rows(project: Path, catalogue: Catalogue, data: ArticleData) -> None:
    """Published rows that variants' cards name exist. Raises CardError."""
    for variant in catalogue.variants.values():
        path, here = stack_file(project, variant.stack), ("variants", variant.name)
        for scenario, row in variant.published.items():
            check_known(path, (*here, "published", scenario), _ROW, row, data.rows)
        if variant.published_probe is not None:
            check_known(path, (*here, "published_probe"), _PROBE_ROW, variant.published_probe, data.probes)


def _check_claims(project: Path, catalogue: Catalogue, data: ArticleData, suites: Mapping[str, ArticleSuite]) -> None:
    """Claims name what exists, and no two have the same name. Raises CardError."""
    known: Mapping[str, Mapping[str, object]] = {
        "variant": catalogue.variants,
        "scenario": catalogue.scenarios,
        "article": data.articles,
    }
    seen: dict[str, str] = {}
    for suite in suites.values():
        path = _suite_file(project, suite.name)
        for i, claim in enumerate(suite.claims):
            for key, noun, name in claim.names():
                check_known(path, ("claims", i, *key), noun, name, known[noun])
            if claim.claim in seen:
                where = place(path, ("claims", i, "claim"))
                raise CardError(f"{where}: the suite {seen[claim.claim]} has a claim {claim.claim!r} already")
            seen[claim.claim] = suite.name
