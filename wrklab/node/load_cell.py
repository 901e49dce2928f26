"""One cell on a generator: ready, warm-up, settle, window, verify after. Writes result.json into the cell's folder.

    load_cell.py <dir>          <dir>/spec.json is a LoadSpec; load_ctl.py runs this as wrklab-load.service

Where the spec says that it waits for a mark (several generators), it is `armed` before the window until <dir>/mark
holds the time, by this host's clock, at which wrk begins on all of them.
SIGINT (or SIGTERM) ends wrk early, and the result is written all the same, with `failed` saying so.
Each phase is announced in <dir>/phases.jsonl (PhaseStarted) when it begins.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

sys.path.append(__file__.rsplit("/", 3)[0])

from wrklab.node import host_look, http_get, node_io, sampler, sock_diag
from wrklab.node.idle_connections import idle_connections
from wrklab.node.request_mix import RequestMix, first_wrong
from wrklab.node.wrk_process import Cancelled, WindowWatch, WrkLoad, WrkProcess, WrkRun, argv_for
from wrklab.protocol.codec import decode_json, encode_json
from wrklab.protocol.load import (
    AnswerKind,
    ConnectionMode,
    FailureKind,
    LoadFailure,
    LoadPhase,
    LoadResult,
    LoadSpec,
    PhaseStarted,
    PhaseTime,
    ReadyResult,
    SettleResult,
    Timetable,
    VerifyResult,
    WarmupSpec,
    WindowTimes,
    WrkResult,
    WrkSpec,
)
from wrklab.protocol.server import Source

_POLL_S = 0.01
# Limits of phases are for hosts of usual speed; those that are not in the spec are multiplied with its timeout_scale.
#: A server that starts may answer wrongly for a while; one that does so for this long is wrong.
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
#: Of the warm-up's mean answer: right answers may be shorter by a counter or a name.
_SHORTER_RATIO = 0.9
#: The least that an answer has besides its body: "HTTP/1.1 200 OK" and two ends of line.
_HEAD_BYTES = 19
#: What an idle server may need for a GET beyond twice its first answer.
_CALM_SLACK_S = 0.25
#: A server works under load if it has answered within this, or within so many times the mean time between answers.
_ANSWERED_WITHIN_S = 0.3
_ANSWERED_WITHIN_GAPS = 5
#: How long a server has for accepting idle connections before it is asked beside them.
_IDLE_S = 0.1
#: What a warm-up's order of requests is drawn from.
_WARMUP_MIX_SEED = 0x9E3779B9
#: Silences are counted in tenths of a second.
_SILENCE_STEP_S = 0.1
#: Of a server that drops what asks for a connection, as against one that refuses it.
_NO_WAY = (
    ". Is a firewall in between? Or do this host's packets reach the server under an address that the inventory does "
    "not have (lab_load_address; docs/own_hosts.md)?"
)


class PhaseFailed(Exception):  # noqa: N818  it ends the cell in a controlled way
    """The cell cannot go on; the text says what was found."""

    def __init__(self, text: str, kind: FailureKind = FailureKind.GENERATOR) -> None:
        """`kind` says whose doing it is."""
        super().__init__(text)
        self.kind = kind


class LoadCell:
    """One cell's load, phase by phase, and what was found so far."""

    def __init__(self, folder: str, spec: LoadSpec) -> None:
        """`folder` takes every output."""
        self._folder = folder
        self.spec = spec
        # One look-up for all: GETs, wrk and the counting of connections mean the same address.
        self._address = str(host_look.resolve(spec.target.host)[1][0])
        self._expected = (spec.expect.status, spec.expect.body)
        closes = spec.connection_mode is ConnectionMode.CLOSE
        address = (self._address, spec.target.port)
        self._mix = RequestMix(spec.mix, address, closes=closes) if spec.mix else None
        self._run: WrkRun | None = None
        self._phases: list[PhaseTime] = []
        self._ready: ReadyResult | None = None
        self._warmup: WrkResult | None = None
        self._settled: SettleResult | None = None
        self._opens_early = False
        self._window_times: WindowTimes | None = None
        self._wrk: tuple[WrkResult, ...] = ()
        self._clock_step_s = 0.0
        self._samples: tuple[str, ...] = ()
        self._watch: WindowWatch | None = None
        self._verified: VerifyResult | None = None

    def measure(self) -> None:
        """All phases in order. Raises PhaseFailed, Cancelled; the result holds what was found until then."""
        _raise_limits(self.spec)
        self._enter(LoadPhase.READY)
        self._become_ready()
        self._check_mix()
        if self.spec.warmup:
            self._warm_up(self.spec.warmup)
            self._enter(LoadPhase.SETTLE)
            self._settle()
        if self.spec.processes[0].timetable and self.spec.connection_mode is ConnectionMode.KEEP_ALIVE:
            self._opens_early = self._answers_beside_idle_connections()
        self._wait_for_ports()
        self._window()
        self._enter(LoadPhase.VERIFY_AFTER)
        self._verify_after()

    def close(self) -> None:
        """End what still runs, and the last phase."""
        if self._run:
            self._run.kill()
        node_io.remove(self._mix_path)
        self._end_phase(node_io.now())

    def result(self, failed: LoadFailure | None) -> LoadResult:
        """All that was found."""
        watch = self._watch
        return LoadResult(
            cell=self.spec.cell,
            ready=self._ready,
            warmup=self._warmup,
            settle=self._settled,
            window=self._window_times,
            wrk=self._wrk,
            clock_step_s=self._clock_step_s,
            open_connections=tuple(watch.counts) if watch else (),
            silences=watch.silences if watch else None,
            wrk_threads=watch.threads if watch else None,
            paused=watch.paused() if watch else None,
            verify_after=self._verified,
            samples=self._samples,
            phases=tuple(self._phases),
            failed=failed,
        )

    @property
    def phase(self) -> LoadPhase:
        """The phase that goes on."""
        return self._phases[-1].name if self._phases else LoadPhase.READY

    def _enter(self, name: LoadPhase, expected_s: float = 0.0) -> None:
        """A new phase; a watcher may sleep for `expected_s`."""
        now = node_io.now()
        self._end_phase(now)
        self._phases.append(PhaseTime(name=name, start_at_s=now, end_at_s=None))
        # Read by another process, whose epoch began at another time: the monotonic clock is the host's.
        started = PhaseStarted(phase=name, at_s=now, expected_end_mono_s=time.monotonic() + expected_s)
        with open(f"{self._folder}/phases.jsonl", "a", encoding="utf-8") as stream:
            stream.write(encode_json(started) + "\n")

    def _end_phase(self, now: float) -> None:
        if self._phases:
            self._phases[-1] = self._phases[-1].replace(end_at_s=now)

    @property
    def _mix_path(self) -> str:
        """It holds what a login answered: it does not outlive the load."""
        return f"{self._folder}/mix"

    def _get(self, limit_s: float) -> http_get.Answer:
        if self._mix:
            return self._mix.ask(self._mix.usual, limit_s)
        target = self.spec.target
        return http_get.check((self._address, target.port), target.path, *self._expected, limit_s)

    def _become_ready(self) -> None:
        began, limit_s = time.monotonic(), self.spec.ready_limit_s
        attempts, wrong_since = 0, None
        while True:
            left_s = limit_s - (time.monotonic() - began)
            attempt_s = max(0.05, min(self.spec.attempt_limit_s, left_s))
            answer = self._mix.ask_first(attempt_s) if self._mix else self._get(attempt_s)
            attempts += 1
            now = time.monotonic()
            if answer.is_right:
                break
            wrong_since = (wrong_since or now - answer.took_s) if answer.kind is AnswerKind.WRONG else None
            if wrong_since is not None and now - wrong_since >= _WRONG_FOR_S * self.spec.timeout_scale:
                text = f"{self._url()}: {answer.found} (for {now - wrong_since:.1f} s)"
                raise PhaseFailed(text, FailureKind.ANSWERS)
            if now - began >= limit_s:
                text = f"{self._url()}: not ready within {limit_s:g} s, {attempts} attempts: {answer.found}"
                if not answer.connected and answer.kind is not AnswerKind.REFUSED:
                    text += _NO_WAY
                raise PhaseFailed(text, FailureKind.ANSWERS)
            time.sleep(_POLL_S)
        self._ready = ReadyResult(at_s=node_io.now(), attempts=attempts, first_answer_s=answer.took_s)

    def _check_mix(self) -> None:
        """Each request of a mix once, before any load. Raises PhaseFailed naming the one whose answer is wrong."""
        if not self._mix or not self._ready:
            return
        answers = self._mix.ask_all(self.spec.attempt_limit_s)
        answer = first_wrong(answers)
        if not answer.is_right:
            raise PhaseFailed(f"before any load: {answer.found}", FailureKind.ANSWERS)
        # That of the login, or of a server that had just started, is not what settling is compared with.
        self._ready = self._ready.replace(first_answer_s=answer.took_s)
        self._mix.write_file(self._mix_path)

    def _url(self) -> str:
        host = f"[{self._address}]" if ":" in self._address else self._address
        return f"http://{host}:{self.spec.target.port}{self.spec.target.path}"

    def _process(
        self, stem: str, load: WrkLoad, timetable: Timetable | None, mark_s: float, *, validate: bool
    ) -> WrkProcess:
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        if self.spec.connection_mode is ConnectionMode.CLOSE:
            environment["WRKLAB_CLOSE"] = "1"
        if timetable:
            if self._opens_early:
                environment["WRKLAB_OPEN_EARLY"] = "1"
            # wrk_report.lua reads the wall clock.
            environment |= timetable_environment(timetable, load, mark_s + _wall_step_s())
        if self._mix:
            environment |= mix_environment(self._mix_path, load, validate=validate)
        elif validate:
            environment |= {"WRKLAB_EXPECT_STATUS": str(self._expected[0]), "WRKLAB_EXPECT_BODY": self._expected[1]}
        script = self.spec.script or f"{node_io.NODE_DIR}/wrk_report.lua"
        return WrkProcess(argv_for(self.spec.wrk, script, self._url(), load), environment, f"{self._folder}/{stem}")

    def _warm_up(self, warmup: WarmupSpec) -> None:
        duration_s = _wrk_duration_s(warmup.duration_s, warmup.timetable, 0.0)
        self._enter(LoadPhase.WARMUP, duration_s)
        mark_s = node_io.now()
        seeds = tuple(range(_WARMUP_MIX_SEED, _WARMUP_MIX_SEED + warmup.threads))
        load = WrkLoad(warmup.threads, warmup.connections, duration_s, self.spec.timeout_s, seeds)
        # Few connections: comparing each answer delays nobody, and shows what a window does not look at.
        process = self._process("warmup", load, warmup.timetable, mark_s, validate=True)
        self._run = self._run_of([process], duration_s)
        self._run.fork(mark_s)
        self._run.follow(mark_s)
        self._warmup = process.result()
        self._check_run(self._run)

    def _run_of(self, processes: Sequence[WrkProcess], duration_s: float) -> WrkRun:
        scale = self.spec.timeout_scale
        return WrkRun(processes, duration_s, duration_s + self.spec.timeout_s + _GRACE_S * scale, scale)

    @staticmethod
    def _check_run(run: WrkRun) -> None:
        """Raises PhaseFailed where the run does not count."""
        if problem := run.problem():
            raise PhaseFailed(problem, FailureKind.CANCELLED if run.is_cancelled else FailureKind.GENERATOR)

    def _settle(self) -> None:
        """Wait until a GET is answered about as fast as by the idle server: what the warm-up left queued is served."""
        began, limit_s, attempts = time.monotonic(), self.spec.settle_limit_s, 0
        calm_s = self._calm_s(self._ready.first_answer_s if self._ready else 0.0)
        while True:
            answer = self._get(max(0.05, limit_s - (time.monotonic() - began)))
            attempts += 1
            is_calm = answer.is_right and answer.took_s <= calm_s
            if is_calm or time.monotonic() - began >= limit_s:
                break
            time.sleep(_POLL_S)
        self._settled = SettleResult(
            took_s=time.monotonic() - began, attempts=attempts, answer_s=answer.took_s, is_calm=is_calm
        )
        if not answer.is_right:
            raise PhaseFailed(f"{self._url()}: after the warm-up: {answer.found}", FailureKind.ANSWERS)

    @staticmethod
    def _calm_s(idle_answer_s: float) -> float:
        """A server with nothing queued answers within this."""
        return 2 * idle_answer_s + _CALM_SLACK_S

    def _idle_answer_s(self) -> float:
        """How long an answer of the idle server takes: once it has settled no part of its start is in that."""
        if self._settled and self._settled.is_calm:
            return self._settled.answer_s
        return self._ready.first_answer_s if self._ready else 0.0

    def _answers_beside_idle_connections(self) -> bool:
        """Whether the server answers while all connections of an open loop are open without a request.

        Then they are opened before the timetable begins, as a pool that is warm. Where each keeps a worker waiting (of
        gunicorn: sync, gthread), wrk opens one when its request is due.
        """
        count = sum(process.connections for process in self.spec.processes)
        limit_s = self._calm_s(self._idle_answer_s()) * self.spec.timeout_scale
        try:
            with idle_connections(self._address, self.spec.target.port, count):
                time.sleep(_IDLE_S)
                found = self._get(limit_s).is_right
        except OSError:
            return False
        # What they left in the server is worked off.
        self._get(self.spec.attempt_limit_s)
        return found

    def _wait_for_ports(self) -> None:
        """Old connections (TIME_WAIT) to the target hold local ports: wait until enough are free, or fail."""
        port = self.spec.target.port
        needed = sum(process.connections for process in self.spec.processes)
        free = sock_diag.free_ports_count(self._address, port)
        if free >= needed:
            return
        self._enter(LoadPhase.DRAIN, _DRAIN_LIMIT_S)
        deadline = time.monotonic() + _DRAIN_LIMIT_S
        while free < needed:
            if time.monotonic() > deadline or sock_diag.local_ports_count() < needed:
                states = sock_diag.connection_states(self._address, port)
                raise PhaseFailed(
                    f"{needed} connections need as many local ports towards {self._address}:{port}; {free} of "
                    f"{sock_diag.local_ports_count()} are free (ip_local_port_range; sockets by state: {states})"
                )
            time.sleep(_DRAIN_POLL_S)
            free = sock_diag.free_ports_count(self._address, port)

    def _window(self) -> None:
        spec = self.spec
        timetable = spec.processes[0].timetable
        duration_s = _wrk_duration_s(spec.duration_s, timetable, spec.drain_s)
        mark_s, step_s = self._mark(), _wall_step_s()

        def process_of(number: int, load: WrkSpec) -> WrkProcess:
            shape = WrkLoad(load.threads, load.connections, duration_s, spec.timeout_s, load.mix_seeds)
            return self._process(f"wrk{number}", shape, load.timetable, mark_s, validate=load.checks_answers)

        processes = [process_of(number, load) for number, load in enumerate(spec.processes)]
        self._run = self._run_of(processes, duration_s)
        self._enter(LoadPhase.WINDOW, mark_s - node_io.now() + duration_s)
        self._run.fork(mark_s)
        self._watch = WindowWatch(processes, (self._address, spec.target.port), mark_s, self._answer_bytes())
        samples_path = f"{self._folder}/samples.jsonl"
        thread = sampler.Sampler(self._sources(), sampler.own_cgroup(), samples_path, spec.sample_interval_s)
        thread.start()
        try:
            self._run.follow(mark_s, self._watch.tasks(spec.duration_s))
        finally:
            thread.stop()
            self._samples = tuple((node_io.read_text(samples_path) or "").splitlines())
            self._wrk = tuple(process.result() for process in processes)
            self._window_times = _window_of(self._wrk, mark_s, step_s, timetable)
            self._clock_step_s = _wall_step_s() - step_s
        if abs(self._clock_step_s) > _CLOCK_STEP_MAX_S:
            raise PhaseFailed(
                f"this host's wall clock was stepped by {self._clock_step_s:+.3f} s within the window, and "
                "wrk measures by it: let time synchronisation slew, or step before a bench"
            )
        self._check_run(self._run)

    def _mark(self) -> float:
        """When wrk is to begin, epoch seconds. Raises PhaseFailed where that has passed when this host hears of it."""
        if not self.spec.waits_for_mark:
            return node_io.now() + _LEAD_S + _LEAD_PER_PROCESS_S * len(self.spec.processes)
        self._enter(LoadPhase.ARMED)
        while (word := node_io.read_text(f"{self._folder}/mark")) is None:
            time.sleep(_MARK_POLL_S)
        # The mark is by the wall clock as it is now.
        left_s = float(word) - time.time()
        if left_s < 0:
            raise PhaseFailed(f"the common mark was {-left_s:.3f} s ago when this generator heard of it")
        return node_io.now() + left_s

    def _sources(self) -> tuple[Source, ...]:
        return sampler.read_sources(self.spec.sources or f"{node_io.NODE_DIR}/sources.json")

    def _answer_bytes(self) -> int:
        """What a complete answer has at least: by the warm-up's, else by the body."""
        report = self._warmup.report if self._warmup else None
        if self._mix:
            return _HEAD_BYTES  # its answers are of different sizes
        if report and report.requests:
            return int(_SHORTER_RATIO * report.bytes / report.requests)
        return _HEAD_BYTES + len(self._expected[1])

    def _verify_after(self) -> None:
        """One GET, or each request of a mix.

        What is behind a queue that is longer than the limit gets no answer within it: that is not awaited.

        A server that is gone, or answers wrongly, shows that at once; one that hangs had stopped answering before.
        """
        limit_s, queue_s = 2 * self.spec.attempt_limit_s, self._queue_s()
        is_queued = queue_s is not None and queue_s > limit_s and self._answered_until_the_end()
        brief_s = self._calm_s(self._idle_answer_s()) * self.spec.timeout_scale
        limit_s = min(brief_s, limit_s) if is_queued else limit_s
        answer = first_wrong(self._mix.ask_all(limit_s)) if self._mix else self._get(limit_s)
        kind = AnswerKind.STILL_QUEUED if is_queued and answer.kind is AnswerKind.TIMED_OUT else answer.kind
        self._verified = VerifyResult(kind=kind, found=answer.found, took_s=answer.took_s, queue_s=queue_s)

    def _queue_s(self) -> float | None:
        """How long the server needs at its rate for all that can be queued: one request a connection."""
        rate_per_s = self._rate_per_s()
        return sum(process.connections for process in self.spec.processes) / rate_per_s if rate_per_s else None

    def _rate_per_s(self) -> float:
        reports = [wrk.report for wrk in self._wrk if wrk.report]
        return sum(report.requests / (report.duration_us / 1e6) for report in reports if report.duration_us)

    def _answered_until_the_end(self) -> bool:
        """Whether answers still came when connections were last looked at, near the window's end."""
        silences, rate_per_s = self._watch.silences if self._watch else None, self._rate_per_s()
        if silences is None or not silences.answered or not rate_per_s:
            return False
        latest_s = min(silences.answered) * _SILENCE_STEP_S
        return latest_s <= max(_ANSWERED_WITHIN_S, _ANSWERED_WITHIN_GAPS / rate_per_s)


def _raise_limits(spec: LoadSpec) -> None:
    """Raise this process's descriptor limit, which wrk inherits. Raises PhaseFailed where the ceiling is too low."""
    try:
        node_io.raise_descriptor_limit(max(process.connections for process in spec.processes))
    except OSError as error:
        raise PhaseFailed(str(error)) from error


def _wall_step_s() -> float:
    """By how much the wall clock was stepped since this process began."""
    return time.time() - node_io.now()


def _wrk_duration_s(duration_s: float, timetable: Timetable | None, drain_s: float) -> float:
    """How long wrk runs: in an open loop also while connections open, and while the last answers come."""
    return duration_s if timetable is None else timetable.lead_s + duration_s + drain_s


def timetable_environment(timetable: Timetable, load: WrkLoad, mark_wall_s: float) -> dict[str, str]:
    """What wrk_report.lua reads; `mark_wall_s` is the mark by this host's wall clock."""
    return {
        "WRKLAB_RATE": repr(timetable.rate_per_s),
        "WRKLAB_ARRIVALS": timetable.arrivals.value,
        "WRKLAB_BEGIN": repr(mark_wall_s + timetable.lead_s),
        "WRKLAB_SLOTS_S": repr(timetable.duration_s),
        "WRKLAB_OFFSET_S": repr(timetable.offset_s),
        "WRKLAB_THREAD_OFFSET_S": repr(timetable.thread_offset_s),
        "WRKLAB_SEED": str(timetable.seed),
        "WRKLAB_CONNECTIONS": str(load.connections // load.threads),
    }


def mix_environment(path: str, load: WrkLoad, *, validate: bool) -> dict[str, str]:
    """What wrk_mix.lua reads; `path` is the file with the requests."""
    found = {
        "WRKLAB_MIX": path,
        "WRKLAB_MIX_SEEDS": ",".join(map(str, load.mix_seeds)),
        "WRKLAB_CONNECTIONS": str(load.connections // load.threads),
        "WRKLAB_TIMEOUT_US": str(int(load.timeout_s) * 1_000_000),
    }
    return found | ({"WRKLAB_MIX_CHECKS": "1"} if validate else {})


def _window_of(results: Sequence[WrkResult], mark_s: float, step_s: float, timetable: Timetable | None) -> WindowTimes:
    """From the first wrk's start to the last one's end, as they report; where none did, from the mark until now.

    wrk reports by the wall clock, which had been stepped by `step_s` when the window began. The window of an open
    loop is its timetable, without the time in which connections open and the last answers come.
    """
    if timetable is not None:
        start_s = mark_s + timetable.lead_s
        return WindowTimes(mark_at_s=mark_s, start_at_s=start_s, end_at_s=start_s + timetable.duration_s)
    reports = [result.report for result in results if result.report]
    starts = [report.started_at - step_s if report.started_at else mark_s for report in reports]
    ends = [start + report.duration_us / 1e6 for start, report in zip(starts, reports, strict=True)]
    return WindowTimes(
        mark_at_s=mark_s, start_at_s=min(starts, default=mark_s), end_at_s=max(ends, default=node_io.now())
    )


def _failure(phase: LoadPhase, error: Exception, deadline_at: float) -> LoadFailure:
    text, kind = str(error), FailureKind.GENERATOR
    if isinstance(error, PhaseFailed):
        kind = error.kind
    elif isinstance(error, Cancelled):
        kind = FailureKind.CANCELLED
    elif not isinstance(error, OSError | ValueError):
        text = repr(error)
    # systemd ends the unit at its deadline by the very signal that cancels it: the clock tells which it was.
    if kind is FailureKind.CANCELLED and time.monotonic() >= deadline_at:
        text, kind = f"{text}, by the unit's deadline", FailureKind.DEADLINE
    return LoadFailure(phase=phase, kind=kind, text=node_io.cut(text))


def _cancel(_number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Cancelled("cancelled by a signal")


def main() -> None:
    """Measure the cell; the result is written whatever happens."""
    folder = sys.argv[1]
    node_io.write_file(f"{folder}/pid", f"{os.getpid()}\n")
    with open(f"{folder}/spec.json", "rb") as stream:
        cell = LoadCell(folder, decode_json(LoadSpec, stream.read()))
    if cell.spec.mix:
        # Its secrets are needed here alone; the spec stays until the next cell.
        node_io.write_file(f"{folder}/spec.json", encode_json(cell.spec.replace(mix=None)))
    # systemd's clock began a little before ours.
    deadline_at = time.monotonic() + cell.spec.deadline_s - 0.5
    signal.signal(signal.SIGINT, _cancel)
    signal.signal(signal.SIGTERM, _cancel)
    failed = None
    try:
        cell.measure()
    except Exception as error:  # noqa: BLE001  whatever it is, the controller is to hear of it
        failed = _failure(cell.phase, error, deadline_at)
    finally:
        cell.close()
    node_io.write_file(f"{folder}/result.json", encode_json(cell.result(failed)))


if __name__ == "__main__":
    main()
