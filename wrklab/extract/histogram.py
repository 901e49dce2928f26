"""Latency histograms: a count for each µs value, added exactly; and undoing what wrk does to its own.

Percentiles are defined as wrk defines its own: of N samples the p-th percentile is the sample of rank
round(p/100 * N + 1/2), rounding halves up: the smallest value that more than p % of the samples do not exceed.
`percentile(100)` is the maximum.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from wrklab.errors import ParseError

Int64s = npt.NDArray[np.int64]

_MAGIC = b"wrkh1"
_SIZE = struct.Struct("<Q")


class CorrectionError(ParseError):
    """A histogram and the counts next to it do not fit together: wrk's correction cannot be undone."""


class MiscountError(CorrectionError):
    """There are not as many samples as answers in time: wrk does not time an answer to which there was no request."""


@dataclass(frozen=True, eq=False)
class Histogram:
    """How often each latency was seen. Values ascend strictly, counts are positive; both are read-only."""

    values_us: Int64s
    counts: Int64s

    def __post_init__(self) -> None:
        """Raises ParseError where this is no histogram."""
        if self.values_us.dtype != np.int64 or self.counts.dtype != np.int64:
            raise ParseError(f"histogram of {self.values_us.dtype} and {self.counts.dtype}; int64 was expected")
        if self.values_us.shape != self.counts.shape or self.values_us.ndim != 1:
            raise ParseError(f"histogram of {self.values_us.shape} values and {self.counts.shape} counts")
        if self.values_us.size:
            if self.values_us[0] < 0 or (np.diff(self.values_us) <= 0).any():
                raise ParseError("histogram whose values are negative or do not ascend")
            if (self.counts <= 0).any():
                raise ParseError("histogram with a count below 1")
        self.values_us.setflags(write=False)
        self.counts.setflags(write=False)

    def __eq__(self, other: object) -> bool:
        """Same values, same counts."""
        if not isinstance(other, Histogram):
            return NotImplemented
        return np.array_equal(self.values_us, other.values_us) and np.array_equal(self.counts, other.counts)

    def __hash__(self) -> int:
        """By content, as equality is."""
        return hash((self.values_us.tobytes(), self.counts.tobytes()))

    @classmethod
    def empty(cls) -> Self:
        """No sample at all."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64))

    @classmethod
    def from_deltas(cls, deltas_us: Sequence[int], counts: Sequence[int]) -> Self:
        """From values given as differences (the first from 0), as wrk_report.lua writes them. Raises ParseError."""
        try:
            return cls(np.cumsum(np.array(deltas_us, dtype=np.int64)), np.array(counts, dtype=np.int64))
        except (ValueError, TypeError, OverflowError) as error:
            raise ParseError(f"histogram that is not of whole numbers: {error}") from error

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """What to_bytes() gave. Raises ParseError."""
        try:
            plain = zlib.decompress(data)
            size = _SIZE.unpack_from(plain, len(_MAGIC))[0]
            numbers = np.frombuffer(plain, dtype="<i8", offset=len(_MAGIC) + _SIZE.size)
        except (zlib.error, struct.error, ValueError) as error:
            raise ParseError(f"stored histogram is not complete: {error}") from error
        if not plain.startswith(_MAGIC) or numbers.size != 2 * size:
            raise ParseError(f"stored histogram begins with {plain[:5]!r} and has {numbers.size} numbers for {size}")
        return cls(np.cumsum(numbers[:size]).astype(np.int64), numbers[size:].astype(np.int64))

    def to_bytes(self) -> bytes:
        """For the store: differences of values, then counts, as little-endian int64, packed by zlib."""
        deltas = np.diff(self.values_us, prepend=np.int64(0))
        numbers = np.concatenate([deltas, self.counts]).astype("<i8")
        return zlib.compress(_MAGIC + _SIZE.pack(self.values_us.size) + numbers.tobytes(), 6)

    def add(self, other: Histogram) -> Histogram:
        """The samples of both together: exact, for threads, processes, hosts and rounds alike."""
        if not self.values_us.size or not other.values_us.size:
            return self if self.values_us.size else other
        values = np.concatenate([self.values_us, other.values_us])
        # Both ascend, so that a stable sort (timsort) merely merges them.
        order = np.argsort(values, kind="stable")
        values, counts = values[order], np.concatenate([self.counts, other.counts])[order]
        starts = np.flatnonzero(np.diff(values, prepend=np.int64(-1)))
        return Histogram(values[starts], np.add.reduceat(counts, starts))

    @property
    def count(self) -> int:
        """Samples."""
        return int(self.counts.sum())

    @property
    def sum_us(self) -> int:
        """All latencies added up."""
        return int(self.values_us @ self.counts)

    @property
    def min_us(self) -> int:
        """The smallest. Raises ValueError when there is no sample."""
        return int(self._checked().values_us[0])

    @property
    def max_us(self) -> int:
        """The largest. Raises ValueError when there is no sample."""
        return int(self._checked().values_us[-1])

    @property
    def mean_us(self) -> float:
        """Raises ValueError when there is no sample."""
        return self._checked().sum_us / self.count

    @property
    def stdev_us(self) -> float:
        """Of the samples (n - 1), as wrk's; 0 for a single one. Raises ValueError when there is none."""
        if self._checked().count == 1:
            return 0.0
        deviations = self.values_us - self.mean_us
        return math.sqrt(float(deviations * deviations @ self.counts) / (self.count - 1))

    def percentile(self, percent: float) -> int:
        """µs; see the module's definition. `percent` above 0. Raises ValueError when there is no sample."""
        if not 0 < percent <= 100:  # noqa: PLR2004  percents
            raise ValueError(f"percentile {percent}: more than 0, at most 100")
        self._checked()
        # The same steps of rounding as in C, so that our figure for wrk's histogram is the one that wrk prints.
        rank = math.floor(float(np.longdouble(percent) / 100 * self.count + np.longdouble(0.5)) + 0.5)
        place = np.searchsorted(np.cumsum(self.counts), min(rank, self.count))
        return int(self.values_us[place])

    def at_rank(self, rank: int) -> int:
        """The sample of a rank, from 1 for the smallest; µs. Raises ValueError where there is no such sample."""
        if not 1 <= rank <= self.count:
            raise ValueError(f"rank {rank} of {self.count} samples")
        return int(self.values_us[np.searchsorted(np.cumsum(self.counts), rank)])

    def _checked(self) -> Histogram:
        if not self.values_us.size:
            raise ValueError("a histogram without samples has no statistics")
        return self


def correction_interval_us(duration_us: int, requests: int, connections: int) -> int | None:
    """The interval at which wrk guesses that each connection would have sent; None where it corrects nothing."""
    per_connection = requests // connections
    return duration_us // per_connection if per_connection else None


def undo_wrk_correction(
    histogram: Histogram, *, duration_us: int, requests: int, connections: int, timeouts: int
) -> Histogram:
    """What wrk observed, from the histogram that its done() sees. All numbers are of one wrk process (`-c`).

    For every sample v >= 2e wrk also counted v - e, v - 2e, ... while above e. So what it observed is D[v] - D[v + e]
    for v > e, and D[v] below. Raises CorrectionError where that gives a negative count, MiscountError where it does not
    give as many samples as there were answers in time.
    """
    interval_us = correction_interval_us(duration_us, requests, connections)
    observed = histogram if interval_us is None else _less_shifted(histogram, interval_us)
    if observed.count != requests - timeouts:
        raise MiscountError(
            f"undoing wrk's correction (interval {interval_us} µs) leaves {observed.count} samples; "
            f"{requests} requests less {timeouts} time-outs were expected"
        )
    return observed


def _less_shifted(histogram: Histogram, interval_us: int) -> Histogram:
    values, counts = histogram.values_us, histogram.counts.copy()
    sources = np.flatnonzero(values > 2 * interval_us)
    targets_us = values[sources] - interval_us
    places = np.searchsorted(values, targets_us)
    # Every source is above its target, so the place is within the array.
    if not np.array_equal(values[places], targets_us):
        missing_us = int(targets_us[values[places] != targets_us][0])
        raise CorrectionError(
            f"undoing wrk's correction (interval {interval_us} µs): samples at {missing_us + interval_us} µs, "
            f"but none at {missing_us} µs, which wrk would have added"
        )
    counts[places] -= histogram.counts[sources]
    if (counts < 0).any():
        worst = int(np.argmin(counts))
        raise CorrectionError(
            f"undoing wrk's correction (interval {interval_us} µs) leaves {counts[worst]} samples at {values[worst]} µs"
        )
    kept = counts > 0
    return Histogram(values[kept], counts[kept])
