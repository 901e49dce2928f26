"""One probe of one variant: tries until a wave shows all that can be shown, and its record."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from wrklab.errors import CellError
from wrklab.measure.session import Session
from wrklab.model.published_probe import PublishedProbe
from wrklab.model.record import LogError
from wrklab.model.stack import Variant
from wrklab.probe import drive, protocol
from wrklab.probe.analysis import OWN_LIMIT, Figures, figures, overflow_text, running, void_reasons
from wrklab.probe.published import compare
from wrklab.probe.record import ProbeRecord
from wrklab.probe.serving import displacement_mean, serving
from wrklab.probe.wave import Wave

#: A variant that is there to fail needs no thousand tracebacks.
_FAILING_COUNT = 100
_LOG_LINES = 20
#: N above this is sent faster, so that the hold stays far from servers' own time-outs and the probe is short.
_FAST_ABOVE_COUNT = 5000
_FAST_RATE_PER_S = 1000.0

OnStep = Callable[[str], None]


@dataclass(frozen=True)
class ProbeOutcome:
    """A probe as the store takes it: the record, and by name what the hosts said in each wave."""

    record: ProbeRecord
    raw: dict[str, Any]


@dataclass
class _Probe:
    """A probe under way."""

    session: Session
    variant: Variant
    on_step: OnStep
    pace: protocol.Pace
    count: int | None
    ceiling: int
    tries: int = 0
    raw: dict[str, Any] = field(default_factory=dict)
    void: list[str] = field(default_factory=list)
    wave: Wave | None = None
    second: Wave | None = None
    figures: Figures | None = None


def probe_variant(
    session: Session, variant: Variant, published: PublishedProbe | None, on_step: OnStep
) -> ProbeOutcome:
    """Probe a variant. What goes wrong with it is in the record; only HostError and the like are raised."""
    started_at_s, began_mono_s = time.time(), time.monotonic()
    probe = _begin(session, variant, on_step)
    error = ""
    log_tail: tuple[str, ...] = ()
    try:
        while not _try_once(probe):
            pass
    except CellError as failure:
        error = str(failure)
    if probe.wave is not None:
        log_tail = probe.wave.log_tail[-_LOG_LINES:]
        error = error or _failure_text(variant, probe.wave)
    seconds = round(time.monotonic() - began_mono_s, 2)
    record = _record(probe, started_at_s, seconds).model_copy(update=_failure(probe, error, log_tail))
    record = record.model_copy(update=compare(record, published))
    return ProbeOutcome(record, probe.raw)


def failed_probe(variant: Variant, started_at_s: float, why: str) -> ProbeOutcome:
    """The record of a probe that something else than its server kept from its end."""
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
            error=why,
        ),
        {},
    )


def _begin(session: Session, variant: Variant, on_step: OnStep) -> _Probe:
    asked = variant.probe_requests_count
    count = _FAILING_COUNT if variant.expect_failure else asked
    ceiling = max(protocol.CEILING_COUNT, count or 0)
    pace = protocol.Pace(rate_per_s=_FAST_RATE_PER_S) if (count or 0) > _FAST_ABOVE_COUNT else protocol.Pace()
    return _Probe(session, variant, on_step, pace.patient(session.patience_ratio), count, ceiling)


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
    if probe.count is None:
        probe.count = _choose_count(probe, server)
    probe.on_step(f"{probe.count} requests (try {probe.tries})")
    wave, probe.raw[f"try{probe.tries}"] = drive.run_wave(server, protocol.plan_wave(probe.count, probe.pace))
    if reasons := void_reasons(wave):
        return _void(probe, reasons)
    found = figures(wave)
    if probe.figures is None or found.counts.in_flight >= probe.figures.counts.in_flight:
        probe.wave, probe.figures = wave, found
    step = protocol.next_step(found, probe.tries, probe.ceiling, probe.variant.in_flight_limit)
    if step == "raise":
        probe.count = protocol.needed_count(found)
        return False
    if step == "spread":
        probe.pace = probe.pace.in_bursts(found.counts.backlog)
        return False
    probe.second = _second_wave(probe, server)
    return True


def _void(probe: _Probe, reasons: list[str]) -> bool:
    """Note why; the next try is slower."""
    probe.void.append("; ".join(reasons))
    probe.pace = probe.pace.slower()
    return protocol.next_step(None, probe.tries, probe.ceiling) == "give up"


def _choose_count(probe: _Probe, server: drive.Server) -> int:
    """N of the first whole wave. A long backlog is worth a scout: is the kernel's queue used at all?"""
    limit = probe.variant.in_flight_limit
    usual = protocol.first_count(limit, probe.ceiling)
    if not protocol.wants_scout(drive.backlog(server), probe.ceiling):
        return usual
    probe.on_step("scout")
    wave, probe.raw[f"scout{probe.tries}"] = drive.run_wave(server, protocol.plan_scout(limit))
    if not drive.drain(server):
        raise CellError("wave", "what a scout of a few requests had asked for was not served in time")
    if void_reasons(wave):
        return usual
    return max(usual, protocol.next_count(figures(wave), probe.ceiling) or 0)


def _second_wave(probe: _Probe, server: drive.Server) -> Wave | None:
    """A few more requests once the first wave is served, to see who serves them; None where it never was."""
    if not protocol.has_second_wave(probe.count or 0):
        return None
    probe.on_step("second wave")
    if not drive.drain(server):
        return None
    try:
        wave, probe.raw["second"] = drive.run_wave(server, protocol.plan_second_wave())
    except CellError:
        return None
    return wave


def _record(probe: _Probe, started_at_s: float, seconds: float) -> ProbeRecord:
    record = ProbeRecord(
        variant=probe.variant.name,
        stack=probe.variant.stack,
        state="void",
        started_at_s=started_at_s,
        seconds=seconds,
        tries=probe.tries,
        queue_setting=probe.variant.queue_setting,
        capacity_setting=probe.variant.capacity_setting,
        void_reasons=tuple(probe.void),
    )
    if probe.wave is None or probe.figures is None:
        return record
    return record.model_copy(update=_measured(probe.wave, probe.figures, probe.second))


def _measured(wave: Wave, found: Figures, second: Wave | None) -> dict[str, object]:
    """The figures of a wave as fields of a record."""
    counts = found.counts
    is_bounded = found.capacity_limited_by == OWN_LIMIT
    again = second.notes if second else ()
    who = serving(running(wave, wave.looks[-1]), wave.notes, again, is_bounded=is_bounded)
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
        "overflow": overflow_text(found.overflow),
        "overflow_counts": found.overflow,
        "processes": counts.processes,
        "threads": counts.threads,
        "serving": who.kind,
        "serving_detail": who.detail,
        "reused": who.reused,
        "displacement_mean": None if displacement is None else round(displacement, 2),
        "descriptors": found.descriptors,
        "log_errors": tuple(LogError(text=text, count=count) for text, count in wave.log_errors),
    }


def _failure_text(variant: Variant, wave: Wave) -> str:
    """What a server says when it fails: the line that the card expects, else the first answer that was not 200."""
    lines = [*wave.log_tail, *wave.error_answer.splitlines()]
    if variant.expect_failure:
        for line in reversed(lines):
            if re.search(variant.expect_failure, line):
                return line.strip()
    first_line = wave.error_answer.splitlines()[:1]
    return first_line[0].strip() if first_line else ""


def _failure(probe: _Probe, error: str, log_tail: tuple[str, ...]) -> dict[str, object]:
    """The fields that tell of a failure. One that the card expects is a finding."""
    expected = probe.variant.expect_failure
    matches = bool(expected and re.search(expected, error))
    update: dict[str, object] = {"error": error, "is_expected_failure": matches}
    if probe.wave is None and not probe.void:
        update |= {"state": "failed"}
    if error or expected:
        update |= {"log_tail": log_tail}
    return update
