"""Everything that can be run: stacks, variants, scenarios and suites, found by looking into folders."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from wrklab.catalogue.cards import place
from wrklab.catalogue.recipe import Recipe, RecipeFile, read_recipe_files
from wrklab.catalogue.scenario import Scenario, read_scenario
from wrklab.catalogue.stack import Stack, Variant, read_stack
from wrklab.catalogue.suite import Suite, read_suite
from wrklab.errors import CardError, UnknownNameError, UsageError
from wrklab.paths import PROJECT_DIR


@dataclass(frozen=True)
class Catalogue:
    """All that the folders of a checkout offer, by name."""

    stacks: dict[str, Stack]
    variants: dict[str, Variant]
    scenarios: dict[str, Scenario]
    suites: dict[str, Suite]
    #: The server programs that there are recipes of.
    recipe_files: dict[str, RecipeFile] = field(default_factory=dict)

    @property
    def recipes(self) -> dict[str, Recipe]:
        """Every recipe by its name."""
        return {name: recipe for card in self.recipe_files.values() for name, recipe in card.recipes.items()}

    def select_variants(self, words: Iterable[str], *, with_unbenched: bool = False) -> list[Variant]:
        """The variants that words mean, in the catalogue's order, each once; made ones have to be there (with_made).

        A word is `all`, a name, a stack, a glob, or several of them with commas between. Names and globs reach every
        variant; `all` and a stack mean those that are benched, or really all of them `with_unbenched` (a probe).
        Raises UnknownNameError when a word means nothing, UsageError when there is no word.
        """
        given = split_words(words)
        if not given:
            raise UsageError("--variant is empty: give names, stacks, globs or all. `invoke list` shows them.")
        chosen: set[str] = set()
        for word in given:
            chosen |= self._matching(word, with_unbenched=with_unbenched)
        return [variant for name, variant in self.variants.items() if name in chosen]

    def _matching(self, word: str, *, with_unbenched: bool) -> set[str]:
        # Parameters may be given in any order; the variant is there by its own name (with_made).
        name = self.made_variant(word).name if "@" in word else word
        if name in self.variants:
            return {name}
        if word == "all" or word in self.stacks:
            meant = self.variants if word == "all" else self.stacks[word].variants
            return {name for name, variant in meant.items() if variant.benched or with_unbenched}
        if any(sign in word for sign in "*?["):
            found = set(fnmatch.filter(self.variants, word))
            if found:
                return found
        raise UnknownNameError("variant", word, ["all", *self.variants, *self.stacks])

    def made_variant(self, name: str) -> Variant:
        """The variant that a name with parameters means: `flask_gunicorn_gthread@threads=16,workers=2`.

        Raises UnknownNameError, ParameterError; ranges that depend on the CPUs are checked by check_parameters.
        """
        base, _, words = name.partition("@")
        if base not in self.variants:
            raise UnknownNameError("variant", base, self.variants)
        return self.variants[base].with_words(dict(word.partition("=")[::2] for word in words.split(",")))

    def with_made(self, names: Iterable[str]) -> Catalogue:
        """The catalogue with those of the names that have parameters among its variants; other names are left alone.

        Each is there by its own name, parameters sorted. Raises as made_variant.
        """
        made = [self.made_variant(name) for name in names if "@" in name]
        of_stack: dict[str, dict[str, Variant]] = {}
        for variant in made:
            of_stack.setdefault(variant.stack, {})[variant.name] = variant
        stacks = {
            name: stack.model_copy(update={"variants": {**stack.variants, **of_stack.get(name, {})}})
            for name, stack in self.stacks.items()
        }
        variants = {**self.variants, **{variant.name: variant for variant in made}}
        return replace(self, stacks=stacks, variants=variants)

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

    def published_key(self, variant: Variant, scenario: Scenario) -> str | None:
        """The key of the published row that this variant answers to under this scenario; None where there is none."""
        return variant.published.get(scenario.published_scenario)


#: Commas between words; those within a variant's parameters stand before `name=`.
_BETWEEN_WORDS = re.compile(r",(?!\s*[a-z][a-z0-9_]*=)")


def split_words(words: Iterable[str]) -> list[str]:
    """The words of a command line with commas between them; `one@a=1,b=2` is one word."""
    return [word.strip() for word in _BETWEEN_WORDS.split(",".join(words)) if word.strip()]


def check_parameters(variants: Iterable[Variant], cpus_count: int | None) -> None:
    """Raises ParameterError for a made variant with a parameter outside of its range on a server of so many CPUs.

    A card's own variants may be outside: an article's worker count is what it is.
    """
    for variant in variants:
        if variant.is_made and variant.serving is not None:
            variant.serving.check(cpus_count)


def read_catalogue(project: Path = PROJECT_DIR) -> Catalogue:
    """The catalogue of a checkout, with every name that cards use checked. Raises CardError (file, line, key)."""
    recipe_files = read_recipe_files(project)
    recipes = {name: recipe for card in recipe_files.values() for name, recipe in card.recipes.items()}
    stacks = {
        path.parent.name: read_stack(path.parent, recipes) for path in sorted(project.glob("servers/*/stack.yml"))
    }
    variants: dict[str, Variant] = {}
    for stack in stacks.values():
        for name, variant in stack.variants.items():
            if name in variants:
                where = place(stack_file(project, stack.name), ("variants", name))
                raise CardError(f"{where}: the stack {variants[name].stack} has a variant of this name already")
            variants[name] = variant
    catalogue = Catalogue(
        stacks=stacks,
        variants=variants,
        scenarios={path.stem: read_scenario(path) for path in sorted(project.glob("scenarios/*.yml"))},
        suites={path.stem: read_suite(path) for path in sorted(project.glob("suites/*.yml"))},
        recipe_files=recipe_files,
    )
    _check_references(project, catalogue)
    return catalogue


def stack_file(project: Path, stack: str) -> Path:
    """The card of a stack."""
    return project / "servers" / stack / "stack.yml"


def _check_references(project: Path, catalogue: Catalogue) -> None:
    """Names that one card uses of another exist. Raises CardError."""
    for variant in catalogue.variants.values():
        _check_variant(stack_file(project, variant.stack), variant, catalogue)
    for scenario in catalogue.scenarios.values():
        path = project / "scenarios" / f"{scenario.name}.yml"
        for i, name in enumerate(scenario.companions):
            check_known(path, ("companions", i), "scenario", name, catalogue.scenarios)
        check_known(path, ("compares_with",), "scenario", scenario.published_scenario, catalogue.scenarios)
    for suite in catalogue.suites.values():
        path = project / "suites" / f"{suite.name}.yml"
        for i, row in enumerate(suite.rows):
            check_known(path, ("rows", i, "variant"), "variant", row.variant, catalogue.variants)
            check_known(path, ("rows", i, "scenario"), "scenario", row.scenario, catalogue.scenarios)
        for i, probe in enumerate(suite.probes):
            check_known(path, ("probes", i, "variant"), "variant", probe.variant, catalogue.variants)


def _check_variant(path: Path, variant: Variant, catalogue: Catalogue) -> None:
    here = ("variants", variant.name)
    for scenario in variant.published:
        check_known(path, (*here, "published", scenario), "scenario", scenario, catalogue.scenarios)
    if variant.name in catalogue.stacks and variant.stack != variant.name:
        raise CardError(f"{place(path, here)}: this is the name of another stack; choose another name")


def check_known(path: Path, location: tuple[int | str, ...], noun: str, name: str, known: Iterable[str]) -> None:
    """Raises CardError (file, line, key, nearest names) where a card uses a name that does not exist."""
    if name not in known:
        raise CardError(f"{place(path, location)}: {UnknownNameError(noun, name, known)}")
