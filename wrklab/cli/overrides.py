"""Scenario keys and parameters of recipes given on the command line."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Mapping, Sequence

from wrklab.catalogue.catalogue import Catalogue, check_parameters, split_words
from wrklab.catalogue.scenario import Scenario
from wrklab.catalogue.stack import Variant
from wrklab.errors import InventoryError, ParameterError, UnknownNameError, UsageError
from wrklab.hosts import container_lab
from wrklab.hosts.inventory import read_hosts

#: Keys that are not a matter of one command.
_NOT_SETTABLE = {"name", "description", "companions", "compares_with"}
#: More than this is a typing error.
_MADE_MAX = 500


def settable_keys() -> list[str]:
    """The keys that `--set KEY=VALUE` takes."""
    return [name for name in Scenario.model_fields if name not in _NOT_SETTABLE]


def collect(flags: Mapping[str, str], assignments: Iterable[str]) -> dict[str, object]:
    """Scenario keys and values from flags (those left empty are not given) and from KEY=VALUE words.

    Raises UsageError for a word without `=`, UnknownNameError for an unknown key.
    """
    changes: dict[str, object] = {key: value for key, value in flags.items() if value != ""}
    for word in assignments:
        key, sign, value = word.partition("=")
        if not sign:
            raise UsageError(f"--set {word!r}: KEY=VALUE was expected, for instance --set connections=500")
        if key not in settable_keys():
            raise UnknownNameError("scenario key", key, settable_keys())
        changes[key] = value
    return changes


def parse_parameters(assignments: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Each parameter's values, by its name, from NAME=VALUE,VALUE words. Raises UsageError."""
    found: dict[str, tuple[str, ...]] = {}
    for word in assignments:
        name, sign, text = (part.strip() for part in word.partition("="))
        values = tuple(dict.fromkeys(value.strip() for value in text.split(",")))
        if not sign or not name or not all(values):
            raise UsageError(f"--param {word!r}: NAME=VALUE,VALUE was expected, for instance --param workers=1,2,4")
        if name in found:
            raise UsageError(f"--param {name} is given twice: write all of its values in one, --param {name}=1,2,4")
        found[name] = values
    return found


def with_parameters(  # noqa: PLR0913  what a command line says of its variants
    catalogue: Catalogue,
    words: Sequence[str],
    assignments: Sequence[str],
    *,
    lab: str,
    suite: str = "",
    with_unbenched: bool = False,
) -> tuple[Catalogue, tuple[str, ...]]:
    """The catalogue with the variants that `--param` and names with parameters make, and the words that mean them.

    `--param` makes of each variant one for each combination of values. Without it, words stay as they are. Ranges
    are checked as far as the lab's CPUs are known. Raises UsageError, of it ParameterError and UnknownNameError.
    """
    parameters = parse_parameters(assignments)
    if parameters and suite:
        raise UsageError(f"--param is not for suites: their rows are what they are. Leave --suite {suite} out.")
    if parameters and not words:
        raise UsageError("--param needs --variant: the variants whose recipe has the parameter")
    named = split_words(words)
    catalogue = catalogue.with_made(named)
    # What was typed in another order is there by the name with its parameters sorted.
    named = [catalogue.made_variant(word).name if "@" in word else word for word in named]
    if parameters:
        chosen = catalogue.select_variants(named, with_unbenched=with_unbenched)
        named = [variant.name for variant in _made(chosen, parameters)]
        catalogue = catalogue.with_made(named)
    made = [catalogue.variants[name] for name in named if "@" in name]
    if made:
        _check_ranges(made, lab)
    return catalogue, tuple(named) if named else tuple(words)


def _made(variants: Sequence[Variant], parameters: Mapping[str, tuple[str, ...]]) -> list[Variant]:
    """Each variant with each combination of values. Raises UsageError."""
    if without := [variant.name for variant in variants if variant.serving is None]:
        raise ParameterError(
            next(iter(parameters)),
            f"--param: no recipe, and so no parameters, have {', '.join(without)}. `invoke list` shows which have one.",
        )
    count = len(variants) * math.prod(len(values) for values in parameters.values())
    if count > _MADE_MAX:
        raise UsageError(f"--param makes {count:,} variants of this; at most {_MADE_MAX} were expected")
    combinations = [dict(zip(parameters, values, strict=True)) for values in itertools.product(*parameters.values())]
    return [variant.with_words(given) for variant in variants for given in combinations]


def _check_ranges(made: Sequence[Variant], lab: str) -> None:
    """Raises ParameterError for what no number of CPUs allows that the lab's server may have."""
    problems = []
    for cpus_count in possible_cpus(lab):
        try:
            check_parameters(made, cpus_count)
        except ParameterError as error:
            problems.append(error)
        else:
            return
    raise problems[-1]


def possible_cpus(lab: str) -> Sequence[int | None]:
    """How many CPUs the lab's server may have; None where nothing is known before it is asked."""
    try:
        cpus_count = len(read_hosts(lab).server.cpus)
    except InventoryError:
        cpus_count = 0  # a lab that is not up; whoever needs the hosts says what else is wrong
    if cpus_count:
        return [cpus_count]
    # The container lab's nodes share this machine's CPUs.
    return range(1, len(os.sched_getaffinity(0)) + 1) if lab == container_lab.LAB else [None]
