"""Reading a run's raw files again with today's code: every cell's record, histograms and samples, into a new store.

The journal, the attempts and the plan stay. A cell whose raw files cannot be read keeps what is stored of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from wrklab.errors import StoreError
from wrklab.extract.cell import CellOutcome, cell_outcome
from wrklab.protocol.phases import Phase
from wrklab.results import raw_format_1, run_format_1
from wrklab.results.raw import FIRST_ATTEMPT, has_conditions, read_raw
from wrklab.results.records import CellRecord, Failure, PlannedCell
from wrklab.results.run_folder import Run

#: Floating point: what differs by less did not change.
_SAME_RATIO = 1e-9
#: Read again, they would miss what reading them cost when they were new.
_KEPT = "harness_s"


@dataclass(frozen=True)
class FigureChange:
    """A figure of a cell that is not what it was; None: it is not there."""

    cell_id: str
    #: Dotted, without the places of lists: `measurement.generators.cpu_percent`.
    figure: str
    old: object
    new: object


@dataclass(frozen=True)
class Reparsed:
    """What reading a run again came to."""

    cells_count: int
    changes: tuple[FigureChange, ...]
    #: Why raw files could not be read, by cell.
    problems: Mapping[str, str]
    #: Cells of these that lost their figures as well: the old record has another shape. The old store is kept then.
    lost: tuple[str, ...]

    @property
    def changed_cells_count(self) -> int:
        """Cells of which a figure changed."""
        return len({change.cell_id for change in self.changes})


def reparse(run: Run) -> Reparsed:
    """Reads a run again; `run` may be of an older format (Run.open). Its store is the new one then.

    Raises StoreError; the old store is in place then.
    """
    run.hold()
    old = run.store.plain_records()
    is_old = run.store.version == raw_format_1.FORMAT
    problems = run_format_1.add_conditions(run.path, run.plan, old) if is_old else {}
    changes: list[FigureChange] = []
    lost: list[str] = []
    former = run.store
    with run.replaced_store() as new:
        for position, planned in enumerate(run.plan.cells):
            record = old.get(planned.cell_id)
            if record is None:
                continue
            try:
                outcome = _outcome(run.path / "raw" / planned.cell_id, planned, position, record)
            except StoreError as error:
                why = problems.setdefault(planned.cell_id, str(error))
                outcome = _stored(run, record) or _unreadable(planned, position, record, why)
                lost += [planned.cell_id] if outcome.record.failure and not record.get("failure") else []
            new.add_cell(outcome.record, outcome.histograms, outcome.samples)
            changes += _changes(run, planned.cell_id, record, outcome)
        found = Reparsed(len(old), tuple(changes), problems, tuple(lost))
        new.add_journal("reparsed", f"format {former.version}; {found.changed_cells_count} of {len(old)} cells changed")
    if not lost:
        run.drop_former_store()
    return found


def _outcome(folder: Path, planned: PlannedCell, position: int, old: Mapping[str, Any]) -> CellOutcome:
    """What today's code makes of a cell's raw files. Raises StoreError where these cannot be read."""
    outcome = cell_outcome(read_raw(folder), planned, position)
    kept: dict[str, object] = {}
    if old["attempts"] > 1:
        kept |= {"attempts": old["attempts"], "first_failure": _first_failure(folder, planned, position, old)}
    if outcome.record.harness_s is not None and old[_KEPT] is not None:
        kept[_KEPT] = old[_KEPT]
    return outcome.changed(**kept)


def _first_failure(folder: Path, planned: PlannedCell, position: int, old: Mapping[str, Any]) -> Failure | None:
    """How the first attempt failed: read again, or as stored where its raw is not complete (format 1) or now good."""
    first = folder / FIRST_ATTEMPT
    found = cell_outcome(read_raw(first), planned, position).record.failure if has_conditions(first) else None
    if found is not None or old["first_failure"] is None:
        return found
    try:
        return Failure.model_validate(old["first_failure"])
    except ValidationError as error:
        raise StoreError(f"{first}: its stored failure cannot be read: {error.errors()[0]['msg']}") from error


def _stored(run: Run, old: Mapping[str, Any]) -> CellOutcome | None:
    """What is stored of a cell; None where its record has another shape."""
    try:
        record = CellRecord.model_validate(old)
    except ValidationError:
        return None
    return CellOutcome(record, run.store.histograms(record.cell_id), run.store.samples(record.cell_id))


def _unreadable(planned: PlannedCell, position: int, old: Mapping[str, Any], why: str) -> CellOutcome:
    record = CellRecord(
        **planned.kept_in_record(),
        position=position,
        state="failed",
        started_at_s=old["started_at_s"],
        finished_at_s=old["finished_at_s"],
        attempts=old["attempts"],
        failure=Failure(phase=Phase.PULL, text=f"its raw files cannot be read again: {why}"),
    )
    return CellOutcome(record, {}, [])


def _changes(run: Run, cell_id: str, old: Mapping[str, Any], outcome: CellOutcome) -> Iterator[FigureChange]:
    """Figures that both records know and that differ; histograms and samples as one figure each."""
    before, after = _figures(old), _figures(outcome.record.model_dump(mode="json"))
    for place in before.keys() & after.keys():
        if not _is_same(before[place], after[place]):
            name = ".".join(word for word in place if isinstance(word, str))
            yield FigureChange(cell_id, name, before[place], after[place])
    if run.store.histograms(cell_id) != outcome.histograms:
        yield FigureChange(cell_id, "histograms", None, None)
    if sorted(run.store.samples(cell_id)) != sorted(outcome.samples):
        yield FigureChange(cell_id, "samples", len(run.store.samples(cell_id)), len(outcome.samples))


def _figures(value: object, place: tuple[str | int, ...] = ()) -> dict[tuple[str | int, ...], object]:
    """Every value of a record that is no object and no list, by its place. An empty place of either is a value too."""
    inner: Iterable[tuple[str | int, object]]
    if isinstance(value, Mapping) and value:
        inner = value.items()
    elif isinstance(value, list) and value:
        inner = enumerate(value)
    else:
        return {place: value}
    return {found: figure for key, item in inner for found, figure in _figures(item, (*place, key)).items()}


def _is_same(old: object, new: object) -> bool:
    if isinstance(old, float | int) and isinstance(new, float | int):
        return math.isclose(old, new, rel_tol=_SAME_RATIO, abs_tol=_SAME_RATIO)
    return old == new
