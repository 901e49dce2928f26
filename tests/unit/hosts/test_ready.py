"""What a bench deploys: units of variants that the command line made, and nothing where all is there."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from rich.console import Console

from tests.unit.handmade_application import handmade_application, handmade_ready, handmade_recipes
from tests.unit.handmade_hosts import handmade_host
from wrklab.catalogue.application_stack import application_stack, choose_recipes
from wrklab.catalogue.catalogue import Catalogue, read_catalogue
from wrklab.catalogue.deployment import application_digest, fingerprint
from wrklab.catalogue.stack import Stack
from wrklab.errors import ParameterError
from wrklab.hosts import ready
from wrklab.hosts.host_lock import HeldHosts
from wrklab.hosts.inventory import LabHosts
from wrklab.hosts.ready import _filter_fits
from wrklab.hosts.session import Session

Played = list[tuple[str, object]]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """The catalogue of this checkout."""
    return read_catalogue()


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    """Playbooks that were run, with their variables; the hosts' scripts are as they are here."""
    found: Played = []

    def play(name: str, _session: object, _held: object, _console: object, variables: object = None) -> None:
        found.append((name, variables))

    monkeypatch.setattr(ready, "play", play)
    monkeypatch.setattr(ready, "_are_provisioned", lambda session: session.hosts.are_provisioned)
    return found


def session(
    record: Mapping[str, object] | str,
    cpus: tuple[int, ...] = (),
    nproc: str = "2\n",
    application: Stack | None = None,
    *,
    are_provisioned: bool = True,
) -> Session:
    """Hosts whose server has this record of its last deploy, and a catalogue with this application of a user's."""
    texts = {"cat": record if isinstance(record, str) else json.dumps(record), "nproc": nproc}

    def run(words: list[str], **_: object) -> SimpleNamespace:
        return SimpleNamespace(exit_code=0, stdout=texts[words[0]])

    server = SimpleNamespace(name="server", run=run)
    hosts = SimpleNamespace(
        server=SimpleNamespace(cpus=cpus), generators=(), backend=None, are_provisioned=are_provisioned
    )
    known = SimpleNamespace(stacks={application.name: application} if application else {})
    return cast("Session", SimpleNamespace(server=server, hosts=hosts, clean_up=dict, catalogue=known))


def deploy(found: Session, catalogue: Catalogue, *names: str) -> None:
    """Make sure that these variants can be measured."""
    variants = [catalogue.made_variant(name) if "@" in name else catalogue.variants[name] for name in names]
    ready.ensure_deployed(found, cast("HeldHosts", None), Console(file=io.StringIO()), variants)


ONE, OTHER = "flask_gunicorn_gthread@threads=16", "flask_gunicorn_sync@workers=1"


def test_made_variants_are_deployed_without_provisioning_again(catalogue: Catalogue, played: Played) -> None:
    """All that is not theirs is there already. Those of the command before are not named, so they go."""
    deploy(
        session({"fingerprint": fingerprint(), "sources": fingerprint(), "made": [OTHER]}),
        catalogue,
        "go_net_http",
        ONE,
    )

    assert played == [("deploy", {"deploy_variants": ["all", ONE]})]


def test_nothing_is_deployed_where_all_made_variants_are_there(catalogue: Catalogue, played: Played) -> None:
    """More of them do no harm."""
    deploy(session({"fingerprint": fingerprint(), "sources": fingerprint(), "made": [ONE, OTHER]}), catalogue, ONE)
    deploy(session({"fingerprint": fingerprint(), "sources": fingerprint(), "made": [ONE]}), catalogue, "go_net_http")

    assert played == []


@pytest.mark.parametrize("are_provisioned", [True, False])
@pytest.mark.parametrize("record", [{"fingerprint": "another", "made": [ONE]}, {"fingerprint": None}, "not JSON"])
def test_another_state_of_the_checkout_is_deployed(
    catalogue: Catalogue, played: Played, record: Mapping[str, object] | str, *, are_provisioned: bool
) -> None:
    """With the made variants, whatever was there before; provisioned only where that was not done yet."""
    deploy(session(record, are_provisioned=are_provisioned), catalogue, ONE)
    deploy(session(record, are_provisioned=are_provisioned), catalogue, "go_net_http")

    before: Played = [] if are_provisioned else [("provision", None)]
    assert played == [*before, ("deploy", {"deploy_variants": ["all", ONE]}), *before, ("deploy", None)]


def test_hosts_that_lost_what_provisioning_put_there_are_provisioned_and_deployed(
    catalogue: Catalogue, played: Played
) -> None:
    """The record of a complete deploy does not say what became of the other hosts."""
    whole = {"fingerprint": fingerprint(), "sources": fingerprint()}
    deploy(session(whole, are_provisioned=False), catalogue, "go_net_http")

    assert played == [("provision", None), ("deploy", None)]


def shop(tmp_path: Path) -> Stack:
    """A user's application under the plainest recipes."""
    application = handmade_application(tmp_path / "shop")
    pairs = choose_recipes(handmade_recipes(), application, [])
    return application_stack(handmade_ready(application, tmp_path / "shop.tar"), pairs)


def test_an_application_that_is_there_as_it_is_here_is_not_deployed(
    tmp_path: Path, catalogue: Catalogue, played: Played
) -> None:
    """Whatever else of the checkout was deployed."""
    stack = shop(tmp_path)
    record = {"sources": fingerprint(), "applications": {"shop": application_digest(stack)}}

    deploy(session(record, application=stack), catalogue)

    assert played == []


def test_an_application_comes_on_top_of_what_is_there(
    tmp_path: Path, catalogue: Catalogue, played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a deploy of everything the record stays so; else only the application's packages are made."""
    monkeypatch.setattr(ready, "write_stack", lambda stack: Path(f"/cache/{stack.name}.json"))
    stack = shop(tmp_path)
    other = {"shop": "another digest"}

    deploy(session({"fingerprint": fingerprint(), "applications": other}, application=stack), catalogue)
    deploy(session({"sources": fingerprint(), "applications": other}, application=stack), catalogue)
    deploy(session({}, application=stack, are_provisioned=False), catalogue)

    assert played == [
        ("deploy", {"deploy_application": "/cache/shop.json", "deploy_variants": "all"}),
        ("deploy", {"deploy_application": "/cache/shop.json", "deploy_variants": "shop"}),
        ("provision", None),
        ("deploy", {"deploy_application": "/cache/shop.json", "deploy_variants": "shop"}),
    ]


@pytest.mark.parametrize(("cpus", "nproc", "is_refused"), [((), "2\n", False), ((), "1\n", True), ((3,), "8\n", True)])
def test_parameters_are_checked_with_the_servers_cpus(
    catalogue: Catalogue, cpus: tuple[int, ...], nproc: str, is_refused: bool
) -> None:
    """Those that the inventory gives, else those that the host has: 32 workers need two."""
    variants = [catalogue.made_variant("flask_gunicorn_sync@workers=32")]

    if is_refused:
        with pytest.raises(ParameterError, match="at most 16 was expected"):
            ready._check_parameters(session({}, cpus, nproc), variants)
    else:
        ready._check_parameters(session({}, cpus, nproc), variants)


GENERATORS = tuple(handmade_host(f"loadgen_{n}", f"192.0.2.{n}", load_address=f"198.51.100.{n}") for n in (1, 2))
ALL = ["192.0.2.1", "192.0.2.2", "198.51.100.1", "198.51.100.2"]
LAB = LabHosts("mine", "ssh", handmade_host("server", "192.0.2.8"), GENERATORS)


@pytest.mark.parametrize(
    ("clients", "fits"),
    [(None, True), (ALL, True), ([*ALL, "192.0.2.9"], True), (ALL[1:], False), ([], False), ("192.0.2.1", False)],
)
def test_a_generator_that_the_filter_does_not_know_needs_a_deploy(clients: object, *, fits: bool) -> None:
    """One that was added to the inventory, or has another address now; without a filter everybody is let in."""
    assert _filter_fits({"fingerprint": "x", "clients": clients}, LAB) == fits
    assert _filter_fits({"fingerprint": "x"}, LAB)


def test_a_backend_that_the_filter_does_not_know_needs_a_deploy() -> None:
    """Variants could not connect to it."""
    with_backend = replace(LAB, backend=handmade_host("backend", "192.0.2.7"))
    record = {"clients": ALL, "backends": ["192.0.2.7", "192.0.2.70"]}
    assert _filter_fits(record, with_backend)
    assert _filter_fits({**record, "backends": []}, LAB)
    assert not _filter_fits({**record, "backends": ["192.0.2.70"]}, with_backend)
