"""Probes stored and found again, beside the articles, and as the ceiling of a bench."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wrklab.articles.comparison import compare_probe
from wrklab.articles.findings import ProbeFindings
from wrklab.articles.reference import PublishedProbe, read_articles
from wrklab.errors import StoreError
from wrklab.paths import PROJECT_DIR
from wrklab.report.probe import details, to_markdown, to_rows
from wrklab.results import run_folder
from wrklab.results.probe_folder import ProbeFolder, newest_probe
from wrklab.results.probe_record import ProbePlan, ProbeRecord, probed_limit
from wrklab.results.records import RunEnvironment

#: What `invoke probe --json` promises of each variant.
PROMISED = [
    *("variant", "capacity", "capacity_limited_by", "queued_process", "queued_kernel", "kernel_limit", "overflow"),
    *("processes", "threads", "serving", "reused", "displacement_mean", "seconds", "tries", "published_row", "agrees"),
]


def record(**changes: object) -> ProbeRecord:
    """A probe of a pool of 40, with changes."""
    usual: dict[str, Any] = {
        "variant": "fastapi_uvicorn_sync", "stack": "fastapi", "state": "measured", "started_at_s": 1.0, "seconds": 9.0,
        "tries": 1, "requests_count": 1000, "capacity": 40, "capacity_limited_by": "the server's own limit",
        "queued_process": 960, "queued_kernel": 0, "kernel_queue": "empty", "kernel_limit": 2048,
        "overflow": (), "processes": 1, "threads": 45, "serving": "pool", "reused": True,
    }  # fmt: skip
    return ProbeRecord(**(usual | changes))


def folder(results_dir: Path, second: int, *variants: str) -> ProbeFolder:
    """An empty folder of probes, begun at a second of one minute."""
    name = f"probe_20261121T0000{second:02d}Z_abcd"
    plan = ProbePlan(probe_id=name, lab="container", created_at_s=1.0, command="inv probe", variants=variants)
    return ProbeFolder.create(results_dir, plan, RunEnvironment())


@pytest.fixture(scope="module")
def published() -> dict[str, PublishedProbe]:
    """The articles' rows."""
    return read_articles(PROJECT_DIR / "reference").probes


def agrees(found: ProbeRecord, row: PublishedProbe) -> str:
    """The verdict."""
    return str(compare_probe(found, row).agrees)


def test_a_folder_that_cannot_be_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk is full at the second file, no folder remains under any name."""

    def refuse(path: Path, text: str) -> None:
        if path.name == "environment.json":
            raise StoreError(f"{path} cannot be written: no space left on device")

    monkeypatch.setattr(run_folder, "write_file", refuse)

    with pytest.raises(StoreError, match="no space"):
        folder(tmp_path, 1, "go_net_http")

    assert list(tmp_path.iterdir()) == []


def test_probes_come_back_as_they_were_stored(tmp_path: Path) -> None:
    """In the plan's order; one that has not ended is not there."""
    made = folder(tmp_path, 1, "go_net_http", "fastapi_uvicorn_sync", "flask_dev_sync")
    made.add(record(), {"try1": {}})
    made.add(record(variant="go_net_http"), {})
    found = ProbeFolder.open(made.path).records()
    assert [entry.variant for entry in found] == ["go_net_http", "fastapi_uvicorn_sync"]
    assert found[1] == record()


def test_a_folder_is_never_written_over(tmp_path: Path) -> None:
    """The name is taken."""
    folder(tmp_path, 1, "go_net_http")
    with pytest.raises(StoreError, match="choose another"):
        folder(tmp_path, 1, "go_net_http")


def test_the_newest_measured_probe_is_found(tmp_path: Path) -> None:
    """Void ones, other variants and files that cannot be read are passed over."""
    folder(tmp_path, 1, "fastapi_uvicorn_sync").add(record(capacity=39), {})
    folder(tmp_path, 2, "fastapi_uvicorn_sync").add(record(capacity=40), {})
    folder(tmp_path, 3, "fastapi_uvicorn_sync").add(record(state="void", capacity=None), {})
    broken = folder(tmp_path, 4, "fastapi_uvicorn_sync")
    (broken.path / "probes/fastapi_uvicorn_sync.json").write_text("{}")
    newest = newest_probe(tmp_path, "fastapi_uvicorn_sync", "container")
    assert newest is not None
    assert newest.capacity == 40
    assert newest_probe(tmp_path, "flask_dev_sync", "container") is None
    assert newest_probe(tmp_path / "nothing", "flask_dev_sync", "container") is None


@pytest.mark.parametrize(
    ("digest", "cpus_count", "capacity"), [("old", None, 39), ("old", 2, 39), ("old", 4, None), ("new", 2, None)]
)
def test_a_probe_of_another_server_is_passed_over(
    tmp_path: Path, digest: str, cpus_count: int | None, capacity: int | None
) -> None:
    """Another card, application, package or number of CPUs; probes of before that was stored are of no known server."""
    folder(tmp_path, 1, "fastapi_uvicorn_sync").add(record(capacity=39, variant_digest="old", server_cpus_count=2), {})
    folder(tmp_path, 2, "fastapi_uvicorn_sync").add(record(capacity=40), {})
    newest = newest_probe(tmp_path, "fastapi_uvicorn_sync", "container", digest, cpus_count)
    assert (newest.capacity if newest else None) == capacity


@pytest.mark.parametrize(
    ("found", "limit"),
    [
        (record(), 40),
        (None, None),
        (record(state="void"), None),
        (record(capacity=0, capacity_limited_by="fails"), None),
        (record(capacity=1000, capacity_limited_by="no limit"), None),
    ],
)
def test_a_limit_is_known_where_one_was_met(found: ProbeRecord | None, limit: int | None) -> None:
    """A bench takes it for the variant's own."""
    assert probed_limit(found) == limit


def test_an_article_that_found_the_same_agrees(published: dict[str, PublishedProbe]) -> None:
    """40 and 960; without a limit; a backlog of 128, of which Linux admits one more."""
    assert agrees(record(), published["fastapi-uvicorn-sync"]) == "agrees"
    unlimited = record(capacity=1000, capacity_limited_by="no limit", queued_process=0)
    assert agrees(unlimited, published["fastapi-uvicorn-async-await"]) == "agrees"
    forking = record(
        capacity=10, queued_process=0, queued_kernel=129, kernel_queue="full", kernel_limit=128, reused=False
    )
    assert agrees(forking, published["flask-dev-processes10"]) == "agrees"


def test_an_article_that_found_another_figure_differs_with_the_reason(published: dict[str, PublishedProbe]) -> None:
    """Both figures are told."""
    unlimited = record(capacity=1000, capacity_limited_by="no limit", queued_process=0, reused=False)
    text = agrees(unlimited, published["flask-dev-threaded"])
    assert text.startswith("differs, because")
    assert "251" in text
    assert "1000" in text
    assert "200" in agrees(record(), published["fastapi-uvicorn-sync-limiter200"])


def failing(**changes: object) -> ProbeRecord:
    """A probe of gunicorn's sync worker with an ASGI application, which fails every request."""
    usual = {
        "variant": "fastapi_gunicorn_sync_worker", "requests_count": 100, "capacity": 0, "capacity_limited_by": "fails",
        "queued_process": 0, "overflow": ("5xx",), "serving": "nothing", "reused": None,
        "expected_failure": "TypeError", "is_expected_failure": True, "error": "TypeError: no send",
    }  # fmt: skip
    return record(**(usual | changes))


def test_an_article_that_saw_it_fail_agrees_with_just_that_failure(published: dict[str, PublishedProbe]) -> None:
    """Another error, or requests that are handled, are another finding."""
    row = published["fastapi-gunicorn-sync-worker"]
    assert agrees(failing(), row) == "agrees"
    assert agrees(failing(state="failed", capacity=None), row) == "agrees"
    other = agrees(failing(is_expected_failure=False, error="SyntaxError"), row)
    assert other == "differs, because the server fails otherwise here: SyntaxError"
    assert "40 are handled at once here" in agrees(record(), row)


@pytest.mark.parametrize(
    ("row", "requests_count", "overflow", "differs"),
    [
        ("fastapi-uvicorn-sync", 1000, (), False),
        ("fastapi-uvicorn-sync", 1000, ("SYN pending",), False),
        ("fastapi-uvicorn-sync", 1000, ("5xx",), True),
        ("fastapi-uvicorn-sync", 1001, ("5xx",), False),
        ("flask-dev-processes10", 1000, ("closed", "SYN pending"), True),
        ("flask-dev-threaded", 1000, ("closed",), False),
        ("flask-dev-threaded", 1000, ("5xx",), True),
        ("flask-dev-async-10000", 10_000, ("5xx", "closed"), False),
        ("flask-dev-async-10000", 10_000, ("refused",), True),
        ("fastapi-gunicorn-uvicorn-worker2", 1000, ("5xx",), False),
    ],
)
def test_an_article_differs_where_requests_were_turned_away_otherwise(
    published: dict[str, PublishedProbe], row: str, requests_count: int, overflow: tuple[str, ...], *, differs: bool
) -> None:
    """That some wait for a place, or that more requests met more, contradicts nothing."""
    text = agrees(record(requests_count=requests_count, overflow=overflow), published[row])
    assert ("requests beyond" in text) == differs


def test_a_variant_that_did_not_fail_is_told_so() -> None:
    """It answers, so what it says is no answer to the requests beyond."""
    text = "did not fail as expected (TypeError): it answers"
    found = failing(capacity=100, capacity_limited_by="no limit", is_expected_failure=False, error=text)
    assert details(found) == [text]
    assert details(failing()) == ["fails (as expected): TypeError: no send"]


def test_a_void_probe_is_not_compared(published: dict[str, PublishedProbe]) -> None:
    """It has no figures."""
    found = compare_probe(record(state="void", capacity=None), published["fastapi-uvicorn-sync"])
    assert (found.published.row, found.agrees) == ("fastapi-uvicorn-sync", None)


def test_rows_for_programs_have_the_promised_keys() -> None:
    """Also where nothing was found."""
    for found in to_rows([record(), record(state="void", capacity=None)]):
        assert set(PROMISED) <= set(found)


def test_a_void_probe_shows_its_reason_and_no_figure(tmp_path: Path, published: dict[str, PublishedProbe]) -> None:
    """In the report."""
    made = folder(tmp_path, 1, "fastapi_uvicorn_sync")
    void = ProbeRecord(
        variant="fastapi_uvicorn_sync", stack="fastapi", state="void", started_at_s=1.0, seconds=30.0, tries=5,
        void_reasons=("arrivals fell behind schedule",),
    )  # fmt: skip
    compared = {void.variant: compare_probe(void, published["fastapi-uvicorn-sync"])}
    text = to_markdown(made, [void], ProbeFindings(compared=compared))
    assert "void" in text
    assert "arrivals fell behind schedule" in text
    assert "40" not in text.partition("| variant")[2].partition("arrivals")[0]
