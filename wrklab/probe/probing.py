"""One probe of one variant: tries until a wave shows all that can be shown, and its record."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from wrklab.catalogue.deployment import variant_digest
from wrklab.catalogue.stack import Variant
from wrklab.errors import CellError, HostError, ParseError
from wrklab.hosts.session import Session
from wrklab.probe import drive, planning
from wrklab.probe.analysis import Figures, displacement_mean, figures, overflow_kinds, serving, void_reasons
from wrklab.probe.wave import Wave, WavePlan, read_wave
from wrklab.protocol.codec import encode
from wrklab.protocol.phases import Phase
from wrklab.results.probe_record import CapacityLimit, ProbeRecord
from wrklab.results.records import LogError

_LOG_LINES = 20

OnStep = Callable[[str], None]


@dataclass(frozen=True)
class ProbeOutcome:
    """A probe as the store takes it: the record, and by name each wave as the hosts reported it (WaveRaw)."""

    record: ProbeRecord
    raw: dict[str, Any]


@dataclass(frozen=True)
class _Seen:
    """A wave that may be reported, and the second one of the same start."""

    wave: Wave
    figures: Figures
    second: Wave | None = None


@dataclass
class _Probe:
    """A probe under way."""

    session: Session
    variant: Variant
    on_step: OnStep
    pace: planning.Pace
    count: int | None
    ceiling: int
    tries: int = 0
    raw: dict[str, Any] = field(default_factory=dict)
    void: list[str] = field(default_factory=list)
    #: After this wave nothing was left to be tried.
    seen: _Seen | None = None
    #: One that reached every worker and did not fill the kernel's queue: reported where no later one could be.
    fallback: _Seen | None = None
    #: The most that any wave showed to be handled at once, and why the last one had not reached every worker.
    most: int | None = None
    unreached: str = ""

    @property
    def in_flight_limit(self) -> int | None:
        """Requests that can be handled at once, as the variant's card says; None where it sets no limit."""
        return self.variant.limit_at(self.session.cpus_count)


def probe_variant(session: Session, variant: Variant, on_step: OnStep) -> ProbeOutcome:
    """Probe a variant. What goes wrong with it is in the record; only HostError and the like are raised."""
    started_at_s, began_mono_s = time.time(), time.monotonic()
    probe = _begin(session, variant, on_step)
    failure = ""
    try:
        while not _try_once(probe):
            pass
    except CellError as error:
        failure = str(error)
    seen = None if failure else _what_is_left(probe)
    record = _about(probe, started_at_s, round(time.monotonic() - began_mono_s, 2))
    if seen is not None:
        record = record.model_copy(update=_measured(seen))
    record = record.model_copy(update=_failure(record, failure, seen.wave if seen else None))
    return ProbeOutcome(record, probe.raw)


def failed_probe(variant: Variant, started_at_s: float, why: str) -> ProbeOutcome:
    """The record of a probe that could not be finished for a reason outside of its server."""
    return ProbeOutcome(
        ProbeRecord(
            variant=variant.name,
            stack=variant.stack,
            state="failed",
            started_at_s=started_at_s,
            seconds=round(max(0.0, time.time() - started_at_s), 2),
            tries=0,
            queue_setting=variant.queue_setting,
            capacity_setting=variant.capacity_setting,
            expected_failure=variant.expect_failure,
            error=why,
        ),
        {},
    )


def _begin(session: Session, variant: Variant, on_step: OnStep) -> _Probe:
    opening = planning.opening(
        variant.probe_requests_count,
        is_to_fail=variant.expect_failure is not None,
        timeout_scale=session.timeout_scale,
    )
    return _Probe(session, variant, on_step, opening.pace, opening.requests_count, opening.ceiling_count)


def _try_once(probe: _Probe) -> bool:
    """One fresh start of the server with its wave; whether the probe is over. Raises CellError: the server failed."""
    probe.tries += 1
    probe.on_step(f"start (try {probe.tries})")
    with drive.running_server(probe.session, probe.variant) as server:
        try:
            return _measure(probe, server)
        except CellError as error:
            # The server answered before, so it is the hosts that did not keep up.
            return _void(probe, [str(error)])


def _measure(probe: _Probe, server: drive.Server) -> bool:
    if server.instability:
        return _void(probe, [server.instability])
    if probe.count is None:
        probe.count = _choose_count(probe, server)
    probe.on_step(f"{probe.count} requests (try {probe.tries})")
    wave = _run_wave(probe, server, f"try{probe.tries}", planning.plan_wave(probe.count, probe.pace))
    if reasons := void_reasons(wave):
        return _void(probe, reasons)
    found, limit, most = figures(wave), probe.in_flight_limit, probe.most
    step = planning.next_step(found, probe.tries, probe.ceiling, limit, most)
    probe.unreached = planning.unreached(found, limit, most)
    probe.most = max(most or 0, found.counts.in_flight)
    if step == "report":
        probe.seen = _Seen(wave, found, _second_wave(probe, server))
    elif step == "raise":
        probe.fallback = _Seen(wave, found)
        probe.count = planning.needed_count(found)
    elif step == "spread":
        probe.pace = probe.pace.in_bursts(found.counts.backlog)
    return step in ("report", "give up")


def _run_wave(probe: _Probe, server: drive.Server, name: str, plan: WavePlan) -> Wave:
    """One wave, kept by this name as the hosts reported it. Raises CellError, HostError, ParseError."""
    raw = drive.run_wave(server, plan)
    probe.raw[name] = encode(raw)
    return read_wave(raw)


def _what_is_left(probe: _Probe) -> _Seen | None:
    """What is reported once the tries are over; None, with the reason noted, where that is nothing."""
    seen = probe.seen or probe.fallback
    if seen is None and probe.most is not None:
        probe.void.append(
            f"not every worker process was reached: at most {probe.most} handled at once in {probe.tries} tries; "
            f"{probe.unreached}"
        )
    return seen


def _void(probe: _Probe, reasons: list[str]) -> bool:
    """Note why; the next try is slower."""
    probe.void.append("; ".join(reasons))
    probe.pace = probe.pace.slower()
    return planning.next_step(None, probe.tries, probe.ceiling) == "give up"


def _choose_count(probe: _Probe, server: drive.Server) -> int:
    """N of the first complete wave. A long backlog is worth a scout: is the kernel's queue used at all?"""
    limit = probe.in_flight_limit
    usual = planning.first_count(limit, probe.ceiling)
    if not planning.wants_scout(drive.backlog(server), probe.ceiling):
        return usual
    probe.on_step("scout")
    wave = _run_wave(probe, server, f"scout{probe.tries}", planning.plan_scout(limit))
    if not drive.drain(server):
        raise CellError(Phase.WAVE, "the few requests of a scout were not served in time")
    if void_reasons(wave):
        return usual
    return max(usual, planning.next_count(figures(wave), probe.ceiling) or 0)


def _second_wave(probe: _Probe, server: drive.Server) -> Wave | None:
    """A few more requests once the first wave is served, to see who serves them; None where it never was."""
    if not planning.has_second_wave(probe.count or 0):
        return None
    probe.on_step("second wave")
    try:
        if not drive.drain(server):
            return None
        return _run_wave(probe, server, "second", planning.plan_second_wave())
    except (CellError, HostError, ParseError):
        return None  # the first wave is none the worse for it


def _about(probe: _Probe, started_at_s: float, seconds: float) -> ProbeRecord:
    """The record of a probe without what it found."""
    variant, catalogue = probe.variant, probe.session.catalogue
    return ProbeRecord(
        variant=variant.name,
        stack=variant.stack,
        state="void",
        # As the catalogue has it: what a slow host makes of its limits is no other server.
        variant_digest=variant_digest(catalogue.stacks[variant.stack], catalogue.variants[variant.name]),
        server_cpus_count=probe.session.cpus_count,
        started_at_s=started_at_s,
        seconds=seconds,
        tries=probe.tries,
        queue_setting=variant.queue_setting,
        capacity_setting=variant.capacity_setting,
        expected_failure=variant.expect_failure,
        void_reasons=tuple(probe.void),
    )


def _measured(seen: _Seen) -> dict[str, object]:
    """The figures of a wave as fields of a record."""
    wave, found = seen.wave, seen.figures
    counts = found.counts
    who = serving(wave, seen.second.notes if seen.second else ())
    open_count, limit = found.descriptors or (None, None)
    displacement = displacement_mean(wave.notes)
    return {
        "state": "measured",
        "requests_count": found.requests_count,
        "rate_per_s": wave.plan.rate_per_s,
        "capacity": counts.in_flight,
        "capacity_limited_by": found.capacity_limited_by,
        "queued_process": counts.queued_process,
        "queued_kernel": counts.queued_kernel,
        "kernel_queue": found.kernel_queue,
        "kernel_limit": counts.backlog,
        "overflow": overflow_kinds(found.overflow),
        "overflow_counts": found.overflow,
        "processes": counts.processes,
        "threads": counts.threads,
        "serving": who.kind,
        "serving_processes": who.processes_count,
        "threads_each": who.threads_each,
        "reused": who.reused,
        "displacement_mean": None if displacement is None else round(displacement, 2),
        "descriptors_open": open_count,
        "descriptors_limit": limit,
        "log_errors": tuple(LogError(text=text, count=count) for text, count in wave.log_errors),
    }


def _failure(record: ProbeRecord, failure: str, wave: Wave | None) -> dict[str, object]:
    """The fields of a failure: of the server to start, or of its answers. One that is expected is a finding.

    That a server does not fail as its card expects is an error.
    """
    expected = record.expected_failure
    error = failure or (_failure_text(expected, wave) if wave else "")
    is_failing = bool(failure) or record.capacity_limited_by is CapacityLimit.FAILS
    matches = bool(expected and is_failing and re.search(expected, error))
    update: dict[str, object] = {"error": error, "is_expected_failure": matches}
    if failure:
        update["state"] = "failed"
    if expected and not matches and (failure or wave):
        update["error"] = f"did not fail as expected ({expected}): {error or 'it answers'}"
    if wave and (error or expected):
        update["log_tail"] = wave.log_tail[-_LOG_LINES:]
    return update


def _failure_text(expected: str | None, wave: Wave) -> str:
    """What a server says when it fails: the line that the card expects, else the first answer that was not 200."""
    lines = [*wave.log_tail, *wave.error_answer.splitlines()]
    if expected:
        for line in reversed(lines):
            if re.search(expected, line):
                return line.strip()
    first_line = wave.error_answer.splitlines()[:1]
    return first_line[0].strip() if first_line else ""
