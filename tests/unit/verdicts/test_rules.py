"""Verdicts: which of several true things a reader is told first, of rows and of cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.unit.handmade_records import (
    handmade_cell,
    handmade_failure,
    handmade_generator,
    handmade_latency,
    handmade_measurement,
    handmade_plan,
)
from tests.unit.verdicts.good_rows import changed, good_row
from wrklab.results.records import Errors, RunPlan
from wrklab.summary.rows import cell_row, summarise
from wrklab.verdicts.bounds import UNEXPLAINED
from wrklab.verdicts.rules import (
    RULES,
    _in_order,
    applying,
    cell_verdict,
    deciding,
    doubts,
    generator_rules,
    generator_verdict,
    is_doubtful,
    latency_bound,
    rate_bound,
    row_notes,
    run_notes,
    settling,
    verdict_figures,
    verdict_of,
)
from wrklab.verdicts.verdict import CLOSED, Bound, Direction, Verdict

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
    assert verdict_of(good_row(**changes)) == verdict


def test_every_verdict_has_a_rule_that_leads_to_it() -> None:
    """And no sound verdict belongs to a rule that casts doubt on the rate, nor a bad one to a rule that explains."""
    assert {rule.verdict for rule in (*RULES, UNEXPLAINED) if rule.verdict} == set(Verdict)
    for rule in RULES:
        if rule.verdict is not None and rule.verdict is not Verdict.FAILED_AS_EXPECTED:
            assert rule.verdict.is_sound == (rule.doubt != "rate"), rule.name


def test_one_process_that_can_use_one_cpu_is_the_limit_of_four() -> None:
    """A Python process is at its end at 25 % of four CPUs; Go's is not."""
    row = good_row(**IDLE, busiest_process_cpu_percent=99.0, serving_processes_count=1, saturated_processes_count=1)

    assert verdict_of(row) == Verdict.SERVER_BOUND
    assert "1 of 1 serving processes filled one CPU each" in applying(row)[-1].figures(row)
    assert verdict_of(changed(row, is_one_cpu_a_process=False)) == Verdict.UNEXPLAINED
    assert verdict_of(changed(row, serving_processes_count=4)) == Verdict.UNEXPLAINED


def test_short_windows_reach_their_ideal_too() -> None:
    """In 1 s at a hold of 100 ms a tenth of a connection's time may hold an answer that does not end in the window."""
    row = good_row(**IDLE, duration_s=1.0, latency=handmade_latency(p99_us=101_000.0))

    assert verdict_of(changed(row, ideal_ratio=0.88)) == Verdict.HOLD_BOUND
    assert verdict_of(changed(row, ideal_ratio=0.85)) == Verdict.UNEXPLAINED
    # A hold that does not fit into the window at all has no such excuse.
    slow = handmade_latency(p99_us=1_501_000.0, min_us=1_500_000.0)
    assert verdict_of(changed(row, hold_ms=1500, ideal_ratio=0.4, latency=slow)) == Verdict.UNEXPLAINED


def test_an_unexplained_row_says_so() -> None:
    """With the CPU of both sides."""
    row = good_row(**IDLE)

    assert applying(row) == (UNEXPLAINED,)
    assert "the unit took 30 % of the CPUs given to the server" in UNEXPLAINED.figures(row)
    assert "wrk took 45 % of the generator's" in UNEXPLAINED.figures(row)


def test_a_verdict_shows_the_figures_it_rests_on() -> None:
    """CPU of both sides, errors, connections, Little's law."""
    text = verdict_figures(good_row())

    assert "server CPU 97 % (its host -), wrk CPU 45 % (its host 50 %, busiest thread 30 %)" in text
    assert "0 errors; 2,000 of 2,000 connections open, 0 never answered, 0 stalled" in text
    assert "15,000 requests/s x 126.0 ms = 1,890 in flight" in text
    assert verdict_figures(good_row(rounds=0)) == ""


def test_a_cell_is_judged_by_itself_and_a_row_by_all_its_rounds() -> None:
    """Two sound cells whose rates differ make an unstable row; one that was disturbed makes it disturbed."""
    slow = handmade_measurement(requests_per_s=9_000.0)
    disturbed = handmade_measurement(server={"neighbours_cpu_percent": 50.0})
    cells = [handmade_cell(round_number=1), handmade_cell(round_number=2, measurement=slow)]

    assert [cell_verdict(handmade_plan(cells), cell) for cell in cells] == [Verdict.SERVER_BOUND] * 2
    [row] = summarise(handmade_plan(cells), cells, no_histograms)
    assert verdict_of(row) == Verdict.UNSTABLE

    cells.append(handmade_cell(round_number=3, measurement=disturbed))
    [row] = summarise(handmade_plan(cells), cells, no_histograms)
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


def test_a_good_row_has_no_note_but_what_set_its_rate() -> None:
    """Nothing else is said where nothing is wrong."""
    assert [note.rule for note in row_notes(good_row())] == ["server_busy"]


def test_doubts_tell_rates_from_latencies() -> None:
    """Time-outs spoil the latencies only; a busy generator spoils the rate; an explanation spoils nothing."""
    assert doubts(row_notes(good_row(errors=Errors(timeout=5)))) == {"latency"}
    assert doubts(row_notes(good_row(generator_cpu_percent=95.0))) == {"rate"}
    assert doubts(row_notes(good_row(ideal_ratio=0.99))) == set()


def handmade_run(**changes: Any) -> RunPlan:  # noqa: ANN401
    return handmade_plan([handmade_cell(round_number=number) for number in (1, 2, 3)], **changes)


def test_a_shared_cpu_is_said_once_for_the_run() -> None:
    """The run's note speaks of the CPUs; the rows keep their own notes."""
    assert [note.rule for note in run_notes(handmade_run(cpus_shared=True), [good_row()])] == ["cpus_shared"]
    assert run_notes(handmade_run(), [good_row()]) == ()


def test_notes_of_the_plan_are_repeated() -> None:
    """What the bench found about the lab stands in every report, with one full stop."""
    [note] = run_notes(handmade_run(notes=("One wrk process may open only 1,024 descriptors.",)), [good_row()])

    assert note.sentence == "One wrk process may open only 1,024 descriptors."


def test_an_unfinished_run_counts_what_is_missing() -> None:
    """Failed rounds ended; rounds that never ended are missing."""
    row = good_row(rounds=1, rounds_failed=1)

    assert [note.text for note in run_notes(handmade_run(), [row])] == ["1 of 3 cells were not measured"]


#: Nothing can be said.
OPEN = Bound(may_be_higher=True, may_be_lower=True)

#: Which way each doubting rule moves the figure that it doubts, written down a second time: a rule that is added or
#: turned round must be thought about twice.
DIRECTIONS = {
    Direction.TOO_LOW: {
        # The generator asked for less than the server could give.
        "generator_busy",
        "generator_thread_busy",
        "generator_behind",
        "generator_paused",
        "generator_host_full",
        "generator_steal",
        "generator_neighbours",
        "others_on_generator",
        # The server was kept from giving more.
        "steal",
        "neighbours",
        "others_on_server",
        "others_connected",
        "throttled",
        "lossy_network",
        "cpus_shared",
        "stalled",
        "starved",
        # Slow answers are in no latency.
        "not_open_by_limit",
        "stalled_by_limit",
        "starved_by_limit",
        "timeouts",
        "cut_off",
        "window_too_short",
        "accepted_slowly",
        "stalls_not_counted",
        "few_stalled",
        # What the server waits for had not the CPUs that were given to it.
        "backend_disturbed",
        "backend_cpus_shared",
        # Requests that would have waited were not sent, or have no answer; a queue that grows has not ended growing.
        "open_loop_generator_busy",
        "open_loop_generator_late",
        "overloaded",
        "sent_late",
        "unanswered",
        "latency_trends",
    },
    Direction.TOO_HIGH: {
        # Answers were not held, or counted more than once, or the server had less to do for a while.
        "above_ideal",
        "hold_not_kept",
        "more_than_connections",
        "miscounted",
        "server_ended",
        "started_apart",
        # The network's waits are among the latencies.
        "some_lost",
    },
}


def test_every_doubt_has_a_direction_or_a_reason_why_not() -> None:
    """Of all rules that doubt a figure; the others have neither."""
    for rule in RULES:
        found = [direction for direction, names in DIRECTIONS.items() if rule.name in names]
        if rule.doubt == "none":
            assert (rule.direction, rule.unknown_because, found) == (Direction.UNKNOWN, "", []), rule.name
        elif rule.direction is Direction.UNKNOWN:
            assert (len(rule.unknown_because) > 20, found) == (True, []), rule.name
        else:
            assert (rule.direction, rule.unknown_because) == (found[0], ""), rule.name


def test_a_row_that_is_read_late_has_latencies_too_high() -> None:
    """A generator that is late makes the rate too low and latencies too high; one that starts apart the reverse."""
    for rule in RULES:
        if rule.verdict in {Verdict.GENERATOR_BOUND, Verdict.DISTURBED} and rule.direction is not Direction.UNKNOWN:
            is_low = rule.direction is Direction.TOO_LOW
            assert rule.latency_direction is (Direction.TOO_HIGH if is_low else Direction.TOO_LOW), rule.name


@pytest.mark.parametrize(
    ("changes", "rate", "latency"),
    [
        ({}, CLOSED, CLOSED),
        (BURNER, Bound(may_be_higher=True), Bound(may_be_lower=True)),
        ({"start_skew_ratio": 0.04}, Bound(may_be_lower=True), Bound(may_be_higher=True)),
        # Two doubts of opposite directions leave nothing to say.
        (BURNER | {"start_skew_ratio": 0.04}, OPEN, OPEN),
        ({"errors": Errors(status=5)}, OPEN, OPEN),
        # How rounds differ the tests weigh already.
        ({"requests_per_s_min": 12_000.0}, CLOSED, OPEN),
        # A server at ease would have answered those too; what a busy one would give nobody knows.
        (IDLE | STARVING, Bound(may_be_higher=True), Bound(may_be_higher=True)),
        (STARVING, OPEN, Bound(may_be_higher=True)),
        (IDLE | STARVING | {"server_cpu_percent": None}, OPEN, Bound(may_be_higher=True)),
        ({"errors": Errors(timeout=5)}, CLOSED, Bound(may_be_higher=True)),
        ({"latency": handmade_latency(count=592)}, CLOSED, OPEN),
        (IDLE, CLOSED, CLOSED),
    ],
)
def test_doubts_leave_open_what_they_may(changes: dict[str, Any], rate: Bound, latency: Bound) -> None:
    """All doubts on one row together, of its rate and of its latencies."""
    row = good_row(**changes)

    assert (rate_bound(row), latency_bound(row)) == (rate, latency)


@pytest.mark.parametrize(
    ("changes", "is_found"),
    [
        ({}, False),
        # The number stands, only what set it is not known: not greyed, and not counted either.
        (IDLE, False),
        ({"errors": Errors(timeout=5)}, False),
        ({"rounds": 0, "rounds_failed": 3, "failure_expected": True}, False),
        ({"rounds": 0, "rounds_planned": 3, "state": "missing", **IDLE}, False),
        ({"requests_per_s_min": 12_000.0}, True),
        (BURNER, True),
        (SATURATED, True),
        ({"rounds": 2, "rounds_failed": 1}, True),
        # Some rounds failed as they should, and the answers of the others were wrong.
        ({"rounds": 2, "rounds_failed": 1, "failure_expected": True, "errors": Errors(status=5)}, True),
    ],
)
def test_a_row_is_doubtful_in_one_sense_everywhere(changes: dict[str, Any], *, is_found: bool) -> None:
    """Its rate should not be believed as it stands."""
    row = good_row(**changes)

    assert is_doubtful(row) is is_found
    assert is_doubtful(row) is ("rate" in doubts(row_notes(row)))


def test_what_would_settle_a_row_is_named_once() -> None:
    """Commands and flags of the doubts that keep its rate open; an explanation needs none."""
    both = {"generator_cpu_percent": 95.0, "generator_host_cpu_percent": 99.0}

    assert settling(good_row(**both, start_skew_ratio=0.04)) == ("invoke lab.up --loadgens 2", "--duration 60s")
    assert settling(good_row()) == ()


def test_the_deciding_rule_has_the_reason_in_words() -> None:
    """One to four words for a table; none where no round ended."""
    rule = deciding(good_row(**BURNER))
    assert rule is not None
    assert rule.words(good_row(**BURNER)) == "neighbour 50 %"
    assert deciding(good_row(rounds=0, state="missing", **IDLE)) is None


def test_two_rules_of_one_name_are_refused() -> None:
    """Notes, reports and tests know rules by their names."""
    with pytest.raises(ValueError, match="duplicate names of rules: spread"):
        _in_order([*RULES, next(rule for rule in RULES if rule.name == "spread")])


def test_the_order_is_that_of_severity() -> None:
    """Whatever a theme's rules are listed in."""
    assert [rule.severity for rule in RULES] == sorted(rule.severity for rule in RULES)
    # What set a sound rate: the load, the limit, the server; all doubts on the rate come before.
    explained = min(rule.severity for rule in RULES if rule.verdict and rule.verdict.is_sound and rule.severity > 1)
    assert all(rule.severity < explained for rule in RULES if rule.doubt == "rate")


PART = {
    "wrk_processes": 1,
    "requests": 30_000,
    "requests_per_s": 7500.0,
    "connections_asked": 1000,
    "connections_open": 1000,
    "wrk_cpu_percent_of_one": 40.0,
    "cpus_count": 1,
    "cpu_percent": 40.0,
    "start_skew_s": 0.004,
    "clock_uncertainty_s": 0.001,
}


def judged(**changes: object) -> list[tuple[str, list[str]]]:
    """Verdict and rules of two generators, of which the second differs."""
    parts = (
        handmade_generator(**(PART | {"host": "loadgen"})),
        handmade_generator(**(PART | {"host": "loadgen_2"} | changes)),
    )
    cell = handmade_cell(measurement=handmade_measurement(generators=parts))
    row = cell_row(handmade_plan([cell]), cell)
    found = [generator_rules(share) for share in row.generators]
    return [(generator_verdict(rules), [rule.name for rule in rules]) for rules in found]


@pytest.mark.parametrize(
    ("changes", "verdict", "rule"),
    [
        ({"cpu_percent": 92.0}, "generator-bound", "generator_busy"),
        ({"busiest_thread_cpu_percent": 95.0}, "generator-bound", "generator_thread_busy"),
        ({"connections_unread": 700}, "generator-bound", "generator_behind"),
        ({"host_cpu_percent": 99.0}, "generator-bound", "generator_host_full"),
        ({"start_skew_s": 0.5}, "generator-bound", "started_apart"),
        ({"clock_uncertainty_s": 0.5}, "generator-bound", "started_apart"),
        ({"neighbours_cpu_percent": 25.0}, "disturbed", "generator_neighbours"),
        ({"steal_percent": 12.0}, "disturbed", "generator_steal"),
        ({"connections_open": 900}, "polluted", "connections_not_open"),
        ({"connections_stalled": 300}, "polluted", "stalled"),
        ({"errors": {"connect": 3}}, "polluted", "connect_errors"),
    ],
)
def test_a_doubt_is_about_the_generator_that_it_is_found_on(
    changes: dict[str, object], verdict: str, rule: str
) -> None:
    """By the rules of rows; the other one is well."""
    assert judged(**changes) == [("ok", []), (verdict, [rule])]


def test_few_connections_of_one_are_not_hidden_by_the_others() -> None:
    """12 of 1,000 closed are 0.6 % of the load of both, and 1.2 % of its own."""
    assert judged(connections_open=988)[1] == ("polluted", ["connections_not_open"])


@pytest.mark.parametrize(("before", "rules"), [(64, []), (46, ["stalled"])])
def test_a_queue_that_explains_the_rows_explains_each_generators(before: int, rules: list[str]) -> None:
    """A busy server that accepts one connection after the other: nobody knows whose connections wait in its queue."""
    parts = [
        handmade_generator(**(PART | {"host": host, "connections_unanswered": unanswered}))
        for host, unanswered in (("loadgen", 20), ("loadgen_2", 26))
    ]
    queue = {"accept_queue_before": before, "accept_queue_counted": 46}
    cell = handmade_cell(measurement=handmade_measurement(generators=parts, server=queue))
    row = cell_row(handmade_plan([cell]), cell)

    assert [[rule.name for rule in generator_rules(share)] for share in row.generators] == [rules, rules]


def test_every_rule_that_is_asked_exists() -> None:
    """Each leads to a verdict: a generator without one is ok."""
    asked = {rule.name: rule.verdict for rule in RULES if rule.concerns_generator}
    assert set(asked) == {
        "connect_errors",
        "wrong_status",
        "wrong_body",
        "many_errors",
        "generator_busy",
        "generator_thread_busy",
        "generator_behind",
        "generator_paused",
        "generator_host_full",
        "started_apart",
        "stalled",
        "generator_steal",
        "generator_neighbours",
        "others_on_generator",
        "connections_not_open",
    }
    assert all(asked.values())
