"""A verdict: one word for what set a rate, so that no number stands without it. And a rule: one reason for one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from wrklab.results.records import Errors
from wrklab.summary.rows import SummaryRow
from wrklab.verdicts.doubt import Direction, Doubt


class Verdict(StrEnum):
    """What a rate was set by, or why it cannot be said. The rules that lead to each: wrklab/verdicts/rules.py."""

    #: The server had no CPU to spare: the rate is the variant's own.
    SERVER_BOUND = "server-bound"
    #: The variant's limit on requests in flight, over the hold, set it.
    LIMIT_BOUND = "limit-bound"
    #: A service that the application uses had no CPU to spare, while server and wrk had: the rate is that service's.
    BACKEND_BOUND = "backend-bound"
    #: Connections over the hold set it: the load was too small to say more.
    HOLD_BOUND = "hold-bound"
    #: Open loop: the server answered at the rate that was offered, and the latencies are those of that rate.
    RATE_HELD = "rate-held"
    #: Open loop: the server did not keep up with the rate, so that its latencies are only of how long it was tried.
    OVERLOADED = "overloaded"
    #: wrk had no time to spare: the rate is the generator's.
    GENERATOR_BOUND = "generator-bound"
    #: Answers were wrong or missing, or the load was not the one requested.
    POLLUTED = "polluted"
    #: Others took the CPUs of a host.
    DISTURBED = "disturbed"
    #: Rounds do not agree.
    UNSTABLE = "unstable"
    FAILED = "failed"
    FAILED_AS_EXPECTED = "failed-as-expected"
    #: The number stands; nothing that was sampled says what set it.
    UNEXPLAINED = "unexplained"

    @property
    def is_sound(self) -> bool:
        """Whether the number is what it seems to be. A row whose verdict is not sound is doubtful (rules.is_doubtful).

        An unexplained one is sound: only what set it is not known.
        """
        return self not in _DOUBTFUL

    @property
    def is_explained(self) -> bool:
        """Whether the number is sound and it is known what set it, as whoever reasons about the server needs."""
        return self.is_sound and self is not Verdict.UNEXPLAINED


_DOUBTFUL = frozenset(
    {
        Verdict.GENERATOR_BOUND,
        Verdict.OVERLOADED,
        Verdict.POLLUTED,
        Verdict.DISTURBED,
        Verdict.UNSTABLE,
        Verdict.FAILED,
    }
)


class Severity(IntEnum):
    """Which of several true things is said first: the one that would mislead most if it were left out.

    Of the rules that lead to a verdict the first that applies is the row's, so this is the order of verdicts too.
    """

    #: There are no figures, or not of all rounds.
    NO_FIGURES = 1
    #: Wrong answers and errors are the server's doing, however slow anybody else was: a server that resets connections
    #: keeps wrk busy, not the other way round.
    WRONG_ANSWERS = 2
    #: Of the server nothing can be said then; connections that never opened or starve may be the generator's work.
    GENERATOR_FULL = 3
    #: Some wait far longer than others: no lack of CPU gives some connections fast answers and others none.
    STALLED = 4
    #: CPUs, or a network, that the hosts did not have: it may explain what follows.
    CPUS_TAKEN = 5
    #: Connections did not open or were short of answers: the rate is of another load than the one requested.
    OTHER_LOAD = 6
    #: Rounds do not agree.
    UNSTABLE = 7
    #: What set a sound rate. The load comes first: a server that is busy as well was not driven further.
    LOAD = 8
    #: Before the variant's own limit: workers that all wait for a full backend are at their limit too.
    BACKEND = 9
    LIMIT = 10
    SERVER = 11
    #: The rate stands, and the latencies are to be read with care.
    LATENCIES = 12
    #: It explains a figure, or limits how it can be read.
    REMARK = 13


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One reason to doubt or to explain a row."""

    name: str
    severity: Severity
    doubt: Doubt
    applies: Callable[[SummaryRow], bool]
    #: The figures that it rests on; what differs from row to row.
    figures: Callable[[SummaryRow], str]
    #: What such figures mean, the same for every row.
    meaning: str
    next_step: str
    #: The reason in one to four words, for a table of one line a row: `neighbour 29 %`.
    words: Callable[[SummaryRow], str]
    #: The command or flag that would settle the doubt; empty where there is none.
    settle: str = ""
    #: What it makes of a cell or a row, unless a more severe rule applies; None: it decides nothing.
    verdict: Verdict | None = None
    #: How the doubtful figure (the rate, or the latencies) relates to the true one.
    direction: Direction = Direction.UNKNOWN
    #: The direction is known only of rows like this; of others it is unknown. None: of every row.
    direction_where: Callable[[SummaryRow], bool] | None = None
    #: How the latencies relate to the true ones, where the rule doubts the rate and with it everything.
    latency_direction: Direction = Direction.UNKNOWN
    #: Why a doubt has no direction; required where it has none.
    unknown_because: str = ""
    #: The tests on rounds weigh this doubt already: ranks and comparisons need no wider interval for it.
    is_weighed_by_tests: bool = False
    #: Each of several generators is asked by itself whether the rule applies to its part of the load.
    concerns_generator: bool = False
    #: A sign that the generator had no time to spare, so that nothing else is concluded from missing answers.
    shows_saturation: bool = False
    #: Of the slowest answer it says only that it may have been slower still, whatever it says of percentiles.
    leaves_slowest_open: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError for a rule that contradicts itself."""
        has_reason = bool(self.unknown_because)
        if self.doubt != "none" and has_reason != (self.direction is Direction.UNKNOWN):
            raise ValueError(f"rule {self.name}: either a direction or the reason why it is unknown must be given")
        if self.doubt == "none" and (has_reason or self.direction is not Direction.UNKNOWN):
            raise ValueError(f"rule {self.name} doubts nothing, so its doubt has no direction")

    def direction_of(self, row: SummaryRow) -> Direction:
        """Which way the doubt moves the figure of one row to which the rule applies."""
        is_known = self.direction_where is None or self.direction_where(row)
        return self.direction if is_known else Direction.UNKNOWN

    def latency_direction_of(self, row: SummaryRow) -> Direction | None:
        """Which way the latencies are moved; None where the rule does not doubt them."""
        if self.doubt == "none":
            return None
        return self.direction_of(row) if self.doubt == "latency" else self.latency_direction

    @property
    def is_slower_still(self) -> bool:
        """Whether the slowest answer is at least as slow as measured: a bound that can be used as such."""
        return self.doubt == "latency" and (self.direction is Direction.TOO_LOW or self.leaves_slowest_open)


def errors_of(row: SummaryRow) -> Errors:
    """The row's errors; none where nothing was measured."""
    return row.errors or Errors()


def above(value: float | None, limit: float) -> bool:
    """Whether there is a value and it exceeds a limit."""
    return value is not None and value > limit


def at_least(value: float | None, limit: float) -> bool:
    """Whether there is a value and it reaches a limit."""
    return value is not None and value >= limit
