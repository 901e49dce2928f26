"""A server of known behaviour on loopback, wrk, and a way to run the hosts' scripts as a host does."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.programs import needed
from tests.unit.node.toy_server import ToyServer
from wrklab.protocol.codec import decode_json
from wrklab.protocol.load import LoadResult

NODE_DIR = Path(__file__).parents[3] / "wrklab" / "node"
#: What the hosts run: Debian's own interpreter, with nothing but the standard library.
PYTHON = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable


@pytest.fixture(scope="module")
def server() -> Iterator[ToyServer]:
    """A running toy server; its paths are its behaviours."""
    with ToyServer() as running:
        yield running


@pytest.fixture(scope="session")
def wrk() -> str:
    """wrk's path."""
    return needed("wrk", "wrk", tests="load_cell.py with wrk_report.lua")


@dataclass(frozen=True)
class CellFolder:
    """A cell's folder, ready for load_cell.py."""

    path: Path

    def command(self) -> list[str]:
        """load_cell.py on it, as load_ctl.py runs it."""
        return [PYTHON, "-I", "-S", str(NODE_DIR / "load_cell.py"), str(self.path)]

    def result(self) -> LoadResult:
        """What load_cell.py wrote."""
        return decode_json(LoadResult, (self.path / "result.json").read_text())

    def phases(self) -> list[str]:
        """The phases announced so far."""
        path = self.path / "phases.jsonl"
        return [json.loads(line)["phase"] for line in path.read_text().splitlines()] if path.exists() else []

    def run(self, *before: str) -> LoadResult:
        """Run load_cell.py to its end (behind `before`, words of a command that executes it)."""
        subprocess.run([*before, *self.command()], check=True, timeout=30)
        return self.result()


def cell_folder(folder: Path, port: int, **changes: object) -> CellFolder:
    """A cell of 1 s with 20 connections and no warm-up, but for `changes` of its spec."""
    sources = {
        "sources": [{"name": "node_cpu", "kind": "file", "path": "/proc/stat", "prefixes": ["cpu "], "file": ""}]
    }
    (folder / "sources.json").write_text(json.dumps(sources))
    spec: dict[str, object] = {
        "cell": "c1",
        "target": {"host": "127.0.0.1", "port": port, "path": "/ok"},
        "expect": {"status": 200, "body": "ok"},
        "ready_limit_s": 5.0,
        "attempt_limit_s": 0.5,
        "warmup": None,
        "settle_limit_s": 2.0,
        "processes": [{"threads": 2, "connections": 20, "checks_answers": False}],
        "duration_s": 1.0,
        "timeout_s": 2,
        "sample_interval_s": 0.25,
        "waits_for_mark": False,
        "deadline_s": 30,
        "cpus": [],
        "timeout_scale": 1.0,
        "wrk": shutil.which("wrk") or "/usr/bin/wrk",
        "sources": str(folder / "sources.json"),
    }
    (folder / "spec.json").write_text(json.dumps(spec | changes))
    return CellFolder(folder)


def handmade_timetable(rate_per_s: float, **changes: object) -> dict[str, object]:
    """One thread's timetable of a second, with gaps that are drawn."""
    usual = {
        "arrivals": "poisson",
        "offset_s": 0.0,
        "thread_offset_s": 0.0,
        "seed": 3,
        "lead_s": 0.1,
        "duration_s": 1.0,
    }
    return {**usual, "rate_per_s": rate_per_s, **changes}


def target(server: ToyServer, path: str) -> dict[str, object]:
    """A spec's target: one behaviour of the toy server."""
    return {"host": "127.0.0.1", "port": server.port, "path": path}
