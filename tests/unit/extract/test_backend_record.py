"""The backends' host through a window: what its services used, and what others took of its CPUs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.unit.handmade_raw import HOSTS, handmade_raw, run_host
from wrklab.extract.cell import backend_record
from wrklab.extract.samples import HostSamples, read_samples
from wrklab.protocol.backend import BackendReport
from wrklab.results.raw import CellRaw, RunHosts


def lines(busy: float, node: float, unit: float) -> list[str]:
    """A sampler's lines around a window from 1 to 3 s of a host on CPU 1: shares of a CPU, machine, host and unit."""
    return [
        json.dumps(
            {
                "at": at_s,
                "mono": at_s,
                "cost_s": 0.0,
                "raw": {
                    "cpu": f"cpu1 {round(100 * busy * at_s)} 0 0 0 0 0 0 0",
                    "node_cpu": f"usage_usec {round(1e6 * node * at_s)}",
                    "unit_cpu": "".join(
                        f"{key}_usec {round(1e6 * unit * at_s)}\n" for key in ("usage", "user", "system")
                    ),
                },
                "errors": {},
            }
        )
        for at_s in (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5)
    ]


def samples_of(busy: float, node: float, unit: float = 0.0) -> HostSamples:
    """The same, read."""
    return read_samples(lines(busy, node, unit), 1.0, 3.0)


def raw_of(hosts: RunHosts) -> CellRaw:
    """A cell on these hosts."""
    report = BackendReport(samples=(), sampler_stderr="", connections={"redis": 2})
    return replace(handmade_raw(hosts=hosts), backend=report)


def hosts_with(kind: str = "container") -> RunHosts:
    """A server on CPU 0; a generator and the backends on CPU 1."""
    backend = run_host("backend", 1)
    return RunHosts(kind=kind, server=run_host("server", 0), generators=(run_host("loadgen", 1),), backend=backend)


def test_what_the_labs_own_hosts_took_is_told_from_neighbours() -> None:
    """The CPU is 90 % busy: 60 by the backends' host, of it 55 by its services, 25 by the generator, 5 by others."""
    sampled = {"backend": samples_of(0.9, 0.6, 0.55), "loadgen": samples_of(0.9, 0.25), "server": samples_of(0.1, 0.1)}

    found = backend_record(raw_of(hosts_with()), sampled)

    assert found is not None
    assert found.cpu_percent == pytest.approx(55.0)
    assert found.host_cpu_percent == pytest.approx(60.0)
    assert found.cpus_busy_percent == pytest.approx(90.0)
    assert found.shared_with == ("loadgen",)
    assert found.shared_cpu_percent == pytest.approx(25.0)
    assert found.neighbours_cpu_percent == pytest.approx(5.0)
    assert found.connections == {"redis": 2}


def test_a_host_of_its_own_shares_with_nobody() -> None:
    """Whatever the numbers of its CPUs."""
    sampled = {"backend": samples_of(0.9, 0.6, 0.55), "loadgen": samples_of(0.9, 0.25)}

    found = backend_record(raw_of(hosts_with("ssh")), sampled)

    assert found is not None
    assert (found.shared_with, found.shared_cpu_percent) == ((), None)
    assert found.neighbours_cpu_percent == pytest.approx(30.0)


def test_a_cell_without_backends_has_no_record() -> None:
    """Also in a lab that has a host for them."""
    assert backend_record(handmade_raw(hosts=HOSTS), {}) is None
    assert backend_record(handmade_raw(hosts=hosts_with()), {}) is None
