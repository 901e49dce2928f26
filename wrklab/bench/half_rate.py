"""Windows at half rate: what visitors wait at a variant that has half of the load that it can bear.

A closed loop keeps a server full, so its latencies are those of a full server. Once the closed-loop rounds of a run
have ended, each variant has one more window: an open loop at half of the median rate of its sound rounds. Which
scenarios have such windows: their key `half_rate_window`.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from wrklab.bench.cells import Bench, measure_cell
from wrklab.bench.plan import Cell
from wrklab.catalogue.scenario import HALF_RATE_MAX_S, Scenario, half_rate_scenario
from wrklab.formats import plural
from wrklab.hosts.limits import LoadShares
from wrklab.progress import BenchProgress
from wrklab.results.records import CellRecord, PlannedCell, RunPlan
from wrklab.results.run_folder import Run

#: Whether a cell's rate can be believed, by the rules of rows.
IsSound: TypeAlias = Callable[[RunPlan, CellRecord], bool]
#: How a scenario's load is shared out. Raises LimitError.
ShareLoad: TypeAlias = Callable[[Scenario], Mapping[str, LoadShares]]

#: The phase of the journal's entries on variants without such a window.
LEFT_OUT_PHASE = "half_rate_left_out"


@dataclass(frozen=True)
class HalfRateWindows:
    """The windows at half rate that a run still lacks, in the order of the last round."""

    run: Run
    cells: Sequence[Cell]
    #: Gets those of each window; run_cells reads the same mapping.
    shares: dict[str, LoadShares]
    share_load: ShareLoad
    is_sound: IsSound

    @cached_property
    def closed_loops(self) -> tuple[Cell, ...]:
        """The last closed-loop cell of each variant and scenario whose window is not planned yet."""
        known = {(cell.variant, cell.half_rate_of) for cell in self.run.plan.cells if cell.half_rate_of}
        last = {(cell.variant.name, cell.scenario.name): cell for cell in self.cells if cell.scenario.half_rate_window}
        wanted = [cell for key, cell in last.items() if key not in known]
        return tuple(sorted(wanted, key=self.cells.index))

    @property
    def planned_s(self) -> Sequence[float]:
        """What each will take at most."""
        return [cell.planned_s - cell.scenario.duration_s + HALF_RATE_MAX_S for cell in self.closed_loops]

    def measure(self, bench: Bench, progress: BenchProgress) -> Iterator[CellRecord]:
        """Plans, measures and commits one window after another. A variant without a sound round has none."""
        for closed, planned_s in zip(self.closed_loops, self.planned_s, strict=True):
            rates_per_s = self._sound_rates(closed)
            window = half_rate_scenario(closed.scenario, statistics.median(rates_per_s)) if rates_per_s else None
            if window is None:
                progress.replan(-1, -planned_s)
                self.run.journal(LEFT_OUT_PHASE, f"{closed.variant.name}: {self._why_left_out(closed)}")
                continue
            cell = Cell(closed.variant, window, 1)
            progress.replan(0, cell.planned_s - planned_s)
            self.shares.update(self.share_load(window))
            yield measure_cell(bench, cell, self._plan(cell, closed), progress)

    def _sound_rates(self, closed: Cell) -> list[float]:
        return [
            record.measurement.requests_per_s
            for record in self._rounds(closed)
            if record.measurement is not None and self.is_sound(self.run.plan, record)
        ]

    def _why_left_out(self, closed: Cell) -> str:
        measured = [record for record in self._rounds(closed) if record.measurement is not None]
        return f"of {plural(len(measured), 'measured round')} none has a sound rate that could be halved"

    def _rounds(self, closed: Cell) -> Iterable[CellRecord]:
        wanted = (closed.variant.name, closed.scenario.name)
        return (record for record in self.run.cells() if (record.variant, record.scenario) == wanted)

    def _plan(self, cell: Cell, closed: Cell) -> int:
        """The window's position in the plan, where it is added. What is known of the variant is as in its rounds."""
        [planned] = [one for one in self.run.plan.cells if one.cell_id == closed.cell_id]
        return self.run.extend_plan(_window_of(planned, cell), cell.scenario)


def _window_of(planned: PlannedCell, cell: Cell) -> PlannedCell:
    changes = {
        "cell_id": cell.cell_id,
        "scenario": cell.scenario.name,
        "round_number": cell.round_number,
        "twin": cell.twin,
        "published_row": None,
        "half_rate_of": planned.scenario,
    }
    return planned.model_copy(update=changes)
