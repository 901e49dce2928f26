"""`invoke app.init` and `invoke app.check`: a user's own application, before it is measured."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from invoke.exceptions import Exit
from rich.markup import escape
from rich.table import Table

from wrklab.bench.application_check import CheckedVariant, check_variant
from wrklab.bench.log_causes import telling_lines
from wrklab.bench.mixes import mix_spec
from wrklab.catalogue.application import read_application
from wrklab.catalogue.application_files import APPLICATION_CARD
from wrklab.catalogue.application_guess import ApplicationGuess, guess_application
from wrklab.catalogue.application_text import card_text
from wrklab.cli.own_application import served, words_of
from wrklab.cli.verbs import console, print_json, results
from wrklab.errors import CardError, UsageError
from wrklab.hosts.ansible import inventory_path
from wrklab.hosts.ready import ready_hosts
from wrklab.progress import doing
from wrklab.protocol.blanking import without_known_secrets

_LOG_LINES_SHOWN = 20
_LINE_MAX_CHARS = 300


def init(folder: str) -> None:
    """Write a first wrklab.yml into an application's folder, and show what it rests on. One that is there stays."""
    place = Path(folder).expanduser()
    path = place / APPLICATION_CARD
    if path.exists() or path.is_symlink():
        raise UsageError(f"{path} is there already, and is not written over. Change it, or move it away first")
    guess = guess_application(place)
    text = card_text(guess)
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    _show(guess)
    out = results()
    out.print(escape(f"written: {path}"), soft_wrap=True)
    try:
        application = read_application(place)
    except CardError as error:
        # The guess is a start all the same; what is wrong with it stands there with file and line.
        raise Exit(f"it needs a change before it can be used:\n{error}", code=1) from error
    for name in application.secrets:
        out.print(escape(f"secret: export {name}=... before you go on; its value is never stored"))
    out.print(escape(f"next: read it, make its requests yours, then: invoke app.check {folder}"), soft_wrap=True)


def check(folder: str, recipes: Sequence[str], lab: str, *, is_forced: bool, as_json: bool) -> None:
    """Deploy, start once, ask once, show. Exits with 1 where it does not start or an answer is not as expected."""
    inventory_path(lab)
    words = words_of(folder, recipes, [], [])
    if words is None:
        raise UsageError("app.check takes the folder of your application: invoke app.check DIR")
    mine = served(words, lab)
    mix, catalogue = mine.application.mix, mine.catalogue
    variants = [catalogue.variants[name] for name in mine.variants]
    spec = mix_spec(mix, os.environ)
    found: list[CheckedVariant] = []
    services = mine.application.backends
    with ready_hosts(catalogue, lab, console, variants, is_forced=is_forced, backends=services) as ready:
        for variant in variants:
            with doing(console, variant.name) as step:
                scaled = ready.session.with_scaled_timeouts(variant)
                found.append(check_variant(ready.session, scaled, mix, spec, step.at))
                step.outcome = "answers as expected" if found[-1].is_right else "not as expected"
    if as_json:
        print_json([as_values(one) for one in found])
    else:
        for one in found:
            _show_checked(one)
    if wrong := [one.variant for one in found if not one.is_right]:
        raise Exit(f"not as wrklab.yml expects it: {', '.join(wrong)}. No load was made", code=1)
    results().print(
        escape(f"next: invoke bench --app {folder} --recipe 'NAME*' (invoke list shows recipes)"), soft_wrap=True
    )


def as_values(checked: CheckedVariant) -> dict[str, object]:
    """One variant for programs; its log only where that explains something."""
    return {
        "variant": checked.variant,
        "is_right": checked.is_right,
        "problem": without_known_secrets(checked.problem),
        "cause": checked.cause,
        "log_tail": [] if checked.is_right else [without_known_secrets(line) for line in checked.log_tail],
        "answers": [
            {
                "request": answer.asked.name,
                "status": answer.asked.status,
                "took_s": answer.asked.took_s,
                "found": without_known_secrets(answer.asked.found),
                "cause": answer.cause,
            }
            for answer in checked.answers
        ],
    }


def _show_checked(checked: CheckedVariant) -> None:
    """One variant: a line for each request, and all that helps with those that are wrong."""
    out = results()

    def say(text: str) -> None:
        out.print(escape(without_known_secrets(text)), soft_wrap=True)

    say(f"{checked.variant}:")
    for answer in checked.answers:
        asked = answer.asked
        mark = "ok" if answer.is_right else "WRONG"
        status = "no answer" if asked.status is None else f"{asked.status}"
        size = f"{asked.body_bytes:,} bytes, {asked.took_s:.3f} s"
        say(f"  {mark:<6}{asked.name}: {asked.method} {asked.path}: {status}, {size}")
        if not answer.is_right:
            say(f"        {asked.found}")
            for line in asked.headers:
                say(f"        | {line}")
            say(f"        | {asked.body_start}" if asked.status is not None else "        | (no answer)")
            if answer.cause:
                say(f"        likely: {answer.cause}")
    if checked.problem:
        say(f"  WRONG it does not start: {checked.problem.partition(chr(10))[0]}")
        if checked.cause:
            say(f"        likely: {checked.cause}")
    if not checked.is_right:
        say("        its log says at last:" if checked.log_tail else "        its log is empty")
        for line in telling_lines(checked.log_tail, _LOG_LINES_SHOWN):
            say(f"        | {_plain(line)}")


def _plain(line: str) -> str:
    """A line of a log for a terminal: nothing in it moves the cursor."""
    return "".join(sign if sign.isprintable() else "?" for sign in line)[:_LINE_MAX_CHARS]


def _show(guess: ApplicationGuess) -> None:
    table = Table(title=f"guessed for {escape(guess.name)}", title_justify="left", box=None, pad_edge=False)
    for heading in ("what", "guess", "how sure", "because"):
        table.add_column(heading, overflow="fold")
    for one in guess.guesses:
        table.add_row(*map(escape, (one.what, one.value, one.certainty.value, one.because)))
    out = results()
    out.print(table)
    if guess.environment.unset:
        names = ", ".join(guess.environment.unset)
        out.print(escape(f"not guessed: values of {names}, which the code reads too (see the comments in the file)"))
