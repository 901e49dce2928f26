"""The configurations that `invoke tune` tries: each variant with each combination of its recipe's `tune` values."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

from wrklab.catalogue.formula import CPUS, Formula
from wrklab.catalogue.recipe import Recipe, Value, parse_given
from wrklab.catalogue.stack import Variant
from wrklab.errors import ParameterError


def grid(
    variants: Iterable[Variant], cpus_count: int, given: Mapping[str, Sequence[str]] | None = None
) -> tuple[str, ...]:
    """The names of all configurations of some variants on a server of so many CPUs.

    `given` are values from the command line, by parameter: they stand instead of a recipe's own where it has the
    parameter. Raises ParameterError where no recipe has it, or for a value that a recipe does not take.
    """
    chosen = [(variant, variant.serving.recipe) for variant in variants if variant.serving is not None]
    for name in given or {}:
        if not any(name in recipe.parameters for _, recipe in chosen):
            known = sorted({known for _, recipe in chosen for known in recipe.parameters})
            raise ParameterError(name, f"--param {name}: no recipe that is tried has it; known: {', '.join(known)}")
    found: dict[str, None] = {}
    for variant, recipe in chosen:
        tried = {
            name: values
            for name in sorted(recipe.parameters)
            if (values := _values(recipe, name, cpus_count, (given or {}).get(name, ())))
        }
        for combination in itertools.product(*tried.values()):
            chosen_values = dict(zip(tried, combination, strict=True))
            found[variant.with_parameters(chosen_values).name if chosen_values else variant.name] = None
    return tuple(found)


def _values(recipe: Recipe, name: str, cpus_count: int, words: Sequence[str]) -> list[Value]:
    """What is tried of a parameter, each value once; numbers as they are on so many CPUs."""
    if words:
        return [parse_given(recipe, name, word) for word in words]
    values = [
        value if isinstance(value, str) else Formula(value.at({CPUS: cpus_count}))
        for value in recipe.parameters[name].tune
    ]
    return list(dict.fromkeys(values))
