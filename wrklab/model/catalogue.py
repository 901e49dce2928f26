"""Everything that can be run: stacks, variants, scenarios, suites and published rows, found by looking into folders."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from wrklab.errors import CardError, UnknownNameError
from wrklab.model.published import PublishedRow, read_published
from wrklab.model.scenario import Scenario, read_scenario
from wrklab.model.stack import Stack, Variant, read_stack
from wrklab.model.suite import Suite, read_suite
from wrklab.paths import PROJECT_DIR


@dataclass(frozen=True)
class Catalogue:
    """All that the folders of a checkout offer, by name."""

    stacks: dict[str, Stack]
    variants: dict[str, Variant]
    scenarios: dict[str, Scenario]
    suites: dict[str, Suite]
    published: dict[str, PublishedRow]

    def select_variants(self, words: Iterable[str]) -> list[Variant]:
        """The variants that words mean, in the catalogue's order, each once.

        A word is `all`, a name, a stack, a glob, or several of them with commas between.
        Raises UnknownNameError when a word means nothing.
        """
        chosen: set[str] = set()
        for word in ",".join(words).split(","):
            if word.strip():
                chosen |= self._matching(word.strip())
        return [variant for name, variant in self.variants.items() if name in chosen]

    def _matching(self, word: str) -> set[str]:
        if word == "all":
            return set(self.variants)
        if word in self.variants:
            return {word}
        if word in self.stacks:
            return set(self.stacks[word].variants)
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


def read_catalogue(project: Path = PROJECT_DIR) -> Catalogue:
    """The catalogue of a checkout, checked as a whole. Raises CardError (file, line, key)."""
    stacks = {path.parent.name: read_stack(path.parent) for path in sorted(project.glob("servers/*/stack.yml"))}
    variants: dict[str, Variant] = {}
    for stack in stacks.values():
        for name, variant in stack.variants.items():
            if name in variants:
                raise CardError(f"servers/{stack.name}/stack.yml: variant {name} is in {variants[name].stack} already")
            variants[name] = variant
    catalogue = Catalogue(
        stacks=stacks,
        variants=variants,
        scenarios={path.stem: read_scenario(path) for path in sorted(project.glob("scenarios/*.yml"))},
        suites={path.stem: read_suite(path) for path in sorted(project.glob("suites/*.yml"))},
        published=read_published(project / "reference"),
    )
    _check_references(catalogue)
    return catalogue


def _check_references(catalogue: Catalogue) -> None:
    """Names that one card uses of another exist. Raises CardError."""
    for variant in catalogue.variants.values():
        where = f"servers/{variant.stack}/stack.yml: {variant.name}: published"
        for scenario, row in variant.published.items():
            _check_known(where, "scenario", scenario, catalogue.scenarios)
            _check_known(where, "row of reference/wrk-*.csv", row, catalogue.published)
        if variant.name in catalogue.stacks and variant.stack != variant.name:
            raise CardError(f"{where}: {variant.name} is the name of another stack; choose another name")
    for scenario_card in catalogue.scenarios.values():
        where = f"scenarios/{scenario_card.name}.yml"
        for name in (*scenario_card.companions, scenario_card.published_scenario):
            _check_known(where, "scenario", name, catalogue.scenarios)
    for suite in catalogue.suites.values():
        where = f"suites/{suite.name}.yml: rows"
        for entry in suite.rows:
            _check_known(where, "variant", entry.variant, catalogue.variants)
            _check_known(where, "scenario", entry.scenario, catalogue.scenarios)
            if entry.published is not None:
                _check_known(where, "row of reference/wrk-*.csv", entry.published, catalogue.published)


def _check_known(where: str, noun: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise CardError(f"{where}: {UnknownNameError(noun, name, known)}")
