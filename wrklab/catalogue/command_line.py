"""A variant of a user's application as a command line for that user's own machine."""

from __future__ import annotations

import re
import shlex

from wrklab.catalogue.application import Application, Entry
from wrklab.catalogue.application_stack import imported_by_servers
from wrklab.catalogue.formula import CPUS, parse_formula
from wrklab.catalogue.stack import Variant

#: Where the recipes' own programs are, in a checkout of wrklab.
RECIPE_FILES = "recipes/"
#: What applications listen on where nobody says otherwise.
PORT = 8000
_FORMULA = re.compile(r"\{([^{}]*)\}")


def command_line(variant: Variant, application: Application, cpus_count: int) -> str:
    """What to run in the application's folder, with its packages installed, to serve it as this variant does."""
    texts = _in_the_folder(shlex.split(_filled_in(variant.command, cpus_count)))
    for name, entry in application.entries.items():
        if entry.is_factory:
            texts = _with_factory(texts, imported_by_servers(name, entry), entry)
    return shlex.join(texts)


def _in_the_folder(words: list[str]) -> list[str]:
    """Without where the folder and the virtual environment are: the command runs in the one, with the other active."""
    found: list[str] = []
    for word in words:
        if word == "{app_dir}":
            found.pop()  # the flag that names it: --chdir, --app-dir
            continue
        found.append(word.replace("{venv}/bin/", "").replace("{app_dir}/", ""))
    return found


def _filled_in(command: str, cpus_count: int) -> str:
    """All but the places, formulas with their spaces as numbers."""
    fixed = {"port": str(PORT), "recipes_dir": RECIPE_FILES.rstrip("/"), "venv": "{venv}", "app_dir": "{app_dir}"}
    return _FORMULA.sub(
        lambda match: fixed.get(match[1]) or str(parse_formula(match[1]).at({CPUS: cpus_count})), command
    )


def _with_factory(words: list[str], served: str, entry: Entry) -> list[str]:
    """A factory as its server takes it; servers that take none keep the name of a module that calls it."""
    if served not in words:
        return words
    if words[0] == "gunicorn":
        return [entry.import_ if word == served else word for word in words]
    if words[0] == "uvicorn":
        target = entry.import_.removesuffix("()")
        return [part for word in words for part in ((target, "--factory") if word == served else (word,))]
    return words
