"""wrk's processes: forked early, executed at one time mark, ended in time, and what each left behind."""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import select
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

import node_io

_INTERRUPT_AGAIN_S = 1.0
_KILL_AFTER_S = 5.0
_STDERR_TOLD = 2000
#: wrk waits for its whole -d, then for its threads. A shorter report was cut off, and not by us: by somebody's SIGINT.
_WHOLE_SHARE = 0.95

#: When to do something within a run, seconds after the mark, and what.
Errand = tuple[float, Callable[[], None]]


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
        #: It ended before we told any process to.
        self.ended_by_itself = False
        self._result: dict[str, Any] | None = None

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

    def threads(self) -> list[list[float]]:
        """[seconds on a CPU, seconds runnable without one] of each of its threads; none once it has ended.

        The first is wrk's own and waits; each other is an event loop with its share of the connections.
        """
        found = []
        with contextlib.suppress(OSError):
            for thread in sorted(os.listdir(f"/proc/{self._pid}/task"), key=int):
                words = (node_io.read_text(f"/proc/{self._pid}/task/{thread}/schedstat") or "").split()
                found += [[int(word) / 1e9 for word in words[:2]]] if words else []
        return found

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

    def result(self) -> dict[str, Any]:
        """What it left when it had ended: argv, exit, report (None where none came whole), stdout, stderr, cpu_s."""
        # Read once: with 100,000 distinct latencies the report is a megabyte of JSON.
        self._result = self._result or {
            "argv": self.argv,
            "exit": self.exit_code,
            "report": self._report(),
            "stdout": node_io.read_text(f"{self._stem}.out") or "",
            "stderr": (node_io.read_text(f"{self._stem}.err") or "")[-_STDERR_TOLD:],
            "cpu_s": self.cpu_s,
        }
        return self._result

    def _report(self) -> dict[str, Any] | None:
        text = node_io.read_text(f"{self._stem}.json")
        try:
            report = json.loads(text) if text else None
        except ValueError:
            return None
        return report if isinstance(report, dict) else None


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

    def fork(self, mark_s: float) -> None:
        """Fork all; they become wrk together at `mark_s` (epoch seconds)."""
        for process in self.processes:
            process.fork(mark_s)

    def follow(self, mark_s: float, errands: Sequence[Errand] = ()) -> None:
        """Wait for the end of all, doing errands on the way. SIGINT to us ends them early, with their reports."""
        plan = sorted([*errands, *self._own_errands()], key=lambda errand: errand[0])
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
                        # What the others do without it is not the load that was asked for.
                        self._interrupt("")
                self._do_what_is_due(mark_s, plan)
            except Cancelled:
                self._interrupt("cancelled")

    def _own_errands(self) -> list[Errand]:
        own: list[Errand] = [
            (self._limit_s, lambda: self._interrupt(f"no end within {self._limit_s:g} s; ended by SIGINT"))
        ]
        if self._duration_s != int(self._duration_s):
            # wrk knows whole seconds only; SIGINT ends it at any moment, with its report.
            own.append((self._duration_s, lambda: self._interrupt("")))
        return own

    def _wait_s(self, mark_s: float, plan: list[Errand]) -> float:
        due = mark_s + plan[0][0] if plan else math.inf
        wait_s = min(due, self._interrupt_again_at) - node_io.now()
        return min(max(0.0, wait_s), 3600.0)

    def _do_what_is_due(self, mark_s: float, plan: list[Errand]) -> None:
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
            result = process.result()
            if process.exit_code != 0 or result["report"] is None:
                what = f"wrk process {number} of {len(self.processes)} left no whole report"
                return f"{what} (exit {process.exit_code}): {result['stderr'].strip() or 'it said nothing'}"
            took_s = result["report"]["duration_us"] / 1e6
            if process.ended_by_itself and took_s < _WHOLE_SHARE * self._duration_s:
                what = (
                    f"wrk process {number} of {len(self.processes)} ended after {took_s:.2f} of {self._duration_s:g} s"
                )
                return f"{what}, and nothing of ours ended it: did somebody send it SIGINT?"
        return ""


def raise_descriptor_limit(connections: int) -> None:
    """Raise the soft limit to the hard one. Raises OSError when that is too low for a process's connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and connections + 50 > hard:
        raise OSError(
            f"{connections} connections in one wrk process need {connections + 50} descriptors; "
            f"the ceiling here (hard RLIMIT_NOFILE) is {hard}: use more processes"
        )


def argv_for(wrk: str, script: str, url: str, load: dict[str, Any]) -> list[str]:
    """wrk's command line for {"threads", "connections", "duration_s", "timeout_s"}. Raises ValueError."""
    threads, connections = int(load["threads"]), int(load["connections"])
    if threads < 1 or connections < 1 or connections % threads:
        raise ValueError(f"{connections} connections are no multiple of {threads} threads: wrk would open fewer")
    options = [f"-t{threads}", f"-c{connections}", f"-d{math.ceil(load['duration_s'])}s"]
    return [wrk, *options, "--timeout", f"{int(load['timeout_s'])}s", "--latency", "-s", script, url]
