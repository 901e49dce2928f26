"""How many requests a server works on at once, from its rate under many connections and its answers to one.

Little's law: requests in work = answers/s under many connections x seconds that a request takes alone. What waits in a
queue adds nothing to that, so nothing has to be known of the application; the probe (docs/probe.md) counts what one
holds that was written for it. Where many requests slow each other down beyond queueing, the figure is too low.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from wrklab import formats
from wrklab.report.contents import Contents, ReportRow, reason

AT_ONCE_HEADERS = (
    "variant",
    "at once",
    "from-to",
    "set by",
    "alone mean ms",
    "alone per s",
    "connections",
    "per s",
    "server CPU %",
    "doubtful because",
)
#: Places of texts, which stand to the left.
AT_ONCE_TEXTS = (0, 3, 9)

AT_ONCE_MEANING = (
    "Little's law: requests in work = answers per second under many connections x the mean time of a request that is "
    "alone. Requests that wait in a queue are not in work. About 1 for each CPU: requests compute. The figure "
    "is too low where requests slow each other down by more than their turn, say by locks."
)

#: From such a share of its limit on, the limit is what sets the figure; the mean of few requests alone is 5-10 % off.
_LIMIT_RATIO = 0.8
#: So many of the connections at work, and more of them might be too.
_ALL_RATIO = 0.8
_BUSY_PERCENT = 85.0
_ALONE = 1


class SetBy(StrEnum):
    """What keeps a server from working on more at once."""

    LIMIT = "limit"
    CPU = "cpu"
    CONNECTIONS = "connections"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True)
class AtOnce:
    """What one variant works on at once."""

    alone: ReportRow
    crowd: ReportRow
    #: Requests; the median round's, and between the least and the most that rounds say.
    count: float
    low: float
    high: float

    @property
    def variant(self) -> str:
        """Its name."""
        return self.crowd.row.variant

    @property
    def set_by(self) -> SetBy:
        """What keeps it from more, as far as was sampled."""
        row = self.crowd.row
        if row.in_flight_limit and self.count >= _LIMIT_RATIO * row.in_flight_limit:
            return SetBy.LIMIT
        if self.count >= _ALL_RATIO * row.connections_asked:
            return SetBy.CONNECTIONS
        if (row.server_cpu_percent or 0.0) >= _BUSY_PERCENT:
            return SetBy.CPU
        return SetBy.ELSEWHERE

    @property
    def set_by_text(self) -> str:
        """`its limit of 16`."""
        row = self.crowd.row
        match self.set_by:
            case SetBy.LIMIT:
                return f"its limit of {row.in_flight_limit or 0:,}"
            case SetBy.CONNECTIONS:
                return f"the load: {row.connections_asked:,} connections"
            case SetBy.CPU:
                return "its CPUs"
            case SetBy.ELSEWHERE:
                return "something else: a pool, a lock, a backend"

    @property
    def doubt(self) -> str:
        """Why its figure should not be believed as it stands; empty where it may be."""
        return reason(self.crowd) or reason(self.alone)

    @property
    def sentence(self) -> str:
        """The answer in one line."""
        name, least = self.variant, "at least " if self.set_by is SetBy.CONNECTIONS else "about "
        doubt = f" (doubtful: {self.doubt})" if self.doubt else ""
        return f"{name} works on {least}{in_work(self.count)} requests at once, set by {self.set_by_text}{doubt}."


def in_work(count: float) -> str:
    """A number of requests to two places: 0.96, 3.9, 41."""
    return f"{count:.2f}" if count < 1 else f"{count:.1f}" if count < 10 else f"{count:,.0f}"  # noqa: PLR2004  digits


def at_once(contents: Contents) -> tuple[AtOnce, ...]:
    """Each variant that was measured with one connection and with many; the most connections count. Most at once first.

    Closed loops of the same requests only.
    """
    found: dict[tuple[str, str], list[ReportRow]] = {}
    for entry in contents.rows:
        if not entry.row.load.is_open_loop and entry.row.windows:
            found.setdefault((entry.row.variant, entry.row.load.asks_for), []).append(entry)
    pairs = []
    for entries in found.values():
        entries.sort(key=lambda entry: entry.row.connections_asked)
        if entries[0].row.connections_asked == _ALONE < entries[-1].row.connections_asked:
            pairs.append((entries[0], entries[-1]))
    known = [one for alone, crowd in pairs if (one := _at_once(alone, crowd)) is not None]
    return tuple(sorted(known, key=lambda one: (-one.count, one.variant)))


def _at_once(alone: ReportRow, crowd: ReportRow) -> AtOnce | None:
    means_us = [window.latency.mean_us for window in alone.row.windows if window.latency is not None]
    rates = [window.requests_per_s for window in crowd.row.windows]
    mean_us, rate_per_s = alone.row.latency_mean_us, crowd.row.requests_per_s
    if not means_us or mean_us is None or not rate_per_s:
        return None
    return AtOnce(
        alone=alone,
        crowd=crowd,
        count=rate_per_s * mean_us / 1e6,
        low=min(rates) * min(means_us) / 1e6,
        high=max(rates) * max(means_us) / 1e6,
    )


def at_once_lines(found: tuple[AtOnce, ...]) -> Iterator[tuple[str, ...]]:
    """A line a variant by AT_ONCE_HEADERS."""
    for one in found:
        alone, crowd = one.alone.row, one.crowd.row
        yield (
            one.variant,
            in_work(one.count),
            f"{in_work(one.low)}-{in_work(one.high)}",
            one.set_by_text,
            formats.ms(alone.latency_mean_us),
            formats.rate(alone.requests_per_s),
            f"{crowd.connections_asked:,}",
            formats.rate(crowd.requests_per_s),
            formats.whole(crowd.server_cpu_percent),
            one.doubt,
        )


def at_once_values(found: tuple[AtOnce, ...]) -> list[dict[str, object]]:
    """A mapping a variant, for programs."""
    return [
        {
            "variant": one.variant,
            "at_once": round(one.count, 3),
            "at_once_low": round(one.low, 3),
            "at_once_high": round(one.high, 3),
            "set_by": one.set_by.value,
            "in_flight_limit": one.crowd.row.in_flight_limit,
            "alone_mean_us": one.alone.row.latency_mean_us,
            "alone_per_s": one.alone.row.requests_per_s,
            "connections": one.crowd.row.connections_asked,
            "requests_per_s": one.crowd.row.requests_per_s,
            "server_cpu_percent": one.crowd.row.server_cpu_percent,
            "doubt": one.doubt,
        }
        for one in found
    ]
