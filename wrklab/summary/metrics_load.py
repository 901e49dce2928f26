"""The metrics of the load: what was requested, how many rounds ended how, and the rate next to what was possible."""

from __future__ import annotations

import shlex
from functools import cached_property
from typing import ClassVar, Literal, TypeAlias

from wrklab import formats
from wrklab.results.records import PlannedCell
from wrklab.summary.metrics import (
    Better,
    DoubtedBy,
    Over,
    RowSource,
    Source,
    Unit,
    derived,
    distinct,
    largest,
    median,
    of_row,
    ratio,
    shown,
    smallest,
    total,
)
from wrklab.summary.statistics import ROUNDS_MIN, Interval, median_interval

#: `partial`: some rounds failed or were not reached; `missing`: planned, but no round of it ended.
RowState: TypeAlias = Literal["measured", "partial", "failed", "missing"]


def _interval_text(interval: Interval | None) -> str:
    return formats.rate_range(interval.low, interval.high) if interval else formats.NONE


class RequestedMetrics(RowSource):
    """What the plan and the scenario requested."""

    THEME: ClassVar[str] = "What was requested"

    variant = of_row(lambda row: row.planned[0].variant, Unit.NONE, "the variant's name, as in its stack.yml")
    scenario = of_row(lambda row: row.planned[0].scenario, Unit.NONE, "the scenario's name; plan.json has its keys")
    stack = of_row(lambda row: row.planned[0].stack, Unit.NONE, "the folder in servers/")
    path = of_row(lambda row: row.load.path, Unit.NONE, "the path of every request")
    hold_ms = of_row(
        lambda row: row.planned[0].hold_ms,
        Unit.MILLISECONDS,
        "how long the application holds each answer on that path; 0: it answers at once",
    )
    threads = of_row(
        lambda row: row.load.threads,
        Unit.THREADS,
        "wrk's `-t`, over all processes and generators; each generator has at least one, so there may be more",
    )
    connections_asked = of_row(
        lambda row: row.load.connections,
        Unit.CONNECTIONS,
        "wrk's `-c`, over all processes and generators",
        share="connections_asked",
    )
    duration_s = of_row(
        lambda row: row.load.duration_s,
        Unit.SECONDS,
        "requested length of one window; rates use the real length that wrk reports",
    )
    timeout_s = of_row(lambda row: row.load.wrk_timeout_s, Unit.SECONDS, "wrk's `--timeout`")
    wrk_processes = largest(
        lambda window: sum(part.wrk_processes for part in window.generators),
        Unit.PROCESSES,
        "wrk processes that shared the connections",
        generators=Over.SUM,
    )
    start_skew_ratio = largest(
        lambda window: window.start_skew_s / window.duration_s,
        Unit.RATIO,
        "how far apart the generators began, by their measured clocks / length of the window; 0 with one generator",
        better=Better.LOWER,
    )

    @cached_property
    def argv(self) -> tuple[str, ...]:
        """The command of the server's main process in the first round that has one."""
        return next((window.server.argv for window in self.windows if window.server.argv), ())

    @derived(Unit.NONE, source=Source.SERVER)
    def command(self) -> str:
        """command line of the server's main process as it was found running"""
        return shlex.join(self.argv)

    @cached_property
    def is_limit_probed(self) -> bool:
        """Whether `in_flight_limit` comes from a probe; else from the variant's card."""
        return self.planned[0].is_limit_probed

    @cached_property
    def is_one_cpu_a_process(self) -> bool:
        """A process of its runtime uses one CPU at most (Python's GIL, a single event loop)."""
        return self.planned[0].is_one_cpu_a_process

    @cached_property
    def expect_failure(self) -> str | None:
        """The regular expression by which the variant's card says how it fails; None: it is to work, or not known."""
        first = self.planned[0]
        return first.expect_failure if isinstance(first, PlannedCell) else None

    @cached_property
    def published_row(self) -> str | None:
        """The key of the article's row that the plan sets this one against."""
        return self.planned[0].published_row


class StateMetrics(RequestedMetrics):
    """How many rounds ended how."""

    THEME: ClassVar[str] = "State"

    rounds_planned = of_row(lambda row: len(row.planned), Unit.ROUNDS, "requested rounds", source=Source.PLAN)
    rounds = of_row(lambda row: len(row.windows), Unit.ROUNDS, "measured rounds; every metric below rests on these")
    rounds_failed = of_row(
        lambda row: len(row.failed),
        Unit.ROUNDS,
        'rounds that ended without a measurement; `note` and "Failed cells" say why',
        better=Better.LOWER,
    )
    rounds_retried = of_row(
        lambda row: sum(cell.attempts > 1 for cell in row.cells),
        Unit.ROUNDS,
        "rounds whose first attempt failed and that were measured again on a fresh server",
        better=Better.LOWER,
    )
    rounds_server_ended = of_row(
        lambda row: sum(
            any(failure.is_servers_end for failure in (cell.first_failure, cell.failure) if failure)
            for cell in row.cells
        ),
        Unit.ROUNDS,
        "rounds in which the server ended in one of the attempts, after it had answered",
        better=Better.LOWER,
    )

    @derived(Unit.NONE)
    def state(self) -> RowState:
        """`measured`: all planned rounds; `partial`: some; `failed`: none; `missing`: none was reached"""
        if not self.rounds:
            return "failed" if self.rounds_failed else "missing"
        return "measured" if self.rounds == self.rounds_planned else "partial"

    @cached_property
    def first_failures(self) -> tuple[str, ...]:
        """Why first attempts failed."""
        return distinct(f"{one.phase}: {one.text}" for cell in self.cells if (one := cell.first_failure))

    @cached_property
    def failures(self) -> tuple[str, ...]:
        """Why rounds failed."""
        return distinct(f"{one.phase}: {one.text}" for cell in self.failed if (one := cell.failure))

    @cached_property
    def failure_expected(self) -> bool:
        """Some round failed, and all that did were expected to."""
        return bool(self.failed) and all(cell.failure is not None and cell.failure.expected for cell in self.failed)


class RateMetrics(StateMetrics):
    """The rate, and what it is of what was possible."""

    THEME: ClassVar[str] = "Rate"
    DOUBT: ClassVar[DoubtedBy] = "rate"

    @cached_property
    def rates_per_s(self) -> tuple[float, ...]:
        """The rate of each measured round, in the plan's order."""
        return tuple(window.requests_per_s for window in self.windows)

    requests = total(
        lambda window: window.requests,
        Unit.REQUESTS,
        "answers within the windows, **whatever their status**, late ones (`errors_timeout`) included",
        source=Source.WRK,
        generators=Over.SUM,
        better=Better.HIGHER,
        share="requests",
    ).shown("requests", "latency", formats.count)

    requests_per_s = median(
        lambda window: window.requests_per_s,
        Unit.PER_SECOND,
        "answers / real length of the window (open loop: of the timetable), summed over wrk's processes",
        source=Source.WRK,
        generators=Over.SUM,
        better=Better.HIGHER,
        share="requests_per_s",
    ).shown("requests per s", "rate", formats.rate)

    requests_per_s_min = smallest(
        lambda window: window.requests_per_s,
        Unit.PER_SECOND,
        "the slowest round",
        source=Source.WRK,
        better=Better.HIGHER,
    )
    requests_per_s_max = largest(
        lambda window: window.requests_per_s,
        Unit.PER_SECOND,
        "the fastest round",
        source=Source.WRK,
        better=Better.HIGHER,
    )

    @shown("interval from-to", "rate", _interval_text)
    @derived(Unit.PER_SECOND, is_column=False)
    def requests_per_s_interval(self) -> Interval | None:
        """`requests_per_s_low` and `requests_per_s_high`"""
        return median_interval(self.rates_per_s)

    @derived(Unit.PER_SECOND, better=Better.HIGHER)
    def requests_per_s_low(self) -> float | None:
        """low end of the median's 95 % bootstrap interval ([method.md](method.md)); empty below two rounds"""
        return self.requests_per_s_interval.low if self.requests_per_s_interval else None

    @derived(Unit.PER_SECOND, better=Better.HIGHER)
    def requests_per_s_high(self) -> float | None:
        """high end of that interval; empty below two rounds"""
        return self.requests_per_s_interval.high if self.requests_per_s_interval else None

    @derived(Unit.RATIO, better=Better.LOWER)
    def spread_ratio(self) -> float | None:
        """(`requests_per_s_max` - `requests_per_s_min`) / `requests_per_s`; empty below two rounds"""
        if self.rounds < ROUNDS_MIN or not self.requests_per_s:
            return None
        return ((self.requests_per_s_max or 0.0) - (self.requests_per_s_min or 0.0)) / self.requests_per_s

    @derived(Unit.PER_SECOND, source=Source.CARD, doubt="none")
    def ideal_per_s(self) -> float | None:
        """`connections_asked` / hold: no server can exceed it; empty without a hold"""
        return ratio(self.connections_asked, self.hold_ms / 1000)

    @shown("of ideal %", "rate", formats.ratio_percent_number)
    @derived(Unit.RATIO, better=Better.HIGHER)
    def ideal_ratio(self) -> float | None:
        """`requests_per_s` / `ideal_per_s`"""
        return ratio(self.requests_per_s, self.ideal_per_s)

    in_flight_limit = of_row(
        lambda row: row.planned[0].in_flight_limit,
        Unit.REQUESTS,
        "requests that the variant handles at once; empty where no limit is known",
        source=Source.PROBE_OR_CARD,
        doubt="none",
    )

    @shown("ceiling per s", "rate", formats.rate, is_optional=True)
    @derived(Unit.PER_SECOND, doubt="none")
    def ceiling_per_s(self) -> float | None:
        """`in_flight_limit` / hold"""
        return ratio(self.in_flight_limit or None, self.hold_ms / 1000)

    @shown("of ceiling %", "rate", formats.ratio_percent_number, is_optional=True)
    @derived(Unit.RATIO, better=Better.HIGHER)
    def ceiling_ratio(self) -> float | None:
        """`requests_per_s` / `ceiling_per_s`"""
        return ratio(self.requests_per_s, self.ceiling_per_s)

    @derived(Unit.RATIO, better=Better.HIGHER)
    def baseline_ratio(self) -> float | None:
        """`requests_per_s` / that of the suite's baseline under the same scenario"""
        return ratio(self.requests_per_s, self.baseline_per_s)

    @derived(Unit.RATIO, better=Better.HIGHER)
    def baseline_cpus_ratio(self) -> float | None:
        """`requests_per_s` / that of as many such baselines as the server has CPUs"""
        return ratio(self.requests_per_s, (self.baseline_per_s or 0.0) * self.server_cpus_count)
