"""`invoke bench`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from invoke.exceptions import Exit

from wrklab.cli.overrides import collect
from wrklab.cli.reporting import show_report
from wrklab.cli.verbs import INTERRUPTED, console, one_interrupt
from wrklab.doors.ansible import inventory_path
from wrklab.doors.results import Run
from wrklab.errors import UsageError
from wrklab.measure.bench import BenchResult, run_bench
from wrklab.model.catalogue import read_catalogue
from wrklab.model.plan import BenchRequest
from wrklab.paths import RESULTS_DIR


def bench(  # noqa: PLR0913, PLR0917  what the command line can say
    variants: Sequence[str],
    scenario: str,
    suite: str,
    lab: str,
    seed: str,
    flags: Mapping[str, str],
    assignments: Sequence[str],
    *,
    as_json: bool,
) -> None:
    """Measure, store, report. Exits with 1 when a cell failed or a number is doubtful, with 130 after Ctrl-C."""
    inventory_path(lab)  # an unknown lab is told before anything else
    request = BenchRequest(
        variants=tuple(variants),
        scenario=scenario or None,
        suite=suite or None,
        lab=lab,
        overrides=collect(flags, assignments),
        seed=_seed(seed),
    )
    with one_interrupt():
        result = run_bench(read_catalogue(), request, console)
        doubtful_count = _report(result, as_json=as_json)
    if result.is_interrupted:
        raise Exit("interrupted; what was measured is in the report", code=INTERRUPTED)
    if result.failed_cells:
        raise Exit(f"failed: {', '.join(result.failed_cells)}", code=1)
    if doubtful_count:
        rows = "1 row is" if doubtful_count == 1 else f"{doubtful_count} rows are"
        raise Exit(f"measured whole; {rows} doubtful: see the notes", code=1)


def _report(result: BenchResult, *, as_json: bool) -> int:
    with Run.open(RESULTS_DIR, result.run_id) as run:
        return show_report(run, as_json=as_json)


def _seed(text: str) -> int | None:
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"--seed {text!r}: a whole number was expected") from None
