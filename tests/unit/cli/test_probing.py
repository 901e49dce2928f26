"""`invoke probe` over several variants: what goes wrong with one loses no other's report."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from rich.console import Console

from tests.unit.results.test_probe_folder import folder, record
from wrklab.catalogue.catalogue import read_catalogue
from wrklab.cli import probing
from wrklab.errors import CellError, HostError, ParseError, StoreError
from wrklab.hosts.ready import ReadyHosts
from wrklab.probe.probing import ProbeOutcome
from wrklab.protocol.phases import Phase
from wrklab.report.probe import render, to_rows
from wrklab.results.probe_folder import ProbeFolder
from wrklab.results.probe_record import ProbeRecord

VARIANTS = ("go_net_http", "fastapi_uvicorn_sync", "flask_dev_sync")
Ending = Exception | type[KeyboardInterrupt] | None


class Rehearsal:
    """Probes that end as they are told."""

    def __init__(self, results_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder: ProbeFolder = folder(results_dir, 1, *VARIANTS)
        self.endings: dict[str, Ending] = {}
        self.cleaned = 0
        self.on_revive: Callable[[], None] = lambda: None
        monkeypatch.setattr(probing, "probe_variant", self._probe)
        monkeypatch.setattr(probing, "revive", lambda _: self.on_revive())

    def _probe(self, _session: object, variant: SimpleNamespace, *_: object) -> ProbeOutcome:
        ending = self.endings.get(variant.name)
        if ending is not None:
            raise ending
        return ProbeOutcome(record(variant=variant.name), {})

    def _clean_up(self) -> None:
        self.cleaned += 1

    def go(self, **endings: Ending) -> tuple[list[ProbeRecord], bool, str]:
        self.endings = endings
        catalogue = read_catalogue()
        session = SimpleNamespace(with_scaled_timeouts=lambda variant: variant, clean_up=self._clean_up)
        held = SimpleNamespace(check=lambda: None, are_ours=True)
        ready = cast("ReadyHosts", SimpleNamespace(session=session, held=held))
        end = probing._probe_all(ready, self.folder, [catalogue.variants[name] for name in VARIANTS])
        return self.folder.records(), end.is_interrupted, end.problem


@pytest.fixture
def rehearsal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rehearsal:
    """Three variants to be probed."""
    return Rehearsal(tmp_path, monkeypatch)


def states(records: Sequence[ProbeRecord]) -> list[str]:
    """Of each variant."""
    return [found.state for found in records]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ParseError("server: answered no JSON"), "server: answered no JSON"),
        (HostError("server: cut"), "server: cut"),
        (CellError(Phase.START, "not started"), "start: not started"),
        (KeyError("looks"), "what the hosts said cannot be read: KeyError('looks')"),
    ],
)
def test_what_goes_wrong_with_one_is_its_record_and_the_next_goes_on(
    rehearsal: Rehearsal, error: Exception, text: str
) -> None:
    """Failed, with the error; nothing is cleaned up but by reviving."""
    records, is_interrupted, problem = rehearsal.go(fastapi_uvicorn_sync=error)
    assert states(records) == ["measured", "failed", "measured"]
    assert records[1].error == text
    assert not is_interrupted
    assert problem == ""
    assert probing._problem(records[1]) == "failed"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, ""),
        ({"state": "void"}, "void"),
        ({"capacity": 0, "capacity_limited_by": "fails"}, "fails"),
        ({"capacity_limited_by": "fails", "expected_failure": "x", "is_expected_failure": True}, ""),
        ({"expected_failure": "x"}, "did not fail as expected"),
        ({"expected_failure": "x", "state": "failed"}, "failed"),
    ],
)
def test_what_is_not_as_it_should_be(changes: dict[str, object], problem: str) -> None:
    """Also a variant that is there to fail and does not: the exit status is 1."""
    assert probing._problem(record(**changes)) == problem


def test_hosts_that_are_gone_end_the_probes_with_what_is_stored(rehearsal: Rehearsal) -> None:
    """The variant is not recorded: nothing is known of it."""

    def gone() -> None:
        raise HostError("server: of no use for 15 s")

    rehearsal.on_revive = gone
    records, is_interrupted, problem = rehearsal.go(fastapi_uvicorn_sync=HostError("server: cut"))
    assert states(records) == ["measured"]
    assert problem == "server: of no use for 15 s"
    assert not is_interrupted
    assert rehearsal.cleaned == 1


def test_an_interrupt_and_a_full_disk_keep_what_was_probed(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hosts are cleaned up."""
    records, is_interrupted, _ = rehearsal.go(fastapi_uvicorn_sync=KeyboardInterrupt)
    assert (states(records), is_interrupted, rehearsal.cleaned) == (["measured"], True, 1)

    def full(*_: object) -> None:
        raise StoreError("no space left on device")

    monkeypatch.setattr(ProbeFolder, "add", full)
    records, is_interrupted, problem = rehearsal.go()
    assert (states(records), is_interrupted, problem) == (["measured"], False, "no space left on device")


def test_forced_probes_say_so() -> None:
    """In each object, and above the table."""
    forced = ("server: others used 80 % of its CPUs",)
    assert [found["forced"] for found in to_rows([record()], forced=forced)] == [list(forced)]
    assert to_rows([record()])[0]["forced"] == []
    stream = io.StringIO()
    render([record()], Console(file=stream, width=200), forced=forced)
    assert "Probed by --force although server: others used 80 % of its CPUs" in stream.getvalue()
