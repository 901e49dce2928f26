"""Claims: each form answers yes, no and `can't be said` on handmade figures; the articles' figures answer theirs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.handmade_claims import (
    handmade_claim,
    handmade_probe,
    handmade_row,
    judged,
    published_as_measured,
)
from tests.unit.handmade_messages import handmade_complete_load
from tests.unit.handmade_raw import ended_server, handmade_raw
from tests.unit.handmade_records import changed, handmade_cell, handmade_latency, handmade_plan, handmade_planned
from wrklab.articles.claim_figures import MeasuredRow, of_row
from wrklab.articles.claim_lookup import COST_STANDS_RULES, FOREIGN_RULES, MADE_UP_RULE, SPREAD_RULE, Measured
from wrklab.articles.claim_ranges import Figure, Need, Reason
from wrklab.articles.claims import (
    FAILS,
    HOLDS,
    OPEN,
    article_text,
    judge_articles,
    judge_claims,
    limit_text,
    measured_text,
    published_text,
)
from wrklab.articles.library import ArticleLibrary, read_library
from wrklab.catalogue.catalogue import read_catalogue
from wrklab.extract.cell import cell_outcome
from wrklab.results.records import Errors
from wrklab.summary.rows import summarise
from wrklab.verdicts.rules import RULES, Note
from wrklab.verdicts.verdict import Direction, Verdict

GEVENT, DEV, GO = "flask_gunicorn_gevent", "flask_dev_sync", "go_net_http"


@pytest.fixture(scope="module")
def real() -> ArticleLibrary:
    """The library of this checkout."""
    return read_library(read_catalogue())


@pytest.mark.parametrize(
    ("limit", "gevent_per_s", "answer"),
    [
        ({"at_least": 7}, 7500, HOLDS),
        ({"at_least": 7}, 6500, FAILS),
        ({"at_most": 7}, 6500, HOLDS),
        ({"at_most": 7}, 7500, FAILS),
        ({"more_than": 7}, 7500, HOLDS),
        ({"more_than": 7}, 7000, FAILS),
        ({"less_than": 7}, 6500, HOLDS),
        ({"less_than": 7}, 7000, FAILS),
        ({"about": 7, "within_percent": 10}, 7500, HOLDS),
        ({"about": 7, "within_percent": 10}, 8000, FAILS),
        ({"about": 7, "within_percent": 10}, 6000, FAILS),
        ({"exactly": 7}, 7000, HOLDS),
        ({"exactly": 7}, 7010, FAILS),
    ],
)
def test_a_ratio_keeps_its_limit_or_not(
    real: ArticleLibrary, limit: dict[str, float], gevent_per_s: float, answer: str
) -> None:
    """Rounds without spread: the ratio alone decides."""
    result = judged(handmade_claim(**limit), real, handmade_row(GEVENT, [gevent_per_s] * 3), handmade_row(DEV))

    assert result.answer == answer
    assert result.measured is not None
    assert result.measured.value == pytest.approx(gevent_per_s / 1000)


@pytest.mark.parametrize(
    "limit",
    [
        {"at_least": 7},
        {"at_most": 7},
        {"more_than": 7},
        {"less_than": 7},
        {"exactly": 7},
        {"about": 6.5, "within_percent": 5},
    ],
)
def test_an_interval_on_both_sides_of_a_limit_says_nothing(real: ArticleLibrary, limit: dict[str, float]) -> None:
    """Rounds of 6,500 to 7,500: the range is told, the answer is open."""
    result = judged(handmade_claim(**limit), real, handmade_row(GEVENT, [6700, 7000, 7200]), handmade_row(DEV))

    assert result.answer == OPEN
    assert "lies on both sides of the limit" in result.why[0]
    assert "(6.70x-7.20x)" in measured_text(result)


def test_one_round_is_as_good_as_its_ten_percent(real: ArticleLibrary) -> None:
    """7.5 times from one round each is not surely above 7; 9 times is."""
    assert judged(handmade_claim(), real, handmade_row(GEVENT, [7500]), handmade_row(DEV, [1000])).answer == OPEN
    assert judged(handmade_claim(), real, handmade_row(GEVENT, [9000]), handmade_row(DEV, [1000])).answer == HOLDS


def test_differences_below_the_noise_floor_are_none(real: ArticleLibrary) -> None:
    """1 % more is more, but not in a run whose twins differ by 5 %."""
    rows = handmade_row(GEVENT, [1010] * 3), handmade_row(DEV)
    claim = handmade_claim(more_than=1)

    assert judged(claim, real, *rows).answer == HOLDS
    assert judged(claim, real, *rows, noise_floor_ratio=0.05).answer == OPEN


def test_what_is_missing_is_said(real: ArticleLibrary) -> None:
    """Not asked for, not reached, failed: three reasons, no figure, no answer."""
    gevent = handmade_row(GEVENT, [7500] * 3)
    missing = judged(handmade_claim(), real, gevent)
    not_reached = judged(handmade_claim(), real, gevent, handmade_row(DEV, state="missing"))
    failed = judged(handmade_claim(), real, gevent, handmade_row(DEV, state="failed", failures=("ready: refused",)))

    assert [found.answer for found in (missing, not_reached, failed)] == [OPEN] * 3
    assert missing.why == (f"{DEV} was not measured under article or what compares with it",)
    assert not_reached.why == (f"{DEV}: not reached",)
    assert failed.why == (f"{DEV}: failed (ready: refused)",)
    assert missing.measured is None


def test_a_doubtful_row_is_shown_and_decides_nothing(real: ArticleLibrary) -> None:
    """Half of the connections never opened: the ratio is shown, marked, with the note's figures and the next step.

    The server used 97 % of its CPUs for 1,000 requests/s, so it has no more than 1,289 to give.
    """
    result = judged(handmade_claim(), real, handmade_row(GEVENT, [9000] * 3), handmade_row(DEV, connections_open=983))

    assert result.answer == OPEN
    assert measured_text(result) == "9.00x, at least 6.98x, doubtful"
    assert "983 of 2,000 open in the worst round" in result.why[0]
    assert result.settled_by[0].startswith("first: compare the listen backlog")
    assert result.settled_by[1] == f"invoke bench --variant {GEVENT},{DEV} --scenario article"


def test_a_rate_that_nothing_explains_decides_nothing(real: ArticleLibrary) -> None:
    """Nothing is wrong with the row, but neither the server's CPU nor a limit set its rate; errors may be counted."""
    idle = handmade_row(DEV, server_cpu_percent=30.0)
    errors = handmade_claim(value_of={"metric": "errors_ratio", "of": DEV, "scenario": "article"}, exactly=0)

    assert judged(handmade_claim(), real, handmade_row(GEVENT, [9000] * 3), handmade_row(DEV)).answer == HOLDS
    result = judged(handmade_claim(), real, handmade_row(GEVENT, [9000] * 3), idle)
    assert (result.answer, result.why) == (OPEN, (f"{DEV} is unexplained",))
    assert judged(errors, real, idle).answer == HOLDS


def test_rates_at_the_loads_limit_bound_a_server_from_below_only(real: ArticleLibrary) -> None:
    """Go at 98 % of connections / hold is at least as fast as it looks; level with another such one says nothing."""
    go = handmade_row(GO, [19_600] * 3)
    ratio = {"metric": "requests_per_s", "of": GO, "to": DEV, "scenario": "article"}
    level = {"metric": "requests_per_s", "of": GO, "to": "sanic_fast", "scenario": "article"}

    assert judged(handmade_claim(ratio_of=ratio, at_least=7), real, go, handmade_row(DEV)).answer == HOLDS
    assert judged(handmade_claim(ratio_of=ratio, at_least=25), real, go, handmade_row(DEV)).answer == OPEN
    assert judged(handmade_claim(ratio_of=ratio, at_most=7), real, go, handmade_row(DEV)).answer == FAILS
    inverse = {"metric": "requests_per_s", "of": DEV, "to": GO, "scenario": "article"}
    assert (
        measured_text(judged(handmade_claim(ratio_of=ratio, at_least=7), real, go, handmade_row(DEV)))
        == "at least 19.60x"
    )
    assert (
        measured_text(judged(handmade_claim(ratio_of=inverse, at_most=7), real, go, handmade_row(DEV)))
        == "at most 0.05x"
    )
    for claimed in ({"about": 1, "within_percent": 5}, {"more_than": 1}, {"less_than": 1}):
        result = judged(handmade_claim(ratio_of=level, **claimed), real, go, handmade_row("sanic_fast", [19_500] * 3))
        assert result.answer == OPEN
        assert result.settled_by == ("no run under this load can",)
        # Only what keeps open the side that matters is a reason.
        why = " ".join(result.why)
        assert ("go_net_http is hold-bound: at 98 %" in why) == ("about" in claimed)
        assert "sanic_fast is hold-bound: at 98 %" in why


def test_the_rules_that_bounds_know_exist() -> None:
    """A rule that is renamed must not turn a bound into no bound, or no bound into one."""
    names = {rule.name for rule in RULES}

    assert {SPREAD_RULE, MADE_UP_RULE} <= names
    assert names >= FOREIGN_RULES


def test_which_doubts_leave_the_cost_of_an_answer_standing() -> None:
    """The server's work was done and counted; not where it was done for others, or for answers of another kind."""
    assert {
        "connections_not_open",
        "starved",
        "stalled",
        "many_errors",
        "connect_errors",
        "spread",
    } <= COST_STANDS_RULES
    assert {"failed", "others_connected"} == FOREIGN_RULES - COST_STANDS_RULES
    assert not COST_STANDS_RULES & {"wrong_status", "wrong_body"}


def doubted(found: MeasuredRow, direction: Direction) -> MeasuredRow:
    """A row with one doubt on its rate, which moves it this way, and nothing that bounds it otherwise."""
    note = Note("mine", "rate", "a doubt", next_step="Do something", direction=direction)
    return replace(found, row=changed(found.row, server_cpu_percent=None), notes=(note,), verdict=Verdict.POLLUTED)


@pytest.mark.parametrize(
    ("direction", "at_least_7", "at_most_7", "text"),
    [
        (Direction.TOO_LOW, OPEN, OPEN, "at most 9.00x, doubtful"),
        (Direction.TOO_HIGH, HOLDS, FAILS, "at least 9.00x, doubtful"),
        (Direction.UNKNOWN, OPEN, OPEN, "9.00x, doubtful"),
    ],
)
def test_a_doubt_on_what_a_figure_is_divided_by_opens_one_side(
    real: ArticleLibrary, direction: Direction, at_least_7: str, at_most_7: str, text: str
) -> None:
    """A rate that is too low may be higher, and the ratio to it lower: the claim holds wherever that suffices."""
    rows = handmade_row(GEVENT, [9000] * 3), doubted(handmade_row(DEV), direction)

    assert judged(handmade_claim(), real, *rows).answer == at_least_7
    assert judged(handmade_claim(at_most=7), real, *rows).answer == at_most_7
    assert measured_text(judged(handmade_claim(), real, *rows)) == text


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"server_cpu_percent": 97.0}, HOLDS),
        ({"server_cpu_percent": 79.0}, OPEN),
        ({"server_cpu_percent": 97.0, "errors": Errors(read=180_000)}, OPEN),
        ({"server_cpu_percent": 97.0, "foreign_connections": {"10.0.0.9": 1}}, OPEN),
        ({"server_cpu_percent": 20.0, "in_flight_limit": 110, "ceiling_per_s": 1100.0, "ceiling_ratio": 0.9}, HOLDS),
    ],
)
def test_what_a_doubtful_server_can_give_at_most_is_bounded(
    real: ArticleLibrary, changes: dict[str, Any], answer: str
) -> None:
    """By the CPU time that its answers and failures took, where it was busy with nothing else; by its own limit."""
    note = Note("mine", "rate", "a doubt", direction=Direction.UNKNOWN)
    dev = replace(handmade_row(DEV, **changes), notes=(note,), verdict=Verdict.POLLUTED)

    assert judged(handmade_claim(), real, handmade_row(GEVENT, [9500] * 3), dev).answer == answer


def test_rounds_that_do_not_agree_bound_the_rate(real: ArticleLibrary) -> None:
    """800 to 1,200: 40 % apart, so 571 to 1,680. Ten times is surely 5 times, and not surely 7."""
    unstable = handmade_row(DEV, [800, 1000, 1200], server_cpu_percent=60.0)
    gevent = handmade_row(GEVENT, [10_000] * 3)

    assert unstable.verdict == Verdict.UNSTABLE
    assert judged(handmade_claim(at_least=5), real, gevent, unstable).answer == HOLDS
    assert judged(handmade_claim(), real, gevent, unstable).answer == OPEN
    assert measured_text(judged(handmade_claim(), real, gevent, unstable)) == "10.00x (5.95x-17.50x), doubtful"


def test_a_doubt_that_decides_nothing_says_what_to_do(real: ArticleLibrary) -> None:
    """The note's next step, then the command; and a doubt on the other side is no reason."""
    low = doubted(handmade_row(DEV), Direction.TOO_LOW)
    result = judged(handmade_claim(), real, handmade_row(GEVENT, [9000] * 3), low)

    assert result.why == (f"{DEV} is doubtful, mine: a doubt",)
    assert result.settled_by == (
        "first: do something",
        f"invoke bench --variant {GEVENT},{DEV} --scenario article",
    )
    assert judged(handmade_claim(at_most=10), real, handmade_row(GEVENT, [9000] * 3), low).answer == HOLDS


def test_growth_with_connections_is_not_bound_by_the_hold(real: ArticleLibrary) -> None:
    """The same variant at two loads: the smaller load's limit is what is asked about."""
    claim = next(c for c in real.suites["flask_gunicorn_article"].claims if c.claim == "go_grows_with_connections")
    more = handmade_row(
        GO, [114_000] * 3, scenario="article_20000", connections_asked=20_000, connections_open=20_000, ideal_ratio=0.57
    )

    assert judged(claim, real, handmade_row(GO, [19_600] * 3), more).answer == HOLDS


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"connections_asked": 500, "connections_open": 500}, "500 connections here, 2,000 there"),
        ({"hold_ms": 20}, "held 20 ms here, 100 ms there"),
        ({"path": "/"}, "/ here, /health there"),
    ],
)
def test_another_load_is_another_question(real: ArticleLibrary, changes: dict[str, Any], why: str) -> None:
    """Connections, hold and path are the article's, or nothing is said."""
    rows = handmade_row(GEVENT, [9000] * 3, **changes), handmade_row(DEV)
    result = judged(handmade_claim(), real, *rows)

    assert result.answer == OPEN
    assert why in " ".join(result.why)


def test_a_shorter_scenario_that_compares_with_the_articles_will_do(real: ArticleLibrary) -> None:
    """`standard` has the load of `article` in shorter windows; `smoke` has another load and is named."""
    rows = [handmade_row(name, [rate] * 3, scenario="standard") for name, rate in ((GEVENT, 9000), (DEV, 1000))]
    smoke = [handmade_row(name, scenario="smoke") for name in (GEVENT, DEV)]

    assert judged(handmade_claim(), real, *rows).answer == HOLDS
    result = judged(handmade_claim(), real, *smoke)
    assert result.answer == OPEN
    assert result.is_of_other_loads
    assert result.why[0].endswith("but under smoke")


def test_fewer_cpus_make_another_comparison(real: ArticleLibrary) -> None:
    """Four processes against one on one CPU: whatever is measured, the claim is about four CPUs."""
    claim = handmade_claim(needs_cpus=4)
    rows = handmade_row(GEVENT, [1500] * 3), handmade_row(DEV)

    assert judged(claim, real, *rows).answer == FAILS
    result = judged(claim, real, *rows, server_cpus_count=1)
    assert (result.answer, result.why[0]) == (OPEN, "the server has 1 CPU here and the claim is about 4")
    assert measured_text(result) == "1.50x"


def test_of_several_comparisons_one_that_fails_decides(real: ArticleLibrary) -> None:
    """Ahead of all: yes where of every one, no where not of one, open where of one it cannot be said."""
    ratio = {"metric": "requests_per_s", "of": GO, "to": [DEV, GEVENT], "scenario": "article"}
    claim = handmade_claim(ratio_of=ratio, more_than=1)
    go, dev, gevent = handmade_row(GO, [9000] * 3), handmade_row(DEV), handmade_row(GEVENT, [5000] * 3)
    faster = handmade_row(GEVENT, [9500] * 3)
    doubtful = handmade_row(GEVENT, [8000] * 3, connections_open=10)

    assert judged(claim, real, go, dev, gevent).answer == HOLDS
    no = judged(claim, real, go, dev, faster)
    assert (no.answer, no.pair[1] and no.pair[1].variant) == (FAILS, GEVENT)
    assert no.why[0] == f"comparisons that do not hold: 1 of 2, {GEVENT}"
    assert judged(claim, real, go, dev, doubtful).answer == OPEN
    without = judged(claim, real, go, dev)
    assert (without.answer, measured_text(without)) == (OPEN, "9.00x")


def test_timeouts_are_counted_at_the_articles_time_out(real: ArticleLibrary) -> None:
    """By wrk where it gave up after 2 s; else the latencies bound their share from below."""
    none = handmade_claim(value_of={"metric": "timeouts_ratio", "of": DEV, "scenario": "article"}, exactly=0)
    most = handmade_claim(value_of={"metric": "timeouts_ratio", "of": DEV, "scenario": "article"}, at_least=0.5)
    late = handmade_row(DEV, errors=Errors(timeout=90_000))
    slow = handmade_row(DEV, timeout_s=62, latency=handmade_latency(p99_us=2.5e6, p999_us=3e6, max_us=4e6))
    quick = handmade_row(DEV, timeout_s=62)

    assert [judged(none, real, row).answer for row in (handmade_row(DEV), late, slow, quick)] == [
        HOLDS,
        FAILS,
        FAILS,
        HOLDS,
    ]
    assert measured_text(judged(none, real, slow)) == "at least 1 %"
    assert [judged(most, real, row).answer for row in (handmade_row(DEV), late, slow)] == [FAILS, HOLDS, OPEN]


def test_what_is_rare_needs_as_long_as_the_article_took(real: ArticleLibrary) -> None:
    """No time-out and no slow answer in 12 s says nothing of 60 s; one that came does."""
    none = handmade_claim(value_of={"metric": "timeouts_ratio", "of": DEV, "scenario": "article"}, exactly=0)
    steady = handmade_claim(
        ratio_of={"metric": "latency_max_ms", "of": DEV, "to_metric": "latency_mean_ms", "scenario": "article"},
        at_most=3,
    )
    short = handmade_row(DEV, duration_s=4.0)
    slow = handmade_row(DEV, duration_s=4.0, latency=handmade_latency(mean_us=126_000, max_us=900_000))

    assert judged(none, real, short).answer == OPEN
    assert "12 s measured here, 60 s there" in judged(none, real, short).why[0]
    assert judged(steady, real, short).answer == OPEN
    assert judged(steady, real, slow).answer == FAILS
    assert judged(steady, real, handmade_row(DEV)).answer == HOLDS


def test_errors_are_counted_on_rows_that_they_spoil(real: ArticleLibrary) -> None:
    """A claim about errors is about just such rows; only a generator or machine in doubt forbids it."""
    claim = handmade_claim(value_of={"metric": "errors_ratio", "of": DEV, "scenario": "article"}, more_than=0.001)
    broken = handmade_row(DEV, errors=Errors(read=60_000), connections_open=400)
    disturbed = handmade_row(DEV, errors=Errors(read=60_000), neighbours_cpu_percent=60.0)

    assert judged(claim, real, broken).answer == HOLDS
    assert judged(claim, real, handmade_row(DEV)).answer == FAILS
    assert judged(claim, real, disturbed).answer == OPEN


def test_yes_or_no(real: ArticleLibrary) -> None:
    """A server that broke down, one that did not, and one of which it is not known."""
    value = {"metric": "is_down_after", "of": DEV, "scenario": "article"}
    claim = handmade_claim(value_of=value, **{"is": True})
    down = handmade_row(DEV, units_ended=("failed/signal",))

    assert (judged(claim, real, down).answer, measured_text(judged(claim, real, down))) == (HOLDS, "yes")
    assert judged(claim, real, handmade_row(DEV)).answer == FAILS
    assert judged(claim, real).answer == OPEN


ENDED = "window: the server of flask_dev_sync ended under the load: failed (failed), result oom-kill, killed by SIGKILL"
NOT_UP = "start: wrklab-flask_dev_sync.service ended before it answered: failed, result exit-code, exit status 3"


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({"state": "failed", "rounds": 0, "rounds_server_ended": 3, "failures": (ENDED,)}, 1.0),
        ({"state": "partial", "rounds": 2, "rounds_server_ended": 1, "failures": (ENDED,)}, 1.0),
        ({"rounds_retried": 1, "rounds_server_ended": 1, "first_failures": (ENDED,)}, 1.0),
        ({"rounds_retried": 1, "rounds_server_ended": 1, "first_failures": ("settle: refused",)}, 1.0),
        ({"rounds_retried": 1, "first_failures": ("window: wrk0: exit -9",)}, 0.0),
        ({"state": "partial", "rounds": 2, "failures": (NOT_UP,)}, 0.0),
        ({"state": "failed", "rounds": 0, "failures": (NOT_UP,)}, None),
        ({"state": "missing", "rounds": 0}, None),
    ],
)
def test_a_server_that_ended_under_the_load_is_down(changes: dict[str, Any], value: float | None) -> None:
    """Its cell has failed and has no window; one that never came up was not under any load."""
    found = of_row("is_down_after", handmade_row(DEV, **changes), None, is_growth=False)

    if value is None:
        assert found == Reason(f"{DEV}: no is_down_after was measured", Need.BENCH)
    else:
        assert isinstance(found, Figure)
        assert (found.value, found.may_be_higher, found.may_be_lower) == (value, (), ())


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"state": "failed", "rounds": 0, "rounds_failed": 3, "rounds_server_ended": 3, "failures": (ENDED,)}, HOLDS),
        ({"state": "partial", "rounds": 2, "rounds_failed": 1, "rounds_server_ended": 1, "failures": (ENDED,)}, HOLDS),
        ({"state": "failed", "rounds": 0, "rounds_failed": 3, "failures": (NOT_UP,)}, OPEN),
        ({"state": "partial", "rounds": 2, "rounds_failed": 1, "failures": (NOT_UP,)}, OPEN),
        (
            {
                "state": "partial",
                "rounds": 2,
                "rounds_failed": 1,
                "rounds_server_ended": 1,
                "failures": (ENDED,),
                "connections_asked": 500,
            },
            OPEN,
        ),
    ],
)
def test_a_claim_that_a_server_breaks_down_holds_where_it_did(
    real: ArticleLibrary, changes: dict[str, Any], answer: str
) -> None:
    """The failed row is the answer; a failure of another kind is none, nor is another load."""
    value = {"metric": "is_down_after", "of": DEV, "scenario": "article"}
    errors = {"metric": "errors_ratio", "of": DEV, "scenario": "article"}
    row = handmade_row(DEV, **changes)

    assert judged(handmade_claim(value_of=value, **{"is": True}), real, row).answer == answer
    assert judged(handmade_claim(value_of=errors, at_most=1), real, row).answer == OPEN


def test_the_record_of_a_server_that_ended_counts_its_round() -> None:
    """What extract/cell.py makes of such a cell is what the claim's figure looks for; the text is for readers."""
    cell = handmade_cell(DEV)
    failed = cell_outcome(
        handmade_raw(handmade_complete_load(), server=ended_server()), handmade_planned(cell), 0
    ).record
    [row] = summarise(handmade_plan([cell]), [failed], lambda _: {})

    assert (row.state, row.rounds_server_ended) == ("failed", 1)
    assert of_row("is_down_after", MeasuredRow(row), None, is_growth=False) == Figure(1.0, most=1.0)


@pytest.mark.parametrize(
    ("metric", "limit", "changes", "answer"),
    [
        ("capacity", {"exactly": 40}, {}, HOLDS),
        ("capacity", {"exactly": 40}, {"capacity": 80}, FAILS),
        ("capacity", {"exactly": 40}, {"capacity": 1000, "capacity_limited_by": "no limit"}, FAILS),
        ("capacity", {"exactly": 40}, {"state": "void", "void_reasons": ("late",)}, OPEN),
        ("queued", {"about": 960, "within_percent": 1}, {}, HOLDS),
        ("queued", {"about": 128, "within_percent": 1}, {}, FAILS),
        ("processes", {"exactly": 1}, {}, HOLDS),
        ("threads", {"at_most": 41}, {}, FAILS),
        ("is_all_queued", {"is": True}, {}, HOLDS),
        ("is_all_queued", {"is": True}, {"queued_process": 100, "overflow": ("closed",)}, FAILS),
        ("is_refused_beyond", {"is": True}, {"overflow": ("closed",)}, HOLDS),
        ("is_refused_beyond", {"is": True}, {}, FAILS),
        ("is_refused_beyond", {"is": True}, {"capacity_limited_by": "no limit"}, OPEN),
        ("is_unbounded", {"is": True}, {"capacity": 1000, "capacity_limited_by": "no limit"}, HOLDS),
        ("is_unbounded", {"is": True}, {}, FAILS),
        ("is_reused", {"is": False}, {"reused": False}, HOLDS),
        ("is_reused", {"is": False}, {}, FAILS),
        ("is_reused", {"is": False}, {"reused": None}, OPEN),
        ("is_failing", {"is": True}, {"capacity": 0, "capacity_limited_by": "fails"}, HOLDS),
        ("is_failing", {"is": True}, {}, FAILS),
    ],
)
def test_probes_answer(
    real: ArticleLibrary, metric: str, limit: dict[str, Any], changes: dict[str, Any], answer: str
) -> None:
    """Each metric of a probe, both ways, and open where the probe found nothing."""
    name = "fastapi_uvicorn_sync"
    claim = handmade_claim(value_of={"metric": metric, "of": name}, **limit)

    assert judged(claim, real, probes={name: handmade_probe(name, **changes)}).answer == answer


def test_no_limit_for_fewer_requests_than_the_article_sent_says_nothing(real: ArticleLibrary) -> None:
    """The article queued 10,000; that 1,000 all wait does not show it, that one of 1,000 is closed refutes it."""
    name = "fastapi_uvicorn_sync_10000"
    claim = handmade_claim(value_of={"metric": "is_all_queued", "of": name}, **{"is": True})
    closed = handmade_probe(name, queued_process=959, overflow=("closed",))

    assert judged(claim, real, probes={name: handmade_probe(name)}).why == (
        f"{name}: 1,000 requests here, 10,000 there",
    )
    assert judged(claim, real, probes={name: closed}).answer == FAILS


def test_the_articles_own_figures_bear_their_claims_out_or_are_told_to_contradict_them(real: ArticleLibrary) -> None:
    """Fed in as if measured here, each holds, or cannot be told for the reason that the article's own cannot."""
    results = judge_claims(real, published_as_measured(real))
    with_figures = [result for result in results if result.article_answer is not None]

    assert len(with_figures) > 45
    assert [r.claim.claim for r in with_figures if r.answer != r.article_answer] == []
    assert {r.claim.claim: r.answer for r in with_figures if r.answer != HOLDS} == {
        "gunicorn_nearly_tenfold": FAILS,
        "go_tenfold_connections_tenfold_gunicorn": FAILS,
        "go_ahead_of_python": OPEN,
        "openresty_ahead_of_python": OPEN,
        "openresty_level_with_go": OPEN,
    }
    for result in with_figures:
        assert bool(article_text(result)) == (result.answer != HOLDS)


def test_articles_that_contradict_themselves_are_found_without_a_run(real: ArticleLibrary) -> None:
    """Nearly ten times is 8.3 times by the article's own table, and ten times Flask's rate is 7.2."""
    found = {result.claim.claim: result for result in judge_articles(real)}

    assert article_text(found["gunicorn_nearly_tenfold"]) == "the article's own figures say otherwise: 8.30x"
    assert article_text(found["go_tenfold_connections_tenfold_gunicorn"]).endswith("7.23x")
    assert "hold-bound" in article_text(found["openresty_level_with_go"])
    assert published_text(found["gunicorn_at_least_sevenfold"]) == "8.30x"
    assert limit_text(found["gunicorn_at_least_sevenfold"].claim) == "at least 7.00x"
    assert published_text(found["sanic_times_out"]) == "0.0076 %"
    assert {result.answer for result in found.values()} == {OPEN}


def test_claims_are_shown_of_the_suite_or_of_what_was_measured(real: ArticleLibrary) -> None:
    """A suite's run shows its own; another shows every claim of which a variant was there, and no other."""
    rows = (handmade_row("openresty_lua"),)
    by_variant = judge_claims(real, Measured(rows, real.scenarios, 4))
    of_suite = judge_claims(real, Measured(rows, real.scenarios, 4), "gunicorn_fastapi_article")

    assert "openresty_level_with_go" in {result.claim.claim for result in by_variant}
    assert all("openresty_lua" in {o.variant for o in result.claim.operands()} for result in by_variant)
    assert of_suite == ()
    assert judge_claims(real, Measured()) == ()


def test_every_claim_is_about_what_its_suite_measures_or_probes(real: ArticleLibrary) -> None:
    """A run of the suite can answer it; where it needs more, the note or the published text says so."""
    for suite in real.suites.values():
        at_hand = {(row.variant, row.scenario) for row in suite.rows} | {(p.variant, None) for p in suite.probes}
        for claim in suite.claims:
            others = {o.variant for o in claim.operands() if (o.variant, o.scenario) not in at_hand}
            assert others <= {"flask_gevent_wsgi_patched_first"}, claim.claim


def test_no_limit_is_infinite(real: ArticleLibrary) -> None:
    """Two servers without limits have no ratio of their capacities; it is told, not divided."""
    claim = handmade_claim(ratio_of={"metric": "capacity", "of": GO, "to": "sanic_fast"}, exactly=1)
    unlimited = {"capacity": 1000, "capacity_limited_by": "no limit"}
    result = judged(claim, real, probes={name: handmade_probe(name, **unlimited) for name in (GO, "sanic_fast")})

    assert result.answer == OPEN
    assert result.why == (f"sanic_fast has capacity {math.inf:g}: no ratio to it",)
