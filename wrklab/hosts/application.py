"""From a user's folder to an application that can be deployed: files packed and packages locked, in the cache."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from wrklab.catalogue.application import Application, filled_in, read_secrets
from wrklab.catalogue.application_files import archive, files_digest, find_files
from wrklab.catalogue.application_stack import EntryRecipe, ReadyApplication, added_files, stack_text
from wrklab.catalogue.catalogue import Catalogue
from wrklab.catalogue.stack import Stack, Variant
from wrklab.errors import CardError, LabError
from wrklab.hosts import node_calls
from wrklab.hosts.application_lock import locked_together, read_server_packages
from wrklab.hosts.backend_urls import backend_access, backend_names, backend_values, secrets_of
from wrklab.hosts.run_backends import client_addresses
from wrklab.hosts.session import Session
from wrklab.paths import CACHE_DIR, PROJECT_DIR
from wrklab.protocol.backend import BackendAction
from wrklab.protocol.blanking import blank_from_now_on
from wrklab.results.run_folder import write_file

APPLICATIONS_DIR = CACHE_DIR / "applications"
_ARCHIVES_KEPT_COUNT = 2


def pack(application: Application, pairs: Iterable[EntryRecipe]) -> ReadyApplication:
    """Pack the files and lock the packages that these recipes need. Raises CardError, LabError."""
    folder = APPLICATIONS_DIR / application.application
    files, added = find_files(application.folder, application.leave_out), added_files(application)
    digest = files_digest(files, added)
    path = folder / f"{digest[:16]}.tar"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.is_file():
            part = path.with_suffix(f".{os.getpid()}")
            part.write_bytes(archive(files, added))
            part.replace(path)
        path.touch()
        _drop_old_archives(folder)
    except OSError as error:
        raise LabError(f"{path}: the application's files cannot be packed there: {error.strerror}") from error
    servers = read_server_packages(PROJECT_DIR, {pair.recipe.requirements for pair in pairs})
    locks = {server.name: locked_together(application, server, folder / "locks") for server in servers}
    return ReadyApplication(application, path, digest, locks)


def _drop_old_archives(folder: Path) -> None:
    """An application that is worked on has a new one for each change."""
    found = sorted(folder.glob("*.tar"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in found[_ARCHIVES_KEPT_COUNT:]:
        path.unlink(missing_ok=True)


def write_stack(stack: Stack) -> Path:
    """Write what the playbooks deploy; its file."""
    path = APPLICATIONS_DIR / stack.name / "stack.json"
    write_file(path, stack_text(stack))
    return path


def own_stack(catalogue: Catalogue) -> Stack | None:
    """The user's application of a catalogue; None where it has none."""
    return next((stack for stack in catalogue.stacks.values() if stack.application), None)


def start_environment(session: Session, variant: Variant) -> dict[str, str]:
    """Variables that a start of a variant is given and that no file of ours keeps: secrets, addresses of backends.

    Raises CardError for a secret that is not in this process's environment any more, or an unknown backend.
    """
    if variant.own_copy is None:
        return {}
    stack = session.catalogue.stacks[variant.stack]
    late = stack.application.late_environment if stack.application else {}
    access = backend_access(session.hosts, stack.application.backends if stack.application else ())
    backends = backend_values(access)
    blank_from_now_on(secrets_of(access))

    def value_of(name: str) -> str:
        kind, _, rest = name.partition(".")
        if not rest:
            return variant.filled_in(f"{{{name}}}", stack.port, session.cpus_count)
        found = os.environ.get(rest) if kind == "secret" else backends.get(name)
        if found is None:
            raise CardError(f"{variant.stack}: {{{name}}} of its environment has no value here")
        return found

    return {name: filled_in(text, value_of) for name, text in late.items()}


def empty_backends(session: Session, variant: Variant) -> None:
    """Before each start of an application its databases are empty: its `prepare` fills them, as it does its own folder.

    Raises HostError.
    """
    stack = session.catalogue.stacks[variant.stack] if variant.own_copy else None
    names = stack.application.backends if stack and stack.application else ()
    clients = client_addresses(session.hosts.server)
    for name in backend_names(names):
        if session.backend is not None:
            node_calls.backend_do(session.backend, name, BackendAction.CREATE, clients)


def backends_of(catalogue: Catalogue) -> tuple[str, ...]:
    """The services that the user's application of a catalogue needs."""
    stack = own_stack(catalogue)
    return stack.application.backends if stack and stack.application else ()


def folder_of(catalogue: Catalogue) -> str | None:
    """The folder of the user's application of a catalogue; None where it has none."""
    stack = own_stack(catalogue)
    return str(stack.application.folder) if stack and stack.application else None


def with_secrets_blanked(application: Application) -> None:
    """From now on no text of this process has a secret of the application. Raises CardError where one is missing."""
    blank_from_now_on(read_secrets(application, os.environ).values.values())
