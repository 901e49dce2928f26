"""How the hosts of a lab are judged, from looks made by hand."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest

from tests.unit.handmade_hosts import handmade_host
from wrklab.doctor import lab_hosts
from wrklab.doctor.machine import Level
from wrklab.errors import HostError
from wrklab.hosts import host_checks
from wrklab.hosts.host_checks import HostLook, LinkLook, System, look_at_link, read_system
from wrklab.hosts.remote import CommandResult, RemoteHost
from wrklab.results.raw import Clock

SERVER = handmade_host("a", load_address="198.51.100.1", cpus=(0, 1))
LOADGEN = replace(SERVER, name="b", group="loadgen", cpus=())
LOOK = HostLook("x", (0, 1, 2, 3), 10 * 2**30, 4 * 2**30, "", {})


@pytest.mark.parametrize(
    ("subject", "change", "level", "found"),
    [
        ("CPUs", {}, "good", "4, 2 of them given"),
        ("CPUs", {"cpus": (0,)}, "bad", "lab_cpus has [1], but it may run on [0] only"),
        ("memory", {"memory_bytes": 600 * 2**20}, "note", "600 MiB"),
        ("memory", {"memory_bytes": 200 * 2**20}, "bad", "200 MiB"),
        ("disk", {"disk_free_bytes": 2**30}, "bad", "1.0 GiB free below /opt and /var"),
        ("load address", {}, "good", "198.51.100.1; ssh uses 192.0.2.1"),
        ("load address", {"load_address_problem": "no"}, "bad", "198.51.100.1 is no address that can be used here: no"),
        ("ports", {}, "good", "those of all stacks are free"),
        ("ports", {"ports_taken": (8080,)}, "note", "programs listen on 8080: stacks with these ports cannot start"),
    ],
)
def test_a_host_is_judged(subject: str, change: dict[str, object], level: Level, found: str) -> None:
    """What would stop a bench is bad, and has a remedy."""
    findings = lab_hosts.judge_host(SERVER, replace(LOOK, **change))  # type: ignore[arg-type]

    finding = next(finding for finding in findings if finding.subject == subject)
    assert (finding.level, finding.found) == (level, found)
    assert bool(finding.remedy) == (level != "good")


@pytest.mark.parametrize(
    ("there", "back", "level"),
    [(1500, 1500, "good"), (1400, 1400, "note"), (9000, 1500, "note"), (None, 1500, "bad")],
)
def test_mtus_are_judged(there: int | None, back: int | None, level: Level) -> None:
    """Different ones, small ones, and no route at all."""
    assert lab_hosts.judge_mtu(there, back).level == level


def test_a_generator_behind_a_translation_of_addresses_is_no_obstacle() -> None:
    """Nothing connects to it: its address need not be its own, nor have a way to it of its own."""
    findings = lab_hosts.judge_host(LOADGEN, replace(LOOK, load_address_problem="no"))

    assert [finding.level for finding in findings if finding.subject == "load address"] == ["note"]
    assert [finding for finding in findings if finding.subject == "ports"] == []


@pytest.mark.parametrize(
    ("bytes_per_s", "level", "said"),
    [
        (125e6, "good", "1,000 Mbit/s over one connection, round trip 0.20 ms (port 8080)"),
        (1.25e6, "note", "10 Mbit/s over one connection, round trip 0.20 ms (port 8080)"),
        (0.0, "bad", "0 Mbit/s over one connection, round trip 0.20 ms (port 8080): it opened and carried nothing"),
    ],
)
def test_a_link_is_judged(bytes_per_s: float, level: Level, said: str) -> None:
    """A slow one would itself limit a rate; one that carries nothing has lost its large packets."""
    finding = lab_hosts.judge_link(LinkLook(8080, bytes_per_s, 0.0002))

    assert (finding.level, finding.found) == (level, said)


def test_both_roles_on_one_machine_are_told() -> None:
    """It is allowed: a note."""
    other = replace(LOOK, machine="y")

    assert lab_hosts.judge_machines(LOADGEN, other, SERVER, LOOK).level == "good"
    assert lab_hosts.judge_machines(LOADGEN, LOOK, SERVER, LOOK).found == (
        "both roles on one machine, and on the same CPUs"
    )
    assert lab_hosts.judge_machines(replace(LOADGEN, cpus=(2, 3)), LOOK, SERVER, LOOK).found == (
        "both roles on one machine, on CPUs of their own"
    )


def test_a_generator_under_two_names_is_told() -> None:
    """One machine runs one load at a time."""
    looks = {"b": LOOK, "c": replace(LOOK, machine="y"), "d": replace(LOOK, machine="y")}

    findings = lab_hosts.judge_generators(looks)

    assert [(finding.host, finding.level, finding.found) for finding in findings] == [
        ("d", "bad", "the same machine as c")
    ]


@pytest.mark.parametrize(
    ("taken", "level", "remedy"),
    [((), "bad", "let b reach TCP ports"), (tuple(lab_hosts._ports()), "note", "free one of the stacks' ports")],
)
def test_a_link_that_could_not_be_tried_is_no_firewall(
    monkeypatch: pytest.MonkeyPatch, taken: tuple[int, ...], level: Level, remedy: str
) -> None:
    """Where every port is taken, it is the programs that listen."""

    def fail(*_: object) -> LinkLook:
        raise HostError("a: none of the ports is free")

    monkeypatch.setattr(lab_hosts, "look_at_link", fail)
    server = (RemoteHost(SERVER), replace(LOOK, ports_taken=taken))

    finding = lab_hosts._link((RemoteHost(LOADGEN), LOOK), server)

    assert finding.level == level
    assert finding.remedy.startswith(remedy)


def test_a_link_to_a_name_that_stands_for_nothing_is_told() -> None:
    """On the generator, by whose word the load would go."""
    look = replace(LOOK, peer_addresses={SERVER.load_address: None})

    with pytest.raises(HostError, match=r"^b: 198\.51\.100\.1 is no address there, nor a name of one$"):
        look_at_link((RemoteHost(LOADGEN), look), (RemoteHost(SERVER), LOOK), [8080])


def test_a_system_without_os_release_is_unknown_and_no_lack_of_rights() -> None:
    """A shell ends at a file that it cannot read."""
    script = host_checks._SYSTEM_SCRIPT.replace("/etc/os-release", "/no/such/file")

    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout.split("|")[0].strip()) == (0, "")
    assert System("", "", "systemd", has_python=True).problem.startswith("an unknown system with systemd as PID 1")


@pytest.mark.parametrize(("ahead_s", "level"), [(0.01, "good"), (-2.0, "note"), (4000.0, "bad")])
def test_clocks_are_judged(ahead_s: float, level: Level) -> None:
    """A clock that is far off stops apt."""
    assert lab_hosts.judge_clock(Clock(ahead_s, 0.001, 0.1)).level == level


@pytest.mark.parametrize(
    ("system", "said"),
    [
        (System("debian 12", "Debian GNU/Linux 12 (bookworm)", "systemd", has_python=True), ""),
        (
            System("debian 13", "Debian GNU/Linux 13 (trixie)", "systemd", has_python=True),
            "Debian GNU/Linux 13 (trixie)",
        ),
        (System("debian 12", "Debian GNU/Linux 12 (bookworm)", "bash", has_python=True), "with bash as PID 1"),
        (System("debian 12", "Debian GNU/Linux 12 (bookworm)", "systemd", has_python=False), "apt-get install python3"),
    ],
)
def test_a_system_that_will_not_do_is_told(system: System, said: str) -> None:
    """With what it is, and what is needed."""
    assert said in system.problem
    assert bool(system.problem) == bool(said)


@pytest.mark.parametrize(
    ("said", "next_step"),
    [
        ("sudo: a password is required", "echo 'me ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/wrklab; or"),
        ("sudo: sorry, you must have a tty to run sudo", "echo 'Defaults:me !requiretty' > /etc/sudoers.d/wrklab_tty"),
    ],
)
def test_a_user_who_may_not_become_root_is_told_what_to_do(
    monkeypatch: pytest.MonkeyPatch, said: str, next_step: str
) -> None:
    """By what sudo said."""
    host = RemoteHost(replace(SERVER, user="me"))
    monkeypatch.setattr(host, "run", lambda *_, **__: CommandResult("a", "sudo", 1, "", f"{said}\n", 0.1))

    with pytest.raises(HostError) as caught:
        read_system(host)

    assert repr(said) in str(caught.value)
    assert next_step in str(caught.value)
