"""wrk's processes: forked early, executed at one mark, watched, ended in time, and what each left."""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from wrklab.node import node_io, sock_diag
from wrklab.protocol.codec import ProtocolError, decode_json
from wrklab.protocol.load import (
    ConnectionCounts,
    Paused,
    Silences,
    ThreadTime,
    Trickling,
    WrkReport,
    WrkResult,
    WrkThreads,
)

_INTERRUPT_AGAIN_S = 1.0
_KILL_AFTER_S = 5.0
_STDERR_LENGTH_MAX = 2000
#: wrk waits for all of its -d, then for its threads. A shorter report was cut off by a SIGINT that is not ours.
_COMPLETE_RATIO = 0.95

#: Shares of the window at which connections and wrk's threads are looked at; silences at the first and the last.
_LOOK_AT = (0.5, 0.75, 0.95)
#: How often it is looked whether wrk, and this program itself, runs at all.
_BEAT_S = 0.2

#: When to do something within a run, seconds after the mark, and what.
Task = tuple[float, Callable[[], None]]


class WrkLoad(NamedTuple):
    """What one wrk process does."""

    threads: int
    connections: int
    duration_s: float
    timeout_s: float
    #: With a mix, of each thread.
    mix_seeds: tuple[int, ...] = ()


class Cancelled(Exception):  # noqa: N818  not an error: somebody asked for an early end
    """SIGINT or SIGTERM came."""


class WrkProcess:
    """One wrk process, from fork to its report."""

    def __init__(self, argv: Sequence[str], environment: dict[str, str], stem: str) -> None:
        """`stem` begins the paths of its report, stdout and stderr."""
        self.argv = list(argv)
        self._environment = environment | {"WRKLAB_REPORT": f"{stem}.json"}
        self._stem = stem
        self._pid = 0
        self.pidfd = -1
        self.exit_code: int | None = None
        self.cpu_s = 0.0
        #: It ended before this script told any process to.
        self.ended_by_itself = False
        self._result: WrkResult | None = None

    def fork(self, mark_s: float) -> None:
        """Fork; the child becomes wrk at `mark_s` (epoch seconds)."""
        self._pid = os.fork()
        if self._pid == 0:
            self._become_wrk(mark_s)
        self.pidfd = os.pidfd_open(self._pid)

    def _become_wrk(self, mark_s: float) -> None:
        try:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            for descriptor, path in ((0, os.devnull), (1, f"{self._stem}.out"), (2, f"{self._stem}.err")):
                opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
                os.dup2(opened, descriptor)
            time.sleep(max(0.0, mark_s - node_io.now()))
            os.execve(self.argv[0], self.argv, self._environment)  # noqa: S606
        except OSError as error:
            os.write(2, f"{self.argv[0]}: {error}\n".encode())
        finally:
            os._exit(127)

    def signal(self, number: int) -> None:
        """Send it a signal unless it has ended."""
        if self.exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, number)

    def threads(self) -> tuple[ThreadTime, ...]:
        """The CPU time of each of its threads; none once it has ended.

        The first is wrk's own and waits; each other is an event loop with its share of the connections.
        """
        found = []
        with contextlib.suppress(OSError):
            for thread in sorted(os.listdir(f"/proc/{self._pid}/task"), key=int):
                words = (node_io.read_text(f"/proc/{self._pid}/task/{thread}/schedstat") or "").split()
                found += [ThreadTime(run_s=int(words[0]) / 1e9, wait_s=int(words[1]) / 1e9)] if words else []
        return tuple(found)

    def is_stopped(self) -> bool:
        """Whether somebody has stopped it (SIGSTOP, a debugger)."""
        words = (node_io.read_text(f"/proc/{self._pid}/stat") or "").rpartition(")")[2].split()
        return bool(words) and words[0] in "Tt"

    def reap(self) -> None:
        """Collect its end; it must have ended."""
        _, status, usage = os.wait4(self._pid, 0)
        self.exit_code = os.waitstatus_to_exitcode(status)
        self.cpu_s = usage.ru_utime + usage.ru_stime
        os.close(self.pidfd)

    def result(self) -> WrkResult:
        """What it left when it had ended."""
        # Read once: with 100,000 distinct latencies the report is a megabyte of JSON.
        if self._result is None:
            report, problem = self._report()
            self._result = WrkResult(
                argv=tuple(self.argv),
                exit_code=self.exit_code,
                report=report,
                report_problem=problem,
                stdout=node_io.cut(node_io.read_text(f"{self._stem}.out") or ""),
                stderr=(node_io.read_text(f"{self._stem}.err") or "")[-_STDERR_LENGTH_MAX:],
                cpu_s=self.cpu_s,
            )
        return self._result

    def _report(self) -> tuple[WrkReport | None, str]:
        text = node_io.read_text(f"{self._stem}.json")
        if not text:
            return None, "it wrote none"
        try:
            return decode_json(WrkReport, text), ""
        except ProtocolError as error:
            return None, str(error)


class WrkRun:
    """Several wrk processes that run as one."""

    def __init__(
        self, processes: Sequence[WrkProcess], duration_s: float, limit_s: float, timeout_scale: float = 1.0
    ) -> None:
        """`limit_s`: how long after the mark every process must have ended by itself.

        `timeout_scale`: how many times as long as usual a report may take to be written on this host.
        """
        self.processes = list(processes)
        self._kill_after_s = _KILL_AFTER_S * timeout_scale
        self._duration_s = duration_s
        self._limit_s = limit_s
        self._interrupted_at: float | None = None
        self._interrupt_again_at = math.inf
        #: Why it was ended early; empty when it was not.
        self.ended_early = ""
        self.is_cancelled = False

    def fork(self, mark_s: float) -> None:
        """Fork all; they become wrk together at `mark_s` (epoch seconds)."""
        for process in self.processes:
            process.fork(mark_s)

    def follow(self, mark_s: float, tasks: Sequence[Task] = ()) -> None:
        """Wait for the end of all, doing tasks on the way. SIGINT to this process ends them early, with reports."""
        plan = sorted([*tasks, *self._own_tasks()], key=lambda task: task[0])
        poller = select.poll()
        running = {process.pidfd: process for process in self.processes}
        for descriptor in running:
            poller.register(descriptor, select.POLLIN)
        while running:
            try:
                for descriptor, _ in poller.poll(self._wait_s(mark_s, plan) * 1000):
                    poller.unregister(descriptor)
                    process = running.pop(descriptor)
                    process.reap()
                    process.ended_by_itself = self._interrupted_at is None
                    if process.exit_code:
                        # What the others do without it is not the load that was requested.
                        self._interrupt("")
                self._do_what_is_due(mark_s, plan)
            except Cancelled:
                self.is_cancelled = True
                self._interrupt("cancelled")

    def _own_tasks(self) -> list[Task]:
        own: list[Task] = [
            (self._limit_s, lambda: self._interrupt(f"no end within {self._limit_s:g} s; ended by SIGINT"))
        ]
        if self._duration_s != int(self._duration_s):
            # wrk knows whole seconds only; SIGINT ends it at any moment, with its report.
            own.append((self._duration_s, lambda: self._interrupt("")))
        return own

    def _wait_s(self, mark_s: float, plan: list[Task]) -> float:
        due = mark_s + plan[0][0] if plan else math.inf
        wait_s = min(due, self._interrupt_again_at) - node_io.now()
        return min(max(0.0, wait_s), 3600.0)

    def _do_what_is_due(self, mark_s: float, plan: list[Task]) -> None:
        now = node_io.now()
        while plan and mark_s + plan[0][0] <= now:
            plan.pop(0)[1]()
        if self._interrupt_again_at <= now:
            self._interrupt(self.ended_early)

    def _interrupt(self, why: str) -> None:
        now = node_io.now()
        if self._interrupted_at is None:
            self._interrupted_at = now
        self.ended_early = self.ended_early or why
        overdue = now - self._interrupted_at > self._kill_after_s
        for process in self.processes:
            # While it makes its test connection wrk ignores SIGINT: so it is sent again.
            process.signal(signal.SIGKILL if overdue else signal.SIGINT)
        self._interrupt_again_at = now + _INTERRUPT_AGAIN_S

    def kill(self) -> None:
        """End what still runs, at once."""
        for process in self.processes:
            if process.pidfd >= 0 and process.exit_code is None:
                process.signal(signal.SIGKILL)
                process.reap()

    def problem(self) -> str:
        """Why this run does not count; empty when every process ended well and reported."""
        if self.ended_early:
            return f"wrk was ended early: {self.ended_early}"
        for number, process in enumerate(self.processes, 1):
            result, name = process.result(), f"wrk process {number} of {len(self.processes)}"
            if process.exit_code != 0 or result.report is None:
                said = "; ".join(filter(None, (result.stderr.strip(), result.report_problem)))
                return f"{name} left no complete report (exit {process.exit_code}): {said}"
            took_s = result.report.duration_us / 1e6
            if process.ended_by_itself and took_s < _COMPLETE_RATIO * self._duration_s:
                what = f"{name} ended after {took_s:.2f} of {self._duration_s:g} s"
                return f"{what}, and nothing of wrklab's ended it: did somebody send it SIGINT?"
        return ""


class WindowWatch:
    """What is looked at within the window: connections, wrk's threads, and whether anything runs at all."""

    def __init__(
        self, processes: Sequence[WrkProcess], target: tuple[str, int], mark_s: float, answer_bytes: int
    ) -> None:
        """`answer_bytes`: what a complete answer has at least."""
        self._processes = processes
        self._target = target
        self._mark_s = mark_s
        self._answer_bytes = answer_bytes
        self._last_beat_s = mark_s
        self._stopped_s = 0.0
        self._gap_s = 0.0
        #: When it was first looked what each connection had received, and that.
        self._received: tuple[float, Mapping[int, int]] = (0.0, {})
        self.counts: list[ConnectionCounts] = []
        self.silences: Silences | None = None
        #: Of all threads from the mark on; the last look stands.
        self.threads: WrkThreads | None = None

    def tasks(self, duration_s: float) -> list[Task]:
        """The looks and beats of a window, by when they are due."""
        beats_s = [_BEAT_S * number for number in range(1, math.ceil(duration_s / _BEAT_S))]
        return [
            *((share * duration_s, partial(self._look, share)) for share in _LOOK_AT),
            *((beat_s, self._beat) for beat_s in beats_s),
        ]

    def paused(self) -> Paused:
        """How long wrk was found stopped, and the longest time between two beats: this program was not run then."""
        return Paused(stopped_s=self._stopped_s, gap_s=self._gap_s)

    def _beat(self) -> None:
        running = [process for process in self._processes if process.exit_code is None]
        now = node_io.now()
        # After wrk's end nobody waits for a beat.
        if running:
            passed_s = now - self._last_beat_s
            self._gap_s = max(self._gap_s, passed_s)
            if any(process.is_stopped() for process in running):
                self._stopped_s += passed_s
        self._last_beat_s = now

    def _look(self, share: float) -> None:
        self._beat()
        # Without CPU time a task comes late: what is seen after wrk's end says nothing of its window.
        if any(process.exit_code is None for process in self._processes):
            self._look_at_threads()
            self._count_connections(share)
        # The look itself is no gap: tens of thousands of connections take 0.2 s to count.
        self._last_beat_s = node_io.now()

    def _look_at_threads(self) -> None:
        now, threads = node_io.now(), tuple(process.threads() for process in self._processes)
        if any(threads):
            self.threads = WrkThreads(elapsed_s=now - self._mark_s, processes=threads)

    def _count_connections(self, share: float) -> None:
        at_s = node_io.now()
        with_silences = share in (_LOOK_AT[0], _LOOK_AT[-1])
        found = sock_diag.target_connections(*self._target, with_silences=with_silences)
        counts = ConnectionCounts(
            at_s=at_s,
            states=found.states,
            reopening_count=found.reopening_count,
            unread_count=found.unread_count,
        )
        self.counts.append(counts)
        if share == _LOOK_AT[0]:
            self._received = (at_s, found.received_bytes)
        elif share == _LOOK_AT[-1]:
            since_s, before = self._received
            count = self._trickling_count(before, found.received_bytes)
            self.silences = Silences(
                elapsed_s=at_s - self._mark_s,
                answered=found.silences_answered,
                unanswered=found.silences_unanswered,
                trickling=Trickling(count=count, seen_s=at_s - since_s),
            )

    def _trickling_count(self, before: Mapping[int, int], after: Mapping[int, int]) -> int:
        """Connections to which bytes came between two looks, but less than one answer: neither silent nor answered."""
        return sum(0 < after[port] - had < self._answer_bytes for port, had in before.items() if port in after)


def argv_for(wrk: str, script: str, url: str, load: WrkLoad) -> list[str]:
    """wrk's command line. Raises ValueError."""
    if load.threads < 1 or load.connections < 1 or load.connections % load.threads:
        raise ValueError(
            f"{load.connections} connections are no multiple of {load.threads} threads: wrk would open fewer"
        )
    options = [f"-t{load.threads}", f"-c{load.connections}", f"-d{math.ceil(load.duration_s)}s"]
    return [wrk, *options, "--timeout", f"{int(load.timeout_s)}s", "--latency", "-s", script, url]
