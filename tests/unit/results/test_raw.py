"""The raw of a cell: written and read back, and the errors of a cell that has none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.handmade_raw import (
    HOSTS,
    captured_load,
    captured_server,
    handmade_conditions,
    handmade_raw,
    run_host,
)
from wrklab.errors import CellError, HostError, ParseError, StoreError, WrklabError
from wrklab.protocol.backend import BackendReport
from wrklab.protocol.codec import decode
from wrklab.protocol.load import AnswerKind, FailureKind, LoadPhase, LoadResult
from wrklab.protocol.phases import Phase
from wrklab.results.raw import (
    Clock,
    ErrorSource,
    RawError,
    RunHosts,
    has_conditions,
    read_raw,
    set_first_attempt_aside,
    write_raw,
)
from wrklab.results.raw_format_1 import upgraded_load

ERROR = RawError(phase=Phase.STOP, text="server: the connection ended", source=ErrorSource.HOST)


FILES = ("cell.json", "clocks.json", "load.loadgen.json", "server.json")


def caused(error: WrklabError, cause: Exception) -> WrklabError:
    """An error that was raised from another."""
    error.__cause__ = cause
    return error


def test_a_cell_is_read_as_it_was_written(tmp_path: Path) -> None:
    """All that was said, and what it was said in."""
    clocks = {"server": Clock(3600.5, 0.001, 0.02), "loadgen": Clock(-0.25, 0.002, 0.01)}
    raw = handmade_raw(captured_load(), server=captured_server(), clocks=clocks)
    write_raw(tmp_path, raw)

    assert read_raw(tmp_path) == raw
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "cell.json",
        "clocks.json",
        "load.loadgen.json",
        "server.json",
    ]


def test_a_cell_that_nobody_could_ask_is_read_as_it_was_written(tmp_path: Path) -> None:
    """No load and no server; why is in cell.json."""
    raw = handmade_raw(error=ERROR, clocks={"server": Clock(0.0, 0.0, 0.0)})
    write_raw(tmp_path, raw)

    assert read_raw(tmp_path) == raw
    assert read_raw(tmp_path).error == ERROR


def test_what_was_sampled_on_the_backends_host_is_read_as_it_was_written(tmp_path: Path) -> None:
    """In a file of its own, which a cell without backends does not have; a damaged one is named."""
    report = BackendReport(samples=("{}",), sampler_stderr="", connections={"postgres": 12})
    hosts = HOSTS.model_copy(update={"backend": run_host("backend", 0)})
    raw = replace(handmade_raw(captured_load(), server=captured_server(), hosts=hosts), backend=report)
    write_raw(tmp_path, raw)

    assert read_raw(tmp_path) == raw
    assert read_raw(tmp_path).hosts.all[-1].name == "backend"
    (tmp_path / "backend.json").write_text('{"samples": 1}')
    with pytest.raises(StoreError, match=r"backend\.json cannot be read"):
        read_raw(tmp_path)


def test_hosts_of_one_machine_share_cpus_with_the_backends(tmp_path: Path) -> None:
    """Whatever their group; on machines of their own numbers of CPUs say nothing."""
    found = hosts("container", (1,)).model_copy(update={"backend": run_host("backend", 1)})

    assert found.backend is not None
    assert [host.name for host in found.on_a_cpu_of(found.backend)] == [found.generators[0].name]
    assert found.model_copy(update={"kind": "ssh"}).on_a_cpu_of(found.backend) == ()


def test_the_first_attempt_is_out_of_the_seconds_way(tmp_path: Path) -> None:
    """A generator that said something only then is not taken for the second attempt's."""
    write_raw(tmp_path, handmade_raw(captured_load(), server=captured_server()))
    set_first_attempt_aside(tmp_path)
    assert not has_conditions(tmp_path)
    write_raw(tmp_path, handmade_raw(error=ERROR))

    assert read_raw(tmp_path).loads == {}
    assert list(read_raw(tmp_path / "attempt_1").loads) == ["loadgen"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *((name, text) for name in FILES for text in ("", "[]", "{", '{"server": 1}')),
        *((name, "{}") for name in FILES if name != "clocks.json"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, text: str) -> None:
    """None of them is taken for empty."""
    write_raw(tmp_path, handmade_raw(captured_load(), server=captured_server()))
    (tmp_path / name).write_text(text)

    with pytest.raises(StoreError, match=rf"{name} cannot be read: ."):
        read_raw(tmp_path)


@pytest.mark.parametrize("name", ["cell.json", "clocks.json", "server.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    """Generators that said nothing have none."""
    write_raw(tmp_path, handmade_raw(captured_load(), server=captured_server()))
    (tmp_path / name).unlink()
    with pytest.raises(StoreError, match=rf"{name} cannot be read: No such file"):
        read_raw(tmp_path)


@pytest.mark.parametrize(
    ("error", "phase", "source"),
    [
        (CellError(Phase.READY, "x"), Phase.READY, ErrorSource.CELL),
        (HostError("x"), Phase.WINDOW, ErrorSource.HOST),
        (ParseError("x"), Phase.WINDOW, ErrorSource.ANSWER),
        (caused(CellError(Phase.START, "x"), HostError("gone")), Phase.START, ErrorSource.HOST),
        (caused(CellError(Phase.START, "x"), ValueError("no number")), Phase.START, ErrorSource.ANSWER),
    ],
)
def test_an_error_keeps_its_phase_and_who_is_to_blame(error: WrklabError, phase: Phase, source: ErrorSource) -> None:
    """One without a phase came where the cell was then."""
    assert RawError.of(error, Phase.WINDOW) == RawError(phase=phase, text="x", source=source)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_clock_is_finite(number: float) -> None:
    """Whatever a host says of its time."""
    with pytest.raises(ParseError, match="a clock of no finite numbers"):
        Clock(number, 0.0, 0.0)


def hosts(kind: str, *generators: tuple[int, ...]) -> RunHosts:
    """A server on CPU 0, and generators."""
    return RunHosts(
        kind=kind,
        server=run_host("server", 0),
        generators=tuple(run_host(f"loadgen_{number}", *cpus) for number, cpus in enumerate(generators, 1)),
    )


@pytest.mark.parametrize(
    ("found", "are_shared", "count", "sharing"),
    [
        (hosts("container", (1,)), False, 1, []),
        (hosts("container", (0,)), True, 1, []),
        (hosts("container", (1,), (1, 2)), False, 2, ["loadgen_2"]),
        (hosts("container", (1,), (2,)), False, 2, []),
        # CPU 0 of two machines is not the same; no CPUs given are counted as one.
        (hosts("ssh", (0,), (0,)), False, 2, []),
        (hosts("ssh", (), (1, 2)), False, 3, []),
    ],
)
def test_cpus_that_hosts_share(found: RunHosts, are_shared: bool, count: int, sharing: list[str]) -> None:
    """Only hosts of a container lab are on one machine."""
    assert found.are_cpus_shared == are_shared
    assert found.generator_cpus_count == count
    assert [host.name for host in found.sharing_cpus_with("loadgen_1")] == sharing


def test_a_cell_has_a_generator() -> None:
    """Nothing can be said of a load from nowhere."""
    with pytest.raises(ValueError, match="generators"):
        hosts("ssh")
    assert handmade_conditions().hosts == HOSTS


#: What a generator of format 1 said that had no answer: its keys, and its sentences.
OF_FORMAT_1: dict[str, Any] = {
    "cell": "c",
    "ready": {"at": 1.5, "attempts": 2, "first_answer_s": 0.1},
    "warmup": None,
    "settle": {"took_s": 0.1, "attempts": 1, "answer_s": 0.1, "calm": True},
    "window": {"mark": 1.0, "start": 1.1, "end": 2.1},
    "wrk": [{"argv": ["wrk", "-c4"], "exit": -9, "report": None, "stdout": "", "stderr": "killed", "cpu_s": 0.3}],
    "clock_step_s": 0.0,
    "open_connections": [{"at": 1.5, "ESTABLISHED": 4, "SYN_SENT": 1, "reopening": 2, "unread": 3}],
    "silences": {"elapsed_s": 0.9, "answered": {"3": 1}, "unanswered": {}, "dripping": {"count": 5, "seen_s": 0.4}},
    "wrk_threads": {"elapsed_s": 0.9, "threads": [[[0.1, 0.2]]]},
    "held_up": {"stopped_s": 0.5, "gap_s": 0.2},
    "verify_after": {"ok": False, "found": "timed out: no answer within 4 s", "took_s": 4.0},
    "samples": [json.dumps({"at": 1.0, "mono": 1.0, "cost_s": 0.0, "raw": {}}), '{"at": 2'],
    "phases": [{"name": "ready", "start": 0.5, "end": None}],
    "failed": {"phase": "window", "text": "wrk process 1 of 1 left no whole report"},
}


def test_a_load_of_format_1_has_the_same_facts_by_other_keys() -> None:
    """Each of the renamed ones."""
    load = decode(LoadResult, upgraded_load(OF_FORMAT_1))

    assert load.ready is not None
    assert load.settle is not None
    assert load.window is not None
    assert (load.ready.at_s, load.settle.is_calm, load.window.mark_at_s, load.window.end_at_s) == (1.5, True, 1.0, 2.1)
    assert (load.wrk[0].exit_code, load.wrk[0].report, load.wrk[0].stderr) == (-9, None, "killed")
    [counts] = load.open_connections
    assert (counts.states, counts.reopening_count, counts.unread_count) == ({"ESTABLISHED": 4, "SYN_SENT": 1}, 2, 3)
    assert load.silences is not None
    assert load.silences.trickling.count == 5
    assert load.wrk_threads is not None
    assert load.wrk_threads.processes[0][0].wait_s == 0.2
    assert load.paused is not None
    assert load.paused.stopped_s == 0.5
    assert load.verify_after is not None
    assert load.verify_after.kind is AnswerKind.TIMED_OUT
    assert load.failed is not None
    assert (load.failed.phase, load.failed.kind) == (LoadPhase.WINDOW, FailureKind.GENERATOR)
    assert json.loads(load.samples[0])["errors"] == {}
    assert load.samples[1] == '{"at": 2'


@pytest.mark.parametrize("lost", ["ready", "wrk", "samples", "failed"])
def test_a_load_of_format_1_that_lacks_a_part_is_an_error(lost: str) -> None:
    """As one of today's is."""
    with pytest.raises(ParseError, match="no generator's result of format 1"):
        upgraded_load({key: value for key, value in OF_FORMAT_1.items() if key != lost})
    with pytest.raises(ParseError, match="an object was expected"):
        upgraded_load([])
