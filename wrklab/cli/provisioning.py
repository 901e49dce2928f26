"""`invoke provision`, `deploy`, `reset`, `cleanup`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.markup import escape

from wrklab.catalogue.catalogue import read_catalogue, split_words
from wrklab.cli.verbs import console
from wrklab.errors import HostError, WrklabError
from wrklab.hosts import node_calls
from wrklab.hosts.ansible import inventory_path
from wrklab.hosts.controller import controller_name
from wrklab.hosts.host_checks import require_usable
from wrklab.hosts.host_lock import hold_hosts
from wrklab.hosts.inventory import LabHost, read_hosts
from wrklab.hosts.ready import bring_up, held_lab, play
from wrklab.hosts.remote import RemoteHost
from wrklab.protocol.server import CleanedHost


def provision(lab: str) -> None:
    """The standing state of a lab's hosts; the container lab is brought up first."""
    _play("provision", lab, "provisioning")


def deploy(lab: str, words: Sequence[str]) -> None:
    """Stacks and units on the server; only those of the variants that `words` mean, when there are any."""
    catalogue = read_catalogue().with_made(split_words(words))
    variants = [variant.name for variant in catalogue.select_variants(words)] if words else []
    _play("deploy", lab, "deploying", {"deploy_variants": variants} if variants else None)


def reset(lab: str) -> None:
    """Everything that provisioning changed, put back."""
    inventory_path(lab)
    with held_lab(read_catalogue(), lab, console, "resetting") as (session, held):
        play("reset", session, held, console)


def _play(name: str, lab: str, what: str, extra_vars: Mapping[str, object] | None = None) -> None:
    """One playbook on a lab's hosts, for this verb alone: what a bench measures must not change under it."""
    inventory_path(lab)
    catalogue = read_catalogue()  # a card that is wrong is reported before a host is touched
    bring_up(lab, read_hosts(lab).kind, console)
    with held_lab(catalogue, lab, console, what) as (session, held):
        play(name, session, held, console, extra_vars)


def clean_up(lab: str, *, by_force: bool) -> None:
    """Whatever of ours runs on the hosts, ended; each host by itself, so that one that is down keeps no other from it.

    Raises HostError naming each that was not reached, or that a live bench holds (unless `by_force`).
    """
    inventory_path(lab)
    problems = []
    # One after the other: two names may be one machine, which only one of them can hold.
    for host in read_hosts(lab).all:
        try:
            _tell_cleaned(host.name, _clean_up_on(host, by_force=by_force))
        except WrklabError as error:
            problems.append(str(error))
    if problems:
        raise HostError("\n".join([*problems, "These hosts were not cleaned up; the others were."]))


def _clean_up_on(host: LabHost, *, by_force: bool) -> CleanedHost:
    remote = RemoteHost(host)
    try:
        require_usable(remote)
        with hold_hosts([remote], f"{controller_name()}, cleaning up", by_force=by_force) as held:
            for sentence in (*held.notes, *held.taken_from):
                console.print(f"[yellow]![/yellow] {escape(sentence)}")
            _require_scripts(remote)
            return node_calls.clean_up(remote)
    finally:
        remote.close()


def _require_scripts(remote: RemoteHost) -> None:
    """Raises HostError with the next step on a host that was never provisioned, or was reset."""
    script = f"{node_calls.NODE_DIR}/server_ctl.py"
    if remote.run(["test", "-e", script], limit_s=node_calls.call_limit_s(remote), check=False).exit_code != 0:
        lab = remote.host.lab
        raise HostError(
            f"{remote.name}: {script} is not there: the host is not provisioned, so no bench left anything on it. "
            f"Where somebody removed the scripts, `invoke provision --lab {lab}` puts them back"
        )


def _tell_cleaned(host: str, cleaned: CleanedHost) -> None:
    console.print(escape(f"{host}: ended {', '.join(cleaned.ended) or 'nothing'}"))
    if cleaned.removed:
        console.print(escape(f"{host}: removed {', '.join(cleaned.removed)}"))
    if cleaned.left_alone:
        console.print(escape(f"{host}: left alone, since no bench makes it: {', '.join(cleaned.left_alone)}"))
