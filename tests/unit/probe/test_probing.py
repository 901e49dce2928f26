"""A probe's tries: which wave is reported, and that none is where no wave showed what the server can do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.unit.probe_waves import raw_waves
from wrklab.articles.comparison import compare_probe
from wrklab.articles.library import read_library
from wrklab.catalogue.catalogue import Catalogue, read_catalogue
from wrklab.catalogue.deployment import variant_digest
from wrklab.errors import CellError, HostError, ParseError
from wrklab.hosts.session import Session
from wrklab.probe import drive, planning, probing
from wrklab.probe.wave import WavePlan, WaveRaw
from wrklab.protocol.codec import decode
from wrklab.protocol.phases import Phase
from wrklab.results.probe_record import ProbeRecord

#: One process with a pool of 40, for which the card knows the limit, knows another one, and knows none.
KNOWN, OF_TWO, UNKNOWN = "fastapi_uvicorn_sync", "fastapi_uvicorn_sync_workers_2", "fastapi_uvicorn_sync_runvar_200"
TO_FAIL = "fastapi_gunicorn_sync_worker"


def changed(change: Callable[[dict[str, Any]], object], which: str = "first") -> WaveRaw:
    """A captured wave of the pool, changed in what the hosts reported."""
    raw = raw_waves("pool")[which]
    change(raw)
    return decode(WaveRaw, raw)


def to_kernel(raw: dict[str, Any]) -> None:
    """Those that wait do so in the kernel, whose queue is not full."""
    for look in raw["server"]["looks"][1:]:
        look["listeners"] = [[960, 2048]]


POOL = changed(lambda _: None)
IN_KERNEL = changed(to_kernel)
LATE = changed(lambda raw: raw["client"]["requests"][412].__setitem__(1, raw["client"]["requests"][412][1] + 0.9))
TWO_IDLE = changed(lambda raw: [look["pids"].extend([1, 2]) for look in raw["server"]["looks"]])

#: What becomes of a start: its wave, that it fails, or (a text) that the server does not become idle.
Try = WaveRaw | CellError | str


@dataclass
class Script:
    """Tries as they are listed, in place of a server and hosts."""

    tries: list[Try]
    second: WaveRaw | Exception = field(default_factory=lambda: changed(lambda _: None, "second"))
    plans: list[WavePlan] = field(default_factory=list)

    @contextmanager
    def running_server(self, *_: object) -> Iterator[SimpleNamespace]:
        """Its start fails, or is not idle, or is there for its wave."""
        now = self.tries.pop(0)
        if isinstance(now, CellError):
            raise now
        self.wave = now if isinstance(now, WaveRaw) else None
        yield SimpleNamespace(instability=now if isinstance(now, str) else "")

    def run_wave(self, _: object, plan: WavePlan) -> WaveRaw:
        """The wave of the start, or the second one."""
        self.plans.append(plan)
        found = self.second if plan.first_id == planning.SECOND_WAVE_ID else self.wave
        if isinstance(found, Exception):
            raise found
        assert found is not None
        return found


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """What this checkout offers."""
    return read_catalogue()


Probe = Callable[..., ProbeRecord]


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch, catalogue: Catalogue) -> Probe:
    """The record of a variant's probe by a script."""

    def go(name: str, script: Script, timeout_scale: float = 1.0) -> ProbeRecord:
        monkeypatch.setattr(drive, "running_server", script.running_server)
        monkeypatch.setattr(drive, "run_wave", script.run_wave)
        monkeypatch.setattr(drive, "drain", lambda _: True)
        monkeypatch.setattr(drive, "backlog", lambda _: 128)
        hosts = SimpleNamespace(server=SimpleNamespace(cpus=(0, 1)))
        session = Session(catalogue, cast("Any", hosts), cast("Any", None), (), timeout_scale)
        variant = session.with_scaled_timeouts(catalogue.variants[name])
        record = probing.probe_variant(session, variant, lambda _: None).record
        assert script.tries == []
        return record

    return go


def is_without_figures(record: ProbeRecord) -> bool:
    """Neither a capacity nor a queue nor who served."""
    return (record.requests_count, record.capacity, record.kernel_queue, record.serving) == (None, None, None, None)


def test_a_wave_that_shows_all_is_reported_with_its_second_one(probe: Probe) -> None:
    """At the first try."""
    record = probe(KNOWN, Script([POOL]))
    assert (record.state, record.capacity, record.tries, record.reused) == ("measured", 40, 1, True)


def test_workers_that_were_never_all_reached_make_a_void_probe(probe: Probe) -> None:
    """Four even waves of 40 where the card says 80 are no finding of 40."""
    record = probe(OF_TWO, Script([POOL] * 4))
    assert (record.state, record.tries) == ("void", 4)
    assert is_without_figures(record)
    [reason] = record.void_reasons
    assert reason.startswith("not every worker process was reached: at most 40 handled at once in 4 tries; ")
    assert reason.endswith("; the card's in_flight_limit of 80 was not met")


def test_a_wave_to_be_spread_is_not_reported_when_all_others_are_void(probe: Probe) -> None:
    """Its figure was not to be believed when it was found."""
    record = probe(OF_TWO, Script([POOL, *[LATE] * 4]))
    assert record.state == "void"
    assert is_without_figures(record)
    assert len(record.void_reasons) == 5
    assert "not every worker process was reached" in record.void_reasons[-1]


def test_a_wave_that_reached_all_is_reported_when_no_larger_one_can_be(probe: Probe) -> None:
    """Its queue holds at least what it showed; there is no second wave of another start beside it."""
    script = Script([IN_KERNEL, *[LATE] * 4])
    record = probe(KNOWN, script)
    assert (record.state, record.capacity, record.queued_kernel, record.kernel_queue) == (
        "measured",
        40,
        960,
        "at least",
    )
    assert (record.tries, len(record.void_reasons)) == (5, 4)
    assert [plan.first_id for plan in script.plans] == [0] * 5


def test_a_larger_wave_is_reported_instead_of_the_one_that_asked_for_it(probe: Probe) -> None:
    """Whatever it shows, also fewer; the second wave is of its own start."""
    script = Script([IN_KERNEL, POOL])
    record = probe(KNOWN, script)
    assert (record.queued_process, record.queued_kernel, record.tries) == (960, 0, 2)
    assert [plan.first_id for plan in script.plans] == [0, 0, planning.SECOND_WAVE_ID]
    assert script.plans[1].requests_count == 40 + 2048 + 1 + 60


@pytest.mark.parametrize("before", [[IN_KERNEL], [LATE], [LATE, POOL]])
def test_a_server_that_does_not_start_again_has_failed(probe: Probe, before: list[Try]) -> None:
    """What earlier starts of it showed is no property of it."""
    name = OF_TWO if POOL in before else KNOWN
    record = probe(name, Script([*before, CellError(Phase.START, "port taken")]))
    assert (record.state, record.error) == ("failed", "start: port taken")
    assert is_without_figures(record)


def test_without_a_limit_idle_processes_want_a_second_opinion(probe: Probe) -> None:
    """Two waves that show the same are believed: what is idle in both never serves."""
    script = Script([TWO_IDLE, TWO_IDLE])
    record = probe(UNKNOWN, script)
    assert (record.state, record.capacity, record.tries) == ("measured", 40, 2)
    assert [plan.burst_count for plan in script.plans[:2]] == [1, 250]
    assert probe(UNKNOWN, Script([POOL])).tries == 1


@pytest.mark.parametrize("error", [HostError("cut"), CellError(Phase.WAVE, "late"), ParseError("no JSON")])
def test_a_second_wave_that_fails_leaves_the_first(probe: Probe, error: Exception) -> None:
    """It only says less of who serves."""
    record = probe(KNOWN, Script([POOL], second=error))
    assert (record.state, record.capacity, record.void_reasons) == ("measured", 40, ())


def test_a_server_that_is_not_idle_voids_the_try(probe: Probe) -> None:
    """Its first snapshot would be of something else; the reason is told."""
    record = probe(KNOWN, Script(["the server was not idle", POOL]))
    assert (record.state, record.tries, record.void_reasons) == ("measured", 2, ("the server was not idle",))


@pytest.mark.parametrize("timeout_scale", [1.0, 5.0])
def test_a_record_says_of_which_server_it_is(probe: Probe, catalogue: Catalogue, timeout_scale: float) -> None:
    """Also where nothing was found; how slow the hosts are makes no other server of it."""
    digest = variant_digest(catalogue.stacks["fastapi"], catalogue.variants[KNOWN])
    for script in (Script([POOL]), Script([CellError(Phase.START, "no")])):
        record = probe(KNOWN, script, timeout_scale=timeout_scale)
        assert (record.variant_digest, record.server_cpus_count) == (digest, 2)


def test_a_variant_that_does_not_fail_as_its_card_expects_says_so(probe: Probe, catalogue: Catalogue) -> None:
    """It answers, or fails with another error; the article, which saw it fail, is not agreed with."""
    row = read_library(catalogue).probe_of(TO_FAIL)
    assert row is not None
    answers = probe(TO_FAIL, Script([POOL]))
    assert (answers.state, answers.capacity, answers.is_expected_failure) == ("measured", 40, False)
    assert answers.error == f"did not fail as expected ({answers.expected_failure}): it answers"
    assert str(compare_probe(answers, row).agrees).startswith("differs, because 40 are handled")
    other = probe(TO_FAIL, Script([CellError(Phase.START, "SyntaxError")]))
    assert (other.state, other.is_expected_failure) == ("failed", False)
    assert other.error.endswith("): start: SyntaxError")
    expected = probe(
        TO_FAIL, Script([CellError(Phase.START, "TypeError: missing 1 required positional argument: 'send'")])
    )
    assert (expected.state, expected.is_expected_failure) == ("failed", True)
    assert compare_probe(expected, row).agrees == "agrees"
