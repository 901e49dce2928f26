"""What came of a claim: its answer, the figures that it rests on, and how they are written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from wrklab import formats
from wrklab.articles.claim_cards import Claim, Pair, is_yes_or_no
from wrklab.articles.claim_figures import LOAD
from wrklab.summary.estimate import Estimate

Answer: TypeAlias = Literal["holds", "does not hold", "can't be said"]
HOLDS: Answer = "holds"
FAILS: Answer = "does not hold"
OPEN: Answer = "can't be said"

#: Below 0.1 % a share is written with two digits.
_SMALL_RATIO = 0.001


@dataclass(frozen=True)
class ClaimResult:
    """A claim with its answer. Of several comparisons the shown ones are those that decide."""

    claim: Claim
    suite: str
    answer: Answer
    #: What it rests on or what is missing, the decisive first.
    why: tuple[str, ...]
    #: The comparison that is shown.
    pair: Pair
    comparisons: int
    published: float | None
    measured: Estimate | None
    #: It was measured, but one of its figures is doubtful or of another load.
    is_doubtful: bool
    #: No figure that it needs was asked for under its load: its variants were measured under others only.
    is_of_other_loads: bool
    #: Whether the article's own figures bear it out; None where it gives none.
    article_answer: Answer | None
    article_why: tuple[str, ...] = ()
    #: The article's figure in the comparison that decides its own answer.
    article_value: float | None = None

    @property
    def variants(self) -> frozenset[str]:
        """Everything that the claim compares."""
        return frozenset(operand.variant for operand in self.claim.operands())


def limit_text(claim: Claim) -> str:
    """The limit in words: at least 7.00x; about 10.0x, within 10 %; no."""
    kind, number = claim.limit
    if kind == "is":
        return shown(claim, number)
    within = f", within {claim.within_percent:g} %" if claim.within_percent is not None else ""
    return f"{kind.replace('_', ' ')} {shown(claim, number)}{within}"


def published_text(result: ClaimResult) -> str:
    """The article's figure, or its words where it gives none."""
    if result.published is not None:
        return shown(result.claim, result.published)
    return result.claim.published or formats.NONE


def measured_text(result: ClaimResult) -> str:
    """Our figure with its range where there is one: 1.89x (1.75x-2.01x), at least 0.1 %."""
    found = result.measured
    if found is None:
        return formats.NONE
    text = shown(result.claim, found.value)
    if found.has_range:
        text += f" ({shown(result.claim, found.low)}-{shown(result.claim, found.high)})"
    elif found.bound:
        text = f"{found.bound} {text}"
    return f"{text}, doubtful" if result.is_doubtful else text


def pair_text(result: ClaimResult) -> str:
    """What was compared: requests_per_s of a / b; of several comparisons the one that is shown."""
    of, to = result.pair
    if to is None:
        text = f"{of.metric} of {of.variant}"
    elif to.variant == of.variant:
        over = to.metric if to.metric != of.metric else f"the same under {to.scenario}"
        text = f"{of.metric} of {of.variant} / {over}"
    else:
        text = f"{of.metric} of {of.variant} / {to.variant}"
    return f"{text} (1 of {result.comparisons})" if result.comparisons > 1 else text


def article_text(result: ClaimResult) -> str:
    """What the article's own figures say of its claim, where they do not bear it out; empty where they do."""
    if result.article_answer is None or result.article_answer == HOLDS:
        return ""
    if result.article_answer == OPEN:
        return f"the article's own figures cannot tell: {'; '.join(result.article_why)}"
    figure = formats.NONE if result.article_value is None else shown(result.claim, result.article_value)
    return f"the article's own figures say otherwise: {figure}"


def shown(claim: Claim, value: float) -> str:
    metric = claim.measure.metric
    if claim.ratio_of is not None:
        return formats.times(value) if math.isfinite(value) else "any higher ratio"
    if is_yes_or_no(metric):
        return "yes" if value else "no"
    if math.isinf(value):
        return "no limit" if value > 0 else "any lower"
    if metric.endswith("_ratio"):
        # A few time-outs in a million answers are not none.
        return f"{value * 100:.2g} %" if 0 < value < _SMALL_RATIO else formats.ratio_percent(value)
    if metric.endswith("_percent"):
        return formats.percent(value)
    return formats.rate(value) if metric in LOAD else formats.count(round(value))
