"""The hosts of a lab before a bench: each of them, the network between them, and whether they are machines apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from wrklab.catalogue.catalogue import read_catalogue
from wrklab.doctor.findings import Finding
from wrklab.errors import HostError, WrklabError
from wrklab.hosts.clocks import clock_of
from wrklab.hosts.conditions import are_cpus_shared
from wrklab.hosts.host_checks import HostLook, LinkLook, look_at_host, look_at_link, read_system
from wrklab.hosts.inventory import LOADGEN_GROUP, SERVER_GROUP, LabHost, LabHosts
from wrklab.hosts.remote import RemoteHost
from wrklab.results.raw import Clock

#: All stacks with their caches take 1.1 GB on a server (measured), wrk and its packages 0.1 GB on a generator. The
#: packages of backends unpack to 0.4 GiB, and each has a data folder of its own and one of ours.
_DISK_NEEDED_BYTES = {"server": 3 * 2**29, "loadgen": 2**28, "backend": 2**30}
#: Below, several workers with FastAPI, or the sockets of 2,000 connections, leave nothing over.
_MEMORY_NEEDED_BYTES = 400 * 2**20
_MEMORY_WISHED_BYTES = 900 * 2**20
#: apt refuses package lists from the future; a start mark would come too late.
_CLOCK_LIMIT_S = 60.0
#: Above, the start column is off by it, as it is told by two clocks.
_CLOCK_WISHED_S = 0.1
_MTU_WISHED_BYTES = 1500
#: An answer with its headers and its packets' own: some 200 to 300 bytes.
_ANSWER_BYTES = 300
#: 20,000 answers a second are 6 MB/s; some times that never limits them.
_LINK_WISHED_BYTES_PER_S = 40e6


def look_at(hosts: LabHosts, on_step: Callable[[str], None]) -> list[Finding]:
    """Every finding, hosts first, then the links. A host that cannot be used has no further findings."""
    with ExitStack() as closing, ThreadPoolExecutor(max_workers=len(hosts.all)) as pool:
        remotes = [closing.enter_context(_closed_at_the_end(RemoteHost(host))) for host in hosts.all]
        on_step(f"{len(remotes)} hosts")
        looked = list(pool.map(lambda remote: _look_at_one(remote, _peers(hosts, remote.host)), remotes))
        findings = [finding for found, _ in looked for finding in found]
        known = {remote.name: look for remote, (_, look) in zip(remotes, looked, strict=True) if look is not None}
        server = remotes[0]
        generators = [remote for remote in remotes if remote.host.group == LOADGEN_GROUP]
        findings += judge_generators({remote.name: known[remote.name] for remote in generators if remote.name in known})
        if server.name in known:
            for generator in generators:
                if generator.name in known:
                    on_step(f"network between {generator.name} and {server.name}")
                    findings += _between(generator, known[generator.name], server, known[server.name])
    return findings


@contextmanager
def _closed_at_the_end(remote: RemoteHost) -> Iterator[RemoteHost]:
    """Not opened: that is the first thing to find out."""
    try:
        yield remote
    finally:
        remote.close()


def _peers(hosts: LabHosts, host: LabHost) -> tuple[LabHost, ...]:
    others = tuple(other for other in hosts.all if other.group != SERVER_GROUP)
    return others if host.group == SERVER_GROUP else (hosts.server,)


def _ports() -> list[int]:
    return sorted({stack.port for stack in read_catalogue().stacks.values()})


def _look_at_one(remote: RemoteHost, peers: Sequence[LabHost]) -> tuple[list[Finding], HostLook | None]:
    """Findings in the order in which one rests on the other; the first bad one of the first three ends them."""
    host = remote.host
    subject = "ssh"
    findings = []
    try:
        remote.open()
        findings.append(Finding(subject, "good", f"{host.user}@{host.address}:{host.port}, host key known"))
        subject = "root rights"
        system = read_system(remote)
        findings.append(Finding(subject, "good", "root" if host.user == "root" else "sudo without a password"))
        subject = "system"
        if system.problem:
            raise HostError(system.problem)
        findings.append(Finding(subject, "good", f"{system.pretty_name}, {system.init}, python3"))
        subject = "clock"
        findings.append(judge_clock(clock_of(remote)))
        subject = "state"
        ports = _ports() if host.group == SERVER_GROUP else []
        look = look_at_host(remote, [peer.load_address for peer in peers], ports)
    except WrklabError as error:
        again = f"mend it, then: invoke doctor --lab {host.lab}"
        findings.append(Finding(subject, "bad", str(error).removeprefix(f"{host.name}: "), again))
        return _of(remote, findings), None
    findings += judge_host(host, look)
    return _of(remote, findings), look


def _of(remote: RemoteHost, findings: Iterable[Finding]) -> list[Finding]:
    return [replace(finding, host=remote.name) for finding in findings]


def judge_clock(clock: Clock) -> Finding:
    """How far the clock is off."""
    ahead_s = clock.ahead_s
    found = (
        f"{abs(ahead_s):.3f} s {'ahead of' if ahead_s > 0 else 'behind'} this machine, ± {clock.uncertainty_s:.3f} s"
    )
    if abs(ahead_s) - clock.uncertainty_s > _CLOCK_LIMIT_S:
        return Finding("clock", "bad", found, "set it: timedatectl set-ntp true, or apt-get install systemd-timesyncd")
    if abs(ahead_s) - clock.uncertainty_s > _CLOCK_WISHED_S:
        return Finding("clock", "note", found, "apt-get install systemd-timesyncd there keeps it right")
    return Finding("clock", "good", found)


def judge_host(host: LabHost, look: HostLook) -> list[Finding]:
    """CPUs, room, the address that carries the load, and on the server the ports."""
    findings = [_cpus(host, look), _memory(look), _disk(host, look), _load_address(host, look)]
    return [*findings, _ports_free(look)] if host.group == SERVER_GROUP else findings


def _cpus(host: LabHost, look: HostLook) -> Finding:
    unknown = sorted(set(host.cpus) - set(look.cpus))
    if unknown:
        found = f"lab_cpus has {unknown}, but it may run on {list(look.cpus)} only"
        return Finding("CPUs", "bad", found, f"correct lab_cpus in inventory/{host.lab}, or leave it out for all")
    return Finding("CPUs", "good", f"{len(look.cpus)}" + (f", {len(host.cpus)} of them given" if host.cpus else ""))


def _memory(look: HostLook) -> Finding:
    found = f"{look.memory_bytes / 2**20:,.0f} MiB"
    if look.memory_bytes < _MEMORY_NEEDED_BYTES:
        return Finding("memory", "bad", found, f"{_MEMORY_NEEDED_BYTES >> 20} MiB are needed")
    if look.memory_bytes < _MEMORY_WISHED_BYTES:
        return Finding("memory", "note", found, "little for variants with many workers and 2,000 connections")
    return Finding("memory", "good", found)


def _disk(host: LabHost, look: HostLook) -> Finding:
    needed = _DISK_NEEDED_BYTES[host.group]
    found = f"{look.disk_free_bytes / 2**30:.1f} GiB free below /opt and /var"
    if look.disk_free_bytes < needed:
        return Finding("disk", "bad", found, f"make room: {needed / 2**30:.2g} GiB are needed")
    return Finding("disk", "good", found)


def _ports_free(look: HostLook) -> Finding:
    if look.ports_taken:
        taken = ", ".join(map(str, look.ports_taken))
        remedy = "`ss -ltnp` there shows whose; a variant that was left running: invoke cleanup"
        return Finding("ports", "note", f"programs listen on {taken}: stacks with these ports cannot start", remedy)
    return Finding("ports", "good", "those of all stacks are free")


def _load_address(host: LabHost, look: HostLook) -> Finding:
    if look.load_address_problem:
        found = f"{host.load_address} is no address that can be used here: {look.load_address_problem}"
        if host.group == LOADGEN_GROUP:
            # Nothing connects to a generator.
            return Finding("load address", "note", found, "none, where its address is translated on the way")
        correct = f"correct lab_load_address in inventory/{host.lab}: `ip address` on the host shows what it has"
        return Finding("load address", "bad", found, correct)
    own = ", also that of ssh" if host.load_address == host.address else f"; ssh uses {host.address}"
    return Finding("load address", "good", f"{host.load_address}{own}")


def _between(generator: RemoteHost, looked: HostLook, server: RemoteHost, server_look: HostLook) -> list[Finding]:
    findings = [judge_machines(generator.host, looked, server.host, server_look)]
    if not server_look.load_address_problem:
        back = server_look.mtu_bytes.get(generator.host.load_address)
        # There may be no way back to an address that is translated: only answers find it.
        there = looked.mtu_bytes.get(server.host.load_address)
        findings.append(judge_mtu(there, there if looked.load_address_problem and back is None else back))
        findings.append(_link((generator, looked), (server, server_look)))
    return [replace(finding, host=f"{generator.name} - {server.name}") for finding in findings]


def judge_machines(generator: LabHost, looked: HostLook, server: LabHost, server_look: HostLook) -> Finding:
    """Whether both roles are on one machine: allowed, and told in every report."""
    if looked.machine != server_look.machine:
        return Finding("machines", "good", "two")
    shared = are_cpus_shared(generator.cpus or looked.cpus, server.cpus or server_look.cpus)
    found = f"both roles on one machine, {'and on the same CPUs' if shared else 'on CPUs of their own'}"
    return Finding("machines", "note", found, "every report says so; a generator of its own gives rates to rely on")


def judge_generators(looks: Mapping[str, HostLook]) -> list[Finding]:
    """Those that are another one under a second name: one machine runs one load at a time."""
    first: dict[str, str] = {}
    findings = []
    for name, look in looks.items():
        other = first.setdefault(look.machine, name)
        if other != name:
            remedy = f"leave one of the two out of {LOADGEN_GROUP}"
            findings.append(Finding("machines", "bad", f"the same machine as {other}", remedy, name))
    return findings


def judge_mtu(own: int | None, other: int | None) -> Finding:
    """The MTU of both directions, from the generator and back, in bytes; None without a route."""
    if own is None or other is None:
        side = "the generator to the server" if own is None else "the server to the generator"
        return Finding("MTU", "bad", f"no route from {side} between their load addresses", "check lab_load_address")
    if own != other:
        return Finding(
            "MTU", "note", f"{own} bytes there, {other} back", "set both to the same, or packets may be lost"
        )
    if own < _MTU_WISHED_BYTES:
        return Finding("MTU", "note", f"{own} bytes", "a tunnel or an overlay? Large answers take more packets")
    return Finding("MTU", "good", f"{own} bytes")


def _link(generator: tuple[RemoteHost, HostLook], server: tuple[RemoteHost, HostLook]) -> Finding:
    ports = _ports()
    try:
        return judge_link(look_at_link(generator, server, ports))
    except WrklabError as error:
        if set(ports) <= set(server[1].ports_taken):
            return Finding("network", "note", f"not tried: {error}", "free one of the stacks' ports (see above)")
        opened = f"let {generator[0].name} reach TCP ports {min(ports)}-{max(ports)} of {server[0].host.load_address}"
        return Finding("network", "bad", str(error), f"{opened} (a firewall?)")


def judge_link(link: LinkLook) -> Finding:
    """Bandwidth and round trip of one connection."""
    found = (
        f"{link.bytes_per_s * 8 / 1e6:,.0f} Mbit/s over one connection, round trip {link.connect_s * 1000:.2f} ms "
        f"(port {link.port})"
    )
    if not link.bytes_per_s:
        return Finding(
            "network", "bad", f"{found}: it opened and carried nothing", "an MTU that is too large? A firewall?"
        )
    if link.bytes_per_s < _LINK_WISHED_BYTES_PER_S:
        answers = link.bytes_per_s / _ANSWER_BYTES
        return Finding("network", "note", found, f"it may itself limit rates near {answers:,.0f} requests/s")
    return Finding("network", "good", found)
