"""Rules on generator: whether wrk had time."""

from __future__ import annotations

import pytest

from tests.unit.verdicts.good_rows import GENERATORS, Case, check_silent, check_speaks, good_row, note_names
from wrklab.verdicts.generator import RULES
from wrklab.verdicts.rules import row_notes

#: rule: (what makes it speak, what its note must hold, what keeps it silent though near).
CASES: dict[str, Case] = {
    "generator_busy": (
        {"generator_cpu_percent": 81.0},
        "wrk took 81 % of the generator's CPUs, the server's unit 97 % of its own",
        {"generator_cpu_percent": 80.0},
    ),
    "started_apart": (
        {"start_skew_ratio": 0.035, "generators": GENERATORS},
        "loadgen, loadgen_2 began up to 4 % of a window apart",
        {"start_skew_ratio": 0.02, "generators": GENERATORS},
    ),
    "generator_thread_busy": (
        {"generator_thread_percent": 97.0, "generator_thread_waiting_percent": 87.0, "generator_cpu_percent": 10.0},
        "wrk's busiest thread ran or waited for a CPU 97 % of the time, waiting 87 % of it; wrk took 10 % of the",
        {"generator_thread_percent": 80.0, "generator_thread_waiting_percent": 50.0},
    ),
    "generator_behind": (
        {"generator_unread_ratio": 0.9},
        "90 % of the connections had an answer that wrk had not read",
        {"generator_unread_ratio": 0.5},
    ),
    "generator_host_full": (
        {"generator_host_cpu_percent": 99.0},
        "the generator's CPUs were 99 % busy, wrk itself took 45 %",
        {"generator_host_cpu_percent": 95.0},
    ),
    "generator_steal": (
        {"generator_steal_percent": 9.0},
        "the hypervisor took 9 % of the generator's CPU time",
        {"generator_steal_percent": 5.0},
    ),
    "generator_neighbours": (
        {"generator_neighbours_cpu_percent": 45.0},
        "others took 45 % of the generator's CPUs",
        {"generator_neighbours_cpu_percent": 10.0},
    ),
    "others_on_generator": (
        {"generator_others_cpu_percent": 48.0},
        "others on the generator took 48 % of its CPUs",
        {"generator_others_cpu_percent": 10.0},
    ),
    "generator_paused": (
        {"generator_paused_s": 1.25},
        "for 1.2 s of 4 s in the worst round",
        {"generator_paused_s": 0.5},
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


def test_of_several_generators_the_busy_one_is_named() -> None:
    """It is its CPUs that were short."""
    row = good_row(generators=GENERATORS, generator_cpu_percent=91.0)
    texts = [note.text for note in row_notes(row) if note.rule == "generator_busy"]

    assert texts == ["wrk took 91 % of loadgen_2's CPUs, the server's unit 97 % of its own"]


def test_a_server_on_the_generators_cpus_is_no_neighbour() -> None:
    """How much the two take from each other is judged by what the generator takes of the server's."""
    neighbour = {"generator_neighbours_cpu_percent": 98.0}

    assert "generator_neighbours" in note_names(good_row(**neighbour))
    assert "generator_neighbours" not in note_names(good_row(**neighbour, cpus_shared=True))
