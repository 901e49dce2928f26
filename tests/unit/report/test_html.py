"""The HTML pages without a browser: what is in them, what is escaped. In a browser: tests/browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import altair as alt
import pytest

from tests.unit.handmade_full_run import HOSTILE, handmade_full_run
from tests.unit.handmade_records import handmade_cell, handmade_environment, handmade_failure, handmade_plan
from wrklab.articles.findings import ProbeFindings
from wrklab.compare.runs import compare_runs
from wrklab.report import charts
from wrklab.report.chart_figures import (
    InFlightFigure,
    RateFigure,
    TrendFigure,
    WindowFigure,
    cost_figures,
    window_panels,
)
from wrklab.report.comparison import read_side, write_comparison
from wrklab.report.contents import read_contents
from wrklab.report.index import write_index
from wrklab.report.pictures import run_pictures, write_pictures
from wrklab.report.probe import write_probe_page
from wrklab.report.reports import write_report
from wrklab.report.trend import read_trend
from wrklab.results.probe_folder import ProbeFolder
from wrklab.results.probe_record import ProbePlan
from wrklab.results.records import RunEnvironment
from wrklab.results.run_folder import Run

_LATER = "20261122T003012Z_cd34"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with two runs, both reported."""
    folder = tmp_path_factory.mktemp("results")
    for run_id in ("20261121T003012Z_ab12", _LATER):
        with handmade_full_run(folder, rounds=2, run_id=run_id) as run:
            write_report(run)
    return folder


@pytest.fixture
def run(results: Path) -> Iterator[Run]:
    with Run.open(results, _LATER) as opened:
        yield opened


def without_scripts(path: Path) -> str:
    """A page's own text."""
    return re.sub(r"<script>.*?</script>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_page_answers_first_and_has_every_section(run: Run) -> None:
    """The answer stands before the table, and pictures, articles, notes and environment follow."""
    text = without_scripts(run.path / "report.html")
    places = [text.index(f'id="{name}"') for name in ("answer", "results", "ranking", "latency", "cost", "window")]
    places += [text.index(f'id="{name}"') for name in ("articles", "notes", "environment", "reading")]

    assert places == sorted(places)
    assert text.count('<tr class="row') == 22
    assert "As in the run before, 20261121T003012Z_ab12" in text


def test_no_text_of_a_host_is_markup(run: Run) -> None:
    """It stands escaped in elements, and within JSON no tag can end its script."""
    text = without_scripts(run.path / "report.html")

    assert HOSTILE.split(" ")[0] not in text
    assert "&lt;script&gt;alert(&#39;log&#39;)&lt;/script&gt; | `x` ␛[2J" in text
    assert "<img" not in text
    assert "\x1b" not in text


def test_the_policy_lets_no_other_script_run(run: Run) -> None:
    """Every script of the page has its hash in the policy; nothing may be loaded."""
    text = (run.path / "report.html").read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)

    assert policy is not None
    assert policy[1].startswith("default-src &#39;none&#39;; script-src &#39;sha256-")
    assert policy[1].count("sha256-") == len(re.findall(r"<script>", text)) == 2
    assert "unsafe-inline" not in policy[1].partition("style-src")[0]


def test_report_md_shows_the_pictures_and_they_are_there(run: Run) -> None:
    """Each is an SVG file in the run's folder, drawn by the functions of the page."""
    files = re.findall(r"!\[[^\]]*\]\((pictures/[a-z_]+\.svg)\)", (run.path / "report.md").read_text(encoding="utf-8"))

    assert {Path(file).stem for file in files} >= {"ranking", "latency_spectrum", "cpu_cost", "cpu_parts", "window"}
    for file in files:
        text = (run.path / file).read_text(encoding="utf-8")
        assert text.startswith("<svg")
        assert "currentColor" not in text


def test_a_picture_that_shows_the_same_is_not_drawn_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing is what takes time; another figure is drawn."""
    drawn: list[charts.Spec] = []

    def draw(spec: charts.Spec) -> str:
        drawn.append(spec)
        return "<svg></svg>"

    monkeypatch.setattr(charts, "to_svg", draw)
    pictures = run_pictures(run, read_contents(run)).files
    write_pictures(run.path, pictures)
    assert not drawn

    (run.path / pictures[0].file).write_text("<svg></svg>", encoding="utf-8")
    write_pictures(run.path, pictures)
    assert len(drawn) == 1


def test_a_run_in_which_nothing_was_measured_has_a_page(tmp_path: Path) -> None:
    """It says so, and has no picture."""
    cell = handmade_cell(failure=handmade_failure())
    with Run.create(tmp_path, handmade_plan([cell]), handmade_environment()) as empty:
        empty.add_cell(cell, {})
        paths = write_report(empty)

    text = without_scripts(paths.html)
    assert "Nothing was measured" in text
    assert "data-chart" not in text
    assert not (paths.html.parent / "pictures").exists()


def test_the_index_lists_runs_with_their_headline_and_trend(results: Path) -> None:
    """The newest first, each linked to its report; a run that cannot be read says why."""
    (results / "20261120T003012Z_dead").mkdir()
    text = without_scripts(write_index(results, read_trend(results)))

    assert text.index(_LATER) < text.index("20261121T003012Z_ab12") < text.index("20261120T003012Z_dead")
    assert f'href="{_LATER}/report.html"' in text
    assert re.search(r"go_net_http 18,\d{3} requests/s; \d of 22 rows doubtful", text)
    assert "plan.json cannot be read" in text
    assert 'data-chart="standard/sanic"' in text


def test_a_comparison_shows_the_environment_before_the_rows(results: Path, tmp_path: Path) -> None:
    """Both runs, what changed around them, then a line a row with its outcome."""
    sides = []
    for run_id in ("20261121T003012Z_ab12", _LATER):
        with Run.open(results, run_id) as opened:
            sides.append(read_side(opened))
    text = without_scripts(write_comparison(tmp_path, compare_runs(sides[0], sides[1])))

    assert text.index('id="changes"') < text.index('id="ratios"') < text.index('id="rows-title"')
    assert text.count('<th scope="row"') == 22
    assert '<span class="badge unclear">equal</span>' in text


def test_probes_have_a_page(tmp_path: Path) -> None:
    """Even without a probe that ended."""
    plan = ProbePlan(
        probe_id="probe_20261121T003012Z_ab12",
        lab="container",
        created_at_s=0.0,
        command="invoke probe <b>",
        variants=("sanic",),
    )
    folder = ProbeFolder.create(tmp_path, plan, RunEnvironment())
    text = without_scripts(write_probe_page(folder, ProbeFindings()))

    assert "invoke probe &lt;b&gt;" in text


RATE = RateFigure("a", 100.0, 90.0, 110.0, 120.0, "server-bound", "server-bound", is_doubtful=False, label="100")


@pytest.mark.parametrize(
    "chart",
    [
        charts.ranking([RATE]),
        charts.window_panel([WindowFigure("x", 1, 0.0, 1.0)], "title", 4.0),
        charts.in_flight([InFlightFigure("a", "in flight", 0, 4, None), InFlightFigure("a", "beyond", 3, 2, 6)]),
        charts.trend([TrendFigure("run", "a", 1.0, is_step=True, change="kernel")], "ratio"),
    ],
)
def test_charts_are_valid_vega_lite(chart: charts.AnyChart) -> None:
    """By Altair's own schema; a report leaves this check out, as it takes longer than all else."""
    assert chart.to_dict(validate=True)["$schema"].startswith("https://vega.github.io/schema/vega-lite/")


def test_the_charts_of_a_run_are_valid_vega_lite(run: Run) -> None:
    """All of the page's, with their data."""
    pictures = run_pictures(run, read_contents(run))

    assert set(pictures.page_specs) >= {"ranking", "latency_spectrum", "cpu_cost", "cpu_parts"}
    for spec in pictures.page_specs.values():
        alt.Chart.from_dict(spec, validate=True)


def test_a_panel_keeps_the_peaks_of_a_long_window(run: Run) -> None:
    """Sixty points a line at most, the largest of each group."""
    [cell] = [cell for cell in run.cells() if cell.variant == "sanic" and cell.round_number == 1]
    samples = run.samples(cell.cell_id) * 20
    panels = window_panels([cell], {cell.cell_id: samples})
    lines: dict[str, list[float]] = {}
    for _, figures in panels.panels:
        for figure in figures:
            lines.setdefault(figure.series, []).append(figure.value)

    assert max(map(len, lines.values())) <= 60
    assert max(lines["accept queue"]) == max(s.value for s in samples if s.metric == "listen.8000.queued")


def test_what_the_generator_runs_is_not_drawn_as_the_variant(run: Run) -> None:
    """Its unit is sampled too; the variant has its own line, and 70 % of its CPU time in user mode."""
    [cell] = [cell for cell in run.cells() if cell.variant == "sanic" and cell.round_number == 1]
    samples = run.samples(cell.cell_id)
    [(_, cpu), *_] = window_panels([cell], {cell.cell_id: samples}).panels
    series = [figure.series for figure in cpu]
    own = [figure.at_s for figure in cpu if figure.series == "the variant"]
    costs = {one.part: one.cpu_us for one in cost_figures(read_contents(run), run) if one.name == "sanic"}

    assert set(series) == {"the variant", "server (all of the host)", "loadgen (generator)"}
    assert own == sorted(set(own))
    assert costs["user"] / costs["system"] == pytest.approx(7 / 3, rel=0.01)


def test_only_the_metrics_that_are_asked_for_are_read(run: Run) -> None:
    """By SQLite's globs, in the order of all samples."""
    cell_id = next(cell.cell_id for cell in run.cells() if cell.state == "measured")
    everything = run.samples(cell_id)
    some = run.samples(cell_id, ("listen.*.queued", "unit_cpu.user"))

    assert {sample.metric for sample in some} == {"listen.8000.queued", "listen.22.queued", "unit_cpu.user"}
    assert some == [sample for sample in everything if sample in some]
