"""Verdicts: which of several true things a reader is told first, of rows and of cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.handmade_records import (
    handmade_cell,
    handmade_failure,
    handmade_latency,
    handmade_measurement,
    handmade_plan,
)
from tests.unit.verdicts.test_rules import GOOD
from wrklab.results.records import Errors
from wrklab.summary.rows import summarise
from wrklab.verdicts.rules import RULES, UNEXPLAINED
from wrklab.verdicts.verdict import Verdict
from wrklab.verdicts.verdicts import applying, cell_verdict, verdict_figures, verdict_of

#: Both sides have CPU to spare.
IDLE: dict[str, Any] = {"server_cpu_percent": 30.0, "server_cpus_busy_percent": 40.0, "unit_waiting_percent": 5.0}
SATURATED: dict[str, Any] = {"generator_thread_percent": 97.0, "generator_thread_waiting_percent": 87.0}
BURNER: dict[str, Any] = {"neighbours_cpu_percent": 50.0}
STARVING: dict[str, Any] = {
    "connections_unanswered": 56,
    "connections_asked": 64,
    "busy_ratio": 0.12,
    "latency": handmade_latency(mean_us=512.0),
}


def no_histograms(_: str) -> Mapping[str, bytes]:
    return {}


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, Verdict.SERVER_BOUND),
        (IDLE, Verdict.UNEXPLAINED),
        (IDLE | {"ideal_ratio": 0.96}, Verdict.HOLD_BOUND),
        (IDLE | {"ceiling_ratio": 0.96}, Verdict.LIMIT_BOUND),
        # What else is true as well: the load set the rate, and the server was not driven further.
        ({"ideal_ratio": 0.96}, Verdict.HOLD_BOUND),
        ({"requests_per_s_min": 12_000.0}, Verdict.UNSTABLE),
        (STARVING, Verdict.POLLUTED),
        # A limit explains how many are served, not that it is always the same ones.
        (STARVING | {"ceiling_ratio": 0.95}, Verdict.POLLUTED),
        (
            STARVING | {"ceiling_ratio": 0.95, "latency": handmade_latency(mean_us=512.0, p99_us=3_800_000.0)},
            Verdict.LIMIT_BOUND,
        ),
        # Fast answers for some and none for others are no lack of CPU; connections that did not open may be.
        (STARVING | BURNER, Verdict.POLLUTED),
        (BURNER | {"connections_held": 900}, Verdict.DISTURBED),
        (STARVING | SATURATED, Verdict.GENERATOR_BOUND),
        (IDLE | BURNER | {"server_cpus_busy_percent": 99.0}, Verdict.DISTURBED),
        (SATURATED | BURNER, Verdict.GENERATOR_BOUND),
        # A generator that cannot read has no answers, and does not get to open its connections.
        (SATURATED | {"requests": 0, "connections_open": 30, "connections_held": 30}, Verdict.GENERATOR_BOUND),
        # A server that resets connections keeps wrk busy, not the other way round.
        (SATURATED | {"errors": Errors(read=9000)}, Verdict.POLLUTED),
        ({"rounds": 0, "rounds_failed": 3, "failure_expected": True}, Verdict.FAILED_AS_EXPECTED),
        ({"rounds": 2, "rounds_failed": 1, "errors": Errors(status=4)}, Verdict.FAILED),
        ({"rounds": 0, "rounds_planned": 3, "state": "missing", **IDLE}, None),
    ],
)
def test_the_gravest_rule_that_decides_gives_the_verdict(changes: dict[str, Any], verdict: Verdict | None) -> None:
    """The order of RULES is the order of gravity."""
    assert verdict_of(replace(GOOD, **changes)) == verdict


def test_every_verdict_has_a_rule_that_leads_to_it() -> None:
    """And no sound verdict belongs to a rule that casts doubt on the rate, nor a bad one to a rule that explains."""
    assert {rule.verdict for rule in (*RULES, UNEXPLAINED) if rule.verdict} == set(Verdict)
    for rule in RULES:
        if rule.verdict is not None and rule.verdict is not Verdict.FAILED_AS_EXPECTED:
            assert rule.verdict.is_sound == (rule.doubt != "rate"), rule.name


def test_one_process_that_can_use_one_cpu_is_the_limit_of_four() -> None:
    """A Python process is at its end at 25 % of four CPUs; Go's is not."""
    row = replace(GOOD, **IDLE, busiest_process_cpu_percent=99.0, serving_processes_count=1, full_processes_count=1)

    assert verdict_of(row) == Verdict.SERVER_BOUND
    assert "1 of 1 serving processes filled one CPU each" in applying(row)[-1].figures(row)
    assert verdict_of(replace(row, is_one_cpu_a_process=False)) == Verdict.UNEXPLAINED
    assert verdict_of(replace(row, serving_processes_count=4)) == Verdict.UNEXPLAINED


def test_short_windows_reach_their_ideal_too() -> None:
    """In 1 s at a hold of 100 ms a tenth of a connection's time may hold an answer that does not end in the window."""
    row = replace(GOOD, **IDLE, duration_s=1.0, latency=handmade_latency(p99_us=101_000.0))

    assert verdict_of(replace(row, ideal_ratio=0.88)) == Verdict.HOLD_BOUND
    assert verdict_of(replace(row, ideal_ratio=0.85)) == Verdict.UNEXPLAINED
    # A hold that does not fit into the window at all has no such excuse.
    slow = handmade_latency(p99_us=1_501_000.0, min_us=1_500_000.0)
    assert verdict_of(replace(row, hold_ms=1500, ideal_ratio=0.4, latency=slow)) == Verdict.UNEXPLAINED


def test_an_unexplained_row_says_so() -> None:
    """With the CPU of both sides."""
    row = replace(GOOD, **IDLE)

    assert applying(row) == (UNEXPLAINED,)
    assert "the unit took 30 % of the CPUs given to the server" in UNEXPLAINED.figures(row)
    assert "wrk took 45 % of the generator's" in UNEXPLAINED.figures(row)


def test_a_verdict_shows_the_figures_it_rests_on() -> None:
    """CPU of both sides, errors, connections, Little's law."""
    text = verdict_figures(GOOD)

    assert "server CPU 97 % (its host -), wrk CPU 45 % (its host 50 %, busiest thread 30 %)" in text
    assert "0 errors; 2,000 of 2,000 connections open, 0 never answered, 0 silent" in text
    assert "15,000 requests/s x 126.0 ms = 1,890 in flight" in text
    assert verdict_figures(replace(GOOD, rounds=0)) == ""


def test_a_cell_is_judged_by_itself_and_a_row_by_all_its_rounds() -> None:
    """Two sound cells whose rates differ make an unstable row; one that was disturbed makes it disturbed."""
    slow = handmade_measurement(requests_per_s=9_000.0)
    disturbed = handmade_measurement(server={"neighbours_cpu_percent": 50.0})
    cells = [handmade_cell(round_number=1), handmade_cell(round_number=2, measurement=slow)]

    assert [cell_verdict(handmade_plan(cells), cell) for cell in cells] == [Verdict.SERVER_BOUND] * 2
    [row] = summarise(handmade_plan(cells), cells, no_histograms, {})
    assert verdict_of(row) == Verdict.UNSTABLE

    cells.append(handmade_cell(round_number=3, measurement=disturbed))
    [row] = summarise(handmade_plan(cells), cells, no_histograms, {})
    assert cell_verdict(handmade_plan(cells), cells[2]) == Verdict.DISTURBED
    assert verdict_of(row) == Verdict.DISTURBED


def test_a_failed_cell_has_failed() -> None:
    """As expected or not."""
    cells = [handmade_cell(failure=handmade_failure(expected=expected)) for expected in (False, True)]

    assert [cell_verdict(handmade_plan(cells), cell) for cell in cells] == [Verdict.FAILED, Verdict.FAILED_AS_EXPECTED]


def test_a_cell_over_the_loopback_is_disturbed() -> None:
    """What the plan knows of the hosts holds for each cell as for the row."""
    cell = handmade_cell()
    verdicts = [cell_verdict(handmade_plan([cell], one_machine=found), cell) for found in (True, False)]

    assert verdicts == [Verdict.DISTURBED, Verdict.SERVER_BOUND]
