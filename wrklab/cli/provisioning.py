"""`invoke provision`, `deploy`, `reset`, `cleanup`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape

from wrklab.cli.verbs import console
from wrklab.doors.ansible import inventory_path
from wrklab.doors.inventory import read_hosts
from wrklab.measure.prepare import ensure_lab, play
from wrklab.measure.session import open_session
from wrklab.model.catalogue import read_catalogue


def provision(lab: str) -> None:
    """The standing state of a lab's hosts; the container lab is brought up first."""
    _ready(lab)
    play("provision", lab, console)


def deploy(lab: str, words: Sequence[str]) -> None:
    """Stacks and units on the server; only those of the variants that `words` mean, when there are any."""
    variants = [variant.name for variant in read_catalogue().select_variants(words)] if words else []
    _ready(lab)
    play("deploy", lab, console, {"deploy_variants": variants} if variants else None)


def reset(lab: str) -> None:
    """Everything that provisioning changed, put back."""
    inventory_path(lab)
    play("reset", lab, console)


def clean_up(lab: str) -> None:
    """Whatever of ours runs on the hosts, ended."""
    inventory_path(lab)
    with open_session(read_catalogue(), lab) as session:
        for host, ended in session.clean_up().items():
            console.print(escape(f"{host}: ended {', '.join(ended) or 'nothing'}"))


def _ready(lab: str) -> None:
    inventory_path(lab)
    read_catalogue()  # a card that is wrong is told before a host is touched
    ensure_lab(lab, read_hosts(lab).kind, console)
