"""A user's application as a stack: a variant for each entry and each recipe of its interface."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from wrklab.catalogue.application import Application, Entry
from wrklab.catalogue.application_files import APPLICATION_CARD
from wrklab.catalogue.cards import place
from wrklab.catalogue.catalogue import Catalogue
from wrklab.catalogue.recipe import Recipe
from wrklab.catalogue.request_mix import RequestMix
from wrklab.catalogue.scenario import Scenario
from wrklab.catalogue.stack import OwnCopy, Stack, UserApplication, Variant
from wrklab.errors import CardError, UnknownNameError, UsageError

#: The plainest way to serve an interface: what an application is checked with.
PLAINEST_RECIPES = {"wsgi": "gunicorn_sync", "asgi": "uvicorn"}
#: Keys of a scenario that concern the one path that it asks for.
_OF_ONE_PATH = frozenset({"body", "companions", "compares_with", "hold_ms", "path", "validate_bodies"})


@dataclass(frozen=True)
class EntryRecipe:
    """An entry of an application, and a recipe that can serve it."""

    entry_name: str
    entry: Entry
    recipe: Recipe


@dataclass(frozen=True)
class ReadyApplication:
    """An application that can be deployed: its files packed, its packages locked."""

    application: Application
    archive: Path
    files_digest: str
    #: The lock of its packages together with a server program's, by that program's requirements (Recipe.requirements).
    locks: Mapping[str, str]


def choose_recipes(catalogue: Catalogue, application: Application, words: Iterable[str]) -> list[EntryRecipe]:
    """What words (names of recipes and globs, with commas between) mean for an application; no word: the plainest.

    Raises UnknownNameError, and UsageError where no recipe that is meant can serve any entry.
    """
    given = [word.strip() for word in ",".join(words).split(",") if word.strip()]
    recipes = catalogue.recipes
    if not given:
        return [plainest(catalogue, name, entry) for name, entry in application.entries.items()]
    chosen: set[str] = set()
    for word in given:
        found = set(recipes) if word == "all" else set(fnmatch.filter(recipes, word))
        if not found:
            raise UnknownNameError("recipe", word, ["all", *recipes])
        chosen |= found
    pairs = [
        EntryRecipe(entry_name, entry, recipe)
        for entry_name, entry in application.entries.items()
        for name, recipe in recipes.items()
        if name in chosen and recipe.interface == entry.interface
    ]
    if not pairs:
        interfaces = ", ".join(sorted({entry.interface for entry in application.entries.values()}))
        usable = ", ".join(
            name
            for name, recipe in recipes.items()
            if recipe.interface in {e.interface for e in application.entries.values()}
        )
        raise UsageError(
            f"--recipe {','.join(given)}: none of these serves {interfaces}, which is what {application.application} "
            f"has. Recipes that do: {usable}"
        )
    return pairs


def plainest(catalogue: Catalogue, entry_name: str, entry: Entry) -> EntryRecipe:
    """An entry under the plainest recipe of its interface."""
    return EntryRecipe(entry_name, entry, catalogue.recipes[PLAINEST_RECIPES[entry.interface]])


def venv_name(requirements: str) -> str:
    """The folder of an application's packages together with those of a server program, by that one's lock."""
    return f"venv_{PurePosixPath(requirements).stem}"


def imported_by_servers(entry_name: str, entry: Entry) -> str:
    """What a server imports for an entry: a factory is called by a module of ours, which every server can import."""
    return f"{_factory_module(entry_name)}:application" if entry.is_factory else entry.import_


def added_files(application: Application) -> dict[str, str]:
    """Files that go next to the application's own, path -> text: a module for each factory."""
    return {
        f"{_factory_module(name)}.py": (
            f'"""The application that {entry.import_} makes."""\n\n'
            f"from {entry.module} import {entry.attribute} as factory\n\napplication = factory()\n"
        )
        for name, entry in application.entries.items()
        if entry.is_factory
    }


def _factory_module(entry_name: str) -> str:
    return f"wrklab_entry_{entry_name}"


def application_stack(ready: ReadyApplication, pairs: Sequence[EntryRecipe]) -> Stack:
    """The stack of an application, with a variant for each pair. Raises CardError."""
    application = ready.application
    variants = [_variant(application, pair) for pair in pairs]
    try:
        return Stack(
            name=application.application,
            description=application.description or f"{application.application}, an application of your own",
            runtime="python",
            files=(application.requirements,),
            requirements=application.requirements,
            application=UserApplication(
                folder=application.folder,
                archive=ready.archive,
                files_digest=ready.files_digest,
                locks={venv_name(name): lock for name, lock in ready.locks.items()},
                backends=application.backends,
                late_environment=application.late_environment,
            ),
            variants={variant.name: variant for variant in variants},
        )
    except ValidationError as error:
        raise CardError(f"{application.card}: {error.errors()[0]['msg']}") from error


def _variant(application: Application, pair: EntryRecipe) -> Variant:
    """One way to serve one entry. Raises CardError."""
    middle = "" if len(application.entries) == 1 else f"_{pair.entry_name}"
    try:
        variant = Variant(
            name=f"{application.application}{middle}_{pair.recipe.name}",
            stack=application.application,
            description=f"{pair.entry.import_} by {pair.recipe.description}",
            recipe=pair.recipe.name,
            entry=imported_by_servers(pair.entry_name, pair.entry),
            environment=application.fixed_environment,
            hold_ms=0,
            start_limit_s=application.start_limit_s,
            own_copy=OwnCopy(venv=venv_name(pair.recipe.requirements), prepare=application.prepare),
        )
    except ValidationError as error:
        where = place(application.card, ("application",))
        raise CardError(f"{where}: {error.errors()[0]['msg']}; choose shorter names") from error
    return variant.with_recipe({pair.recipe.name: pair.recipe})


def with_requests(catalogue: Catalogue, mix: RequestMix) -> Catalogue:
    """The catalogue with scenarios that send these requests: their connections, windows and rounds stay."""
    return replace(catalogue, scenarios={name: _sending(each, mix) for name, each in catalogue.scenarios.items()})


def _sending(scenario: Scenario, mix: RequestMix) -> Scenario:
    """A scenario with an application's requests instead of its path; no published row compares with it."""
    values = {name: value for name, value in scenario.model_dump().items() if name not in _OF_ONE_PATH}
    return Scenario.model_validate({**values, "requests": mix.requests, "login": mix.login})


def with_application(catalogue: Catalogue, stack: Stack) -> Catalogue:
    """The catalogue with an application's stack in it. Raises CardError where one of its names is taken."""
    variants = stack.variants
    taken = {stack.name} & ({*catalogue.stacks, *catalogue.variants, "all"}) or set(variants) & (
        {*catalogue.variants, *catalogue.stacks}
    )
    if taken and stack.application:
        where = place(stack.application.folder / APPLICATION_CARD, ("application",))
        raise CardError(f"{where}: {min(taken)} is a name of wrklab's own; choose another one")
    return replace(
        catalogue,
        stacks={**catalogue.stacks, stack.name: stack},
        variants={**catalogue.variants, **variants},
    )


# ---- As a file, for the playbooks ----


def stack_text(stack: Stack) -> str:
    """An application's stack as JSON, for the process that deploys it; commands are written out in it."""
    data = stack.model_dump(mode="json")
    for variant in data["variants"].values():
        # The command says what these come to.
        variant |= {"recipe": None, "entry": None, "parameters": {}, "arguments": ""}
    return json.dumps(data, indent=1, ensure_ascii=False)


def read_stack_text(path: Path) -> Stack:
    """The stack that stack_text wrote. Raises CardError."""
    try:
        return Stack.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CardError(f"{path}: cannot be read: {error.strerror}; run the command again") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CardError(
            f"{path}: {where}: {first['msg']}; it was written by another wrklab: run the command again"
        ) from error
