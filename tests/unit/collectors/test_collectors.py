"""Collectors: each understands captured output of a real host, and refuses what it cannot read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from collectors import collectors, parse, sources_json
from collectors.base import SourceError

CAPTURED = Path(__file__).parents[1] / "captured"

#: What captured output must give, by collector and file: metric -> value.
EXPECTED: dict[str, dict[str, float]] = {
    "cpu/server_gthread": {"cpu.0.busy": 349.86, "cpu.0.softirq": 5.56, "cpu.0.steal": 0.32, "cpu.1.idle": 3008.38},
    "cpu/generator": {},
    "listen_queue/server_gthread": {"listen.8080.queued": 0, "listen.8080.backlog": 2048, "listen.22.backlog": 256},
    "memory/server_gthread": {"memory.rss": (6097 + 8565 + 8432 + 8432 + 8343) * 4096},
    "memory/generator": {},
    "node_cpu/server_gthread": {"node_cpu.usage": 83.643137},
    "process_cpu/server_gthread": {"process.1672.cpu": 0.05, "process.1674.cpu": 0.08, "process.1681.cpu": 0.04},
    "processes/server_gthread": {"unit.processes": 5},
    "sockets/server_gthread": {"sockets.tcp_in_use": 1004, "sockets.tcp_orphan": 0, "sockets.tcp_time_wait": 7},
    "tcp/server_gthread": {"tcp.established": 1002, "tcp.segments_retransmitted": 3, "tcp.passive_opens": 7161},
    "tcp/generator": {},
    "tcp_extended/server_gthread": {"tcp.listen_overflows": 0, "tcp.listen_drops": 0},
    "threads/server_gthread": {"unit.threads": 45},
    "unit_pressure/server_gthread": {"unit_pressure.waiting": 0.098924},
    "unit_pressure/server_uvicorn": {"unit_pressure.waiting": 0.028529, "unit_pressure.stalled": 0.028438},
    "unit_cpu/server_gthread": {"unit_cpu.usage": 0.409321, "unit_cpu.user": 0.333364, "unit_cpu.system": 0.075956},
}


def captured(name: str) -> str:
    """A captured file's text without the lines that tell its origin."""
    lines = (CAPTURED / f"{name}.txt").read_text().splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("#"))


def test_every_collector_has_captured_output_and_every_capture_is_checked() -> None:
    """A new collector without a capture, or a capture that nothing expects, is forgotten work."""
    files = {f"{path.parent.name}/{path.stem}" for path in CAPTURED.glob("*/*.txt")}
    assert files == set(EXPECTED)
    assert {name.partition("/")[0] for name in files} == set(collectors())


@pytest.mark.parametrize("name", EXPECTED)
def test_captured_output_gives_its_values(name: str) -> None:
    """All metrics of a source come out, those listed with their value."""
    collector = collectors()[name.partition("/")[0]]
    found = {sample.metric: sample.value for sample in collector.parse(captured(name))}
    assert found
    assert {metric: found[metric] for metric in EXPECTED[name]} == pytest.approx(EXPECTED[name])


@pytest.mark.parametrize("name", sorted(collectors()))
def test_text_that_is_no_number_is_an_error_and_never_zero(name: str) -> None:
    """A source that changed its form, or was cut off."""
    if name != "listen_queue":  # no listener at all is what an empty text means there
        with pytest.raises(SourceError, match=f"collector {name}: "):
            parse({name: ""})
    with pytest.raises(SourceError, match=f"collector {name}: "):
        parse({name: "cpu0 TCP: page_bytes many\nTcp: no TcpExt: -5\n"})


def test_a_processes_line_that_was_cut_off_is_an_error() -> None:
    """Half a line of statm would be too little memory."""
    with pytest.raises(SourceError, match="a pid and what statm says"):
        parse({"memory": "page_bytes 4096\n4054 76\n"})


def test_processes_that_ended_leave_no_memory() -> None:
    """The sampler leaves them out."""
    assert parse({"memory": "page_bytes 4096\n"})["memory.rss"].value == 0


def test_a_collector_that_is_no_more_is_passed_over() -> None:
    """Old runs are read with newer collectors."""
    assert parse({"withdrawn": "anything"}) == {}


def test_the_hosts_get_every_source() -> None:
    """sources.json has all that the sampler asks for."""
    sources = json.loads(sources_json())["sources"]
    assert [source["name"] for source in sources] == sorted(collectors())
    assert {frozenset(source) for source in sources} == {frozenset({"name", "kind", "path", "prefixes", "file"})}
