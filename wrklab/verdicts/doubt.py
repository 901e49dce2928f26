"""What a rule casts doubt on, which way the doubt moves the figure, and what that leaves open. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

#: What a note casts doubt on: the rate (and with it everything), the latencies alone, or nothing (it explains).
Doubt = Literal["rate", "latency", "none"]


class Direction(StrEnum):
    """How a doubtful figure relates to the true one."""

    #: The true figure is at least the measured one: something kept the server from giving more.
    TOO_LOW = "too low"
    #: The true figure is at most the measured one.
    TOO_HIGH = "too high"
    #: Nothing can be said.
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Bound:
    """On which sides of a measured figure the true one may lie, beyond what the rounds' scatter allows."""

    may_be_higher: bool = False
    may_be_lower: bool = False

    @classmethod
    def of(cls, directions: Iterable[Direction]) -> Bound:
        """All doubts on one figure together: one too low and one too high leave nothing to say."""
        found = set(directions)
        return cls(
            may_be_higher=bool(found & {Direction.TOO_LOW, Direction.UNKNOWN}),
            may_be_lower=bool(found & {Direction.TOO_HIGH, Direction.UNKNOWN}),
        )

    @property
    def is_closed(self) -> bool:
        """The measured figure stands."""
        return not (self.may_be_higher or self.may_be_lower)

    @property
    def is_unknown(self) -> bool:
        """The measured figure bounds nothing."""
        return self.may_be_higher and self.may_be_lower

    def stays_above(self, other: Bound) -> bool:
        """Whether a figure that was measured above another one is above it, wherever both truly lie."""
        return not self.may_be_lower and not other.may_be_higher


#: Nothing doubts the figure.
CLOSED = Bound()
