"""How candidates stand: what is out, what serves a rate, and what cannot be said."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.bench.simulated_applications import (
    APPLICATIONS,
    OBJECTIVES,
    PLENTY_S,
    Measure,
    grid,
    measuring,
    tuned,
)
from wrklab.bench.capacity import Keeping, Window, no_figures, parse_objectives
from wrklab.bench.contest import Aim, Contest, Fate, Look, Step
from wrklab.bench.tuning import Ending, Tuned, Tuner
from wrklab.catalogue.scenario import RATE_MAX_PER_S


def by_rate(rate_per_s: float, seed: int, memory_limit_bytes: int | None = None) -> Tuned:
    """The cheapest of the mixed application that serves a rate."""
    ways = grid()
    aim = Aim(OBJECTIVES, PLENTY_S, rate_per_s, memory_limit_bytes)
    return tuned(Tuner(tuple(ways), aim, current="sync_32"), measuring(APPLICATIONS["mixed"], ways, seed))[0]


def test_with_a_rate_the_cheapest_that_serves_it_is_found() -> None:
    """One process is enough for 100/s, and nothing larger is asked for it but what runs today."""
    ways, app = grid(), APPLICATIONS["mixed"]
    serving = [name for name, way in ways.items() if app.capacity_per_s(way) > 110]
    least = min(app.memory_bytes(ways[name]) for name in serving)

    found = by_rate(100, 1)

    assert found.ending is Ending.FOUND
    assert all(app.memory_bytes(ways[name]) < 1.1 * least for name in found.ties)
    assert set(found.cheapest) <= set(found.ties)
    assert set(found.ties) & set(by_rate(100, 2).ties)
    assert found.standing("sync_32").fate is Fate.DEARER
    dearer = [one for one in found.standings if one.fate is Fate.DEARER and one.candidate != "sync_32"]
    assert len(dearer) > len(ways) / 2
    assert {one.windows_count for one in dearer} == {1}


def test_a_rate_that_nothing_serves_is_not_tried_long() -> None:
    """By their looks none can do ten times the best's capacity."""
    found = by_rate(10_000, 1)

    assert (found.ending, found.recommended, found.ties) == (Ending.NONE_SERVES, None, ())
    assert found.windows_count == len(grid())


def test_what_takes_more_memory_than_may_be_is_out() -> None:
    """After its look."""
    mib = 1024 * 1024
    ways = grid()
    aim = Aim(OBJECTIVES, PLENTY_S, memory_limit_bytes=150 * mib)

    found, _ = tuned(Tuner(tuple(ways), aim), measuring(APPLICATIONS["cpu"], ways, 1))

    assert found.ties
    assert all(ways[name].workers < 4 for name in found.ties)
    assert found.standing("sync_4").fate is Fate.TOO_MUCH_MEMORY
    assert found.standing("sync_4").windows_count == 1


def changed(name: str, to: Window, measure: Measure) -> Measure:
    """One candidate's look is another one."""

    def measured(step: Step) -> Look:
        look = measure(step)
        return replace(look, window=to) if step == Step(name, None) else look

    return measured


def test_what_fails_at_its_look_is_out_with_the_reason() -> None:
    """It does not start, or answers with errors mostly."""
    ways = {name: grid()[name] for name in ("sync_4", "sync_9", "sync_16")}
    measure = measuring(APPLICATIONS["cpu"], ways, 1)
    measure = changed("sync_4", Window(0.0, no_figures(), Keeping.BEHIND, "killed: out of memory"), measure)
    errors = Window(200.0, {**no_figures(), "errors": 0.6}, Keeping.VOID)

    found, _ = tuned(Tuner(tuple(ways), Aim(OBJECTIVES, PLENTY_S)), changed("sync_9", errors, measure))

    assert found.ties == ("sync_16",)
    assert (found.standing("sync_4").fate, found.standing("sync_4").reason) == (Fate.FAILED, "killed: out of memory")
    assert found.standing("sync_9").reason == "60% errors under a closed loop"


def test_a_look_that_says_too_little_does_not_rule_out() -> None:
    """The generator was full, or too many connections were why: its capacity is asked all the same."""
    ways = {name: grid()[name] for name in ("sync_4", "sync_1")}
    measure = measuring(APPLICATIONS["cpu"], ways, 1)
    low = Window(10.0, measure(Step("sync_4", 100.0)).window.figures, Keeping.VOID)

    found, _ = tuned(Tuner(tuple(ways), Aim(OBJECTIVES, PLENTY_S)), changed("sync_4", low, measure))

    assert found.recommended == "sync_4"


def test_windows_of_a_full_generator_end_a_comparison_without_a_verdict() -> None:
    """After three of them, and the candidate stays open."""
    ways = {name: grid()[name] for name in ("sync_4", "sync_9")}
    measure = measuring(APPLICATIONS["cpu"], ways, 1)

    def measured(step: Step) -> Look:
        look = measure(step)
        is_void = step.candidate == "sync_9" and step.rate_per_s is not None
        return replace(look, window=replace(look.window, keeping=Keeping.VOID)) if is_void else look

    low = Window(400.0, measure(Step("sync_4", 100.0)).window.figures, Keeping.KEPT)
    found, looks = tuned(Tuner(tuple(ways), Aim(OBJECTIVES, PLENTY_S)), changed("sync_9", low, measured))

    assert found.standing("sync_9").fate is Fate.OPEN
    assert sum(look.step.candidate == "sync_9" for look in looks) == 4


def test_where_no_rate_is_within_the_objective_nothing_is_recommended() -> None:
    """And the search ends."""
    ways = {name: grid()[name] for name in ("sync_4", "sync_9")}
    tuner = Tuner(tuple(ways), Aim(parse_objectives("p99<=1ms"), PLENTY_S))

    found, _ = tuned(tuner, measuring(APPLICATIONS["cpu"], ways, 1))

    assert (found.ending, found.recommended) == (Ending.NONE_SERVES, None)
    assert {one.reason for one in found.standings} == {"no rate within the objective"}


def test_a_candidate_that_was_not_looked_at_is_open() -> None:
    """Nothing is known of it."""
    contest = Contest(("sync_4",), None, Aim(OBJECTIVES, PLENTY_S), ())

    found = contest.standing("sync_4")

    assert (found.fate, found.reason, found.windows_count) == (Fate.OPEN, "not looked at", 0)
    assert (found.closed_per_s, found.passed_per_s, found.memory_bytes) == (None, None, None)


def test_what_passes_at_every_rate_is_not_asked_for_more_than_may_be_sent() -> None:
    """All tie at the highest rate of a scenario."""
    ways = {name: grid()[name] for name in ("sync_4", "sync_9")}
    figures = measuring(APPLICATIONS["cpu"], ways, 1)(Step("sync_4", 100.0)).window.figures

    def measure(step: Step) -> Look:
        return Look(step, Window(step.rate_per_s or RATE_MAX_PER_S, figures, Keeping.KEPT), 100, 8.0)

    found, looks = tuned(Tuner(tuple(ways), Aim(OBJECTIVES, PLENTY_S)), measure)

    assert found.ties == ("sync_4", "sync_9")
    assert max(look.step.rate_per_s or 0.0 for look in looks) == RATE_MAX_PER_S
    assert len(looks) < 12
