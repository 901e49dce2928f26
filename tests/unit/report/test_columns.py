"""The rows for programs: the same values as before the registry, in the agreed order."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.handmade_records import handmade_environment
from tests.unit.handmade_run import handmade_run
from wrklab.articles.library import attachments, read_library
from wrklab.catalogue.catalogue import read_catalogue
from wrklab.report.columns import COLUMNS, to_csv, to_rows
from wrklab.report.contents import Contents, read_contents
from wrklab.report.generators import generator_values
from wrklab.results.run_folder import Run
from wrklab.summary.metrics_half_rate import HalfRateMetrics
from wrklab.summary.metrics_hosts import BackendMetrics
from wrklab.summary.metrics_open_loop import OpenLoopMetrics
from wrklab.summary.rows import METRICS

#: The rows and generators of `handmade_run` as the code wrote them that filled rows figure by figure, before the
#: registry: `--json` without the texts of notes and verdicts, and without the names of rules.
BEFORE = Path(__file__).parent.parent / "captured" / "report" / "rows.json"
_TEXTS = {"note", "note_names", "verdict_figures"}


ARTICLES = attachments(read_library(read_catalogue()))


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contents]:
    """A handmade run in which every metric has a value."""
    plan, cells, histograms = handmade_run()
    with Run.create(tmp_path_factory.mktemp("results"), plan, handmade_environment(), ARTICLES) as run:
        for cell in cells:
            run.add_cell(cell, dict(histograms.get(cell.cell_id, {})))
        run.end("finished")
        yield read_contents(run)


def before(part: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(BEFORE.read_text(encoding="utf-8"))[part]
    return found


def test_rows_have_the_values_that_they_had(contents: Contents) -> None:
    """Each column of each row, names too."""
    rows = [{name: value for name, value in row.items() if name not in _TEXTS} for row in to_rows(contents)]

    assert json.loads(json.dumps(rows)) == before("rows")


def test_every_value_is_tried() -> None:
    """In the captured rows each column has a value that is neither absent nor 0, but for wrong bodies in warm-ups.

    They are of closed loops without backends and without windows at half rate: test_metrics_open_loop.py and
    test_metrics_backends.py of tests/unit/summary, and test_half_rate.py here, try the columns of others.
    """
    unset = {name for name in before("rows")[0] if not any(row[name] for row in before("rows"))}

    others = {OpenLoopMetrics.THEME, BackendMetrics.THEME, HalfRateMetrics.THEME}
    elsewhere = {metric.name for metric in METRICS if metric.theme in others} | {"half_rate_doubts", "half_rate_note"}
    assert unset - elsewhere == {"warmup_errors_body"}


def test_generators_have_the_values_that_they_had(contents: Contents) -> None:
    """Each key of each generator."""
    found = [{key: value for key, value in one.items() if key != "rules"} for one in generator_values(contents)]

    assert json.loads(json.dumps(found)) == before("generators")


def test_the_articles_figures_stand_in_their_columns(contents: Contents) -> None:
    """flask-gunicorn-gevent was published with 15,799.31 requests/s; a row that was not reached has its name too."""
    rows = {(row["variant"], row["scenario"]): row for row in to_rows(contents)}
    names = ("published_row", "published_requests_per_s", "published_ratio")
    gevent, waitress = rows["flask_gunicorn_gevent", "article"], rows["waitress", "plain"]
    rate = gevent["requests_per_s"]

    assert isinstance(rate, float)
    assert [gevent[name] for name in names] == ["flask-gunicorn-gevent", 15_799.31, round(rate / 15_799.31, 4)]
    assert waitress["state"] == "missing"
    assert [waitress[name] for name in names] == ["flask-dev-sync", 1904.45, None]


def test_the_csv_has_every_column_once(contents: Contents) -> None:
    """And a field for each of them in each line."""
    lines = list(csv.reader(io.StringIO(to_csv(contents))))

    assert lines[0] == [column.name for column in COLUMNS]
    assert len(set(lines[0])) == len(lines[0])
    assert {len(line) for line in lines} == {len(COLUMNS)}
