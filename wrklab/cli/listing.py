"""`invoke list` and `invoke runs`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.markup import escape
from rich.table import Table

from wrklab.articles.library import ArticleLibrary, read_library
from wrklab.catalogue.catalogue import Catalogue, read_catalogue
from wrklab.catalogue.recipe import Parameter, plain
from wrklab.cli.verbs import print_json, results
from wrklab.hosts.ansible import known_labs
from wrklab.paths import RESULTS_DIR
from wrklab.results.run_folder import RunInfo, list_runs


def show_catalogue(*, as_json: bool) -> None:
    """Everything that can be named on a command line."""
    catalogue = read_catalogue()
    library = read_library(catalogue)
    if as_json:
        print_json(catalogue_data(catalogue, library))
        return
    out = results()
    out.print(_variants_table(catalogue))
    out.print(_recipes_table(catalogue))
    out.print(_described("scenario", {name: card.description for name, card in catalogue.scenarios.items()}))
    out.print(_described("suite", {name: card.description for name, card in catalogue.suites.items()}))
    out.print(escape(f"labs: {', '.join(known_labs())}"))


def catalogue_data(catalogue: Catalogue, library: ArticleLibrary) -> dict[str, Any]:
    """The catalogue as plain data, for programs."""
    return {
        "labs": known_labs(),
        "stacks": {name: {"description": s.description, "runtime": s.runtime} for name, s in catalogue.stacks.items()},
        "variants": [
            {
                "variant": variant.name,
                "stack": variant.stack,
                "description": variant.description,
                "command": variant.command,
                "recipe": variant.recipe,
                "parameters": {name: plain(value) for name, value in variant.serving.values.items()}
                if variant.serving
                else {},
                "hold_ms": variant.hold_ms,
                "in_flight_limit": None if variant.in_flight_limit is None else plain(variant.in_flight_limit),
                "published": variant.published,
                "published_probe": variant.published_probe,
                "benched": variant.benched,
            }
            for variant in catalogue.variants.values()
        ],
        "recipes": {
            name: recipe.model_dump(exclude={"name"}, exclude_none=True) for name, recipe in catalogue.recipes.items()
        },
        "scenarios": {name: card.model_dump() for name, card in catalogue.scenarios.items()},
        "suites": {name: card.model_dump(by_alias=True) for name, card in library.suites.items()},
    }


def _variants_table(catalogue: Catalogue) -> Table:
    table = Table(title="variants", title_justify="left", box=None, pad_edge=False)
    table.add_column("stack", no_wrap=True)
    table.add_column("variant", no_wrap=True)
    table.add_column("recipe; published rows", no_wrap=True)
    table.add_column("what it is", overflow="fold")
    for variant in catalogue.variants.values():
        found = [f"recipe: {variant.recipe}"] if variant.recipe else []
        found += [f"{scenario}: {row}" for scenario, row in variant.published.items()]
        if variant.published_probe is not None:
            found.append(f"probe: {variant.published_probe}")
        rows = "\n".join(found)
        table.add_row(*map(escape, (variant.stack, variant.name, rows, variant.description)))
    return table


def _recipes_table(catalogue: Catalogue) -> Table:
    """What `--param` takes: each recipe's parameters with default and range."""
    table = Table(title="recipes", title_justify="left", box=None, pad_edge=False)
    table.add_column("recipe", no_wrap=True)
    table.add_column("interface", no_wrap=True)
    table.add_column("parameters: default (range)", no_wrap=True)
    table.add_column("what it is", overflow="fold")
    for recipe in catalogue.recipes.values():
        parameters = "\n".join(f"{name}: {_range(parameter)}" for name, parameter in recipe.parameters.items())
        table.add_row(*map(escape, (recipe.name, recipe.interface, parameters, recipe.description)))
    return table


def _range(parameter: Parameter) -> str:
    allowed = f"{parameter.min} to {parameter.max}" if parameter.is_number else ", ".join(parameter.choices)
    return f"{plain(parameter.default)} ({allowed})"


def _described(noun: str, found: dict[str, str]) -> Table:
    table = Table(title=f"{noun}s", title_justify="left", box=None, pad_edge=False)
    table.add_column(noun, no_wrap=True)
    table.add_column("what it is", overflow="fold")
    for name, description in found.items():
        table.add_row(escape(name), escape(description))
    return table


def show_runs(*, as_json: bool) -> None:
    """The runs in results/, oldest first."""
    found = list_runs(RESULTS_DIR)
    if as_json:
        print_json([asdict(info) | {"path": str(info.path)} for info in found])
        return
    out = results()
    if not found:
        out.print("no runs yet: invoke bench --variant all")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("run", "begun (UTC)", "lab", "state", "cells", "command"):
        table.add_column(heading, overflow="fold")
    for info in found:
        cells = (info.run_id, _time(info.created_at_s), info.lab, info.state, _cells(info), info.command)
        table.add_row(*map(escape, cells))
    out.print(table)


def _time(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M}" if at_s else ""


def _cells(info: RunInfo) -> str:
    if info.problem:
        return info.problem
    failed = f", {info.failed_count} failed" if info.failed_count else ""
    return f"{info.measured_count}/{info.planned_count}{failed}"
