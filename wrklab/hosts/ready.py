"""From a lab's name to hosts that can be measured: up, held by this controller alone, deployed, and looked at."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from rich.console import Console
from rich.markup import escape

from wrklab.catalogue.catalogue import Catalogue, check_parameters
from wrklab.catalogue.deployment import NODE_ROOT, application_digest, fingerprint, node_files, provisioned_files
from wrklab.catalogue.stack import Stack, Variant
from wrklab.errors import HostError, InventoryError, LabError, OtherMachineError, ParseError
from wrklab.hosts import container_lab, node_calls, vagrant
from wrklab.hosts.ansible import PLAYBOOK_MARK, PlaybookResult, run_playbook
from wrklab.hosts.application import own_stack, write_stack
from wrklab.hosts.as_deployed import deployed_differences
from wrklab.hosts.backend_urls import backend_names, no_backend_host
from wrklab.hosts.conditions import condition_notes, idle_limit_notes
from wrklab.hosts.controller import controller_name
from wrklab.hosts.environment import run_environment
from wrklab.hosts.host_lock import HeldHosts, TakenHostError, hold_hosts
from wrklab.hosts.inventory import LabHost, LabHosts, read_hosts
from wrklab.hosts.limits import HostLimits
from wrklab.hosts.node_calls import carried, unit_files
from wrklab.hosts.preflight import Readiness, check_hosts
from wrklab.hosts.remote import RemoteHost, answered_object, is_without_network
from wrklab.hosts.run_backends import RunBackends, missing_backends, run_backends
from wrklab.hosts.session import Session, limits_of, open_session, with_known_machines
from wrklab.paths import PROJECT_DIR
from wrklab.progress import doing
from wrklab.protocol.backend import BackendName
from wrklab.results.records import RunEnvironment

DEPLOYED_FILE = "/opt/wrklab/deployed.json"
#: How fast the hosts are is not known yet.
_READ_LIMIT_S = 60.0
#: sshd of an emulated machine, busy with something else.
_GREETING_LIMIT_S = 20.0
#: Longer than node/playbook_leftovers.py waits for a package manager and the rest.
_LEFTOVERS_LIMIT_S = 180.0


@dataclass(frozen=True)
class ReadyHosts:
    """Hosts just before the first cell."""

    session: Session
    held: HeldHosts
    #: What environment.py reported, by host.
    facts: Mapping[str, Mapping[str, Any]]
    readiness: Readiness
    #: The databases of this run, empty; none where no backend was asked for.
    backends: RunBackends

    @property
    def limits(self) -> dict[str, HostLimits]:
        """The ceilings of each host, by its name. Raises ParseError."""
        return {name: limits_of(name, dict(found)) for name, found in self.facts.items()}

    def environment(self, variants: Sequence[Variant]) -> RunEnvironment:
        """What a run with these variants keeps of the hosts. Raises HostError."""
        return run_environment(self.session, self.facts, variants, self.readiness)


@contextmanager
def ready_hosts(  # noqa: PLR0913  what a bench says of its hosts
    catalogue: Catalogue,
    lab: str,
    console: Console,
    variants: Sequence[Variant],
    *,
    is_forced: bool,
    server_takes_all_cpus: bool = False,
    backends: Iterable[str] = (),
) -> Iterator[ReadyHosts]:
    """A lab in the state that measuring these variants needs, held.

    With `server_takes_all_cpus` the container lab's server may use the generators' CPUs, else it has its usual ones.
    `backends` are the services that the variants' application needs: they are installed where they are not, have an
    empty database each, and their host is sampled with every cell.

    Raises LabError; of it BusyHostError and OtherMachineError only unless it is forced. Raises ParameterError for made
    variants that this server has too few CPUs for, UnknownNameError for a backend.
    """
    chosen, services = list(variants), backend_names(backends)
    bring_up(
        lab,
        read_hosts(lab).kind,
        console,
        server_takes_all_cpus=server_takes_all_cpus,
        backends=bool(services),
    )
    with held_lab(catalogue, lab, console) as (opened, held):
        _check_parameters(opened, chosen)
        ensure_deployed(opened, held, console, chosen, services)
        ensure_backends(opened, held, console, services)
        facts = opened.environments()
        session = replace(with_known_machines(opened, facts), backends=services)
        forced = _refuse_what_was_changed(opened, facts, chosen, console, is_forced=is_forced)
        units = unit_files(session.server, sorted({variant.unit for variant in chosen}))
        idle = idle_limit_notes(session.server.name, facts[session.server.name], units)
        readiness = check_hosts(session, console, is_forced=is_forced)
        readiness = replace(readiness, forced=(*forced, *readiness.forced))
        notes = (*held.notes, *readiness.notes, *condition_notes(session.hosts, facts), *idle)
        with run_backends(session, services) as databases:
            yield ReadyHosts(
                session, held, _with_versions(facts, databases), replace(readiness, notes=notes), databases
            )
        # What the last cell left is of no use to anyone. A host that is gone by now is not waited for.
        if held.are_ours and all(host.is_open for host in session.all):
            with contextlib.suppress(HostError, ParseError):
                session.clean_up()


def _with_versions(facts: Mapping[str, Mapping[str, Any]], databases: RunBackends) -> Mapping[str, Mapping[str, Any]]:
    """What environment.py reported, with the versions of the services on the backends' host."""
    if databases.host is None or not databases.versions:
        return facts
    name = databases.host.name
    return {**facts, name: {**facts[name], "backends": dict(databases.versions)}}


@contextmanager
def held_lab(catalogue: Catalogue, lab: str, console: Console, what: str = "") -> Iterator[tuple[Session, HeldHosts]]:
    """A session with a lab whose hosts are this controller's alone, and do nothing for another any more.

    `what` says for those who find them taken what is done with them. Raises HostError.
    """
    owner = f"{controller_name()}, {what}" if what else controller_name()
    with open_session(catalogue, lab) as session, hold_hosts(session.all, owner) as held:
        for note in held.notes:
            console.print(f"[yellow]![/yellow] {escape(note)}")
        end_playbook_leftovers(session, console)
        yield session, held


def _refuse_what_was_changed(
    session: Session,
    facts: Mapping[str, Mapping[str, Any]],
    variants: Iterable[Variant],
    console: Console,
    *,
    is_forced: bool,
) -> tuple[str, ...]:
    """What the server holds otherwise than it was deployed, where that was forced. Raises OtherMachineError."""
    differences = deployed_differences(session, facts[session.server.name], variants)
    if differences and not is_forced:
        raise OtherMachineError(
            "\n".join(map(str, differences)) + f"\nThe server would not be what the report says. `invoke deploy --lab "
            f"{session.hosts.lab}` puts units and packages back (remove drop-ins by hand), or measure it as it is with "
            "--force: the report then says so."
        )
    for difference in differences:
        console.print(f"[yellow]![/yellow] {escape(f'Measured by --force although {difference.summary}')}")
    return tuple(difference.summary for difference in differences)


# ---- Labs that are made on this machine ----


def bring_up(
    lab: str, kind: str, console: Console, *, server_takes_all_cpus: bool = False, backends: bool = False
) -> None:
    """A lab that is made on this machine, up as it was made; other labs are not started from here. Raises LabError.

    `server_takes_all_cpus` concerns the container lab: other servers have the CPUs that they have. With `backends` the
    lab has a host for them too.
    """
    if kind == container_lab.LAB or (kind == vagrant.LAB and not _is_up(read_hosts(lab), backends=backends)):
        make_lab(lab, kind, console, server_takes_all_cpus=server_takes_all_cpus, backends=backends)


def _is_up(hosts: LabHosts, *, backends: bool) -> bool:
    return all(map(_greets, hosts.all)) and (hosts.backend is not None or not backends)


def make_lab(  # noqa: PLR0913  a lab's shape
    lab: str,
    kind: str,
    console: Console,
    loadgens: int | None = None,
    *,
    by_force: bool = False,
    server_takes_all_cpus: bool = False,
    backends: bool = False,
) -> None:
    """A lab of this machine, up, with so many generators; without a number with as many as it has.

    With `backends` it has a host for them; one that is there stays.

    Its nodes are remade only where no other controller holds them, unless `by_force`. Raises LabError.
    """
    if kind == container_lab.LAB:
        with doing(console, f"lab {lab}: up") as step:
            if container_lab.is_up_as_wanted(loadgens, server_takes_all_cpus=server_takes_all_cpus, backends=backends):
                step.outcome = "as it was"
                return
            container_lab.require_root()
            with _held_nodes(lab, "bringing the lab up", console, by_force=by_force):
                container_lab.up(
                    loadgens, on_task=step.at, server_takes_all_cpus=server_takes_all_cpus, backends=backends
                )
    else:
        with (
            doing(console, f"lab {lab}: up") as step,
            _held_nodes(lab, "bringing the lab up", console, by_force=by_force),
        ):
            vagrant.up(step.at, loadgens, backends=backends)


def take_down(lab: str, kind: str, console: Console, *, purge: bool, by_force: bool) -> None:
    """A lab that is made on this machine, down, unless another controller holds its hosts. Raises LabError."""
    with doing(console, f"lab {lab}: down") as step:
        if kind == container_lab.LAB:
            container_lab.require_root()
        with _held_nodes(lab, "taking the lab down", console, by_force=by_force) as nodes:
            if kind == vagrant.LAB:
                vagrant.down(step.at)
            else:
                container_lab.down(purge=purge, on_task=step.at)
            for node in nodes:
                node.note_gone()


@contextmanager
def _held_nodes(lab: str, what: str, console: Console, *, by_force: bool) -> Iterator[list[HeldHosts]]:
    """The hosts of a lab of this machine for this controller alone, as far as they can be reached.

    What cannot be reached is repaired or removed. Raises TakenHostError unless `by_force`.
    """
    try:
        hosts = [host for host in read_hosts(lab).all if _greets(host)]
    except LabError:
        hosts = []  # none yet, or a lab.json that cannot be read
    nodes: list[HeldHosts] = []
    with ExitStack() as opened, ExitStack() as held:
        for host in hosts:
            remote = RemoteHost(host)
            opened.callback(remote.close)
            try:
                lock = held.enter_context(hold_hosts([remote], f"{controller_name()}, {what}", by_force=by_force))
            except TakenHostError as error:
                raise TakenHostError(f"{error}, and --force here does it all the same") from error
            except (HostError, ParseError):
                continue
            nodes.append(lock)
            for sentence in lock.taken_from:
                console.print(f"[yellow]![/yellow] {escape(sentence)}")
        yield nodes


def _greets(host: LabHost) -> bool:
    return not is_without_network(host) and container_lab.greets(host.address, host.port, _GREETING_LIMIT_S)


# ---- What playbooks put on hosts ----


def ensure_deployed(
    session: Session,
    held: HeldHosts,
    console: Console,
    variants: Iterable[Variant] = (),
    backends: Sequence[BackendName] = (),
) -> None:
    """Provision and deploy unless the hosts hold just what this checkout would put there; end what a dead bench left.

    Of `variants`, those that the command line made get units; those of earlier commands lose theirs by that. With a
    user's application in the catalogue only that one's packages are brought up to date. Where it provisions, then these
    backends too. Raises ProvisionError.
    """
    stack, found = own_stack(session.catalogue), deployed_record(session.server)
    is_provisioned = _are_provisioned(session)
    is_whole = found.get("fingerprint") == fingerprint() and is_provisioned
    is_from_here = fingerprint() in {found.get("sources"), found.get("fingerprint")} and is_provisioned
    made = sorted({variant.name for variant in variants if variant.is_made})
    has_all = is_whole and set(made) <= set(map(str, found.get("made") or ()))
    filter_fits = _filter_fits(found, session.hosts)
    if filter_fits and (has_all if stack is None else is_from_here and _has_application(found, stack)):
        console.print("deploy: as this checkout has it already")
    else:
        if not is_provisioned:
            play("provision", session, held, console, _backends_also(backends))
        more: dict[str, object] = {"deploy_variants": ["all", *made]} if made else {}
        if stack is not None:
            # Variants of its own, made ones too, come with it.
            more = {"deploy_application": str(write_stack(stack)), "deploy_variants": "all" if is_whole else stack.name}
        play("deploy", session, held, console, more or None)
    session.clean_up()


def _has_application(record: Mapping[str, Any], stack: Stack) -> bool:
    """Whether the server host has a user's application as it is here."""
    applications = record.get("applications")
    return isinstance(applications, dict) and applications.get(stack.name) == application_digest(stack)


def _backends_also(backends: Sequence[BackendName]) -> dict[str, object] | None:
    """What tells the role `backends` which services are needed beyond those of the inventory."""
    return {"backends_also": [str(name) for name in backends]} if backends else None


def ensure_backends(session: Session, held: HeldHosts, console: Console, backends: Sequence[BackendName]) -> None:
    """Provision unless these services are on their host, with this lab's password, and for the server alone.

    Raises InventoryError where the lab has no such host, HostError where provisioning did not help, ProvisionError.
    """
    if not backends:
        return
    hosts = session.hosts
    if session.backend is None:
        raise InventoryError(no_backend_host(hosts.lab, hosts.kind, backends))
    if why := missing_backends(node_calls.installed_backends(session.backend), backends, hosts.lab):
        console.print(escape(f"{session.backend.name}: {why}"))
        play("provision", session, held, console, _backends_also(backends))
        if why := missing_backends(node_calls.installed_backends(session.backend), backends, hosts.lab):
            raise HostError(f"{session.backend.name}: {why}, although it was provisioned just now")


def _check_parameters(session: Session, variants: Sequence[Variant]) -> None:
    """Before a deploy: made variants are within the ranges that this server's CPUs give. Raises ParameterError."""
    if any(variant.is_made for variant in variants):
        cpus = session.server.run(["nproc"], limit_s=_READ_LIMIT_S).stdout
        check_parameters(variants, len(session.hosts.server.cpus) or int(cpus))


def _are_provisioned(session: Session) -> bool:
    """Whether every host was provisioned by this checkout as it is: one may have been made again."""
    files = [*node_files(PROJECT_DIR), *provisioned_files(PROJECT_DIR)]
    wanted = [sha256(file["content"].encode()).hexdigest() for file in files]

    def has_all(host: RemoteHost) -> bool:
        paths = [f"{NODE_ROOT}/{file['path']}" for file in files]
        found = host.run(["sha256sum", *paths], limit_s=_READ_LIMIT_S, check=False)
        return found.exit_code == 0 and [line.split()[0] for line in found.stdout.splitlines()] == wanted

    return all(session.on_all(has_all).values())


def play(
    name: str, session: Session, held: HeldHosts, console: Console, extra_vars: Mapping[str, object] | None = None
) -> PlaybookResult:
    """Run one playbook on hosts that are held, and say what it changed. Raises ProvisionError.

    However it ends, nothing of it runs on afterwards, here or on the hosts.
    """
    try:
        with doing(console, name) as step:
            result = run_playbook(name, session.hosts.lab, extra_vars, on_task=step.at, lease_token=held.token)
            step.outcome = f"changed={result.changed_count}"
    except BaseException:
        with contextlib.suppress(HostError, ParseError):
            end_playbook_leftovers(session, console)
        raise
    return result


def end_playbook_leftovers(session: Session, console: Console) -> None:
    """End what playbooks still do on the hosts, whoever ran them, and say what that was.

    Raises HostError naming what could not be ended, and ParseError.
    """

    def end_on(host: RemoteHost) -> str:
        words = carried("playbook_leftovers.py", PLAYBOOK_MARK)
        text = host.run(words, limit_s=_LEFTOVERS_LIMIT_S * host.timeout_scale).stdout
        found = answered_object(host.name, "playbook_leftovers.py", text)
        try:
            ended, left = (list(map(str, found[key])) for key in ("ended", "left"))
        except (KeyError, TypeError) as error:
            raise ParseError(f"{host.name}: playbook_leftovers.py answered {text[:200]!r}: {error!r}") from error
        if left:
            raise HostError(
                f"{host.name}: a playbook that was interrupted still runs {', '.join(left)} there. Wait for its end, "
                "and run the command again"
            )
        return ", ".join(ended)

    for name, ended in session.on_all(end_on).items():
        if ended:
            console.print(escape(f"{name}: ended what an interrupted playbook still ran there: {ended}"))


def deployed_record(server: RemoteHost) -> Mapping[str, Any]:
    """What the server says was deployed there; empty where nothing was, or it cannot be read."""
    result = server.run(["cat", DEPLOYED_FILE], limit_s=_READ_LIMIT_S, check=False)
    if result.exit_code != 0:
        return {}
    try:
        return answered_object(server.name, DEPLOYED_FILE, result.stdout)
    except ParseError:
        return {}


def _filter_fits(record: Mapping[str, Any], hosts: LabHosts) -> bool:
    """Whether the server's filter, if it has one, knows all generators and backends: one may be new."""
    return _knows(record.get("clients"), hosts.generators) and _knows(
        record.get("backends"), [hosts.backend] if hosts.backend else []
    )


def _knows(addresses: object, hosts: Iterable[LabHost]) -> bool:
    wanted = {address for host in hosts for address in (host.address, host.load_address)}
    return addresses is None or (isinstance(addresses, list) and wanted <= set(map(str, addresses)))
