"""The text of a first wrklab.yml, from what was guessed."""

from __future__ import annotations

import json
import re

from wrklab.catalogue.application_guess import ApplicationGuess

_PLAIN = re.compile(r"[A-Za-z_./][A-Za-z0-9_./-]*")
#: Words that YAML reads as something else than text.
_NOT_PLAIN = frozenset({"false", "n", "no", "null", "off", "on", "true", "y", "yes"})


def card_text(guess: ApplicationGuess) -> str:
    """The text of a wrklab.yml that says what was guessed."""
    lines = [
        "# How wrklab serves and measures this application: docs/your_application.md of wrklab explains every key.",
        "# Written by `invoke app.init`, which only looked at the files. Check it: invoke app.check <this folder>",
        f"application: {guess.name}",
        "entries:",
        *(
            f"  {entry.name}: {{import: {_quoted(entry.import_)}, interface: {entry.interface}}}"
            for entry in guess.entries
        ),
        f"requirements: {_quoted(guess.requirements.value)}",
    ]
    if guess.environment.variables:
        lines += [
            "environment:",
            *(f"  {name}: {_quoted(value)}" for name, value in guess.environment.variables.items()),
        ]
    if guess.environment.unset:
        lines += [
            "# The code reads these too. Give a value under environment where it needs one, a secret as {secret.NAME}:"
        ]
        lines += [f"#   {name}: ...  # {why}" for name, why in guess.environment.unset.items()]
    if guess.environment.backends:
        lines += [f"backends: [{', '.join(guess.environment.backends)}]"]
    if guess.prepare:
        lines += ["prepare:", f"  - {_quoted(guess.prepare.value)}"]
    lines += [
        "# What visitors ask for, by weight, and what shows that an answer is right. Make this yours: a status alone",
        "# takes an error page with status 200 for an answer; `contains` names a text that only a right answer has.",
        "requests:",
    ]
    lines += [
        f"  - {{name: {one.name}, weight: 1, path: {_quoted(one.path)}, expect: {{status: 200}}}}"
        for one in guess.requests
    ]
    lines += (
        [f"current: {_quoted(guess.current.value)}"]
        if guess.current
        else ["# current: gunicorn shop.wsgi:app -w 4        # what serves it today, to compare with"]
    )
    return "\n".join(["---", *lines]) + "\n"


def _quoted(text: str) -> str:
    """A YAML scalar: as it is where that is plain, else in double quotes."""
    is_plain = _PLAIN.fullmatch(text) and text.lower() not in _NOT_PLAIN
    return text if is_plain else json.dumps(text, ensure_ascii=False)
