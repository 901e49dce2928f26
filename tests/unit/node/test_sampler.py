"""The sampler: raw text of each source, at an interval, at little cost."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from collectors import sources_json
from tests.unit.node.conftest import NODE_DIR, PYTHON
from wrklab.extract.samples import read_samples
from wrklab.node import sampler
from wrklab.protocol.codec import decode_json, to_word
from wrklab.protocol.server import SamplerSpec, Source, SourceKind, Sources

_SOURCES = decode_json(Sources, sources_json()).sources


def _fake_cgroup(folder: Path) -> str:
    """A folder with the files that a unit's cgroup has, naming this very process and one that is no more."""
    (folder / "cgroup.procs").write_text(f"{os.getpid()}\n4194304\n")
    (folder / "cgroup.threads").write_text("".join(f"{number}\n" for number in range(5)))
    (folder / "cpu.stat").write_text("usage_usec 3000000\nuser_usec 2000000\nsystem_usec 1000000\nnr_periods 0\n")
    return str(folder)


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def _wait_for_lines(path: Path, count: int) -> None:
    """Until so many samples are written."""
    until = time.monotonic() + 20
    while not path.exists() or len(_lines(path)) < count:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_every_collector_understands_what_the_sampler_reads(tmp_path: Path) -> None:
    """Real text of this machine, from every source, through every parser."""
    out = tmp_path / "samples.jsonl"
    thread = sampler.Sampler(_SOURCES, _fake_cgroup(tmp_path), str(out), 0.3)
    thread.start()
    _wait_for_lines(out, 4)
    thread.stop()
    samples = read_samples(_lines(out), 0, time.time())
    assert len(samples.samples) == 5
    assert samples.errors() == {}
    assert samples.maximum("unit.threads") == 5
    assert samples.maximum("unit.processes") == 2
    assert samples.samples[0].by_metric["unit_cpu.usage"].value == 3.0
    rss_bytes = samples.maximum("memory.rss") or 0
    assert 1 << 20 < rss_bytes < 1 << 34


def test_a_source_that_is_not_there_is_left_out(tmp_path: Path) -> None:
    """The unit's cgroup before it starts and after it ended."""
    out = tmp_path / "samples.jsonl"
    thread = sampler.Sampler(_SOURCES, str(tmp_path / "gone"), str(out), 1.0)
    thread.start()
    thread.stop()
    line = json.loads(_lines(out)[0])
    assert "unit_cpu" not in line["raw"]
    assert line["errors"] == {}
    assert "cpu" in line["raw"]


def test_a_source_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    """A folder instead of a file."""
    out = tmp_path / "samples.jsonl"
    source = Source(name="odd", kind=SourceKind.FILE, path=str(tmp_path), prefixes=(), file="")
    thread = sampler.Sampler([source], "", str(out), 1.0)
    thread.start()
    thread.stop()
    assert "Is a directory" in json.loads(_lines(out)[0])["errors"]["odd"]


def test_the_sampler_is_cheap(tmp_path: Path) -> None:
    """At 2 Hz it may take a hundredth of a CPU at most: 5 ms a sample."""
    out = tmp_path / "samples.jsonl"
    thread = sampler.Sampler(_SOURCES, _fake_cgroup(tmp_path), str(out), 0.02)
    thread.start()
    _wait_for_lines(out, 15)
    thread.stop()
    lines = [json.loads(line) for line in _lines(out)]
    assert (lines[-1]["cost_s"] - lines[0]["cost_s"]) / (len(lines) - 1) < 0.005


def test_as_a_program_it_writes_whole_lines_until_it_is_killed(tmp_path: Path) -> None:
    """wrklab-sampler.service is ended by SIGKILL."""
    (tmp_path / "sources.json").write_text(sources_json())
    spec = SamplerSpec(
        out=str(tmp_path / "cell" / "samples.jsonl"),
        interval_s=0.05,
        sources=str(tmp_path / "sources.json"),
        cgroup=str(tmp_path),
    )
    process = subprocess.Popen([PYTHON, "-I", "-S", str(NODE_DIR / "sampler.py"), to_word(spec)])
    _wait_for_lines(tmp_path / "cell" / "samples.jsonl", 9)
    process.kill()
    process.wait()
    moments = [json.loads(line)["at"] for line in _lines(tmp_path / "cell" / "samples.jsonl")]
    assert len(moments) > 4
    steps_s = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert sorted(steps_s)[len(steps_s) // 2] == pytest.approx(0.05, abs=0.01)
