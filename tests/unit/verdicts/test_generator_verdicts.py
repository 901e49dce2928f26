"""Which of several generators a doubt is about."""

from __future__ import annotations

import pytest

from tests.unit.handmade_records import handmade_cell, handmade_generator, handmade_measurement, handmade_plan
from wrklab.summary.rows import cell_row
from wrklab.verdicts.generator_verdicts import generator_rules, generator_verdict
from wrklab.verdicts.rules import RULES

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
        ({"connections_silent": 300}, "polluted", "stalled"),
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
