"""Everything that can be run: stacks, variants, scenarios, suites and published rows, found by looking into folders."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from wrklab.articles.published_probes import PublishedProbe, read_published_probes
from wrklab.articles.published_rows import PublishedRow, read_published
from wrklab.articles.reference import Article, read_articles
from wrklab.catalogue.cards import place
from wrklab.catalogue.scenario import Scenario, read_scenario
from wrklab.catalogue.stack import Stack, Variant, read_stack
from wrklab.catalogue.suite import Suite, read_suite
from wrklab.errors import CardError, UnknownNameError, UsageError
from wrklab.paths import PROJECT_DIR

_ROW = "row of reference/wrk-*.csv"
_PROBE_ROW = "row of reference/probe-*.csv"


@dataclass(frozen=True)
class Catalogue:
    """All that the folders of a checkout offer, by name."""

    stacks: dict[str, Stack]
    variants: dict[str, Variant]
    scenarios: dict[str, Scenario]
    suites: dict[str, Suite]
    published: dict[str, PublishedRow]
    published_probes: dict[str, PublishedProbe] = field(default_factory=dict)
    articles: dict[str, Article] = field(default_factory=dict)

    def select_variants(self, words: Iterable[str], *, with_unbenched: bool = False) -> list[Variant]:
        """The variants that words mean, in the catalogue's order, each once.

        A word is `all`, a name, a stack, a glob, or several of them with commas between. Names and globs reach every
        variant; `all` and a stack mean those that are benched, or really all of them `with_unbenched` (a probe).
        Raises UnknownNameError when a word means nothing, UsageError when there is no word.
        """
        given = [word.strip() for word in ",".join(words).split(",") if word.strip()]
        if not given:
            raise UsageError("--variant is empty: give names, stacks, globs or all. `invoke list` shows them.")
        chosen: set[str] = set()
        for word in given:
            chosen |= self._matching(word, with_unbenched=with_unbenched)
        return [variant for name, variant in self.variants.items() if name in chosen]

    def _matching(self, word: str, *, with_unbenched: bool) -> set[str]:
        if word in self.variants:
            return {word}
        if word == "all" or word in self.stacks:
            meant = self.variants if word == "all" else self.stacks[word].variants
            return {name for name, variant in meant.items() if variant.benched or with_unbenched}
        if any(sign in word for sign in "*?["):
            found = set(fnmatch.filter(self.variants, word))
            if found:
                return found
        raise UnknownNameError("variant", word, ["all", *self.variants, *self.stacks])

    def scenario(self, name: str) -> Scenario:
        """The scenario of that name. Raises UnknownNameError."""
        if name not in self.scenarios:
            raise UnknownNameError("scenario", name, self.scenarios)
        return self.scenarios[name]

    def suite(self, name: str) -> Suite:
        """The suite of that name. Raises UnknownNameError."""
        if name not in self.suites:
            raise UnknownNameError("suite", name, self.suites)
        return self.suites[name]

    def published_row(self, variant: Variant, scenario: Scenario) -> PublishedRow | None:
        """The published row that this variant answers to under this scenario, if there is one."""
        key = variant.published.get(scenario.published_scenario)
        return self.published[key] if key is not None else None

    def published_probe(self, variant: Variant) -> PublishedProbe | None:
        """What an article found out about this variant's concurrency, if one did."""
        return self.published_probes[variant.published_probe] if variant.published_probe is not None else None


def read_catalogue(project: Path = PROJECT_DIR) -> Catalogue:
    """The catalogue of a checkout, checked as a whole. Raises CardError (file, line, key)."""
    stacks = {path.parent.name: read_stack(path.parent) for path in sorted(project.glob("servers/*/stack.yml"))}
    variants: dict[str, Variant] = {}
    for stack in stacks.values():
        for name, variant in stack.variants.items():
            if name in variants:
                where = place(_stack_file(project, stack.name), ("variants", name))
                raise CardError(f"{where}: the stack {variants[name].stack} has a variant of this name already")
            variants[name] = variant
    catalogue = Catalogue(
        stacks=stacks,
        variants=variants,
        scenarios={path.stem: read_scenario(path) for path in sorted(project.glob("scenarios/*.yml"))},
        suites={path.stem: read_suite(path) for path in sorted(project.glob("suites/*.yml"))},
        published=read_published(project / "reference"),
        published_probes=read_published_probes(project / "reference"),
        articles=read_articles(project / "reference").articles,
    )
    _check_references(project, catalogue)
    return catalogue


def _stack_file(project: Path, stack: str) -> Path:
    return project / "servers" / stack / "stack.yml"


def _check_references(project: Path, catalogue: Catalogue) -> None:
    """Names that one card uses of another exist. Raises CardError."""
    for variant in catalogue.variants.values():
        _check_variant(_stack_file(project, variant.stack), variant, catalogue)
    for scenario in catalogue.scenarios.values():
        path = project / "scenarios" / f"{scenario.name}.yml"
        for i, name in enumerate(scenario.companions):
            _check_known(path, ("companions", i), "scenario", name, catalogue.scenarios)
        _check_known(path, ("compares_with",), "scenario", scenario.published_scenario, catalogue.scenarios)
    for suite in catalogue.suites.values():
        path = project / "suites" / f"{suite.name}.yml"
        for i, row in enumerate(suite.rows):
            _check_known(path, ("rows", i, "variant"), "variant", row.variant, catalogue.variants)
            _check_known(path, ("rows", i, "scenario"), "scenario", row.scenario, catalogue.scenarios)
            if row.published is not None:
                _check_known(path, ("rows", i, "published"), _ROW, row.published, catalogue.published)
        for i, probe in enumerate(suite.probes):
            _check_known(path, ("probes", i, "variant"), "variant", probe.variant, catalogue.variants)
            if probe.published is not None:
                where = ("probes", i, "published")
                _check_known(path, where, _PROBE_ROW, probe.published, catalogue.published_probes)
    _check_claims(project, catalogue)


def _check_claims(project: Path, catalogue: Catalogue) -> None:
    """Claims name what there is, and no two have the same name. Raises CardError."""
    known: dict[str, Iterable[str]] = {
        "variant": catalogue.variants,
        "scenario": catalogue.scenarios,
        "article": catalogue.articles,
    }
    seen: dict[str, str] = {}
    for suite in catalogue.suites.values():
        path = project / "suites" / f"{suite.name}.yml"
        for i, claim in enumerate(suite.claims):
            for key, noun, name in claim.names():
                _check_known(path, ("claims", i, *key), noun, name, known[noun])
            if claim.claim in seen:
                where = place(path, ("claims", i, "claim"))
                raise CardError(f"{where}: the suite {seen[claim.claim]} has a claim {claim.claim!r} already")
            seen[claim.claim] = suite.name


def _check_variant(path: Path, variant: Variant, catalogue: Catalogue) -> None:
    here = ("variants", variant.name)
    for scenario, row in variant.published.items():
        _check_known(path, (*here, "published", scenario), "scenario", scenario, catalogue.scenarios)
        _check_known(path, (*here, "published", scenario), _ROW, row, catalogue.published)
    if variant.published_probe is not None:
        where = (*here, "published_probe")
        _check_known(path, where, _PROBE_ROW, variant.published_probe, catalogue.published_probes)
    if variant.name in catalogue.stacks and variant.stack != variant.name:
        raise CardError(f"{place(path, here)}: this is the name of another stack; choose another name")


def _check_known(path: Path, location: tuple[int | str, ...], noun: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise CardError(f"{place(path, location)}: {UnknownNameError(noun, name, known)}")
