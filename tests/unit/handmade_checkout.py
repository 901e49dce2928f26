"""A small checkout for tests: one stack of two variants, one scenario, one suite; also what its articles published."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

STACK = """---
description: A stack for tests
runtime: go
files: [main.go]
variants:
  one:
    description: The first variant
    command: "{app_dir}/server"
    published:
      standard: row-one
    published_probe: probe-one
  two:
    description: The second variant
    command: "{app_dir}/server"
"""
SCENARIO = """---
description: A scenario for tests
threads: 4
connections: 2000
duration_s: 4s
companions: [standard]
"""
SUITE = """---
description: A suite for tests
rows:
  - {variant: one, scenario: standard}
probes:
  - {variant: one}
  - {variant: two}
"""
PUBLISHED = """row,label,threads,connections,duration_s,hold_ms,requests,requests_per_s,latency_mean_ms,\
latency_stdev_ms,latency_max_ms,err_connect,err_read,err_write,err_timeout,transfer,article_note
row-one,One,4,2000,60,100,100,1.5,65.47,81.07,1990,0,114,0,144,388.86KB/s,note
"""
PUBLISHED_PROBE = """row,label,requests,rate_per_s,hold_s,in_flight,established,queued,overflow,overflow_text,\
reused,reuse_text,serving_worker,article_note
probe-one,One,1000,3.33,800,unbounded,,0,none seen,,no,no (a new thread per request),Thread-N,note
probe-two,Two,,,,40,1000,960,queued,,yes,,AnyIO worker thread,
probe-three,Three,1,,,0,,,5xx,"500, TypeError",,,,
"""
#: Path in the checkout -> text.
CARDS = {
    "servers/shop/stack.yml": STACK,
    "servers/shop/main.go": "",
    "scenarios/standard.yml": SCENARIO,
    "suites/mine.yml": SUITE,
}
#: One published row and three probes.
REFERENCES = {"reference/wrk-mine.csv": PUBLISHED, "reference/probe-mine.csv": PUBLISHED_PROBE}


def write_checkout(folder: Path, texts: Mapping[str, str]) -> None:
    """Writes files by their path in the checkout."""
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def edit_checkout(folder: Path, edit: tuple[str, str, str]) -> None:
    """Applies (path, old text, new text); the old text has to be there."""
    path, old, new = edit
    assert old in (folder / path).read_text()
    (folder / path).write_text((folder / path).read_text().replace(old, new))
