"""Probes stored and found again, beside the articles, and as the ceiling of a bench."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wrklab.errors import StoreError
from wrklab.model.published_probe import PublishedProbe, read_published_probes
from wrklab.model.record import RunEnvironment
from wrklab.paths import PROJECT_DIR
from wrklab.probe import store
from wrklab.probe.ceiling import ceiling
from wrklab.probe.published import compare
from wrklab.probe.record import ProbePlan, ProbeRecord
from wrklab.probe.report import to_markdown, to_rows
from wrklab.probe.store import ProbeFolder, newest_probe

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
        "overflow": "none seen", "processes": 1, "threads": 45, "serving": "pool", "reused": True,
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
    return read_published_probes(PROJECT_DIR / "reference")


def agrees(found: ProbeRecord, row: PublishedProbe) -> str:
    """The verdict."""
    return str(compare(found, row)["agrees"])


def test_a_folder_that_cannot_be_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk is full at the second file, no folder remains under any name."""

    def refuse(path: Path, text: str) -> None:
        if path.name == "environment.json":
            raise StoreError(f"{path} cannot be written: no space left on device")

    monkeypatch.setattr(store, "write_file", refuse)

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


def test_capacity_over_hold_is_the_ceiling() -> None:
    """40 threads at 100 ms are 400 requests/s; wrk meets that or does not."""
    found = ceiling(record(), 100, 390.0)
    assert found is not None
    assert found.requests_per_s == 400
    assert "meets it (98%)" in found.text
    lower = ceiling(record(), 100, 200.0)
    assert lower is not None
    assert "does not meet it (50%)" in lower.text


@pytest.mark.parametrize(
    ("found", "hold_ms"),
    [(None, 100), (record(), 0), (record(capacity=1000, capacity_limited_by="no limit up to 1000"), 100)],
)
def test_no_ceiling_without_a_limit_or_a_hold(found: ProbeRecord | None, hold_ms: int) -> None:
    """Nothing is said then."""
    assert ceiling(found, hold_ms, 300.0) is None


def test_an_article_that_found_the_same_agrees(published: dict[str, PublishedProbe]) -> None:
    """40 and 960; without a limit; a backlog of 128, of which Linux admits one more."""
    assert agrees(record(), published["fastapi-uvicorn-sync"]) == "agrees"
    unlimited = record(capacity=1000, capacity_limited_by="no limit up to 1000", queued_process=0)
    assert agrees(unlimited, published["fastapi-uvicorn-async-await"]) == "agrees"
    forking = record(
        capacity=10, queued_process=0, queued_kernel=129, kernel_queue="full", kernel_limit=128, reused=False
    )
    assert agrees(forking, published["flask-dev-processes10"]) == "agrees"


def test_an_article_that_found_another_figure_differs_with_the_reason(published: dict[str, PublishedProbe]) -> None:
    """Both figures are told."""
    unlimited = record(capacity=1000, capacity_limited_by="no limit up to 1000", queued_process=0, reused=False)
    text = agrees(unlimited, published["flask-dev-threaded"])
    assert text.startswith("differs, because")
    assert "251" in text
    assert "1000" in text
    assert "200" in agrees(record(), published["fastapi-uvicorn-sync-limiter200"])


def test_a_void_probe_is_not_compared(published: dict[str, PublishedProbe]) -> None:
    """It has no figures."""
    found = compare(record(state="void", capacity=None), published["fastapi-uvicorn-sync"])
    assert found == {"published_row": "fastapi-uvicorn-sync", "agrees": None}


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
    text = to_markdown(made, [void], published)
    assert "void" in text
    assert "arrivals fell behind schedule" in text
    assert "40" not in text.partition("| variant")[2].partition("arrivals")[0]
