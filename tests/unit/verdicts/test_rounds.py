"""Rules on rounds: failed, missing, apart."""

from __future__ import annotations

import pytest

from tests.unit.handmade_records import handmade_failure
from tests.unit.verdicts.good_rows import Case, check_silent, check_speaks
from wrklab.verdicts.rounds import RULES

#: rule: (what makes it speak, what its note must hold, what keeps it silent though near).
CASES: dict[str, Case] = {
    "second_attempt": (
        {"rounds_retried": 1, "first_failures": ("window: wrk ended",)},
        "1 round; the first attempt ended so: window: wrk ended",
        {"rounds_retried": 0},
    ),
    "failed": (
        {"rounds": 1, "rounds_failed": 2, "failures": ("ready: found 500",)},
        "2 of 3 rounds failed: ready: found 500",
        {"rounds_failed": 3, "rounds": 0, "failure_expected": True},
    ),
    "failed_as_expected": (
        {"rounds": 0, "rounds_failed": 3, "failure_expected": True, "failures": ("ready: TypeError",)},
        "3 of 3 rounds failed: ready: TypeError",
        {"rounds": 0, "rounds_failed": 3},
    ),
    "did_not_fail": (
        {"expect_failure": "no ASGI"},
        "3 rounds, and its card expects `no ASGI`",
        {"expect_failure": "no ASGI", "rounds": 0, "rounds_failed": 3, "failure_expected": True},
    ),
    "spread": (
        {"requests_per_s_min": 13_000.0, "requests_per_s_max": 15_500.0},
        "rounds range over 17 % of their median (13,000-15,500 requests/s)",
        {"requests_per_s_min": 14_300.0, "requests_per_s_max": 15_700.0},
    ),
    "rounds_missing": ({"rounds": 2}, "1 of 3 rounds", {"rounds": 2, "rounds_failed": 1}),
    "log_errors": (
        {"log_errors": {"RuntimeError: can't start new thread": 3626}},
        "3,626 x RuntimeError: can't start new thread",
        {"log_errors": {}},
    ),
    "one_round": ({"rounds": 1, "rounds_planned": 1}, "one window of 4 s", {"rounds": 1, "rounds_planned": 3}),
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


def test_failures_are_kept_apart_by_whether_they_were_expected() -> None:
    """`Failure.expected` is false unless the measurement says otherwise."""
    assert not handmade_failure().expected
    assert handmade_failure(expected=True).expected
