"""Hosts before a bench: who is refused, who is only noted, and with which figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.handmade_hosts import handmade_host
from wrklab.errors import ParseError
from wrklab.hosts.preflight import (
    FIRST_LOOK_S,
    LOOK_S,
    LOOKS_COUNT,
    Disk,
    HostState,
    Readiness,
    findings,
    looks_at,
    read_state,
)
from wrklab.protocol.codec import decode_json
from wrklab.protocol.host import HostStateReport

#: node/host_state.py on a machine of two CPUs where a virtual machine of low priority and a little else runs.
CAPTURED = decode_json(
    HostStateReport, (Path(__file__).parents[1] / "captured/state/two_cpus.json").read_text(encoding="utf-8")
)
GIB = 1 << 30

HOST = handmade_host(address="10.0.0.1", cpus=(0,), lab="mylab")
CALM = HostState(
    look_s=0.5, busy_percent=2.0, niced_percent=0.0, steal_percent=0.0, load_average=(0.1, 0.2, 0.3), uptime_s=100.0,
    memory_bytes=4 * GIB, memory_available_bytes=3 * GIB, swap_used_bytes=0, swapped_pages_per_s=0.0,
    memory_pressure_percent=0.0, busiest=(), load_tools=(), disks=(Disk("/var/lib/wrklab", 20 * GIB, 1_000_000),),
)  # fmt: skip


def state(**changes: Any) -> HostState:  # noqa: ANN401  any field
    """A calm host, but for `changes`."""
    return replace(CALM, **changes)


def test_a_captured_look_gives_its_figures() -> None:
    """Ticks of /proc/stat over the look: 10 of user, 4 of system and 23 of niced time in half a second of CPU 0."""
    found = read_state("server", CAPTURED, [0])

    assert found.busy_percent == pytest.approx(28, abs=0.5)
    assert found.niced_percent == pytest.approx(46, abs=0.5)
    assert found.steal_percent == 0
    assert found.memory_bytes == 24684096 * 1024
    assert found.memory_available_bytes == 19172852 * 1024
    assert found.swap_used_bytes == 0
    assert found.busiest[0] == "qemu-system-x86 (pid 5960, 86 % of a CPU)"
    assert found.load_tools == ("wrk (pid 31791)",)
    assert found.disks[0] == Disk("/var/lib/wrklab", 70589431808, 16023808)


def test_a_host_without_cpus_of_its_own_is_judged_by_all_that_it_has() -> None:
    """The mean over both CPUs of the capture."""
    both = [read_state("server", CAPTURED, [cpu]).niced_percent for cpu in (0, 1)]

    assert read_state("server", CAPTURED, []).niced_percent == pytest.approx(sum(both) / 2)


@pytest.mark.parametrize(
    "broken", [{"stat": ("", "")}, {"meminfo": "MemTotal: many"}, {"vmstat": ("", "")}, {"look_s": 0}]
)
def test_an_answer_that_is_not_complete_is_an_error_and_never_a_calm_host(broken: dict[str, Any]) -> None:
    """Text that changed its form."""
    with pytest.raises(ParseError):
        read_state("server", CAPTURED.replace(**broken), [0])


def test_a_calm_host_is_looked_at_once_and_nothing_is_said() -> None:
    """Half a second is all that it costs."""
    looks: list[float] = []

    states = looks_at(lambda look_s: looks.append(look_s) or CALM)  # type: ignore[func-returns-value]

    assert looks == [FIRST_LOOK_S]
    found = findings(HOST, states)
    assert (found.reasons, found.notes) == ([], [])


def test_a_deploy_that_just_ended_is_waited_for() -> None:
    """Busy in the first two looks, calm in the third: not refused, nothing noted."""
    shares = iter([90.0, 70.0, 3.0])

    states = looks_at(lambda look_s: state(look_s=look_s, busy_percent=next(shares)))

    assert [state.look_s for state in states] == [FIRST_LOOK_S, LOOK_S, LOOK_S]
    found = findings(HOST, states)
    assert (found.reasons, found.notes) == ([], [])


def test_a_host_that_stays_busy_is_refused_with_its_figures() -> None:
    """All looks are above the limit: host, found, expected, who."""
    shares = iter([99.0, 97.0, 98.0, 60.0, 99.0])

    states = looks_at(
        lambda look_s: state(look_s=look_s, busy_percent=next(shares), busiest=("yes (pid 7, 99 % of a CPU)",))
    )

    assert len(states) == LOOKS_COUNT
    (reason,) = findings(HOST, states).reasons
    assert reason == (
        "server: others used 60-99 % of its CPUs (0) before the first cell (5 looks in 4.5 s); at most 50 % was "
        "expected; most by yes (pid 7, 99 % of a CPU)"
    )


def test_a_little_noise_is_noted_and_not_refused() -> None:
    """Between the two limits: looked at once more, then told."""
    states = looks_at(lambda look_s: state(look_s=look_s, busy_percent=30.0))

    assert len(states) == 2
    found = findings(HOST, states)
    assert found.reasons == []
    assert found.notes == ["server: others used 30 % of its CPUs (0) before the first cell (2 looks in 1.5 s)"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"load_tools": ("wrk (pid 12)",)}, "server: wrk (pid 12) runs there: somebody else makes load"),
        (
            {"memory_available_bytes": 100 << 20},
            "server: only 100 MiB of 4,096 MiB memory is available; at least 205 MiB was expected",
        ),
        (
            {"memory_pressure_percent": 35.0},
            "server: its programs waited for memory 35 % of the last 10 s; at most 10 % was expected",
        ),
        ({"swapped_pages_per_s": 4000.0}, "server: it swaps 4,000 pages a second; at most 256 was expected"),
        (
            {"disks": (Disk("/var/log/wrklab", 5 << 20, 1_000_000),)},
            "server: /var/log/wrklab has only 5 MiB left; at least 256 MiB was expected",
        ),
        (
            {"disks": (Disk("/var/log/wrklab", 20 * GIB, 12),)},
            "server: /var/log/wrklab has room for 12 more files only; at least 1,000 was expected",
        ),
    ],
)
def test_what_waiting_does_not_mend_is_refused(changes: dict[str, Any], told: str) -> None:
    """Another load, too little memory or disk."""
    assert findings(HOST, [state(**changes)]).reasons == [told]


@pytest.mark.parametrize(
    "changes",
    [
        {"swap_used_bytes": GIB},
        {"niced_percent": 80.0},
        {"disks": (Disk("/tmp", 512 << 20, None),)},
    ],
)
def test_what_does_little_harm_is_noted(changes: dict[str, Any]) -> None:
    """Old pages in swap, programs that give way, a disk that will do."""
    found = findings(HOST, [state(**changes)])

    assert found.reasons == []
    assert len(found.notes) == 1


def test_what_was_forced_is_said_before_what_was_noted() -> None:
    """The sentences that a report repeats."""
    readiness = Readiness({}, forced=("server: busy",), notes=("loadgen: a little busy",))

    assert readiness.sentences() == ["Measured by --force although server: busy", "loadgen: a little busy"]


def test_a_small_run_file_system_is_fine() -> None:
    """Of a machine with 2 GiB, /run has 200 MiB, and next to nothing is put there."""
    found = findings(HOST, [state(disks=(Disk("/run", 147 << 20, 1_000_000),))])

    assert (found.reasons, found.notes) == ([], [])
