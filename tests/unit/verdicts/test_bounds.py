"""Rules on bounds: what set a sound rate, and that no verdict flips on a hair."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.handmade_records import handmade_latency
from tests.unit.verdicts.good_rows import Case, changed, check_silent, check_speaks, good_row, note_names
from wrklab.results.records import Errors
from wrklab.verdicts.bounds import RULES
from wrklab.verdicts.rules import deciding, row_notes, verdict_of
from wrklab.verdicts.verdict import Verdict

#: rule: (what makes it speak, what its note must hold, what keeps it silent though near).
CASES: dict[str, Case] = {
    "above_ceiling": (
        {"in_flight_limit": 100, "ceiling_per_s": 1000.0, "ceiling_ratio": 15.0},
        "15,000 requests/s, where 100 requests in flight (by its card) held 100 ms give 1,000",
        {"ceiling_ratio": 1.0},
    ),
    "server_busy": (
        {},
        "the unit took 97 % of the CPUs given to the server, which were 99 % busy with the kernel's work",
        {"server_cpu_percent": 60.0, "server_cpus_busy_percent": 70.0},
    ),
    "hold_bound": (
        {"ideal_ratio": 0.98},
        "98 % of what 2,000 connections held 100 ms can give",
        {"ideal_ratio": 1.03},
    ),
    "below_limit": (
        {"in_flight_limit": 40, "is_limit_probed": True, "ceiling_per_s": 400.0, "ceiling_ratio": 0.5},
        "50 % of what 40 requests in flight (probed) held 100 ms can give",
        {"in_flight_limit": 40, "is_limit_probed": False, "ceiling_per_s": 400.0, "ceiling_ratio": 0.5},
    ),
    "limit_bound": (
        {"in_flight_limit": 40, "ceiling_ratio": 0.97},
        "97 % of what 40 requests in flight (by its card) held 100 ms can give",
        {"in_flight_limit": 40, "ceiling_ratio": 0.9},
    ),
}


def test_every_rule_has_a_case() -> None:
    """The cases are the rules, no more and no fewer."""
    assert sorted(CASES) == sorted(rule.name for rule in RULES)


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_speaks_with_its_figures(rule: str) -> None:
    """With its words and a next step."""
    check_speaks(rule, CASES[rule])


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_is_silent_near_its_limit(rule: str) -> None:
    """A limit that nothing tests could lie anywhere."""
    check_silent(rule, CASES[rule])


@pytest.mark.parametrize(
    ("changes", "is_bound"),
    [
        # Go with 2,000 connections as it was measured: they came late into the window.
        ({}, True),
        # Near it, and beyond the near zone.
        ({"latency": handmade_latency(mean_us=106_000.0)}, True),
        ({"latency": handmade_latency(mean_us=111_200.0)}, False),
        ({"requests_per_s": 17_700.0}, True),
        ({"requests_per_s": 16_800.0}, False),
        ({"errors": Errors(timeout=1)}, False),
        ({"correction_notes": ("not undone",)}, False),
        ({"hold_ms": 0}, False),
        ({"ideal_ratio": 1.03}, False),
        # The server may be why they came late.
        ({"server_cpu_percent": 99.0, "server_cpus_busy_percent": 99.0}, False),
        ({"listen_overflows": 40}, False),
    ],
)
def test_answers_that_take_just_their_hold_are_hold_bound(changes: dict[str, Any], *, is_bound: bool) -> None:
    """Of every connection, nearly all the time: whatever the rate falls short by, the server is not why."""
    idle: dict[str, Any] = {"server_cpu_percent": 55.0, "server_cpus_busy_percent": 60.0}
    row = good_row(**idle, ideal_ratio=0.923, requests_per_s=18_466.0, latency=handmade_latency(mean_us=104_300.0))

    assert ("hold_bound" in {note.rule for note in row_notes(changed(row, **changes))}) is is_bound


#: Go under 2,000 connections, as it was measured: it has CPU to spare, and its rate is 87 % of the ideal.
GO: dict[str, Any] = {
    "server_cpu_percent": 55.0,
    "server_cpus_busy_percent": 60.0,
    "in_flight_limit": None,
    "ideal_ratio": 0.87,
    "requests_per_s": 17_400.0,
}


@pytest.mark.parametrize(
    ("mean_us", "verdict", "words"),
    [
        # A hair decides nothing: 105.2 and 106.6 ms are one verdict, and the words say which of them is near it.
        (105_200.0, Verdict.HOLD_BOUND, "near hold-bound"),
        (106_600.0, Verdict.HOLD_BOUND, "near hold-bound"),
        (111_000.0, Verdict.HOLD_BOUND, "near hold-bound"),
        # The server adds more than a tenth to each hold: something in it takes the time.
        (111_300.0, Verdict.UNEXPLAINED, "unexplained"),
    ],
)
def test_hold_bound_does_not_flip_on_a_hair(mean_us: float, verdict: Verdict, words: str) -> None:
    """Between the bound and its near zone the verdict is the same; beyond, the figures say how far it is."""
    row = good_row(**GO, latency=handmade_latency(mean_us=mean_us))
    rule = deciding(row)

    assert rule is not None
    assert (rule.verdict, rule.words(row)) == (verdict, words)
    held = f"{100_000 / mean_us * 100:.0f} % of an answer's time is its hold"
    assert held in rule.figures(row)
    assert "of the connections wait for one (hold-bound above 95 % and 93 %, near it above 90 % and 88 %)" in (
        rule.figures(row)
    )


@pytest.mark.parametrize(("ideal_ratio", "words"), [(0.93, "hold-bound"), (0.92, "near hold-bound")])
def test_at_the_ideal_nothing_is_near(ideal_ratio: float, words: str) -> None:
    """95 % of what complete holds leave of the ideal, whatever an answer takes beyond its hold."""
    row = good_row(**(GO | {"ideal_ratio": ideal_ratio}), latency=handmade_latency(mean_us=106_600.0))
    rule = deciding(row)

    assert rule is not None
    assert rule.words(row) == words
    assert ("near hold-bound" in rule.figures(row)) == (words == "near hold-bound")


#: gunicorn with 4 sync workers: 37 requests/s at a hold of 100 ms, and each takes a worker for 107 ms.
SYNC: dict[str, Any] = {
    "server_cpu_percent": 8.0,
    "server_cpus_busy_percent": 9.0,
    "unit_waiting_percent": 2.0,
    "requests_per_s_min": 36.9,
    "requests_per_s_max": 37.1,
    "in_flight_limit": 4,
    "connections_asked": 16,
    "connections_open": 16,
    "connections_held": 16,
    "requests": 444,
    "requests_per_s": 37.0,
    "ideal_per_s": 160.0,
    "ideal_ratio": 0.231,
    "ceiling_per_s": 40.0,
    "ceiling_ratio": 0.925,
    "latency": handmade_latency(min_us=101_000.0, mean_us=431_000.0, p99_us=450_000.0),
}

#: As few connections as workers, without a hold: 4 workers / the mean latency is exactly the rate.
AS_MANY: dict[str, Any] = {
    "connections_asked": 4,
    "connections_open": 4,
    "connections_held": 4,
    "hold_ms": 0,
    "requests_per_s": 2000.0,
    "requests_per_s_min": 2000.0,
    "requests_per_s_max": 2000.0,
    "ideal_ratio": None,
    "ceiling_ratio": None,
    "latency": handmade_latency(min_us=600.0, mean_us=2000.0),
}


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, Verdict.LIMIT_BOUND),
        # The hair: 92.5 % of the ceiling, where 92.6 % are the limit itself.
        ({"requests_per_s": 37.1, "ceiling_ratio": 0.9275}, Verdict.LIMIT_BOUND),
        ({"requests_per_s": 32.2, "ceiling_ratio": 0.805}, Verdict.LIMIT_BOUND),
        # A quarter of the workers' time is nowhere.
        ({"requests_per_s": 30.0, "ceiling_ratio": 0.75}, Verdict.UNEXPLAINED),
        (AS_MANY, Verdict.LIMIT_BOUND),
        (AS_MANY | {"requests_per_s": 1850.0}, Verdict.UNEXPLAINED),
        # After time-outs no mean is one; what the quickest answer takes is.
        (AS_MANY | {"errors": Errors(timeout=1)}, Verdict.UNEXPLAINED),
        ({"errors": Errors(timeout=1)}, Verdict.LIMIT_BOUND),
        # A limit above the connections binds nothing, nor does one that the rate shows to be wrong.
        ({"in_flight_limit": 40, "ceiling_ratio": 0.0925}, Verdict.UNEXPLAINED),
        ({"in_flight_limit": 3, "ceiling_ratio": 1.23}, Verdict.UNEXPLAINED),
        # Of a busy server the law explains nothing.
        ({"server_cpu_percent": 99.0}, Verdict.SERVER_BOUND),
    ],
)
def test_workers_that_are_full_by_littles_law_are_the_limit(changes: dict[str, Any], verdict: Verdict) -> None:
    """Rate x the quickest answer are in the workers at least, rate x the mean latency at most."""
    row = good_row(**(SYNC | changes))

    assert verdict_of(row) == verdict
    if verdict is Verdict.LIMIT_BOUND and row.ceiling_ratio == 0.925:
        [note] = [note for note in row_notes(row) if note.rule == "limit_bound"]
        assert "by Little's law 3.74 to 15.9 requests are in the server, of 4 that it handles at once" in note.text
        assert note.words == "limit of 4"


def test_a_probed_limit_that_the_law_explains_is_met() -> None:
    """No second note says that something else is the limit."""
    assert note_names(good_row(**SYNC, is_limit_probed=True)) == {"limit_bound"}
    assert "below_limit" in note_names(
        good_row(**(SYNC | {"ceiling_ratio": 0.5, "requests_per_s": 20.0}), is_limit_probed=True)
    )
