"""Two runs side by side: better, worse, noise, and what is missing."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from rich.console import Console

from tests.unit.handmade_records import (
    handmade_cell,
    handmade_environment,
    handmade_failure,
    handmade_half_rate_cell,
    handmade_histogram,
    handmade_measurement,
    handmade_open_loop,
    handmade_plan,
    handmade_planned,
    handmade_scenario,
    with_half_rates,
)
from wrklab.catalogue.scenario import Scenario
from wrklab.cli.comparing import complaint, parse_threshold
from wrklab.compare.rows import RowChange
from wrklab.compare.runs import RunComparison, RunSide, compare_runs
from wrklab.errors import UsageError
from wrklab.report.comparison import comparison_data, render_comparison, summary_lines
from wrklab.results.records import CellRecord, Errors, RunPlan
from wrklab.summary.noise_floor import NoiseFloor
from wrklab.summary.rows import summarise
from wrklab.verdicts.verdict import Direction

Rates = Sequence[float]

STEADY = (1000.0, 1010.0, 1005.0)
SLOWER = (800.0, 810.0, 805.0)


def cells_of(variant: str, rates_per_s: Rates, **measured: Any) -> list[CellRecord]:  # noqa: ANN401  keys of the record
    """One cell a round."""
    return [
        handmade_cell(variant, round_number=number, measurement=handmade_measurement(requests_per_s=rate, **measured))
        for number, rate in enumerate(rates_per_s, start=1)
    ]


def side(
    cells: Sequence[CellRecord],
    *,
    scenario: Scenario | None = None,
    floor_ratio: float | None = None,
    **plan: Any,  # noqa: ANN401
) -> RunSide:
    """A run of these cells."""
    planned: RunPlan = handmade_plan(list(cells), scenarios=[scenario or handmade_scenario()], **plan)

    def no_histograms(_: str) -> Mapping[str, bytes]:
        return {}

    rows = summarise(planned, cells, no_histograms)
    floor = None if floor_ratio is None else NoiseFloor(floor_ratio, ())
    return RunSide(planned, handmade_environment(), rows, floor)


def run(rates_by_variant: Mapping[str, Rates], **options: Any) -> RunSide:  # noqa: ANN401
    """A run of these variants and rates."""
    return side([cell for name, rates in rates_by_variant.items() for cell in cells_of(name, rates)], **options)


def only(found: RunComparison) -> RowChange:
    [row] = found.rows
    return row


def test_a_run_beside_itself_is_equal() -> None:
    """Whatever its rows are, of one round too: every ratio is 1, and it ends well."""
    one = run({"steady": STEADY, "once": [500.0], "noisy": (100.0, 200.0, 300.0)})
    found = compare_runs(one, one)

    assert [row.outcome for row in found.rows] == ["equal"] * 3
    assert [row.ratio for row in found.rows] == [1.0] * 3
    assert (found.median_ratio, found.changes, complaint(found)) == (1.0, (), "")


def test_a_real_drop_beyond_the_threshold_is_a_regression() -> None:
    """A fifth slower in every round: worse, with an interval, and the exit status says so."""
    found = compare_runs(run({"v": STEADY}), run({"v": SLOWER}))
    row = only(found)

    assert (row.outcome, row.is_regression) == ("worse", True)
    assert row.ratio == pytest.approx(805 / 1005)
    assert row.interval is not None
    assert row.interval.low < 805 / 1005 < row.interval.high < 0.9
    assert complaint(found) == "worse by more than 10 %, failed or not reached: 1 row"


def test_a_real_drop_within_the_threshold_is_told_and_let_pass() -> None:
    """Worse, but not by as much as was asked for; a stricter threshold catches it."""
    old, new = run({"v": STEADY}), run({"v": (950.0, 952.0, 951.0)})

    assert (only(compare_runs(old, new)).outcome, complaint(compare_runs(old, new))) == ("worse", "")
    assert complaint(compare_runs(old, new, threshold_percent=5.0)) != ""


def test_a_gain_is_no_regression() -> None:
    """The same two the other way round."""
    found = compare_runs(run({"v": SLOWER}), run({"v": STEADY}))

    assert (only(found).outcome, complaint(found)) == ("better", "")


def test_a_drop_within_the_noise_of_the_rounds_is_none() -> None:
    """A fifth less in the middle, of rounds that range over more than half."""
    found = compare_runs(run({"v": (1000.0, 1300.0, 700.0)}), run({"v": (800.0, 1100.0, 600.0)}))

    assert (only(found).outcome, complaint(found)) == ("equal", "")


def test_the_larger_noise_floor_of_both_runs_counts() -> None:
    """A drop of a fifth is none where one run's twins differed by a quarter."""
    old, new = run({"v": STEADY}, floor_ratio=0.25), run({"v": SLOWER}, floor_ratio=0.01)
    found = compare_runs(old, new)

    assert (found.noise_floor_ratio, only(found).outcome, complaint(found)) == (0.25, "equal", "")


def test_one_slow_variant_among_many_is_found() -> None:
    """Adjusting for thirty rows hides a drop of 15 % that is plain by itself; beyond the threshold it counts."""
    noisy = (1000.0, 1040.0, 1020.0)
    others = {f"v{number}": noisy for number in range(30)}
    changed = {f"v{number}": (1041.0, 1019.0, 1001.0) for number in range(30)}
    found = compare_runs(run(others | {"slow": noisy}), run(changed | {"slow": (850.0, 880.0, 865.0)}))

    assert [row.variant for row in found.regressions] == ["slow"]
    assert {row.outcome for row in found.rows if row.variant != "slow"} == {"equal"}


def test_of_one_round_a_drop_is_doubtful_and_a_wobble_is_not() -> None:
    """Nothing can be tested; a drop beyond the threshold must not pass for that, a small one may."""
    small, large = (compare_runs(run({"v": [1000.0]}), run({"v": [rate]})) for rate in (950.0, 600.0))

    assert [only(found).outcome for found in (small, large)] == ["untested"] * 2
    assert [complaint(found) != "" for found in (small, large)] == [False, True]
    assert "measure with --rounds 3" in only(large).remark


@pytest.mark.parametrize(
    ("rates", "outcome"),
    [
        ((500.0, 600.0, 850.0), "untested"),
        # One round like the old ones: noise, as far as three rounds can say.
        ((500.0, 600.0, 990.0), "equal"),
    ],
)
def test_a_plain_drop_that_the_test_cannot_tell_is_not_called_equal(rates: Rates, outcome: str) -> None:
    """Every round is slower by more than the threshold, and they differ much among each other (p is 0.1)."""
    found = compare_runs(run({"v": (990.0, 1000.0, 1010.0)}), run({"v": rates}))

    assert (only(found).outcome, complaint(found) != "") == (outcome, outcome == "untested")
    assert ("too few rounds to tell" in only(found).remark) == (outcome == "untested")


def test_rates_that_the_load_sets_are_said_to_be_so() -> None:
    """Twice the CPU for each answer at the same rate: shown, with what to look at."""
    bound = (19_500.0, 19_510.0, 19_490.0)
    old, new = (
        side(cells_of("v", bound, requests=78_000, server={"cpu_percent": cpu_percent})) for cpu_percent in (30.0, 60.0)
    )
    found = compare_runs(old, new)
    row = only(found)

    assert (row.outcome, row.is_load_set) == ("equal", True)
    assert row.metric_ratios["server_cpu_us_per_request"] == pytest.approx(2.0)
    assert any("Hold- or limit-bound in both runs: 1 row." in line for line in summary_lines(found))
    assert not only(compare_runs(run({"v": STEADY}), run({"v": STEADY}))).is_load_set


def halved(p99_ms: float, *, is_on: bool = True, **window: Any) -> RunSide:  # noqa: ANN401  keys of the window
    """A run of one variant with a window at half rate."""
    cells = cells_of("v", STEADY)
    windows = [handmade_half_rate_cell("v", 502.0, len(cells), **window)] if is_on else []
    plan = with_half_rates(handmade_plan(cells), windows) if is_on else handmade_plan(cells)
    histogram = handmade_histogram({101_000: 9_000, round(p99_ms * 1000): 1_500})
    rows = summarise(plan, [*cells, *(cell for cell, _ in windows)], lambda _: {"observed": histogram})
    return RunSide(plan, handmade_environment(), rows)


def test_what_visitors_wait_is_compared_where_both_runs_know_it() -> None:
    """A column of its own with new / old; such windows are no part of the load of the closed loop."""
    stream = io.StringIO()
    both = compare_runs(halved(110.0), halved(220.0))
    render_comparison(both, Console(file=stream, width=120))

    assert only(both).outcome == "equal"
    assert only(both).metric_ratios["half_rate_p99_us"] == pytest.approx(2.0)
    assert comparison_data(both)["rows"][0]["half_rate_p99_ratio"] == pytest.approx(2.0)
    assert "half-rate" in stream.getvalue()
    assert max(map(len, stream.getvalue().splitlines())) <= 120


@pytest.mark.parametrize(
    "new",
    [
        halved(220.0, is_on=False),
        halved(220.0, open_loop=handmade_open_loop(sent=1800, unanswered=200)),
    ],
    ids=["no_window", "overloaded"],
)
def test_what_one_run_does_not_know_is_not_compared(new: RunSide) -> None:
    """No column, and the rates compare all the same."""
    stream = io.StringIO()
    found = compare_runs(halved(110.0), new)
    render_comparison(found, Console(file=stream, width=120))

    assert only(found).outcome == "equal"
    assert only(found).metric_ratios["half_rate_p99_us"] is None
    assert "half-rate" not in stream.getvalue()


def test_a_variant_that_fails_now_is_a_regression() -> None:
    """It measured before: its failure is told with the reason."""
    cells = [handmade_cell("v", round_number=number, failure=handmade_failure()) for number in (1, 2, 3)]
    row = only(compare_runs(run({"v": STEADY}), side(cells)))

    assert (row.outcome, row.is_regression) == ("failed", True)
    assert "no right answer in 20 s" in row.remark


def test_one_failed_round_is_a_regression() -> None:
    """The two others are as fast as ever."""
    cells = [*cells_of("v", STEADY[:2]), handmade_cell("v", round_number=3, failure=handmade_failure())]
    row = only(compare_runs(run({"v": STEADY}), side(cells)))

    assert (row.outcome, row.is_regression) == ("failed", True)
    assert row.remark.startswith("1 of 3 rounds failed, 0 in the old run")


def test_a_variant_that_was_planned_and_is_gone_is_a_regression() -> None:
    """The new run ended before it: nothing shows that it works. A new one is none; each is listed."""
    new = run({"added": STEADY, "both": STEADY})
    planned = handmade_planned(handmade_cell("gone"))
    plan = new.plan.model_copy(update={"cells": (*new.plan.cells, planned)})
    rows = summarise(plan, [*cells_of("added", STEADY), *cells_of("both", STEADY)], lambda _: {})
    found = compare_runs(run({"gone": STEADY, "both": STEADY}), RunSide(plan, new.environment, rows))

    assert {row.variant: row.outcome for row in found.rows} == {
        "added": "appeared",
        "both": "equal",
        "gone": "vanished",
    }
    assert [row.variant for row in found.regressions] == ["gone"]
    assert "vanished" in printed(found)


def test_a_run_of_some_variants_is_said_in_one_line() -> None:
    """The others are no regression, and no page of rows."""
    old = run({f"v{number}": STEADY for number in range(22)})
    found = compare_runs(old, run({"v3": STEADY, "v7": STEADY, "v9": STEADY}))
    text = printed(found)

    assert [row.outcome for row in found.rows].count("unplanned") == 19
    assert (found.regressions, complaint(found)) == ((), "")
    assert "The new run has 3 of 22 rows of the old one; the others were not measured in it." in " ".join(text.split())
    assert "v3" in text
    assert "v11" not in text
    assert len(text.splitlines()) < 25
    assert "of the old one" not in printed(compare_runs(old, old))


def test_a_variant_that_never_measured_is_not_missed() -> None:
    """It failed in the old run and is not in the new one; one that failed and measures now is new."""
    failed = [handmade_cell(name, failure=handmade_failure()) for name in ("dropped", "mended")]
    found = compare_runs(side(failed), run({"mended": STEADY}))

    assert {row.variant: row.outcome for row in found.rows} == {"mended": "appeared", "dropped": "unmeasured"}
    assert not found.regressions


def test_quick_errors_are_no_gain() -> None:
    """Twice the rate, of answers with status 500: worse, whatever the rate."""
    new = side(cells_of("v", (2000.0, 2010.0, 2005.0), errors=Errors(status=5000)))
    row = only(compare_runs(run({"v": STEADY}), new))

    assert (row.outcome, row.is_regression) == ("polluted", True)
    assert row.remark.startswith("wrong_status: ")


#: What the lab did to a row while its server was as good as ever, or what the server did: keys of a measurement.
SOUND: dict[str, Any] = {}
POLLUTED: dict[str, Any] = {"errors": Errors(status=5000)}
DISTURBED: dict[str, Any] = {"server": {"neighbours_cpu_percent": 50.0}}
GENERATOR_BOUND: dict[str, Any] = {"generator": {"cpu_percent": 95.0}}
UNSTABLE = (700.0, 1000.0, 1300.0)


def compared(old: dict[str, Any], new: dict[str, Any], new_per_s: Rates = SLOWER) -> RunComparison:
    """One variant whose rate fell by a fifth, under these conditions."""
    return compare_runs(side(cells_of("v", STEADY, **old)), side(cells_of("v", new_per_s, **new)))


@pytest.mark.parametrize(
    ("old", "new", "remark"),
    [
        # It answers rightly now, and so slower.
        (POLLUTED, SOUND, r"old run polluted \(wrong_status: "),
        (POLLUTED, POLLUTED, r"old run polluted \(.*\); new run polluted \(wrong_status: "),
        (POLLUTED, DISTURBED, r"old run polluted \(.*\); new run disturbed \(neighbours: others took 50 %"),
    ],
)
def test_a_rate_of_errors_is_no_baseline(old: dict[str, Any], new: dict[str, Any], remark: str) -> None:
    """Neither better nor worse nor equal, and no regression; which run is why is told, and the ratio is shown."""
    for rates in (SLOWER, STEADY, (2000.0, 2010.0, 2005.0)):
        found = compared(old, new, rates)
        row = only(found)

        assert (row.outcome, row.is_regression, row.must_be_measured_again) == ("unsound", False, False)
        assert re.match(remark, row.remark)
        assert row.ratio == pytest.approx(sorted(rates)[1] / 1005)
        assert (row.p_values, found.median_ratio) == (None, None)
        assert complaint(found) == "nothing could be compared"


@pytest.mark.parametrize(("old", "new"), [(SOUND, DISTURBED), (SOUND, GENERATOR_BOUND), (DISTURBED, DISTURBED)])
def test_a_drop_that_may_be_a_neighbours_is_no_regression_and_does_not_pass_either(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    """Measured again in quiet it would be told; within the threshold, or faster, nothing hides that matters."""
    found = compared(old, new)
    row = only(found)
    assert (row.outcome, row.is_regression, row.must_be_measured_again) == ("unsound", False, True)
    assert complaint(found).endswith("1 row could not be compared: measure again")
    assert not found.regressions

    for rates in ((950.0, 955.0, 952.0), (2000.0, 2010.0, 2005.0)):
        both = with_a_quiet_one(old, new, rates)
        # At least twice as fast is faster, unless the old one may have been as fast.
        is_decided = rates[0] > STEADY[0] and old is SOUND
        assert {row.variant: row.outcome for row in both.rows} == {
            "v": "better" if is_decided else "unsound",
            "quiet": "equal",
        }
        assert (complaint(both), both.median_ratio) == ("", 1.0)


def with_a_quiet_one(old: dict[str, Any], new: dict[str, Any], rates: Rates) -> RunComparison:
    """A variant under these conditions, and one that nothing disturbs."""
    return compare_runs(
        side([*cells_of("v", STEADY, **old), *cells_of("quiet", STEADY)]),
        side([*cells_of("v", rates, **new), *cells_of("quiet", STEADY)]),
    )


@pytest.mark.parametrize("old", [DISTURBED, GENERATOR_BOUND])
@pytest.mark.parametrize(
    ("rates", "outcome", "is_regression"),
    [
        # The old server gave at least what was measured: the new one is slower by a fifth or more.
        (SLOWER, "worse", True),
        ((950.0, 955.0, 952.0), "worse", False),
        # It may have been faster still than the new one, or as fast.
        ((2000.0, 2010.0, 2005.0), "unsound", False),
        (STEADY, "unsound", False),
        ((1004.0, 1011.0, 999.0), "unsound", False),
    ],
)
def test_a_bound_decides_where_it_suffices(
    old: dict[str, Any], rates: Rates, outcome: str, *, is_regression: bool
) -> None:
    """What the old run doubts of its own rate makes a drop larger, and may undo a gain."""
    found = with_a_quiet_one(old, SOUND, rates)
    [row] = [found_row for found_row in found.rows if found_row.variant == "v"]

    assert (row.outcome, row.is_regression, row.must_be_measured_again) == (outcome, is_regression, False)
    assert row.ratio_direction is Direction.TOO_HIGH
    # A bound is no ratio of two servers: it is part of no median.
    assert (found.median_ratio, complaint(found) != "") == (1.0, is_regression)
    assert "old run " in row.remark
    assert (row.p_values is None) == (sorted(rates)[1] >= 1005.0)


def test_a_bound_stands_before_its_ratio_and_what_would_settle_the_others_below() -> None:
    """Both in the text, and in the data."""
    worse = compared(DISTURBED, SOUND)
    text = printed(worse)
    assert "≤ 0.801" in text
    assert "Decided by a bound: 1 row." in text
    assert comparison_data(worse)["rows"][0]["ratio_direction"] == "too high"

    unsure = compared(SOUND, GENERATOR_BOUND)
    assert "What would settle it: invoke lab.up --loadgens 2." in " ".join(printed(unsure).split())
    assert comparison_data(unsure)["rows"][0]["settle"] == ["invoke lab.up --loadgens 2"]
    assert "≥" not in printed(unsure)
    assert "≤" not in printed(compared(SOUND, SOUND))


@pytest.mark.parametrize("old", [SOUND, DISTURBED, GENERATOR_BOUND])
def test_errors_that_are_new_are_a_regression_whatever_the_old_rate_was(old: dict[str, Any]) -> None:
    """Its answers were right before, if slow."""
    row = only(compared(old, POLLUTED))

    assert (row.outcome, row.is_regression, row.must_be_measured_again) == ("polluted", True, False)


def failing(rates_per_s: Rates, failed_count: int, **measured: Any) -> RunSide:  # noqa: ANN401
    """A run of which the last rounds failed."""
    first = len(rates_per_s) + 1
    failed = [
        handmade_cell("v", round_number=number, failure=handmade_failure())
        for number in range(first, first + failed_count)
    ]
    return side([*cells_of("v", rates_per_s, **measured), *failed])


def test_rounds_that_failed_before_are_no_baseline() -> None:
    """As many as before: unsound; more: a regression; none any more: unsound, with the old run's failure."""
    old = failing(STEADY, 1)
    same, more, none = (compare_runs(old, failing(SLOWER, count)) for count in (1, 2, 0))

    assert [only(found).outcome for found in (same, more, none)] == ["unsound", "failed", "unsound"]
    assert [only(found).is_regression for found in (same, more, none)] == [False, True, False]
    assert only(none).remark.startswith("old run failed (failed: ")


def test_errors_beside_rounds_that_failed_before_are_not_new() -> None:
    """Of the old run's rounds that did not fail the answers were wrong as well."""
    found = compare_runs(failing(STEADY, 1, **POLLUTED), failing(STEADY, 0, **POLLUTED))
    assert only(found).outcome == "unsound"

    assert only(compare_runs(failing(STEADY, 1), failing(STEADY, 0, **POLLUTED))).outcome == "polluted"


@pytest.mark.parametrize("server", [{}, {"cpu_percent": 20.0}])
def test_rows_that_are_unstable_or_unexplained_are_compared(server: dict[str, Any]) -> None:
    """The test weighs how rounds differ; nothing is known to be wrong with a rate that nothing explains."""
    for rates, outcome in ((UNSTABLE, "equal"), (SLOWER, "worse")):
        found = compare_runs(
            side(cells_of("v", (1000.0, 1300.0, 700.0) if rates is UNSTABLE else STEADY, server=server)),
            side(cells_of("v", rates, server=server)),
        )
        assert only(found).outcome == outcome


def test_rows_that_are_not_compared_weigh_on_no_other() -> None:
    """p-values are adjusted for the rows that were tested: thirty disturbed ones hide no drop."""
    noisy = (1000.0, 1040.0, 1020.0)
    others = [cell for number in range(30) for cell in cells_of(f"v{number}", noisy, **DISTURBED)]
    old = side([*others, *cells_of("slow", noisy)])
    new = side([*others, *cells_of("slow", (940.0, 980.0, 960.0))])

    assert {row.variant: row.outcome for row in compare_runs(old, new).rows}["slow"] == "worse"


def test_another_load_of_the_same_name_is_not_compared() -> None:
    """The difference is told; and where nothing else is left, the comparison does not end well."""
    old, new = run({"v": STEADY}), run({"v": SLOWER}, scenario=handmade_scenario(connections=200, description="x" * 10))
    found = compare_runs(old, new)

    assert (only(found).outcome, only(found).remark) == ("other_load", "connections 2000 -> 200")
    assert complaint(found) == "nothing could be compared"


@pytest.mark.parametrize(
    ("changes", "remark"),
    [
        ({"duration_s": 3}, "other windows (duration_s 4.0 -> 3.0): latencies are not compared"),
        ({"timeout_s": 2, "warmup_s": 2}, "other windows (warmup_s 1.0 -> 2.0, timeout_s - -> 2): latencies are not"),
    ],
)
def test_rates_of_other_windows_are_compared_and_latencies_are_not(changes: dict[str, Any], remark: str) -> None:
    """3 s are as good as 4 s to know a rate by."""
    found = compare_runs(run({"v": STEADY}), run({"v": SLOWER}, scenario=handmade_scenario(**changes)))
    row = only(found)

    assert (row.outcome, row.is_regression) == ("worse", True)
    assert row.remark.startswith(remark)
    assert (row.metric_ratios["latency_p50_us"], row.metric_ratios["latency_p99_us"]) == (None, None)
    assert comparison_data(found)["rows"][0]["has_other_window"] is True


@pytest.mark.parametrize(
    ("changes", "measured"),
    [
        ({"duration_s": 3, "connections": 200}, SOUND),
        ({"path": "/other", "body": "other"}, SOUND),
        # Rates of which one is doubtful; and a window of 1 s, of which only nine holds of 100 ms are complete.
        ({"duration_s": 3}, DISTURBED),
        ({"duration_s": 1}, SOUND),
    ],
)
def test_only_sound_rates_of_windows_alike_are_compared(changes: dict[str, Any], measured: dict[str, Any]) -> None:
    """Other connections, paths and holds are another load, whatever the window."""
    new = side(cells_of("v", SLOWER, **measured), scenario=handmade_scenario(**changes))

    assert only(compare_runs(run({"v": STEADY}), new)).outcome == "other_load"


def test_another_hold_is_another_load() -> None:
    """Whoever sets it, the scenario or the variant's card."""
    held = [cell.model_copy(update={"hold_ms": 50}) for cell in cells_of("v", SLOWER)]
    row = only(compare_runs(run({"v": STEADY}), side(held)))

    assert (row.outcome, row.remark) == ("other_load", "hold_ms 100 -> 50")


def test_more_rounds_are_the_same_load() -> None:
    """How often was measured is no matter of the load."""
    more = run({"v": [*STEADY, 1002.0, 1008.0]}, scenario=handmade_scenario(rounds=5))

    assert only(compare_runs(run({"v": STEADY}), more)).outcome == "equal"


def test_a_command_that_changed_is_told() -> None:
    """How a variant was served belongs to what else is not the same."""
    old, new = (side(cells_of("v", STEADY, server={"argv": ("app", "-w", workers)})) for workers in "48")

    [change] = compare_runs(old, new).changes
    assert (change.where, change.key, change.old, change.new) == ("v", "argv", "app -w 4", "app -w 8")


def test_another_application_is_told_where_both_runs_know() -> None:
    """By its digest; a run of before digests were stored says nothing of it."""
    cells = cells_of("v", STEADY)
    first, second, before = (side(cells, variant_digests=found) for found in ({"v": "a" * 64}, {"v": "b" * 64}, {}))

    assert [(change.key, change.new) for change in compare_runs(first, second).changes] == [("made_of", "b" * 12)]
    assert compare_runs(before, second).changes == ()


def printed(found: RunComparison) -> str:
    """What a terminal of 120 columns shows, without colours."""
    stream = io.StringIO()
    render_comparison(found, Console(file=stream, width=120, force_terminal=False))
    return stream.getvalue()


def test_what_was_forced_and_resumed_is_told_of_each_run() -> None:
    """With the run that says so; of a forced reason that no note repeats too; of neither nothing is said."""
    reason = "server: others use 80 % of its CPUs"
    shared = "server and loadgen share a CPU"
    old = run({"v": STEADY}, notes=(shared, "Resumed 2026-11-21 00:40:00 UTC after 1 of 3 cells."))
    new = run({"v": STEADY}, forced=(reason,), notes=(shared, f"Measured by --force although {reason}"))
    found = compare_runs(old, new)

    text, data = " ".join(printed(found).split()), comparison_data(found)
    assert "old: Resumed 2026-11-21 00:40:00 UTC after 1 of 3 cells." in text
    assert text.count(f"new: Measured by --force although {reason}") == 1
    assert text.count(f"both: {shared}") == 1
    assert (data["old_forced"], data["new_forced"]) == ([], [reason])
    assert data["old_notes"][-1].startswith("Resumed")
    unnoted = compare_runs(run({"v": STEADY}, forced=(reason,)), run({"v": STEADY}))
    assert f"old: Measured by --force although {reason}" in " ".join(printed(unnoted).split())
    assert "--force" not in printed(compare_runs(run({"v": STEADY}), run({"v": STEADY})))


def test_rows_that_cannot_be_compared_are_shown_with_the_reason() -> None:
    """In the table, in the sentences below it, and in the data."""
    found = compared(SOUND, DISTURBED)
    text, data = printed(found), comparison_data(found)

    assert "unsound" in text
    assert "0.801" in text
    assert "new run disturbed (neighbours: others took 50 %" in " ".join(text.split())
    assert "measured again: 1: v (standard)." in " ".join(text.split())
    assert data["to_measure_again"] == [{"variant": "v", "scenario": "standard"}]
    assert data["regressions"] == []
    assert data["rows"][0]["must_be_measured_again"] is True
    assert not any(line.startswith("Unsound") for line in summary_lines(compared(SOUND, SOUND)))


def test_the_text_fits_120_columns() -> None:
    """Every row and every figure is there, doubtful rows marked by their verdict."""
    name = "fastapi_gunicorn_uvicorn_workers_x4"
    old = run({name: (15_000.0, 15_100.0, 15_050.0), "gone": STEADY}, server_cpus_count=4)
    new = side(cells_of(name, (12_000.0, 12_100.0, 12_050.0), errors=Errors(status=9)))
    text = printed(compare_runs(old, new))

    assert max(map(len, text.splitlines())) <= 120
    assert "…" not in text
    for figure in (name, "15,050", "12,050", "0.801", "polluted", "server-bound", "server_cpus_count"):
        assert figure in text


def test_no_header_is_cut_however_long_a_name() -> None:
    """A name of 51 letters goes over two lines; headers and figures stay whole."""
    name = "fastapi_hypercorn_asyncio_async_blocking_backlog_16"
    old, new = run({name: (15_000.0, 15_100.0, 15_050.0)}), run({name: (12_000.0, 12_100.0, 12_050.0)})
    text = printed(compare_runs(old, new))
    headers = text.splitlines()[3:6]

    assert max(map(len, text.splitlines())) <= 120
    assert "…" not in text
    words = " ".join(headers).split()
    for word in ("variant", "old", "new", "from-to", "is", "p50", "p99", "CPU", "verdict"):
        assert word in words
    row = text.split("─\n")[1].splitlines()
    assert row[0].split()[0] + row[1].strip() == name
    assert "0.795-0.807" in row[0]


def test_the_data_are_the_comparisons() -> None:
    """What programs read: ratios with both ends, outcomes, what made the status 1."""
    data = comparison_data(compare_runs(run({"v": STEADY}), run({"v": SLOWER})))

    [row] = data["rows"]
    assert (row["outcome"], row["old_requests_per_s"], row["new_requests_per_s"]) == ("worse", 1005.0, 805.0)
    assert row["ratio_low"] < row["ratio"] < row["ratio_high"]
    assert data["regressions"] == [{"variant": "v", "scenario": "standard"}]


@pytest.mark.parametrize(("text", "expected"), [("", 10.0), ("5", 5.0), ("2.5%", 2.5), ("0", 0.0)])
def test_a_threshold_is_in_percent(text: str, expected: float) -> None:
    """With or without the sign."""
    assert parse_threshold(text) == expected


@pytest.mark.parametrize("text", ["-1", "100", "much", "nan"])
def test_a_threshold_that_cannot_be_meant_is_refused(text: str) -> None:
    """Outside of 0 to below 100 no drop could be meant."""
    with pytest.raises(UsageError, match="percent from 0 to below 100"):
        parse_threshold(text)
