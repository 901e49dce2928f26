"""Rules on hosts: CPUs that others took, quotas, other clients, lost segments."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.verdicts.good_rows import Case, check_silent, check_speaks, good_row
from wrklab.verdicts.hosts import RULES
from wrklab.verdicts.rules import rate_bound, row_notes, verdict_of
from wrklab.verdicts.verdict import Bound, Verdict

#: rule: (what makes it speak, what its note must hold, what keeps it silent though near).
CASES: dict[str, Case] = {
    "one_machine": ({"one_machine": True}, "connections over the loopback", {"one_machine": False}),
    "cpus_shared": (
        {"shared_cpus_taken_percent": 5.0},
        "the generator took 5 % of the time of the server's CPUs in the worst round",
        {"shared_cpus_taken_percent": 4.9},
    ),
    "cpus_barely_shared": (
        {"shared_cpus_taken_percent": 0.8},
        "the generator took 0.8 % of the time of the server's CPUs in the worst round",
        {"shared_cpus_taken_percent": None},
    ),
    "neighbours": (
        {"neighbours_cpu_percent": 42.0},
        "others took 42 % of the server's CPUs",
        {"neighbours_cpu_percent": None},
    ),
    "steal": ({"steal_percent": 8.0}, "the hypervisor took 8 %", {"steal_percent": 4.0}),
    "lossy_network": (
        {"segments_lost_ratio": 0.012},
        "1.2 lost segments for 100 answers in the worst round",
        {"segments_lost_ratio": 0.01},
    ),
    "some_lost": (
        {"segments_lost_ratio": 0.002},
        "0.2 lost segments for 100 answers in the worst round",
        {"segments_lost_ratio": 0.001},
    ),
    "others_on_server": (
        {"others_cpu_percent": 48.0},
        "others on the server's host took 48 % of its CPUs",
        {"others_cpu_percent": 10.0},
    ),
    "others_connected": (
        {"foreign_connections": {"10.0.0.9": 20, "10.0.0.8": 1, "10.0.0.7": 30, "10.0.0.6": 2}},
        "besides the lab's own: 30 of 10.0.0.7, 20 of 10.0.0.9, 2 of 10.0.0.6 and others",
        {"foreign_connections": {"10.0.0.9": 20}},
    ),
    "throttled": (
        {"unit_waiting_percent": 88.0, "server_cpus_busy_percent": 11.0},
        "the unit waited for a CPU 88 % of the time, while the server's CPUs were 11 % busy",
        {"unit_waiting_percent": 88.0, "server_cpus_busy_percent": 60.0},
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
    ("taken_percent", "verdict", "bound"),
    [(4.9, Verdict.SERVER_BOUND, Bound()), (5.0, Verdict.DISTURBED, Bound(may_be_higher=True))],
)
def test_shared_cpus_doubt_a_row_by_what_the_generator_took(
    taken_percent: float, verdict: Verdict, bound: Bound
) -> None:
    """Below the limit it stands, with the figure; from there on the true rate is at least the measured one."""
    row = good_row(shared_cpus_taken_percent=taken_percent)

    assert verdict_of(row) == verdict
    assert rate_bound(row) == bound


@pytest.mark.parametrize(("held_back_percent", "is_shown"), [(10.0, False), (11.0, True), (None, False)])
def test_a_quota_of_most_of_a_cpu_is_shown(held_back_percent: float | None, *, is_shown: bool) -> None:
    """The unit waits no longer than its CPUs are busy, but at times when nobody has them."""
    half: dict[str, Any] = {"server_cpu_percent": 70.0, "server_cpus_busy_percent": 72.0, "unit_waiting_percent": 40.0}
    row = good_row(**half, unit_throttled_percent=held_back_percent)

    assert ("throttled" in {note.rule for note in row_notes(row)}) is is_shown
    assert verdict_of(row) == (Verdict.DISTURBED if is_shown else Verdict.UNEXPLAINED)
