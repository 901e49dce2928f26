"""What set a rate: one word for a cell and for a row, so that no number stands without it."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """What a rate was set by, or why it cannot be said. The rules that lead to each: wrklab/verdicts/rules.py."""

    #: The server had no CPU to spare: the rate is the variant's own.
    SERVER_BOUND = "server-bound"
    #: The variant's limit on requests in flight, over the hold, set it.
    LIMIT_BOUND = "limit-bound"
    #: Connections over the hold set it: the load was too small to say more.
    HOLD_BOUND = "hold-bound"
    #: wrk had no time to spare: the rate is the generator's.
    GENERATOR_BOUND = "generator-bound"
    #: Answers were wrong or missing, or the load was not the one asked for.
    POLLUTED = "polluted"
    #: Others took the CPUs of a host.
    DISTURBED = "disturbed"
    #: Rounds do not agree.
    UNSTABLE = "unstable"
    FAILED = "failed"
    FAILED_AS_EXPECTED = "failed-as-expected"
    #: Nothing is known to be wrong, and nothing that was sampled says what set the rate.
    UNEXPLAINED = "unexplained"

    @property
    def is_sound(self) -> bool:
        """Whether the row says what it seems to say; reports grey the others."""
        return self in _SOUND


_SOUND = frozenset({Verdict.SERVER_BOUND, Verdict.LIMIT_BOUND, Verdict.HOLD_BOUND, Verdict.FAILED_AS_EXPECTED})
