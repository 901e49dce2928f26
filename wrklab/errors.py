"""Every exception that wrklab raises on purpose.

WrklabError                 exit status 1: something failed or is doubtful
├── UsageError              exit status 2: what was asked for cannot be meant
│   ├── CardError           a stack, scenario or suite file is wrong (file, line, key)
│   ├── ParameterError      a recipe has no such parameter, or it cannot have that value
│   └── UnknownNameError    no such variant, scenario, suite, lab, run (lists the known, suggests the nearest)
├── LabError                the hosts cannot be brought up, reached or put down
│   ├── InventoryError      its inventory is wrong (file, line, key); exit status 2
│   ├── HostError           one host: a command failed or the connection did
│   ├── BusyHostError       a host is in use by others, or has too little left (--force overrides)
│   ├── OtherMachineError   a run's hosts are not the machines that it began on (--force overrides)
│   └── ProvisionError      an Ansible playbook failed
├── LimitError              a ceiling of this machine or a host (descriptors, ports) forbids what was asked
├── ParseError              text or a file that a program wrote is not what it should be
├── CellError               one cell could not be measured (which phase, what was seen)
└── StoreError              a run's folder or its SQLite file cannot be read or written

An error's text says where, what was found, what was expected, and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from wrklab.protocol.phases import Phase

#: A list longer than this is cut to the nearest names, where a verb shows the whole list.
_NAMES_SHOWN = 12
_LISTED_BY = {
    "lab": "invoke list",
    "run": "invoke runs",
    "scenario": "invoke list",
    "suite": "invoke list",
    "variant": "invoke list",
}


class WrklabError(Exception):
    """The root: its text is for the user, its exit status for the shell."""

    exit_status = 1


class UsageError(WrklabError):
    """What was asked for cannot be meant; nothing was touched."""

    exit_status = 2


class CardError(UsageError):
    """A stack, scenario or suite file is wrong; the text names file, line and key."""


class ParameterError(UsageError):
    """A recipe has no such parameter, or it cannot have that value."""

    def __init__(self, parameter: str, text: str) -> None:
        """`parameter` is its name as it was given."""
        self.parameter = parameter
        super().__init__(text)


class UnknownNameError(UsageError):
    """A name that is not known; the text lists the known ones (of many the nearest) and suggests the nearest."""

    def __init__(self, noun: str, name: str, known: Iterable[str]) -> None:
        """`noun` is the kind of thing (`variant`), `name` what was given, `known` every name that would do."""
        names = sorted(set(known))
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]}?" if near else ""
        super().__init__(f"unknown {noun} {name!r}.{hint} Known: {_listed(noun, name, names)}")


def _listed(noun: str, name: str, names: list[str]) -> str:
    if noun not in _LISTED_BY or len(names) <= _NAMES_SHOWN:
        return f"{', '.join(names) or 'none'}."
    nearest = difflib.get_close_matches(name, names, n=_NAMES_SHOWN, cutoff=0.0)
    # The suggestion first; by their nearness the others would come in another order for each misspelling.
    shown = [*nearest[:1], *sorted(nearest[1:])]
    return f"{', '.join(shown)}, ... `{_LISTED_BY[noun]}` shows all."


class LabError(WrklabError):
    """The hosts cannot be brought up, reached or put down."""


class InventoryError(LabError):
    """A lab's inventory is wrong; nothing was touched. The text names file, line and key, or host and key."""

    exit_status = UsageError.exit_status


class HostError(LabError):
    """One host: a command failed there, or the connection did."""


class BusyHostError(LabError):
    """A host is in use by others, or has too little memory or disk left; the text has every reason."""


class OtherMachineError(LabError):
    """A run's hosts are not the machines that it began on, or have other software; the text says what has changed."""


class ProvisionError(LabError):
    """An Ansible playbook failed."""


class LimitError(WrklabError):
    """A ceiling of this machine or of a host forbids what was asked."""


class ParseError(WrklabError):
    """Text or a file that a program wrote is not what it should be."""


class CellError(WrklabError):
    """One cell could not be measured."""

    def __init__(self, phase: Phase, text: str) -> None:
        """`phase` is where the cell stopped."""
        self.phase = phase
        self.text = text
        super().__init__(f"{phase}: {text}")


class StoreError(WrklabError):
    """A run's folder or its SQLite file cannot be read or written."""


#: What reading text of a host may raise, however damaged that is (pydantic's ValidationError is a ValueError).
UNREADABLE = (ParseError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
