"""Messages of hosts on which all went well, made by hand, to be changed at will."""

from __future__ import annotations

from wrklab.protocol.load import (
    AnswerKind,
    ConnectionCounts,
    FailureKind,
    LoadFailure,
    LoadPhase,
    LoadResult,
    Paused,
    PhaseTime,
    ReadyResult,
    SettleResult,
    Silences,
    ThreadTime,
    Trickling,
    VerifyResult,
    WindowTimes,
    WrkErrors,
    WrkHistogram,
    WrkLatency,
    WrkReport,
    WrkResult,
    WrkThreads,
)
from wrklab.protocol.server import (
    ActiveState,
    CleanedHost,
    LoggedErrors,
    ObservedServer,
    ServerReport,
    UnitState,
)


def handmade_load_result(**changes: object) -> LoadResult:
    """A load that found nothing, but for `changes`."""
    result = LoadResult(
        cell="c1",
        ready=None,
        warmup=None,
        settle=None,
        window=None,
        wrk=(),
        clock_step_s=0.0,
        open_connections=(),
        silences=None,
        wrk_threads=None,
        paused=None,
        verify_after=None,
        samples=(),
        phases=(),
        failed=None,
    )
    return result.replace(**changes)


def handmade_failure(phase: LoadPhase, text: str, kind: FailureKind = FailureKind.GENERATOR) -> LoadResult:
    """A load that failed."""
    return handmade_load_result(failed=LoadFailure(phase=phase, kind=kind, text=text))


def handmade_unit_state(**changes: object) -> UnitState:
    """A unit that runs, but for `changes`."""
    state = UnitState(
        active_state=ActiveState.ACTIVE,
        sub_state="running",
        result="success",
        exec_main_code=0,
        exec_main_status=0,
        main_pid=7,
    )
    return state.replace(**changes)


def handmade_server_report(**changes: object) -> ServerReport:
    """A server that ran until it was stopped, but for `changes`."""
    observed = ObservedServer(
        argv=("server",),
        processes=(),
        processes_count=0,
        threads_count=0,
        rss_bytes=0,
        listeners=(),
        port=8080,
        peers={},
    )
    report = ServerReport(
        state=handmade_unit_state(),
        observed=observed,
        stop_output="",
        log_tail=(),
        log_errors=LoggedErrors(errors=(), is_complete=True),
        sampler_stderr="",
        samples=(),
        took_s=0.1,
    )
    return report.replace(**changes)


def handmade_cleaned_host(**changes: object) -> CleanedHost:
    """A host on which there was nothing to clean up, but for `changes`."""
    cleaned = CleanedHost(ended=(), output="", removed=(), left_alone=(), free_bytes={}, boot_id="")
    return cleaned.replace(**changes)


def handmade_complete_load() -> LoadResult:
    """A load that came to its end: every part is there."""
    errors = WrkErrors(connect=0, read=0, write=0, status=0, timeout=0, body=0)
    latency = WrkLatency(
        count=2, min_us=100.0, max_us=200.0, mean_us=150.0, stdev_us=50.0, p50_us=100.0, p90_us=200.0, p99_us=200.0,
        p999_us=200.0,
    )  # fmt: skip
    report = WrkReport(
        duration_us=1_000_000, requests=2, bytes=240, threads=1, started_at=1000.0, errors=errors, bodies_checked=True,
        bodies_stale=0, latency=latency, histogram_source="ffi",
        histogram=WrkHistogram(values=(100, 100), counts=(1, 1)),
    )  # fmt: skip
    wrk = WrkResult(
        argv=("/usr/bin/wrk", "-c1"), exit_code=0, report=report, report_problem="", stdout="", stderr="", cpu_s=0.1
    )
    return handmade_load_result(
        ready=ReadyResult(at_s=998.0, attempts=2, first_answer_s=0.1),
        warmup=wrk,
        settle=SettleResult(took_s=0.1, attempts=1, answer_s=0.1, is_calm=True),
        window=WindowTimes(mark_at_s=1000.0, start_at_s=1000.01, end_at_s=1001.0),
        wrk=(wrk,),
        open_connections=(ConnectionCounts(at_s=1000.5, states={"ESTABLISHED": 1}, reopening_count=0, unread_count=0),),
        silences=Silences(elapsed_s=0.9, answered={0: 1}, unanswered={9: 1}, trickling=Trickling(count=0, seen_s=0.4)),
        wrk_threads=WrkThreads(elapsed_s=0.9, processes=((ThreadTime(run_s=0.1, wait_s=0.0),),)),
        paused=Paused(stopped_s=0.0, gap_s=0.2),
        verify_after=VerifyResult(kind=AnswerKind.RIGHT, found="", took_s=0.1),
        samples=('{"at":1000.0}',),
        phases=(PhaseTime(name=LoadPhase.READY, start_at_s=998.0, end_at_s=999.0),),
    )
