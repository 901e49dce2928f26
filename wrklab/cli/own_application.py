"""A user's application on the command line: `--app DIR --recipe NAME`, and the application of an earlier run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from wrklab.catalogue.application import Application, read_application
from wrklab.catalogue.application_stack import (
    application_stack,
    choose_recipes,
    with_application,
    with_requests,
)
from wrklab.catalogue.catalogue import Catalogue, read_catalogue
from wrklab.cli.overrides import with_parameters
from wrklab.cli.verbs import console
from wrklab.errors import StoreError, UsageError
from wrklab.formats import plural
from wrklab.hosts.application import pack, with_secrets_blanked
from wrklab.progress import doing
from wrklab.protocol.blanking import blanked
from wrklab.results.records import Record
from wrklab.results.run_folder import Run

#: In the folder of a run with a user's application: where that is, and how it is served.
APPLICATION_FILE = "application.json"


class ApplicationWords(Record):
    """What the command line says of a user's application; a run keeps it, so that it can be resumed."""

    folder: str
    recipes: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True)
class ServedApplication:
    """A catalogue with a user's application in it, and its variants."""

    catalogue: Catalogue
    application: Application
    variants: tuple[str, ...]
    #: Files that are stored with a run, name -> text.
    attachments: dict[str, str] = field(default_factory=dict)


def words_of(
    app: str, recipes: Sequence[str], parameters: Sequence[str], others: Sequence[object]
) -> ApplicationWords | None:
    """What was said of an application; None where nothing was. Raises UsageError where it cannot be meant.

    `others` are what chooses variants of the checkout's own.
    """
    if not app:
        if recipes:
            raise UsageError("--recipe is for an application of your own: give --app DIR too")
        return None
    if any(others):
        raise UsageError("--app measures your application alone: leave --variant and --suite out")
    folder = str(Path(app).expanduser().resolve())
    return ApplicationWords(folder=folder, recipes=tuple(recipes), parameters=tuple(parameters))


def served(words: ApplicationWords, lab: str) -> ServedApplication:
    """The application that was meant, packed and locked, in a catalogue whose scenarios send its requests.

    Parameters are checked as far as the lab's CPUs are known. Its secrets are blanked from now on. Raises UsageError
    before anything is touched, of it CardError.
    """
    application = read_application(Path(words.folder))
    with_secrets_blanked(application)
    catalogue = read_catalogue()
    pairs = choose_recipes(catalogue, application, words.recipes)
    with doing(console, f"{application.application}: pack files, lock packages") as step:
        ready = pack(application, pairs)
        step.outcome = f"{ready.archive.stat().st_size / 1024:,.0f} KiB, {plural(len(ready.locks), 'lock')}"
    stack = application_stack(ready, pairs)
    whole = with_requests(with_application(catalogue, stack), application.mix)
    whole, names = with_parameters(whole, tuple(stack.variants), words.parameters, lab=lab)
    card = application.card.read_text(encoding="utf-8")
    attachments = {APPLICATION_FILE: words.model_dump_json(indent=1), "wrklab.yml": blanked(card)}
    attachments |= {f"lock.{name}": lock for name, lock in ready.locks.items()}
    return ServedApplication(whole, application, names, attachments)


def catalogue_of_run(run: Run) -> Catalogue:
    """The catalogue for going on with a run: with its application, where it measured one.

    Raises CardError where that cannot be read any more, StoreError.
    """
    mine = application_of_run(run)
    return mine.catalogue if mine else read_catalogue()


def application_of_run(run: Run) -> ServedApplication | None:
    """The application that a run measured, as it is now; None where it measured variants of the checkout's own.

    Raises as catalogue_of_run.
    """
    text = run.attachment(APPLICATION_FILE)
    if text is None:
        return None
    try:
        words = ApplicationWords.model_validate_json(text)
    except ValidationError as error:
        raise StoreError(f"{run.path / APPLICATION_FILE} cannot be read: {error.errors()[0]['msg']}") from error
    return served(words, run.plan.lab)
