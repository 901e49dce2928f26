"""Reads the sources of all collectors at an interval and keeps their raw text, one JSON line a sample.

    sampler.py <SamplerSpec>

runs until it is ended. Within load_cell.py it is a thread: `Sampler`. Each line is a SampleLine.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from collections.abc import Iterable

sys.path.append(__file__.rsplit("/", 3)[0])

from wrklab.node import node_io, sock_diag
from wrklab.protocol.codec import ProtocolError, decode_json, encode_json
from wrklab.protocol.server import SampleLine, SamplerSpec, Source, SourceKind, Sources

_READ_BYTES = 1 << 18
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Sampler:
    """Samples a host into a file, from `start` to `stop`, with one sample at each of both ends."""

    def __init__(self, sources: Iterable[Source], cgroup: str, out_path: str, interval_s: float) -> None:
        """`cgroup` stands in for {cgroup} in the paths of the sources."""
        self._sources = [source.replace(path=source.path.format(cgroup=cgroup)) for source in sources]
        self._interval_s = interval_s
        self._out = os.open(out_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._cost_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.run, name="sampler", daemon=True)

    def start(self) -> None:
        """Sample in a thread from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Take a last sample and end the thread."""
        self._stop.set()
        self._thread.join()
        self._write_sample()
        os.close(self._out)

    def run(self) -> None:
        """Sample until stopped, at equal distances whatever a sample takes."""
        next_at = time.monotonic()
        while not self._stop.is_set():
            self._write_sample()
            next_at += self._interval_s
            wait_s = next_at - time.monotonic()
            if wait_s < 0:
                next_at -= wait_s
            self._stop.wait(max(0.0, wait_s))

    def _write_sample(self) -> None:
        raw: dict[str, str] = {}
        errors: dict[str, str] = {}
        at_s, mono_s, began_s = node_io.now(), time.monotonic(), time.thread_time()
        for source in self._sources:
            try:
                text = _read(source)
            except OSError as error:
                errors[source.name] = str(error)
            else:
                if text is not None:
                    raw[source.name] = text
        line = SampleLine(at=at_s, mono=mono_s, cost_s=self._cost_s, raw=raw, errors=errors)
        # One write a line: a reader never sees half of one.
        os.write(self._out, f"{encode_json(line)}\n".encode())
        self._cost_s += time.thread_time() - began_s


def _read(source: Source) -> str | None:
    if source.kind is SourceKind.LISTENERS:
        return sock_diag.listeners_text()
    if source.kind is SourceKind.PER_PROCESS:
        return _read_per_process(source.path, source.file)
    text = _read_file(source.path)
    if text is None:
        return None
    if source.kind is SourceKind.LINE_COUNT:
        return f"{text.count(chr(10))}\n"
    if not source.prefixes:
        return text
    return "".join(line for line in text.splitlines(keepends=True) if line.startswith(source.prefixes))


def _read_file(path: str) -> str | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        return None
    try:
        parts = []
        while part := os.read(descriptor, _READ_BYTES):
            parts.append(part)
        return b"".join(parts).decode("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError, BlockingIOError):
        return None
    except OSError as error:
        # A cgroup that was removed between open and read.
        if error.errno == errno.ENODEV:
            return None
        raise
    finally:
        os.close(descriptor)


def _read_per_process(processes_path: str, file: str) -> str | None:
    """A file of /proc of each process of a cgroup, a line each behind its pid; the host's page size first."""
    pids = _read_file(processes_path)
    if pids is None:
        return None
    lines = [f"page_bytes {_PAGE_BYTES}\n"]
    for pid in pids.split():
        text = _read_file(f"/proc/{pid}/{file}")
        if text:  # a process may have ended meanwhile
            lines.append(f"{pid} {text.strip()}\n")
    return "".join(lines)


def read_sources(path: str) -> tuple[Source, ...]:
    """The sources of all collectors, as deploy put them there. Raises OSError, ValueError."""
    with open(path, "rb") as stream:
        text = stream.read()
    try:
        return decode_json(Sources, text).sources
    except ProtocolError as error:
        raise ValueError(f"{path}: {error}") from error


def unified_root() -> str:
    """Where cgroup v2 is mounted: at the root of /sys/fs/cgroup, or next to v1's controllers."""
    return "/sys/fs/cgroup" if os.path.exists("/sys/fs/cgroup/cgroup.procs") else "/sys/fs/cgroup/unified"


def own_cgroup() -> str:
    """The cgroup (v2) that this process is in, as a path below /sys/fs/cgroup."""
    text = node_io.read_text("/proc/self/cgroup") or ""
    own = next((line[3:] for line in text.splitlines() if line.startswith("0::")), "/")
    return unified_root() + own.rstrip("/")


def main() -> None:
    """Sample until the unit is stopped."""
    spec = node_io.read_spec(SamplerSpec, sys.argv[1])
    os.makedirs(spec.out.rpartition("/")[0], exist_ok=True)
    Sampler(read_sources(spec.sources), spec.cgroup, spec.out, spec.interval_s).run()


if __name__ == "__main__":
    main()
