"""Rules on latencies: what is missing from them."""

from __future__ import annotations

import pytest

from tests.unit.handmade_records import handmade_latency
from tests.unit.verdicts.good_rows import Case, check_silent, check_speaks
from wrklab.results.records import Errors
from wrklab.verdicts.latencies import RULES

#: rule: (what makes it speak, what its note must hold, what keeps it silent though near).
CASES: dict[str, Case] = {
    "timeouts": (
        {"errors": Errors(timeout=1833), "timeout_s": 2},
        "1,833 answers after 2 s",
        {"errors": Errors()},
    ),
    "cut_off": (
        {"latency": handmade_latency(p99_us=2_500_000.0)},
        "p99 is 2.50 s, windows are 4 s",
        {"latency": handmade_latency(p99_us=1_900_000.0)},
    ),
    "not_observed": (
        {"correction_notes": ("a count would be negative",)},
        "a count would be negative",
        {"correction_notes": ()},
    ),
    "few_answers": (
        {"latency": handmade_latency(count=592)},
        "592 answers",
        {"latency": handmade_latency(count=1000)},
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
