"""When not to believe a number: a rule that applies gives a plain note with its figures and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wrklab import formats
from wrklab.results.records import RunPlan
from wrklab.summary.rows import SummaryRow
from wrklab.verdicts.doubt import Direction, Doubt
from wrklab.verdicts.verdicts import applying


@dataclass(frozen=True)
class Note:
    """A rule that applied. `variant` and `scenario` are None where it concerns the whole run."""

    rule: str
    doubt: Doubt
    #: The figures that it rests on.
    text: str
    meaning: str = ""
    next_step: str = ""
    variant: str | None = None
    scenario: str | None = None
    #: Which way the doubt moves the figure.
    direction: Direction = Direction.UNKNOWN
    #: The reason in one to four plain words, for one line a row; may hold a figure.
    words: str = ""
    #: What all rows with this note have in common, in a few plain words: `with connections that never opened`.
    title: str = ""
    #: The command, or the flag of `invoke bench`, that would settle it; empty where none would.
    settle: str = ""

    @property
    def sentence(self) -> str:
        """The note in full: figures, what they mean, what to do."""
        found = f"{self.text}: {self.meaning}" if self.meaning else self.text
        return f"{found}. {self.next_step}." if self.next_step else f"{found}."


def row_notes(row: SummaryRow) -> tuple[Note, ...]:
    """Every note on one row, the gravest first as the rules stand."""
    return tuple(
        Note(
            rule.name,
            rule.doubt,
            rule.figures(row),
            rule.meaning,
            rule.next_step,
            row.variant,
            row.scenario,
            rule.direction,
        )
        for rule in applying(row)
    )


def run_notes(plan: RunPlan, rows: Sequence[SummaryRow]) -> tuple[Note, ...]:
    """What concerns the whole run: its lab, what is missing, what failed."""
    found = [Note("lab", "none", text.rstrip(".")) for text in plan.notes]
    if plan.cpus_shared:
        found.append(
            Note(
                "cpus_shared",
                "rate",
                "Server and generator share their CPUs",
                "what wrk takes the server lacks, so no rate is the server's own",
                "Compare variants of this run with each other only, or use hosts with CPUs of their own",
            )
        )
    missing_count = sum(row.rounds_planned - row.rounds - row.rounds_failed for row in rows)
    if missing_count:
        found.append(
            Note(
                "unfinished",
                "none",
                f"{missing_count:,} of {formats.plural(len(plan.cells), 'cell')} were not measured",
                "the run ended early",
                "Figures rest on the rounds that were",
            )
        )
    return tuple(found)


def doubts(notes: Iterable[Note]) -> set[Doubt]:
    """What a row's notes cast doubt on: a subset of {"rate", "latency"}."""
    return {note.doubt for note in notes} - {"none"}
