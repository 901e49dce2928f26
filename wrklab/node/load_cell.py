"""One cell on a generator: ready, warm-up, settle, window, verify after. Writes result.json into the cell's folder.

    load_cell.py <dir>          <dir>/spec.json says what to do; load_ctl.py runs this as wrklab-load.service

Where the spec says that it waits for a mark (several generators), it is `armed` before the window until <dir>/mark
holds the moment, by this host's clock, at which wrk begins on all of them.
SIGINT (or SIGTERM) ends wrk early, and the result is written all the same, with `failed` saying so.
Each phase is announced in <dir>/phases.jsonl when it begins.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from functools import partial
from types import FrameType
from typing import Any, NoReturn

sys.path.insert(0, __file__.rpartition("/")[0])

import host_look
import http_get
import local_ports
import node_io
import sampler
import sock_diag
from wrk_process import Cancelled, Errand, WrkProcess, WrkRun, argv_for, raise_descriptor_limit

_POLL_S = 0.01
# Limits of phases are for hosts of usual speed; those that are not in the spec are multiplied with its timeout_scale.
#: A server that starts may answer wrongly for a moment; one that does so for this long is wrong.
_WRONG_FOR_S = 3.0
#: Less than the slack that a cell's deadline has. Most of the wait is in vain anyway: TIME_WAIT lasts a minute.
_DRAIN_LIMIT_S = 20.0
_DRAIN_POLL_S = 0.25
#: Until the mark at which all wrk processes begin: each must have been forked by then.
_LEAD_S = 0.01
_LEAD_PER_PROCESS_S = 0.003
_MARK_POLL_S = 0.005
#: Beyond duration and time-out, until wrk has ended by itself.
_GRACE_S = 10.0
#: NTP slews by at most 0.5 ms a second (adjtimex(2)): a window of a minute moves by 0.03 s. More is a step.
_CLOCK_STEP_MAX_S = 0.05
#: Shares of the window at which connections and wrk's threads are looked at; silences at the first and the last.
_LOOK_AT = (0.5, 0.75, 0.95)
#: How often it is looked whether wrk, and this program itself, runs at all.
_BEAT_S = 0.2
#: Of the warm-up's mean answer: right answers may be shorter by a counter or a name.
_SHORTER_RATIO = 0.9
#: The least that an answer has beside its body: "HTTP/1.1 200 OK" and two ends of line.
_HEAD_BYTES = 19


class PhaseFailed(Exception):  # noqa: N818  it ends the cell in a controlled way
    """The cell cannot go on; the text says what was found."""


class LoadCell:
    """One cell's load, phase by phase, and its result so far."""

    def __init__(self, folder: str, spec: dict[str, Any]) -> None:
        """`spec` as load_ctl.py wrote it; `folder` takes every output."""
        self._folder = folder
        self.spec = spec
        target, expect = spec["target"], spec["expect"]
        # One look-up for all: GETs, wrk and the counting of connections mean the same address.
        self._address = str(host_look.resolve(target["host"])[1][0])
        self._port = int(target["port"])
        self._path = str(target["path"])
        self._expected = (int(expect["status"]), str(expect["body"]))
        self._patience_ratio = float(spec["timeout_scale"])
        self._run: WrkRun | None = None
        #: When it was first looked what each connection had received, and that.
        self._received: tuple[float, dict[int, int]] = (0.0, {})
        self.result: dict[str, Any] = {
            "cell": spec["cell"],
            "ready": None,
            "warmup": None,
            "settle": None,
            "window": None,
            "wrk": [],
            "clock_step_s": 0.0,
            "open_connections": [],
            "silences": None,
            "wrk_threads": None,
            "held_up": None,
            "verify_after": None,
            "samples": [],
            "phases": [],
            "failed": None,
        }

    def measure(self) -> None:
        """All phases in order. Raises PhaseFailed, Cancelled; the result holds what was found until then."""
        _raise_limits(self.spec)
        self._enter("ready")
        self._become_ready()
        if self.spec["warmup"]:
            self._warm_up(self.spec["warmup"])
            self._enter("settle")
            self._settle()
        self._wait_for_ports()
        self._window()
        self._enter("verify_after")
        self._verify_after()

    def close(self) -> None:
        """End what still runs, and the last phase."""
        if self._run:
            self._run.kill()
        if self.result["phases"]:
            self.result["phases"][-1]["end"] = node_io.now()

    @property
    def phase(self) -> str:
        """The phase that goes on."""
        phases = self.result["phases"]
        return str(phases[-1]["name"]) if phases else "ready"

    def _enter(self, name: str, expected_s: float = 0.0) -> None:
        """A new phase; a watcher may sleep for `expected_s`."""
        now = node_io.now()
        if self.result["phases"]:
            self.result["phases"][-1]["end"] = now
        self.result["phases"].append({"name": name, "start": now, "end": None})
        with open(f"{self._folder}/phases.jsonl", "a", encoding="utf-8") as stream:
            # Read by another process, whose clock began at another moment: the monotonic one is the host's.
            told = {"phase": name, "at": now, "expected_end_mono": time.monotonic() + expected_s}
            stream.write(json.dumps(told) + "\n")

    def _get(self, limit_s: float) -> http_get.Finding:
        return http_get.check((self._address, self._port), self._path, *self._expected, limit_s)

    def _become_ready(self) -> None:
        began = time.monotonic()
        limit_s, attempts, wrong_since = float(self.spec["ready_limit_s"]), 0, None
        while True:
            left_s = limit_s - (time.monotonic() - began)
            finding = self._get(max(0.05, min(float(self.spec["attempt_limit_s"]), left_s)))
            attempts += 1
            now = time.monotonic()
            if finding.kind == "right":
                break
            wrong_since = (wrong_since or now - finding.took_s) if finding.kind == "wrong" else None
            if wrong_since is not None and now - wrong_since >= _WRONG_FOR_S * self._patience_ratio:
                raise PhaseFailed(f"{self._url()}: {finding.found} (for {now - wrong_since:.1f} s)")
            if now - began >= limit_s:
                raise PhaseFailed(
                    f"{self._url()}: not ready within {limit_s:g} s, {attempts} attempts: {finding.found}"
                )
            time.sleep(_POLL_S)
        self.result["ready"] = {"at": node_io.now(), "attempts": attempts, "first_answer_s": finding.took_s}

    def _url(self) -> str:
        host = f"[{self._address}]" if ":" in self._address else self._address
        return f"http://{host}:{self._port}{self._path}"

    def _process(self, stem: str, load: dict[str, Any], *, validate: bool) -> WrkProcess:
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        if validate:
            environment |= {"WRKLAB_EXPECT_STATUS": str(self._expected[0]), "WRKLAB_EXPECT_BODY": self._expected[1]}
        script = self.spec.get("script", f"{node_io.NODE_DIR}/wrk_report.lua")
        argv = argv_for(self.spec.get("wrk", "/usr/bin/wrk"), script, self._url(), load)
        return WrkProcess(argv, environment, f"{self._folder}/{stem}")

    def _warm_up(self, warmup: dict[str, Any]) -> None:
        duration_s = float(warmup["duration_s"])
        self._enter("warmup", duration_s)
        load = {**warmup, "timeout_s": self.spec["timeout_s"]}
        # Few connections: comparing each answer holds nobody up, and shows what a window does not look at.
        process = self._process("warmup", load, validate=True)
        self._run = WrkRun([process], duration_s, self._limit_s(duration_s), self._patience_ratio)
        mark_s = node_io.now()
        self._run.fork(mark_s)
        self._run.follow(mark_s)
        self.result["warmup"] = process.result()
        if problem := self._run.problem():
            raise PhaseFailed(problem)

    def _limit_s(self, duration_s: float) -> float:
        return duration_s + float(self.spec["timeout_s"]) + _GRACE_S * self._patience_ratio

    def _settle(self) -> None:
        """Wait until a GET is answered about as fast as by the idle server: what the warm-up left queued is served."""
        began, limit_s, attempts = time.monotonic(), float(self.spec["settle_limit_s"]), 0
        calm_s = 2 * self.result["ready"]["first_answer_s"] + 0.25
        while True:
            left_s = limit_s - (time.monotonic() - began)
            finding = self._get(max(0.05, left_s))
            attempts += 1
            calm = finding.kind == "right" and finding.took_s <= calm_s
            if calm or time.monotonic() - began >= limit_s:
                break
            time.sleep(_POLL_S)
        took_s = time.monotonic() - began
        self.result["settle"] = {"took_s": took_s, "attempts": attempts, "answer_s": finding.took_s, "calm": calm}
        if finding.kind != "right":
            raise PhaseFailed(f"{self._url()}: after the warm-up: {finding.found}")

    def _wait_for_ports(self) -> None:
        """Old connections (TIME_WAIT) to the target hold local ports: wait until enough are free, or fail."""
        needed = sum(int(process["connections"]) for process in self.spec["processes"])
        free = local_ports.free_count(self._address, self._port)
        if free >= needed:
            return
        self._enter("drain", _DRAIN_LIMIT_S)
        deadline = time.monotonic() + _DRAIN_LIMIT_S
        while free < needed:
            if time.monotonic() > deadline or local_ports.all_count() < needed:
                states = sock_diag.connection_states(self._address, self._port)
                raise PhaseFailed(
                    f"{needed} connections need as many local ports towards {self._address}:{self._port}; {free} of "
                    f"{local_ports.all_count()} are free (ip_local_port_range; sockets by state: {states})"
                )
            time.sleep(_DRAIN_POLL_S)
            free = local_ports.free_count(self._address, self._port)

    def _window(self) -> None:
        spec, duration_s = self.spec, float(self.spec["duration_s"])
        loads = [{**load, "duration_s": duration_s, "timeout_s": spec["timeout_s"]} for load in spec["processes"]]
        processes = [
            self._process(f"wrk{number}", load, validate=bool(load["checks_answers"]))
            for number, load in enumerate(loads)
        ]
        self._run = WrkRun(processes, duration_s, self._limit_s(duration_s), self._patience_ratio)
        mark_s, step_s = self._mark(), _wall_step_s()
        self._enter("window", mark_s - node_io.now() + duration_s)
        self._run.fork(mark_s)
        samples_path = f"{self._folder}/samples.jsonl"
        thread = sampler.Sampler(self._sources(), sampler.own_cgroup(), samples_path, spec["sample_interval_s"])
        thread.start()
        try:
            self._run.follow(mark_s, self._looks(processes, mark_s, duration_s))
        finally:
            thread.stop()
            self.result["samples"] = (node_io.read_text(samples_path) or "").splitlines()
            self.result["wrk"] = [process.result() for process in processes]
            self.result["window"] = _window_of(self.result["wrk"], mark_s, step_s)
            self.result["clock_step_s"] = _wall_step_s() - step_s
        if abs(self.result["clock_step_s"]) > _CLOCK_STEP_MAX_S:
            raise PhaseFailed(
                f"this host's wall clock was stepped by {self.result['clock_step_s']:+.3f} s within the window, and "
                "wrk measures by it: let time synchronisation slew, or step before a bench"
            )
        if problem := self._run.problem():
            raise PhaseFailed(problem)

    def _mark(self) -> float:
        """When wrk is to begin, epoch seconds. Raises PhaseFailed where that has passed when we hear of it."""
        if not self.spec["waits_for_mark"]:
            return node_io.now() + _LEAD_S + _LEAD_PER_PROCESS_S * len(self.spec["processes"])
        self._enter("armed")
        while (told := node_io.read_text(f"{self._folder}/mark")) is None:
            time.sleep(_MARK_POLL_S)
        # The mark is by the wall clock as it is now.
        left_s = float(told) - time.time()
        if left_s < 0:
            raise PhaseFailed(f"the common mark was {-left_s:.3f} s ago when this generator heard of it")
        return node_io.now() + left_s

    def _sources(self) -> list[dict[str, Any]]:
        return sampler.read_sources(self.spec.get("sources", f"{node_io.NODE_DIR}/sources.json"))

    def _looks(self, processes: list[WrkProcess], mark_s: float, duration_s: float) -> list[Errand]:
        beats = Beats(processes, mark_s, self.result)

        def look(share: float) -> None:
            beats.beat()
            # Without CPU time an errand comes late: what is seen after wrk's end says nothing of its window.
            if any(process.exit_code is None for process in processes):
                self._look_at_threads(processes, mark_s)
                self._count_connections(mark_s, share)
            beats.rest()

        moments = [_BEAT_S * number for number in range(1, math.ceil(duration_s / _BEAT_S))]
        return [
            *((share * duration_s, partial(look, share)) for share in _LOOK_AT),
            *((moment_s, beats.beat) for moment_s in moments),
        ]

    def _look_at_threads(self, processes: list[WrkProcess], mark_s: float) -> None:
        """Of all threads from the mark until now; the last look stands, and wrk is not asked again."""
        now, threads = node_io.now(), [process.threads() for process in processes]
        if any(threads):
            self.result["wrk_threads"] = {"elapsed_s": now - mark_s, "threads": threads}

    def _count_connections(self, mark_s: float, share: float) -> None:
        at = node_io.now()
        with_silences = share in (_LOOK_AT[0], _LOOK_AT[-1])
        found = sock_diag.target_connections(self._address, self._port, with_silences=with_silences)
        self.result["open_connections"].append({"at": at, **found.told()})
        if share == _LOOK_AT[0]:
            self._received = (at, found.received_bytes)
        elif share == _LOOK_AT[-1]:
            since, before = self._received
            self.result["silences"] = {
                "elapsed_s": at - mark_s,
                "answered": found.silences_answered,
                "unanswered": found.silences_unanswered,
                "dripping": {"count": self._dripping_count(before, found.received_bytes), "seen_s": at - since},
            }

    def _dripping_count(self, before: dict[int, int], after: dict[int, int]) -> int:
        """Connections to which bytes came between two looks, but less than one answer: neither silent nor answered."""
        answer_bytes = self._answer_bytes()
        return sum(0 < after[port] - had < answer_bytes for port, had in before.items() if port in after)

    def _answer_bytes(self) -> int:
        """What a whole answer has at least: by the warm-up's, else by the body."""
        warmup = (self.result["warmup"] or {}).get("report")
        if warmup and warmup["requests"]:
            return int(_SHORTER_RATIO * warmup["bytes"] / warmup["requests"])
        return _HEAD_BYTES + len(self._expected[1])

    def _verify_after(self) -> None:
        finding = self._get(2 * float(self.spec["attempt_limit_s"]))
        right = finding.kind == "right"
        self.result["verify_after"] = {"ok": right, "found": finding.found, "took_s": finding.took_s}


class Beats:
    """Whether wrk runs all through its window: told by its state, and by how late this program itself comes to look."""

    def __init__(self, processes: list[WrkProcess], mark_s: float, result: dict[str, Any]) -> None:
        """`result` takes `held_up`: seconds in which wrk was found stopped, and the longest time between two looks."""
        self._processes = processes
        self._last_s = mark_s
        self._told = {"stopped_s": 0.0, "gap_s": 0.0}
        result["held_up"] = self._told

    def beat(self) -> None:
        """Look once."""
        running = [process for process in self._processes if process.exit_code is None]
        now = node_io.now()
        # After wrk's end nobody waits for us.
        if running:
            passed_s = now - self._last_s
            self._told["gap_s"] = max(self._told["gap_s"], passed_s)
            if any(process.is_stopped() for process in running):
                self._told["stopped_s"] += passed_s
        self._last_s = now

    def rest(self) -> None:
        """What we did ourselves since the last look is no gap: tens of thousands of connections take 0.2 s to count."""
        self._last_s = node_io.now()


def _raise_limits(spec: dict[str, Any]) -> None:
    """Raise this process's descriptor limit, which wrk inherits. Raises PhaseFailed where the ceiling is too low."""
    try:
        raise_descriptor_limit(max(int(process["connections"]) for process in spec["processes"]))
    except OSError as error:
        raise PhaseFailed(str(error)) from error


def _wall_step_s() -> float:
    """By how much the wall clock was stepped since this process began."""
    return time.time() - node_io.now()


def _window_of(results: list[dict[str, Any]], mark_s: float, step_s: float) -> dict[str, float]:
    """From the first wrk's start to the last one's end, as they told; where none did, from the mark until now.

    wrk tells by the wall clock, which had been stepped by `step_s` when the window began.
    """
    reports = [result["report"] for result in results if result["report"]]
    starts = [report["started_at"] - step_s if report["started_at"] else mark_s for report in reports]
    ends = [start + report["duration_us"] / 1e6 for start, report in zip(starts, reports, strict=True)]
    return {"mark": mark_s, "start": min(starts, default=mark_s), "end": max(ends, default=node_io.now())}


def _why_ended(error: Exception, deadline_at: float) -> str:
    """systemd ends the unit at its deadline by the very signal that cancels it: the clock tells them apart."""
    if "cancelled" in str(error) and time.monotonic() >= deadline_at:
        return f"{error}, by the unit's deadline"
    return str(error)


def _cancel(_number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Cancelled("cancelled by a signal")


def main() -> None:
    """Measure the cell; the result is written whatever happens."""
    folder = sys.argv[1]
    node_io.write_whole(f"{folder}/pid", f"{os.getpid()}\n")
    with open(f"{folder}/spec.json", encoding="utf-8") as stream:
        cell = LoadCell(folder, json.load(stream))
    # systemd's clock began a moment before ours.
    deadline_at = time.monotonic() + float(cell.spec["deadline_s"]) - 0.5
    signal.signal(signal.SIGINT, _cancel)
    signal.signal(signal.SIGTERM, _cancel)
    try:
        cell.measure()
    except (PhaseFailed, Cancelled, OSError, ValueError) as error:
        cell.result["failed"] = {"phase": cell.phase, "text": _why_ended(error, deadline_at)}
    except Exception as error:  # noqa: BLE001  whatever it is, the controller is to hear of it
        cell.result["failed"] = {"phase": cell.phase, "text": repr(error)}
    finally:
        cell.close()
    node_io.write_whole(f"{folder}/result.json", json.dumps(cell.result, separators=(",", ":")))


if __name__ == "__main__":
    main()
