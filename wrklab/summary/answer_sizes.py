"""Whether a window's answers are as long as the warm-up's, each of which was compared: a check that costs nothing."""

from __future__ import annotations

from dataclasses import dataclass

from wrklab.results.records import Measurement, WarmupRecord


@dataclass(frozen=True)
class AnswerSizes:
    """Bytes an answer, headers included."""

    window_bytes: float
    warmup_bytes: float
    #: How much the two differ beyond what answers explain that had begun when wrk ended: 0.02 is 2 %.
    deviation_ratio: float


def answer_sizes(window: Measurement) -> AnswerSizes | None:
    """Of one window; None where sizes say nothing: no warm-up, no answers, answers that were cut off.

    Nor where connections were being opened anew: who closes says so in some answers' headers and not in others'.
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
