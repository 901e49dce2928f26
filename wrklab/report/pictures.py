"""Which pictures a run has data for: their charts for the page, and the same charts as SVG files for report.md."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wrklab.report import charts
from wrklab.report.chart_figures import (
    CELLS_MAX,
    PANEL_METRICS,
    WindowPanels,
    article_figures,
    cost_figures,
    latency_figures,
    rate_figures,
    window_panels,
)
from wrklab.report.contents import Contents, ReportRow, reason
from wrklab.report.screen import named_entries
from wrklab.results.records import CellRecord
from wrklab.results.run_folder import Run, write_file
from wrklab.verdicts.rules import verdict_figures

PICTURES_DIR = "pictures"
#: Rows of which a page shows the window: doubtful ones first, so that it stays small with hundreds of rows.
_WINDOWS_MAX = 120
#: A row of a picture as SVG is a line of text; above this many a picture of its own helps nobody.
_ROWS_MAX = 250


@dataclass(frozen=True)
class Section:
    """One or several charts under one heading."""

    id: str
    title: str
    caption: str
    #: (name, what a reader who cannot see it is told).
    charts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class RowWindow:
    """Inside the window of one row."""

    title: str
    why: str
    panels: WindowPanels


@dataclass(frozen=True)
class Picture:
    """A picture in a file of its own, beside report.md."""

    name: str
    title: str
    spec: Mapping[str, Any]

    @property
    def file(self) -> str:
        """Relative to the run's folder."""
        return f"{PICTURES_DIR}/{self.name}.svg"


@dataclass(frozen=True)
class Pictures:
    """All pictures of one run."""

    page_specs: Mapping[str, charts.Spec] = field(default_factory=dict)
    sections: tuple[Section, ...] = ()
    #: The row that the latency spectrum begins with.
    focus: str = ""
    #: By scenario and variant.
    windows: Mapping[str, RowWindow] = field(default_factory=dict)
    window_spec: charts.Spec = field(default_factory=dict)
    window_colours: Sequence[str] = ()
    window_dashes: Sequence[Sequence[int]] = ()
    files: tuple[Picture, ...] = ()


_SECTIONS = {
    "ranking": Section(
        "ranking",
        "Ranking",
        "Requests/s with the 95 % interval of the rounds. A hollow mark is doubtful; an upright tick is what an "
        "article published.",
        (("ranking", "Requests per second of each row with its interval; the table has the figures"),),
    ),
    "latency": Section(
        "latency",
        "Latency spectrum",
        "How long the slowest answers took: all rounds together, as observed, and as wrk would have printed it after "
        "its correction for coordinated omission (dashed). The other rows are grey.",
        (("latency_spectrum", "Latency over percentile; the table has p50 and p99"),),
    ),
    "cost": Section(
        "cost",
        "Cost",
        "What one request costs the server's CPUs and memory. Left: against the rate; the size is the most memory. "
        "Right: by what the time was spent on, the highest rate first; softirq is the kernel's network work.",
        (
            ("cpu_cost", "CPU time of a request against requests per second; the table has the figures"),
            ("cpu_parts", "CPU time of a request by user, system and softirq"),
        ),
    ),
}


def run_pictures(run: Run, contents: Contents) -> Pictures:
    """Every picture that the run has data for; none where nothing was measured. Raises StoreError."""
    rates = rate_figures(contents)
    if not rates:
        return Pictures()
    latencies, costs, articles = latency_figures(contents), cost_figures(contents, run), article_figures(contents)
    sound = [figure.name for figure in rates if not figure.is_doubtful]
    focus = (sound or [figure.name for figure in rates])[0]
    drawn = {"ranking": charts.plain(charts.ranking(rates))}
    if latencies:
        drawn["latency_spectrum"] = charts.plain(charts.latency_spectrum(latencies, focus))
    if costs:
        drawn["cpu_cost"] = charts.plain(charts.cpu_cost(costs))
        drawn["cpu_parts"] = charts.plain(charts.cpu_parts(costs))
    if articles:
        drawn["articles"] = charts.plain(charts.articles(articles))
    sections = [one for one in _SECTIONS.values() if all(name in drawn for name, _ in one.charts)]
    windows = dict(_windows(run, contents))
    first = next(iter(windows.values()), None)
    titles = {name: one.title for one in sections for name, _ in one.charts} | {"articles": "Articles"}
    files = [Picture(name, titles[name], charts.picture_spec(spec)) for name, spec in drawn.items()]
    window_spec: charts.Spec = {}
    if first is not None:
        heading, figures = first.panels.panels[0]
        panel = charts.plain(charts.window_panel(figures, heading, first.panels.length_s))
        files.append(Picture("window", f"Inside the window of {first.title}", charts.picture_spec(panel)))
        window_spec = charts.page_spec(panel)
    return Pictures(
        page_specs={name: charts.page_spec(spec) for name, spec in drawn.items()},
        sections=tuple(sections),
        focus=focus,
        windows=windows,
        window_spec=window_spec,
        window_colours=charts.SERIES_COLOURS,
        window_dashes=charts.SERIES_DASHES,
        files=tuple(files) if len(rates) <= _ROWS_MAX else (),
    )


def write_pictures(folder: Path, pictures: Sequence[Picture]) -> None:
    """Writes the SVG files of a run. One that shows what it showed before is left alone: drawing is what takes time."""
    if not pictures:
        return
    (folder / PICTURES_DIR).mkdir(exist_ok=True)
    for picture in pictures:
        path = folder / picture.file
        digest = hashlib.sha256(json.dumps(picture.spec, sort_keys=True).encode()).hexdigest()
        mark = f"<!-- made from {digest} -->\n"
        if path.is_file() and path.read_text(encoding="utf-8").endswith(mark):
            continue
        write_file(path, f"{charts.to_svg(dict(picture.spec))}{mark}")


def _windows(run: Run, contents: Contents) -> Iterator[tuple[str, RowWindow]]:
    """The rows that have samples: the doubtful ones first, then by rate."""
    named = [(name, entry) for name, entry in named_entries(contents) if entry.row.measured]
    named.sort(key=lambda pair: not pair[1].is_doubtful)
    has_all_rounds = sum(len(entry.row.measured) for _, entry in named) <= CELLS_MAX
    for name, entry in named[:_WINDOWS_MAX]:
        cells = entry.row.measured if has_all_rounds else entry.row.measured[:1]
        panels = window_panels(cells, {cell.cell_id: run.samples(cell.cell_id, PANEL_METRICS) for cell in cells})
        if panels.panels:
            yield _key(cells[0]), RowWindow(_window_title(name, entry), _why(entry), panels)


def _key(cell: CellRecord) -> str:
    return f"{cell.scenario}/{cell.variant}"


def _window_title(name: str, entry: ReportRow) -> str:
    words = reason(entry)
    return f"{name} (doubtful: {words})" if words else f"{name} ({entry.verdict})"


def _why(entry: ReportRow) -> str:
    return f"{entry.verdict}: {verdict_figures(entry.row)}."
