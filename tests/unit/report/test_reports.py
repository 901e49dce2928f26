"""The reports: what stands in report.csv, report.md and the terminal, all from a run's folder."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from tests.unit.handmade_records import (
    RUN_ID,
    handmade_cell,
    handmade_environment,
    handmade_failure,
    handmade_generator,
    handmade_histogram,
    handmade_measurement,
    handmade_plan,
    handmade_scenario,
)
from wrklab.articles.library import attachments, read_library
from wrklab.articles.reference import read_articles
from wrklab.catalogue.catalogue import read_catalogue
from wrklab.paths import PROJECT_DIR
from wrklab.report.contents import read_contents
from wrklab.report.export_formats import export
from wrklab.report.reports import render_terminal, report_data, write_report
from wrklab.results.records import CellRecord, Errors
from wrklab.results.run_folder import Run
from wrklab.verdicts.rules import RULES
from wrklab.verdicts.verdict import Verdict

METRICS = PROJECT_DIR / "docs" / "metrics.md"
#: The columns that programs rely on, in their order; further ones follow.
FIRST_COLUMNS = re.split(
    r"\s+",
    "variant scenario rounds requests requests_per_s requests_per_s_min requests_per_s_max ideal_ratio latency_mean_us "
    "latency_p50_us latency_p90_us latency_p99_us latency_p999_us latency_max_us wrk_p99_us errors_connect errors_read "
    "errors_write errors_status errors_timeout errors_body connections_asked connections_open server_cpu_percent "
    "generator_cpu_percent startup_s harness_s published_row published_requests_per_s published_ratio",
)

#: What a bench of this checkout stores with a run.
ARTICLES = attachments(read_library(read_catalogue()))
OBSERVED = handmade_histogram({100_000: 500, 120_000: 400, 150_000: 100})
WRK = handmade_histogram({100_000: 500, 120_000: 400, 190_000: 100})

CELLS: list[CellRecord] = [
    *(handmade_cell(round_number=number) for number in (1, 2)),
    *(
        handmade_cell(
            "flask_dev_sync",
            round_number=number,
            published_row="flask-dev-sync",
            measurement=handmade_measurement(
                requests=4000, requests_per_s=1000.0, errors=Errors(read=114, timeout=144), connections_open=300
            ),
        )
        for number in (1, 2)
    ),
    handmade_cell("fastapi_gunicorn_sync", failure=handmade_failure(expected=True)),
]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """A finished run of three variants, one of which fails as expected."""
    plan = handmade_plan(CELLS, notes=("One wrk process may open only 1,024 descriptors.",))
    with Run.create(tmp_path, plan, handmade_environment(), ARTICLES) as created:
        for cell in CELLS:
            created.add_cell(cell, {"observed": OBSERVED, "wrk": WRK} if cell.state == "measured" else {})
        created.end("finished")
        yield created


def printed(run: Run, width: int) -> str:
    """What the terminal shows with --verbose, without colours."""
    stream = io.StringIO()
    render_terminal(run, Console(file=stream, width=width, force_terminal=False), is_verbose=True)
    return stream.getvalue()


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_csv_begins_with_the_agreed_columns(run: Run) -> None:
    """The names and their order are fixed; programs read by them."""
    header = write_report(run).csv.read_text(encoding="utf-8").splitlines()[0].split(",")

    assert header[: len(FIRST_COLUMNS)] == FIRST_COLUMNS
    assert len(header) == len(set(header))


def test_the_csv_has_a_line_a_variant_and_scenario(run: Run) -> None:
    """Plain figures with their units in the names; the failed variant's fields are empty, with its reason."""
    lines = {line["variant"]: line for line in read_csv(write_report(run).csv)}

    good = lines["flask_gunicorn_gevent"]
    assert (good["rounds"], good["requests"], good["requests_per_s"]) == ("2", "120000", "15000.0")
    assert (good["latency_p99_us"], good["wrk_p99_us"]) == ("150000.0", "190000.0")
    assert (good["ideal_ratio"], good["published_ratio"]) == ("0.75", "0.9494")
    assert (lines["flask_dev_sync"]["errors_read"], lines["flask_dev_sync"]["errors_timeout"]) == ("228", "288")
    failed = lines["fastapi_gunicorn_sync"]
    assert [failed[name] for name in ("requests", "requests_per_s", "latency_p50_us", "errors_read")] == [""] * 4
    assert failed["state"] == "failed"
    assert "1 of 1 round failed: ready: no right answer in 20 s" in failed["note"]


def test_json_rows_are_the_csv_lines(run: Run) -> None:
    """Both have the same columns and figures; JSON has null where CSV has nothing."""
    rows = report_data(run)["rows"]
    lines = read_csv(write_report(run).csv)

    assert json.loads(json.dumps(rows)) == rows
    assert [list(row) for row in rows] == [list(line) for line in lines]
    for row, line in zip(rows, lines, strict=True):
        assert {name: "" if value is None else str(value) for name, value in row.items()} == line


def test_the_markdown_tells_what_was_measured_on_what_and_how_often(run: Run) -> None:
    """Counts, date, command, lab, seed, shape of the load and the hosts' facts."""
    text = write_report(run).markdown.read_text(encoding="utf-8")

    assert text.startswith(f"# Run {RUN_ID}\n")
    assert "3 variants, 5 cells planned, 4 measured, 1 failed; finished." in text
    assert "Begun 2026-11-21 00:30:12 UTC with `invoke bench --variant all` on the lab container" in text
    assert "seed 7" in text
    assert "GET /health held 100 ms, 2,000 connections, 4 threads of wrk, 3 rounds of 4 s, time-out 6 s" in text
    assert "| kernel | 6.1.0-25-amd64 | 6.1.0-25-amd64 |" in text
    assert "| cpu.model | EPYC | - |" in text
    assert "| flask | python 3.11.2, flask 3.1.2, werkzeug 3.1.3 |" in text
    assert "| git.commit | 0123abc |" in text
    assert "One wrk process may open only 1,024 descriptors." in text
    assert "0.40 s in the middle" in text


def test_the_markdown_marks_what_is_doubtful(run: Run) -> None:
    """A doubtful rate is in italics and its row refers to the notes by number."""
    text = write_report(run).markdown.read_text(encoding="utf-8")
    [rate_row, latency_row] = re.findall(
        r"^\| flask\\_dev\\_sync \|.*$", text.split("## Results")[1].split("## Notes")[0], re.MULTILINE
    )
    numbers = rate_row.rsplit("|", 2)[1].split()

    assert "| *1,000* |" in rate_row
    assert "| *150.0* |" in latency_row
    assert "15,000 | 15,000-15,000 | 75 | 0.95x | 2,000 | 0 |" in text
    for number in numbers:
        assert re.search(rf"^{number}\. \*\*", text, re.MULTILINE)
    assert "flask\\_dev\\_sync: 300 of 2,000 open in the worst round" in text


def test_the_markdown_shows_what_a_limit_allows(run: Run, tmp_path: Path) -> None:
    """40 at once, held 100 ms, are 400 requests/s: beside what a variant without a limit gives, which has a dash."""
    limited = handmade_cell(measurement=handmade_measurement(requests=1520, requests_per_s=380.0))
    cells = [limited, handmade_cell("go_net_http")]
    planned = handmade_plan(cells)
    plan = planned.model_copy(
        update={
            "cells": tuple(
                cell.model_copy(update={"in_flight_limit": 40 if cell.variant == limited.variant else None})
                for cell in planned.cells
            )
        }
    )
    with Run.create(tmp_path / "limited", plan, handmade_environment(), ARTICLES) as found:
        for cell in cells:
            found.add_cell(cell, {"observed": OBSERVED, "wrk": WRK})
        text = write_report(found).markdown.read_text(encoding="utf-8")

    assert "| of ideal % | ceiling per s | of ceiling % | ours / publ. |" in text
    assert "| 2 | 400.0 | 95 |" in line_of(text, "| flask\\_gunicorn\\_gevent | limit-bound")
    assert "| 75 | - | - |" in line_of(text, "| go\\_net\\_http | server-bound")
    assert "ceiling per s" not in write_report(run).markdown.read_text(encoding="utf-8")


def test_a_failed_cell_shows_its_evidence(tmp_path: Path) -> None:
    """Phase, what was found, the unit's state and the server's last lines stand in report.md."""
    failure = handmade_failure(log_tail=("Traceback", "TypeError: `send`"), unit_state="failed/exit-code")
    cell = handmade_cell("fastapi_gunicorn_sync", failure=failure)
    with Run.create(tmp_path, handmade_plan([cell]), handmade_environment(), ARTICLES) as run:
        run.add_cell(cell, {})
        text = write_report(run).markdown.read_text(encoding="utf-8")
        shown = printed(run, 120)

    assert "no right answer in 20 s; found 500 Internal Server Error. Unit: failed/exit-code." in text
    assert "    Traceback\n    TypeError: `send`\n" in text
    assert "1 of 1 round failed: ready: no right answer" in shown


def test_every_table_of_the_markdown_is_even(run: Run) -> None:
    """Each line of a table has as many cells as its header: nothing in a figure breaks it."""
    text = write_report(run).markdown.read_text(encoding="utf-8")

    for block in re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1, block


def test_every_published_row_stands_in_the_report(run: Run) -> None:
    """All rows of both CSV files, in their order; one that this run did not measure says so."""
    text = write_report(run).markdown.read_text(encoding="utf-8").replace("\\", "")
    section = text.split("## The articles beside this run")[1].split("\n## ")[0]
    shown = re.findall(r"^\| ([a-z][a-z0-9-]+) \| ([^|]+) \|", section, re.MULTILINE)

    assert [name for name, _ in shown] == list(read_articles(PROJECT_DIR / "reference").rows)
    by_name = dict(shown)
    assert by_name["flask-gunicorn-gevent"] == "flask_gunicorn_gevent (standard)"
    assert by_name["openresty-c25000"] == "not measured in this run"


def test_published_rows_are_compared_figure_by_figure(run: Run) -> None:
    """Ratios of rate, mean and maximum, and what keeps the two from being the same measurement."""
    contents = read_contents(run)
    found = {c.published.row: c for c in contents.published["wrk-flask-gunicorn"]}

    gevent = found["flask-gunicorn-gevent"]
    assert gevent.requests_per_s_ratio == pytest.approx(15_000 / 15_799.31)
    assert gevent.latency_mean_ratio == pytest.approx(113.0 / 126.18)
    assert gevent.latency_max_ratio == pytest.approx(150.0 / 310.48)
    assert gevent.remarks == ("4 s here, 60 s there",)
    assert found["flask-dev-sync"].remarks == (
        "4 s here, 60 s there",
        "its 1,833 answers after 2 s are missing from its latencies",
    )
    assert found["sanic"].ours is None


def line_of(text: str, start: str) -> str:
    """The one line that begins so."""
    [line] = [line for line in text.splitlines() if line.startswith(start)]
    return line


def test_the_articles_tables_mark_what_is_doubtful(run: Run) -> None:
    """Our figures and ratios in italics and the verdict first among the remarks; the article's own stay as they are."""
    text = write_report(run).markdown.read_text(encoding="utf-8")
    sound, polluted = (line_of(text, f"| {row} |") for row in ("flask-gunicorn-gevent", "flask-dev-sync"))

    assert "| *1,000* | *0.53x* |" in polluted
    assert "| polluted; 4 s here" in polluted
    assert "polluted" not in sound
    assert "*" not in sound


def test_ratios_to_a_doubtful_baseline_are_doubtful(tmp_path: Path) -> None:
    """The line above the table says so, and the sound variant's ratios are in italics; its rate is not."""
    texts = {}
    for baseline in ("flask_dev_sync", "flask_gunicorn_gevent"):
        with Run.create(
            tmp_path / baseline, handmade_plan(CELLS, baseline=baseline), handmade_environment(), ARTICLES
        ) as run:
            for cell in CELLS:
                run.add_cell(cell, {"observed": OBSERVED, "wrk": WRK} if cell.state == "measured" else {})
            text = write_report(run).markdown.read_text(encoding="utf-8")
            texts[baseline] = text.split("## Against the baseline")[1].split("## Notes")[0]

    told = "The baseline's own rate is doubtful, and so is every ratio to it: standard (polluted)."
    assert told in texts["flask_dev_sync"]
    assert "| 15,000 | 15,000-15,000 | *15.00x* | *1500* |" in line_of(
        texts["flask_dev_sync"], "| flask\\_gunicorn\\_gevent"
    )
    assert told not in texts["flask_gunicorn_gevent"]
    assert "| *1,000* |" in line_of(texts["flask_gunicorn_gevent"], "| flask\\_dev\\_sync")


def test_a_published_row_measured_twice_has_two_lines(tmp_path: Path) -> None:
    """The same variant under `standard` and `article` answers the same row twice."""
    cells = [handmade_cell(), handmade_cell(scenario="article")]
    scenarios = [handmade_scenario(), handmade_scenario(name="article", duration_s=60, timeout_s=2)]
    with Run.create(tmp_path, handmade_plan(cells, scenarios=scenarios), handmade_environment(), ARTICLES) as run:
        for cell in cells:
            run.add_cell(cell, {"observed": OBSERVED, "wrk": WRK})
        comparisons = read_contents(run).published["wrk-flask-gunicorn"]

    ours = [c.ours.scenario for c in comparisons if c.ours and c.published.row == "flask-gunicorn-gevent"]
    assert ours == ["standard", "article"]
    assert [c.remarks for c in comparisons if c.ours and c.ours.scenario == "article"] == [()]


def test_the_terminal_fits_120_columns_without_losing_a_figure(run: Run) -> None:
    """No line is longer, no figure is cut, and every variant is there."""
    text = printed(run, 120)

    assert max(len(line) for line in text.splitlines()) <= 120
    assert "…" not in text
    for figure in ("15,000", "15,000-15,000", " 75 ", "0.95x", "150.0", "190.0", "228 read", "288 timeout", "failed"):
        assert figure in text
    for cell in CELLS:
        assert cell.variant in text


def test_a_wide_terminal_shows_one_table(run: Run) -> None:
    """With room for it, rates and latencies stand in one line a variant."""
    [line] = [line for line in printed(run, 230).splitlines() if line.startswith("flask_gunicorn_gevent ")][:1]

    assert "15,000-15,000" in line
    assert "190.0" in line


def test_doubtful_rows_are_counted_without_expected_failures(run: Run) -> None:
    """The dev server's row is doubtful; the variant that fails as expected is not."""
    assert [entry.row.variant for entry in read_contents(run).doubtful_rows] == ["flask_dev_sync"]


def test_a_report_is_rewritten_from_the_folder_alone(run: Run, tmp_path: Path) -> None:
    """Opened again, the same run gives the same report byte for byte."""
    first = write_report(run)
    before = (first.markdown.read_bytes(), first.csv.read_bytes())
    with Run.open(tmp_path, RUN_ID) as again:
        second = write_report(again)

    assert (second.markdown.read_bytes(), second.csv.read_bytes()) == before


def test_a_run_without_any_cell_has_a_report(tmp_path: Path) -> None:
    """Interrupted before the first cell ended: rows are there, marked missing, and nothing is invented."""
    with Run.create(tmp_path, handmade_plan(CELLS), handmade_environment(), ARTICLES) as run:
        text = write_report(run).markdown.read_text(encoding="utf-8")
        lines = read_csv(run.path / "report.csv")
        printed(run, 120)

    assert [line["state"] for line in lines] == ["missing"] * 3
    assert "5 of 5 cells were not measured" in text
    assert "Nothing was measured." in text


def test_an_export_holds_every_cell_sample_and_count(run: Run) -> None:
    """Parquet and CSV say the same; histograms are long: a line a value."""
    import pandas as pd

    export(run)
    folder = run.path / "export"
    cells = pd.read_parquet(folder / "cells.parquet")
    histograms = pd.read_parquet(folder / "histograms.parquet")

    assert sorted(cells["cell_id"]) == sorted(cell.cell_id for cell in CELLS)
    assert cells.set_index("cell_id").loc[CELLS[0].cell_id, "measurement.requests_per_s"] == 15_000.0
    one = histograms[(histograms["cell_id"] == CELLS[0].cell_id) & (histograms["kind"] == "observed")]
    assert list(zip(one["value_us"], one["count"], strict=True)) == [(100_000, 500), (120_000, 400), (150_000, 100)]
    assert len(histograms) == 4 * 2 * 3
    assert len(pd.read_csv(folder / "histograms.csv")) == len(histograms)
    assert list(pd.read_csv(folder / "cells.csv")["cell_id"]) == list(cells["cell_id"])
    assert len(pd.read_parquet(folder / "samples.parquet")) == 0


def test_every_column_has_its_definition() -> None:
    """docs/metrics.md defines each column of report.csv."""
    from wrklab.report.columns import COLUMNS

    assert {column.name for column in COLUMNS} - set(defined_names()) == set()


def test_every_rule_has_its_line_in_the_docs() -> None:
    """docs/metrics.md lists each rule with what it doubts, in the order of the rules."""
    text = METRICS.read_text(encoding="utf-8").split("## Notes")[1].split("## What is stored")[0]
    listed = re.findall(r"^\| `([a-z_]+)` \| (\w*) ?\| ([\w-]*) ?\|", text, re.MULTILINE)

    assert listed == [(rule.name, "" if rule.doubt == "none" else rule.doubt, rule.verdict or "") for rule in RULES]


def test_every_verdict_is_in_the_docs() -> None:
    """docs/metrics.md says of each what it means and whether it is sound."""
    text = METRICS.read_text(encoding="utf-8").split("## Verdicts")[1].split("## Notes")[0]
    listed = dict(re.findall(r"^\| `([a-z-]+)` \| (yes )?\|", text, re.MULTILINE))

    assert {name: bool(sound) for name, sound in listed.items()} == {found: found.is_sound for found in Verdict}


def defined_names() -> list[str]:
    """The first column of the tables in docs/metrics.md."""
    return re.findall(r"^\| `([a-z0-9_]+)` \|", METRICS.read_text(encoding="utf-8"), re.MULTILINE)


def test_several_generators_have_a_table_of_their_own(tmp_path: Path) -> None:
    """In report.md, in the terminal and as data; one generator has none."""
    parts = tuple(
        handmade_generator(
            host=host,
            wrk_processes=1,
            requests=30_000,
            requests_per_s=7500.0,
            connections_asked=1000,
            connections_open=opened,
            wrk_cpu_percent_of_one=45.0,
            cpus_count=1,
            cpu_percent=45.0,
            host_cpu_percent=None,
            start_skew_s=0.0042,
        )
        for host, opened in (("loadgen", 1000), ("loadgen_2", 987))
    )
    cell = handmade_cell(measurement=handmade_measurement(generators=parts))
    plan = handmade_plan([cell], generators=("loadgen", "loadgen_2"))
    with Run.create(tmp_path, plan, handmade_environment(), ARTICLES) as run:
        run.add_cell(cell, {"observed": handmade_histogram({100: 1})}, [])
        markdown = write_report(run).markdown.read_text()
        data = report_data(run)["generators"]
        shown = printed(run, 120)

    assert "1 CPU for the generators loadgen, loadgen\\_2" in markdown
    assert "## Generators" in markdown
    row = "| flask\\_gunicorn\\_gevent | loadgen\\_2 | polluted | 7,500 | 30,000 | 987 | 1,000 | 0 | 0 | 45 |"
    assert row in markdown
    assert [(entry["host"], entry["connections_open"], entry["errors.read"]) for entry in data] == [
        ("loadgen", 1000, 0),
        ("loadgen_2", 987, 0),
    ]
    assert [(entry["verdict"], entry["rules"]) for entry in data] == [
        ("ok", []),
        ("polluted", ["connections_not_open"]),
    ]
    assert "loadgen_2" in shown
    assert "4.20" in shown


def test_one_generator_has_no_table(run: Run) -> None:
    """Its figures are those of the rows."""
    assert "## Generators" not in write_report(run).markdown.read_text()
    assert report_data(run)["generators"] == []
