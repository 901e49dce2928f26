"""A row that nothing is wrong with, and what a test of rules asks of it: handmade, not captured."""

from __future__ import annotations

from typing import Any, TypeAlias

from tests.unit.handmade_records import changed, handmade_latency, handmade_share, handmade_summary
from wrklab.results.records import Errors
from wrklab.summary.rows import SummaryRow
from wrklab.verdicts.rules import row_notes

__all__ = ["GENERATORS", "Case", "changed", "check_silent", "check_speaks", "good_row", "note_names"]

#: Of a rule: what makes it speak, what its note must hold, what keeps it silent though near.
Case: TypeAlias = tuple[dict[str, Any], str, dict[str, Any]]

#: Two of them, the second the busier.
GENERATORS = (
    handmade_share("loadgen", generator_cpu_percent=45.0),
    handmade_share("loadgen_2", generator_cpu_percent=91.0),
)


def good_row(**changes: Any) -> SummaryRow:  # noqa: ANN401  keys of the row
    """15,000 requests/s of a server that is busy, 2,000 connections at a hold of 100 ms, three rounds."""
    values: dict[str, Any] = {
        "variant": "flask_gunicorn_gevent",
        "stack": "flask",
        "scenario": "standard",
        "state": "measured",
        "path": "/health",
        "hold_ms": 100,
        "threads": 4,
        "duration_s": 4.0,
        "timeout_s": 6,
        "connections_asked": 2000,
        "rounds": 3,
        "rounds_planned": 3,
        "requests": 180_000,
        "requests_per_s": 15_000.0,
        "requests_per_s_min": 14_900.0,
        "requests_per_s_max": 15_100.0,
        "ideal_per_s": 20_000.0,
        "ideal_ratio": 0.75,
        "in_flight_limit": 8000,
        "ceiling_per_s": 80_000.0,
        "ceiling_ratio": 0.1875,
        "latency": handmade_latency(),
        "wrk_latency": handmade_latency(),
        "errors": Errors(),
        "connections_open": 2000,
        "busy_ratio": 0.95,
        "server_cpu_percent": 97.0,
        "generator_cpu_percent": 45.0,
        "neighbours_cpu_percent": 0.5,
        "others_cpu_percent": 1.0,
        "server_cpus_busy_percent": 99.0,
        "unit_waiting_percent": 90.0,
        "busiest_process_cpu_percent": 25.0,
        "serving_processes_count": 4,
        "saturated_processes_count": 0,
        "is_one_cpu_a_process": True,
        "steal_percent": 0.0,
        "generator_host_cpu_percent": 50.0,
        "generator_thread_percent": 30.0,
        "generator_thread_waiting_percent": 18.0,
        "generator_unread_ratio": 0.02,
        "generator_neighbours_cpu_percent": 0.5,
        "generator_steal_percent": 0.0,
        "connections_held": 2000,
        "connections_reopening": 0,
        "connections_unanswered": 0,
        "connections_stalled": 0,
        "backlog": 2048,
        "listen_overflows": 0,
    }
    return handmade_summary(**(values | changes))


def note_names(row: SummaryRow) -> set[str]:
    """The rules that apply to a row."""
    return {note.rule for note in row_notes(row)}


def check_speaks(rule: str, case: Case) -> None:
    """Where its condition holds, a rule's note stands with figures, words and a next step."""
    changes, text, _ = case

    [note] = [note for note in row_notes(good_row(**changes)) if note.rule == rule]

    assert text in note.text
    assert note.sentence == f"{note.text}: {note.meaning}. {note.next_step}."
    assert (note.variant, note.scenario) == ("flask_gunicorn_gevent", "standard")
    assert 1 <= len(note.words.replace(" %", "%").split()) <= 5


def check_silent(rule: str, case: Case) -> None:
    """A row that comes near the condition without meeting it has no such note."""
    assert rule not in note_names(good_row(**case[2]))
