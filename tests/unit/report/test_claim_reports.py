"""Claims in reports: every writer shows each with published, measured, answer and why."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from tests.unit.handmade_claims import handmade_probe
from tests.unit.handmade_records import (
    RUN_ID,
    handmade_cell,
    handmade_environment,
    handmade_histogram,
    handmade_measurement,
    handmade_plan,
    handmade_scenario,
)
from wrklab.articles import library as library_module
from wrklab.articles.claim_cards import METRICS
from wrklab.articles.claims import judge_articles
from wrklab.articles.consistency import find_inconsistencies
from wrklab.articles.library import SNAPSHOT_FILE, attachments, read_library
from wrklab.catalogue import catalogue as catalogue_module
from wrklab.catalogue.catalogue import read_catalogue
from wrklab.errors import CardError
from wrklab.paths import PROJECT_DIR
from wrklab.report.claims import article_data, render_articles, to_data
from wrklab.report.probe import read_findings, render, to_markdown, to_rows
from wrklab.report.reports import render_terminal, report_data, write_report
from wrklab.results.probe_folder import ProbeFolder
from wrklab.results.probe_record import ProbePlan
from wrklab.results.records import CellRecord, RunEnvironment
from wrklab.results.run_folder import Run

LIBRARY = read_library(read_catalogue())
#: What a bench or a probe of this checkout stores.
ARTICLES = attachments(LIBRARY)
OBSERVED = {"observed": handmade_histogram({100_000: 50_000}), "wrk": handmade_histogram({100_000: 50_000})}


def cells_of(variant: str, rates_per_s: Sequence[float], published: str) -> list[CellRecord]:
    """Three rounds under `standard`, which compares with `article`."""
    return [
        handmade_cell(
            variant, round_number=i, published_row=published, measurement=handmade_measurement(requests_per_s=rate)
        )
        for i, rate in enumerate(rates_per_s, start=1)
    ]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """uvicorn's workers, gunicorn before them, and one process; on four CPUs."""
    cells = [
        *cells_of("fastapi_uvicorn_workers", (6000, 6100, 6200), "fastapi-uvicorn-workers"),
        *cells_of("fastapi_gunicorn_uvicorn", (5900, 6000, 6300), "fastapi-gunicorn-uvicorn"),
        *cells_of("fastapi_uvicorn_async", (3000, 3100, 3200), "fastapi-uvicorn-async"),
    ]
    plan = handmade_plan(cells, scenarios=[handmade_scenario()], server_cpus_count=4)
    with Run.create(tmp_path, plan, handmade_environment(), ARTICLES) as created:
        for cell in cells:
            created.add_cell(cell, OBSERVED)
        created.end("finished")
        yield created


def other_checkout(tmp_path: Path) -> Path:
    """A copy of this checkout's cards and figures in which a card, a claim and a CSV are broken."""
    project = tmp_path / "checkout"
    for folder in ("servers", "scenarios", "suites", "reference"):
        shutil.copytree(PROJECT_DIR / folder, project / folder)
    (project / "servers/flask/stack.yml").write_text("variants: [")
    (project / "suites/flask_gunicorn_article.yml").write_text("description: 1\nclaims: [{}]\n")
    (project / "reference/wrk-flask-gunicorn.csv").write_text("row\nmine\n")
    return project


def test_an_old_run_is_reported_whatever_the_checkout_says(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder has all that a report needs: the report of a broken checkout is the same, byte for byte."""
    before = write_report(run).markdown.read_bytes(), json.dumps(report_data(run)), printed(run, 120)
    broken = other_checkout(tmp_path)
    for name, module in list(sys.modules.items()):
        if name.startswith("wrklab.") and getattr(module, "PROJECT_DIR", None) == PROJECT_DIR:
            monkeypatch.setattr(module, "PROJECT_DIR", broken)
    monkeypatch.chdir(broken)
    # Defaults of parameters were bound when the modules were loaded.
    monkeypatch.setattr(catalogue_module.read_catalogue, "__defaults__", (broken,))
    monkeypatch.setattr(library_module.read_library, "__defaults__", (broken,))
    with pytest.raises(CardError):
        read_catalogue()

    with Run.open(run.path.parent, run.plan.run_id) as again:
        after = write_report(again).markdown.read_bytes(), json.dumps(report_data(again)), printed(again, 120)

    assert after == before


def test_a_run_without_the_articles_has_no_section_on_them(run: Run) -> None:
    """Everything else is reported."""
    (run.path / SNAPSHOT_FILE).unlink()
    data = report_data(run)
    text = write_report(run).markdown.read_text(encoding="utf-8")

    assert (data["claims"], data["rank_correlations"], data["article_inconsistencies"]) == ([], [], [])
    assert len(data["rows"]) == 3
    assert "## What the articles claim" not in text
    assert "## The articles" not in text
    assert "Claims of the articles" not in printed(run, 120)


def printed(run: Run, width: int) -> str:
    """What the terminal shows, without colours."""
    stream = io.StringIO()
    render_terminal(run, Console(file=stream, width=width, force_terminal=False), is_verbose=True)
    return stream.getvalue()


def test_json_has_every_claim_with_its_figures(run: Run) -> None:
    """Published, measured with its range, verdict and why; what is not measured is null and says so."""
    data = json.loads(json.dumps(report_data(run)))
    claims = {claim["claim"]: claim for claim in data["claims"]}

    little = claims["gunicorn_adds_little_to_uvicorn"]
    assert (little["verdict"], little["published"]) == ("holds", pytest.approx(1.1235, abs=1e-4))
    assert little["measured"] == pytest.approx(6000 / 6100, abs=1e-4)
    assert little["measured_low"] < little["measured"] < little["measured_high"]
    assert little["why"] == ["0.98x with its whole range (0.95x-1.05x) is within the limit: at most 1.25x"]
    ahead = claims["sanic_ahead_of_fastapi"]
    assert (ahead["verdict"], ahead["measured"]) == ("can't be said", None)
    assert "sanic_fast was not measured" in " ".join(ahead["why"])
    assert "openresty_level_with_go" not in claims
    [correlation] = data["rank_correlations"]
    assert (correlation["n"], correlation["spearman"]) == (3, pytest.approx(0.5))
    assert {"row": "sanic", "why": "not measured in this run"} in correlation["left_out"]
    assert {one["article"] for one in data["article_inconsistencies"]} == {"gunicorn_flask_benchmark"}


def test_the_terminal_shows_claims_within_120_columns(run: Run) -> None:
    """A sentence and a line of figures each, the count above, the order below."""
    text = printed(run, 120)

    assert max(len(line) for line in text.splitlines()) <= 120
    assert re.search(r"^Claims of the articles: \d+ hold, \d+ do not hold, \d+ can't be said$", text, re.MULTILINE)
    assert re.search(r"^holds +Gunicorn adds little to what uvicorn's own four workers serve\.", text, re.MULTILINE)
    assert "requests_per_s ratio: claimed at most 1.25x; published 1.12x; measured 0.98x (0.95x-1.05x)" in text
    assert "n = 3: Spearman 0.50, Kendall 0.33; 12 left out" in text


def test_the_markdown_has_a_line_a_claim(run: Run) -> None:
    """With what is compared, and what does not fit within the article below."""
    text = write_report(run).markdown.read_text(encoding="utf-8").replace("\\", "")
    [line] = re.findall(r"^\| gunicorn_adds_little_to_uvicorn: .*$", text, re.MULTILINE)

    assert (
        "requests_per_s of fastapi_gunicorn_uvicorn / fastapi_uvicorn_workers | at most 1.25x | 1.12x | 0.98x" in line
    )
    assert "maximum latency: its run printed 263.13 ms, but the summary says 273.27ms" in text
    assert "Left out: not measured in this run: flask-dev-nosleep" in text


def test_claims_of_the_suite_that_was_run_alone(run: Run, tmp_path: Path) -> None:
    """Another suite's claims about the same variants stay out."""
    cells = run.cells()
    plan = handmade_plan(cells, suite="gunicorn_fastapi_article", run_id=f"{RUN_ID[:-1]}3")
    with Run.create(tmp_path, plan, handmade_environment(), ARTICLES) as other:
        for cell in cells:
            other.add_cell(cell, OBSERVED)
        claims = report_data(other)["claims"]

    assert [claim["claim"] for claim in claims] == ["gunicorn_adds_120_percent"]
    assert claims[0]["verdict"] == "can't be said"


def test_a_probes_report_has_its_claims(tmp_path: Path) -> None:
    """In the terminal, in probe.md and in the variant's object; one that needs another probe cannot be said."""
    record = handmade_probe("fastapi_uvicorn_sync")
    plan = ProbePlan(
        probe_id="probe_20261121T003012Z_ab12",
        lab="container",
        created_at_s=1.0,
        command="invoke probe",
        variants=("fastapi_uvicorn_sync",),
    )
    folder = ProbeFolder.create(tmp_path, plan, RunEnvironment(), ARTICLES)
    folder.add(record, {})
    findings = read_findings(folder)
    stream = io.StringIO()
    render([record], Console(file=stream, width=120), findings)
    markdown = to_markdown(folder, [record], findings)
    verdicts = {claim["claim"]: claim["verdict"] for claim in to_rows([record], findings)[0]["claims"]}
    [data] = to_rows([record], findings)

    assert (data["published_row"], data["agrees"]) == ("fastapi-uvicorn-sync", "agrees")
    assert (
        "article (fastapi-uvicorn-sync): 40 at once of 1,000, 960 queued, beyond: queued, used again: yes: agrees"
        in (markdown)
    )
    assert "To settle it: invoke probe --variant fastapi_uvicorn_sync_10000" in " ".join(stream.getvalue().split())
    assert verdicts == {
        "fastapi_sync_40_at_once": "can't be said",
        "fastapi_sync_queue_unbounded": "can't be said",
        "fastapi_sync_reuses_threads": "holds",
        "fastapi_workers_multiply": "can't be said",
    }
    assert re.search(r"^holds +FastAPI's sync views run in a pool", stream.getvalue(), re.MULTILINE)
    assert max(len(line) for line in stream.getvalue().splitlines()) <= 120
    assert "| fastapi\\_sync\\_reuses\\_threads: " in markdown
    assert "fastapi\\_uvicorn\\_sync\\_10000 was not probed" in markdown


def test_claims_beside_the_articles_own_figures() -> None:
    """`invoke claims`: every claim, and everything that does not fit."""
    results = judge_articles(LIBRARY)
    wrong = find_inconsistencies(LIBRARY)
    stream = io.StringIO()
    render_articles(results, wrong, Console(file=stream, width=120))

    assert all(result.claim.claim in stream.getvalue() for result in results)
    assert "the article's own figures say otherwise: 8.30x" in stream.getvalue()
    assert "its run printed 263.13 ms, but the summary" in " ".join(stream.getvalue().split())
    assert json.loads(json.dumps([article_data(result) for result in results]))
    assert json.loads(json.dumps(to_data(results)))  # no infinite number, which JSON does not have


def test_every_metric_stands_in_the_docs() -> None:
    """docs/claims.md defines each name that a claim may use."""
    text = (PROJECT_DIR / "docs" / "claims.md").read_text(encoding="utf-8")

    assert {metric for metric in METRICS if f"`{metric}`" not in text} == set()
