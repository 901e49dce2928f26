"""Holding claims against what was measured: holds, does not hold, or can't be said, and why. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wrklab import formats
from wrklab.articles.claim_cards import Claim, Pair, is_yes_or_no
from wrklab.articles.claim_lookup import Lookup, Measured, measured_figures, published_figures
from wrklab.articles.claim_result import FAILS, HOLDS, OPEN, Answer, ClaimResult, limit_text, shown
from wrklab.catalogue.catalogue import Catalogue
from wrklab.summary.estimate import Estimate, Figure, estimate, keeps

_ANSWERS: Mapping[bool | None, Answer] = {True: HOLDS, False: FAILS, None: OPEN}


@dataclass(frozen=True)
class _Compared:
    """One comparison of a claim."""

    pair: Pair
    answer: bool | None
    found: Estimate | None
    why: tuple[str, ...]
    is_doubtful: bool = False


def judge_claims(catalogue: Catalogue, measured: Measured, suite: str | None = None) -> tuple[ClaimResult, ...]:
    """The claims of a suite, or of all, of which at least one figure was asked for; in the suites' order."""
    names = [suite] if suite in catalogue.suites else list(catalogue.suites)
    return tuple(
        judge(claim, name, catalogue, measured)
        for name in names
        for claim in catalogue.suites[name].claims
        if any(measured.has(operand) for operand in claim.operands())
    )


def judge(claim: Claim, suite: str, catalogue: Catalogue, measured: Measured) -> ClaimResult:
    """One claim. Its answer is no where one comparison says no, open where one is open, else yes."""
    ours = _compare_all(claim, measured_figures(catalogue, measured), measured.noise_floor_ratio)
    theirs = _compare_all(claim, published_figures(catalogue))
    is_measured = any(found.found is not None for found in ours)
    decisive = _decisive(ours if is_measured else theirs, claim)
    answer, why = _answer(claim, ours, decisive, measured.server_cpus_count)
    published = next((found.found for found in theirs if found.pair == decisive.pair), None)
    has_figures = all(found.found is not None for found in theirs)
    article_answer, article_why = _combine(theirs) if has_figures else (None, ())
    article_found = _decisive(theirs, claim).found if has_figures else None
    return ClaimResult(
        claim=claim,
        suite=suite,
        answer=answer,
        why=why,
        pair=decisive.pair,
        comparisons=len(ours),
        published=published.value if published is not None else None,
        measured=decisive.found if is_measured else None,
        is_doubtful=decisive.is_doubtful and is_measured,
        is_of_other_loads=not any(measured.has_load(operand) for operand in claim.operands()),
        article_answer=article_answer,
        article_why=article_why,
        article_value=article_found.value if article_found is not None else None,
    )


def _answer(
    claim: Claim, compared: Sequence[_Compared], decisive: _Compared, server_cpus_count: int
) -> tuple[Answer, tuple[str, ...]]:
    answer, why = _combine(compared)
    if 0 < server_cpus_count < claim.needs_cpus:
        here = formats.plural(server_cpus_count, "CPU")
        return OPEN, (f"the server has {here} here and the claim is about {claim.needs_cpus}", *why)
    if answer != OPEN and decisive.found is not None:
        return answer, (*why, _range_text(claim, decisive.found, answer))
    return answer, why


def _range_text(claim: Claim, found: Estimate, answer: Answer) -> str:
    text = shown(claim, found.value)
    if is_yes_or_no(claim.measure.metric):
        return f"{text}, {'as' if answer == HOLDS else 'not as'} claimed"
    if found.has_range:
        text += f" with its whole range ({shown(claim, found.low)}-{shown(claim, found.high)})"
    return f"{text} is {'within' if answer == HOLDS else 'outside'} the limit: {limit_text(claim)}"


def judge_articles(catalogue: Catalogue) -> tuple[ClaimResult, ...]:
    """Every claim held against the figures of its own article: what an article says and its figures do not bear out.

    A claim whose figures the article does not give has the answer `can't be said`.
    """
    return tuple(
        judge(claim, name, catalogue, Measured()) for name, suite in catalogue.suites.items() for claim in suite.claims
    )


def _compare_all(claim: Claim, lookup: Lookup, noise_floor_ratio: float = 0.0) -> list[_Compared]:
    return [_compare(claim, pair, lookup, noise_floor_ratio) for pair in claim.pairs()]


def _compare(claim: Claim, pair: Pair, lookup: Lookup, noise_floor_ratio: float) -> _Compared:
    of, to = pair
    is_growth = to is not None and (to.variant, to.metric) == (of.variant, of.metric)
    found = [lookup(operand, is_growth) for operand in pair if operand is not None]
    missing = tuple(dict.fromkeys(text for text in found if isinstance(text, str)))
    parts = [figure for figure in found if isinstance(figure, Figure)]
    if missing:
        return _Compared(pair, None, None, missing)
    if to is not None and (not parts[1].value or math.isinf(parts[1].value)):
        return _Compared(pair, None, None, (f"{to.variant} has {to.metric} {parts[1].value:g}: no ratio to it",))
    doubts = tuple(dict.fromkeys(text for figure in parts for text in figure.doubtful_because))
    result = estimate(parts[0], parts[1] if to is not None else None, noise_floor_ratio)
    low, high, inclusive = claim.bounds()
    if doubts:
        return _Compared(pair, None, result, doubts, is_doubtful=True)
    answer = keeps(result, low, high, inclusive=inclusive)
    why = result.open_because if answer is None else ()
    if answer is None and not why:
        why = (f"{shown(claim, result.low)} to {shown(claim, result.high)} lies on both sides of the limit",)
    return _Compared(pair, answer, result, why)


def _combine(compared: Sequence[_Compared]) -> tuple[Answer, tuple[str, ...]]:
    """The answer of all comparisons, and why where it is not yes."""
    answers = [found.answer for found in compared]
    total = False if False in answers else None if None in answers else True
    deciding = [found for found in compared if found.answer is total]
    if total is True:
        return HOLDS, ()
    why = list(dict.fromkeys(text for found in deciding for text in found.why))
    if len(compared) > 1:
        who = ", ".join(dict.fromkeys(_who(found.pair, compared) for found in deciding))
        which = "all" if len(deciding) == len(compared) else f"{len(deciding)} of {len(compared)}, {who}"
        why.insert(0, f"comparisons that {'do not hold' if total is False else 'are open'}: {which}")
    return _ANSWERS[total], tuple(why)


def _who(pair: Pair, compared: Sequence[_Compared]) -> str:
    """The name in a comparison that tells it from the others."""
    of, to = pair
    several_of = len({found.pair[0].variant for found in compared}) > 1
    several_to = len({found.pair[1].variant for found in compared if found.pair[1] is not None}) > 1
    if to is not None and several_to:
        return f"{of.variant} to {to.variant}" if several_of else to.variant
    return of.variant


def _decisive(compared: Sequence[_Compared], claim: Claim) -> _Compared:
    """The comparison to show: no before open before yes, then the nearest to the limit; last what has no figure."""
    low, high, _ = claim.bounds()

    def urgency(found: _Compared) -> tuple[int, float]:
        if found.found is None:
            return 3, math.inf
        rank = {False: 0, None: 1, True: 2}[found.answer]
        value = found.found.value
        return rank, min(value - low if low > -math.inf else math.inf, high - value if high < math.inf else math.inf)

    return min(compared, key=urgency)
