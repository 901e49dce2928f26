"""The metrics of the answers: whether they were right, and what was wrong with them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

from wrklab import formats
from wrklab.protocol.load import AnswerKind
from wrklab.results.records import Errors, Measurement, WarmupRecord
from wrklab.summary.metrics import (
    Better,
    Metric,
    Over,
    Source,
    Unit,
    derived,
    distinct,
    of_row,
    shown,
    total,
)
from wrklab.summary.metrics_half_rate import HalfRateMetrics

_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True)
class AnswerSizes:
    """Bytes an answer, headers included."""

    window_bytes: float
    warmup_bytes: float
    #: By how much the two differ beyond what answers explain that had begun when wrk ended: 0.02 is 2 %.
    deviation_ratio: float


def answer_sizes(window: Measurement) -> AnswerSizes | None:
    """The sizes of one window's answers and of its warm-up's, each of which was compared: a check that costs nothing.

    None where sizes say nothing: no warm-up, no answers, or answers that were cut off. Also where connections were
    being opened again: who closes says so in some answers' headers and not in others'.
    """
    warmup = window.warmup
    if warmup is None or not warmup.requests or not window.requests or window.connections_reopening:
        return None
    if warmup.errors.read or window.errors.read:
        return None
    low, high = _size_range(window.bytes_read, window.requests, window.connections_asked)
    warmup_low, warmup_high = _warmup_range(warmup)
    deviation_ratio = max(warmup_low / high - 1 if high else 0.0, low / warmup_high - 1 if warmup_high else 0.0, 0.0)
    return AnswerSizes(high, warmup_high, deviation_ratio)


def _warmup_range(warmup: WarmupRecord) -> tuple[float, float]:
    if warmup.bytes_read % warmup.requests == 0:
        # With answers of one length and others half read this would be a rare chance.
        return (warmup.bytes_read / warmup.requests,) * 2
    return _size_range(warmup.bytes_read, warmup.requests, warmup.connections)


def _size_range(bytes_read: int, requests: int, connections: int) -> tuple[float, float]:
    """(least, greatest) bytes an answer: when wrk ends, each connection may have read nearly all of one more."""
    return bytes_read / (requests + connections), bytes_read / requests


@dataclass(frozen=True)
class FoundAfter:
    """What a GET right after a window found wrong."""

    kind: AnswerKind
    #: In words; with its generator where there are several.
    text: str
    #: What the server needed for all that could be queued. It differs a little from round to round, so that it is not
    #: compared.
    queue_s: float | None = field(default=None, compare=False)


def _found_after(window: Measurement) -> Iterable[FoundAfter]:
    """What the GETs after a window found wrong, each generator's on its own."""
    are_several = len(window.generators) > 1
    return [
        FoundAfter(
            part.verify_after_kind,
            part.verify_after + (f" (from {part.host})" if are_several else ""),
            part.queue_after_s,
        )
        for part in window.generators
        if part.verify_after_kind is not AnswerKind.RIGHT
    ]


def _log_errors(windows: Iterable[Measurement]) -> dict[str, int]:
    """Counts by text, added up over rounds, the most frequent first. Numbers within a text may differ by round."""
    kinds: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for error in (error for window in windows for error in window.server.log_errors):
        counts[kinds.setdefault(_DIGITS.sub("N", error.text), error.text)] += error.count
    return dict(counts.most_common())


def _errors(
    kind: str, read: Callable[[Errors], int], unit: Unit, definition: str, source: Source
) -> Metric[int | None]:
    """A metric of wrk's errors: how many of one kind, all rounds together."""

    def compute(row: AnswerMetrics) -> int | None:
        return read(row.errors) if row.errors else None

    return Metric(
        compute,
        unit,
        definition,
        source=source,
        rounds=Over.SUM,
        generators=Over.SUM,
        better=Better.LOWER,
        share=f"errors.{kind}",
    )


def errors_text(errors: Errors | None) -> str:
    """114 read, 144 timeout; 0 where there were none."""
    if errors is None:
        return formats.NONE
    return ", ".join(f"{number:,} {kind}" for kind, number in errors.model_dump().items() if number) or "0"


class AnswerMetrics(HalfRateMetrics):
    """Whether the answers were right, and what was wrong with them."""

    THEME: ClassVar[str] = "Answers and errors"

    @shown("errors", "rate", errors_text)
    @derived(Unit.ERRORS, is_column=False)
    def errors(self) -> Errors | None:
        """the `errors_*` that are not 0, each with its kind"""
        return Errors.sum_of(window.errors for window in self.windows) if self.windows else None

    errors_connect = _errors(
        "connect",
        lambda errors: errors.connect,
        Unit.CONNECTIONS,
        "connections that could not be opened; wrk never tries those again",
        Source.WRK,
    )
    errors_read = _errors(
        "read", lambda errors: errors.read, Unit.ERRORS, "resets and closes instead of an answer", Source.WRK
    )
    errors_write = _errors(
        "write",
        lambda errors: errors.write,
        Unit.ERRORS,
        "requests that could not be sent; a refused reconnect shows here",
        Source.WRK,
    )
    errors_status = _errors(
        "status",
        lambda errors: errors.status,
        Unit.ANSWERS,
        "answers with a status above 399 (of those whose body is checked: any but 200); they count in `requests`",
        Source.WRK,
    )
    errors_timeout = _errors(
        "timeout",
        lambda errors: errors.timeout,
        Unit.ANSWERS,
        "answers later than `timeout_s`; they count in `requests`, not in the latencies",
        Source.WRK,
    )
    errors_body = _errors(
        "body", lambda errors: errors.body, Unit.ANSWERS, "answers with a wrong body, of those compared", Source.WRK_LUA
    )
    answers_checked = total(
        lambda window: window.answers_checked,
        Unit.ANSWERS,
        "answers whose status and body were compared: those of 1 % of the connections, or all on request",
        source=Source.WRK_LUA,
        generators=Over.SUM,
        better=Better.HIGHER,
    )
    warmup_requests = total(
        lambda window: window.warmup.requests if window.warmup else None,
        Unit.ANSWERS,
        "answers of the warm-ups: every one has its status and body compared",
        source=Source.WRK,
    )

    @cached_property
    def warmup_errors(self) -> Errors | None:
        """What was wrong with the warm-ups' answers, all rounds; None where there was no warm-up."""
        found = [window.warmup.errors for window in self.windows if window.warmup]
        return Errors.sum_of(found) if found else None

    @derived(Unit.ANSWERS, source=Source.WRK_LUA, rounds=Over.SUM, better=Better.LOWER)
    def warmup_errors_status(self) -> int | None:
        """of `warmup_requests`, those with another status than 200"""
        return self.warmup_errors.status if self.warmup_errors else None

    @derived(Unit.ANSWERS, source=Source.WRK_LUA, rounds=Over.SUM, better=Better.LOWER)
    def warmup_errors_body(self) -> int | None:
        """of `warmup_requests`, those with a wrong body"""
        return self.warmup_errors.body if self.warmup_errors else None

    @cached_property
    def answer_sizes(self) -> AnswerSizes | None:
        """Of the round in which window and warm-up differ most."""
        found = [sizes for sizes in map(answer_sizes, self.windows) if sizes]
        return max(found, key=lambda sizes: sizes.deviation_ratio, default=None)

    @derived(Unit.BYTES, source=Source.WRK, rounds=Over.WORST, generators=Over.SUM)
    def answer_bytes(self) -> float | None:
        """bytes read in a window, headers included / its answers; the round that differs most from its warm-up"""
        return self.answer_sizes.window_bytes if self.answer_sizes else None

    @derived(Unit.BYTES, source=Source.WRK, rounds=Over.WORST)
    def warmup_answer_bytes(self) -> float | None:
        """bytes read in the warm-up of that round / its answers"""
        return self.answer_sizes.warmup_bytes if self.answer_sizes else None

    @cached_property
    def broken_ratio(self) -> float | None:
        """(read + write errors) / answers of the worst round."""
        return max(
            ((window.errors.read + window.errors.write) / max(window.requests, 1) for window in self.windows),
            default=None,
        )

    @cached_property
    def found_after(self) -> tuple[FoundAfter, ...]:
        """What the GETs right after the windows found wrong, each generator's on its own."""
        return tuple(dict.fromkeys(found for window in self.windows for found in _found_after(window)))

    @cached_property
    def units_ended(self) -> tuple[str, ...]:
        """States of the variant's unit at a window's end, other than active."""
        states = (window.server.unit_state for window in self.windows)
        return distinct(state for state in states if not state.startswith("active"))

    log_errors = of_row(
        lambda row: _log_errors(row.windows),
        Unit.NONE,
        "errors in the variant's own log (its first 64 MiB), how often each: the five most frequent of a cell",
        source=Source.SERVER_LOG,
        rounds=Over.SUM,
        better=Better.LOWER,
    ).written(lambda found: formats.occurrences(found.items()))
