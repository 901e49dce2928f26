"""Scenario keys given on the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from wrklab.catalogue.scenario import Scenario
from wrklab.errors import UnknownNameError, UsageError

#: Keys that are not a matter of one command.
_NOT_SETTABLE = {"name", "description", "companions", "compares_with"}


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
