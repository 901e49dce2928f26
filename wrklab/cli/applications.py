"""`invoke app.init` and `invoke app.check`: a user's own application, before it is measured."""

from __future__ import annotations

from pathlib import Path

from invoke.exceptions import Exit
from rich.markup import escape
from rich.table import Table

from wrklab.catalogue.application import read_application
from wrklab.catalogue.application_files import APPLICATION_CARD
from wrklab.catalogue.application_guess import ApplicationGuess, guess_application
from wrklab.catalogue.application_text import card_text
from wrklab.cli.verbs import results
from wrklab.errors import CardError, UsageError


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


def _show(guess: ApplicationGuess) -> None:
    table = Table(title=f"guessed for {escape(guess.name)}", title_justify="left", box=None, pad_edge=False)
    for heading in ("what", "guess", "how sure", "because"):
        table.add_column(heading, overflow="fold")
    for one in guess.guesses:
        table.add_row(*map(escape, (one.what, one.value, one.certainty.value, one.because)))
    out = results()
    out.print(table)
    if guess.unset:
        names = ", ".join(guess.unset)
        out.print(escape(f"not guessed: values of {names}, which the code reads too (see the comments in the file)"))
