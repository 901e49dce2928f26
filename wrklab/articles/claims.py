"""Holding claims against what was measured: the answer, what it rests on, and what would settle an open one. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from wrklab import formats
from wrklab.articles.claim_cards import Claim, Operand, Pair, is_yes_or_no
from wrklab.articles.claim_figures import LOAD
from wrklab.articles.claim_lookup import Lookup, Measured, measured_figures, published_figures
from wrklab.articles.claim_ranges import Estimate, Figure, Need, Reason, estimate, keeps, open_because
from wrklab.articles.library import ArticleLibrary

Answer: TypeAlias = Literal["holds", "does not hold", "can't be said"]
HOLDS: Answer = "holds"
FAILS: Answer = "does not hold"
OPEN: Answer = "can't be said"
_ANSWERS: Mapping[bool | None, Answer] = {True: HOLDS, False: FAILS, None: OPEN}

#: Below 0.1 % a share is written with two digits.
_SMALL_RATIO = 0.001
#: With more variants than this a command names the whole suite instead.
_NAMED_MAX = 6
#: Where rounds leave a claim open. A bootstrap of 10 rounds covers what it promises (docs/method.md).
_MORE_ROUNDS = 10


@dataclass(frozen=True)
class ClaimResult:
    """A claim with its answer. Of several comparisons the shown ones are those that decide."""

    claim: Claim
    suite: str
    answer: Answer
    #: What it rests on or what is missing, the decisive first.
    why: tuple[str, ...]
    #: What would settle it where it can't be said: commands, and what to fix before.
    settled_by: tuple[str, ...]
    #: The comparison that is shown.
    pair: Pair
    comparisons: int
    published: float | None
    measured: Estimate | None
    #: It was measured, but one of its figures is doubtful or of another load.
    is_doubtful: bool
    #: No figure that it needs was requested under its load: its variants were measured under others only.
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


@dataclass(frozen=True)
class _Compared:
    """One comparison of a claim."""

    pair: Pair
    answer: bool | None
    found: Estimate | None
    why: tuple[Reason, ...]
    is_doubtful: bool = False


def judge_claims(library: ArticleLibrary, measured: Measured, suite: str | None = None) -> tuple[ClaimResult, ...]:
    """The claims of a suite, or of all, of which at least one figure was requested; in the suites' order."""
    return tuple(
        judge(claim, name, library, measured)
        for name, claim in library.claims(suite)
        if any(measured.has(operand) for operand in claim.operands())
    )


def judge_articles(library: ArticleLibrary) -> tuple[ClaimResult, ...]:
    """Every claim held against the figures of its own article: what an article says and its figures do not bear out.

    A claim whose figures the article does not give has the answer `can't be said`.
    """
    return tuple(judge(claim, name, library, Measured()) for name, claim in library.claims())


def judge(claim: Claim, suite: str, library: ArticleLibrary, measured: Measured) -> ClaimResult:
    """One claim. Its answer is no where one comparison says no, open where one is open, else yes."""
    ours = _compare_all(claim, measured_figures(library, measured), measured.noise_floor_ratio)
    theirs = _compare_all(claim, published_figures(library))
    is_measured = any(found.found is not None for found in ours)
    decisive = _decisive(ours if is_measured else theirs, claim)
    answer, why, settled_by = _answer(claim, suite, library, measured, ours, decisive)
    published = next((found.found for found in theirs if found.pair == decisive.pair), None)
    has_figures = all(found.found is not None for found in theirs)
    article_answer, article_why = _combine(theirs) if has_figures else (None, ())
    article_found = _decisive(theirs, claim).found if has_figures else None
    return ClaimResult(
        claim=claim,
        suite=suite,
        answer=answer,
        why=why,
        settled_by=settled_by,
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


def _answer(  # noqa: PLR0913, PLR0917  what a claim is held against
    claim: Claim,
    suite: str,
    library: ArticleLibrary,
    measured: Measured,
    compared: Sequence[_Compared],
    decisive: _Compared,
) -> tuple[Answer, tuple[str, ...], tuple[str, ...]]:
    """(answer, why, what would settle it)."""
    answer, why = _combine(compared)
    if 0 < measured.server_cpus_count < claim.needs_cpus:
        here = formats.plural(measured.server_cpus_count, "CPU")
        needs = f"a server with {claim.needs_cpus} CPUs (docs/own_hosts.md)"
        return OPEN, (f"the server has {here} here and the claim is about {claim.needs_cpus}", *why), (needs,)
    if answer == OPEN:
        return answer, why, tuple(_settling([one for one in compared if one.answer is None], suite, library))
    if decisive.found is not None:
        why = (*why, _range_text(claim, decisive.found, answer))
    return answer, why, ()


def _range_text(claim: Claim, found: Estimate, answer: Answer) -> str:
    text = shown(claim, found.value)
    if is_yes_or_no(claim.measure.metric):
        return f"{text}, {'as' if answer == HOLDS else 'not as'} claimed"
    if found.has_range:
        text += f" with its whole range ({shown(claim, found.low)}-{shown(claim, found.high)})"
    elif found.bound:
        text = _bound_text(claim, found)
    return f"{text} is {'within' if answer == HOLDS else 'outside'} the limit: {limit_text(claim)}"


def _compare_all(claim: Claim, lookup: Lookup, noise_floor_ratio: float = 0.0) -> list[_Compared]:
    return [_compare(claim, pair, lookup, noise_floor_ratio) for pair in claim.pairs()]


def _compare(claim: Claim, pair: Pair, lookup: Lookup, noise_floor_ratio: float) -> _Compared:
    of, to = pair
    is_growth = to is not None and (to.variant, to.metric) == (of.variant, of.metric)
    found = [lookup(operand, is_growth) for operand in pair if operand is not None]
    missing = tuple(dict.fromkeys(one for one in found if isinstance(one, Reason)))
    parts = [figure for figure in found if isinstance(figure, Figure)]
    if missing:
        return _Compared(pair, None, None, missing)
    if to is not None and (not parts[1].value or math.isinf(parts[1].value)):
        text = f"{to.variant} has {to.metric} {parts[1].value:g}: no ratio to it"
        return _Compared(pair, None, None, (Reason(text, Need.NOTHING),))
    result = estimate(parts[0], parts[1] if to is not None else None, noise_floor_ratio)
    low, high, inclusive = claim.bounds()
    answer = keeps(result, low, high, inclusive=inclusive)
    why = open_because(result, low, high, inclusive=inclusive) if answer is None else ()
    if answer is None and not why:
        text = f"{shown(claim, result.low)} to {shown(claim, result.high)} lies on both sides of the limit"
        why = (Reason(text, Need.ROUNDS),)
    return _Compared(pair, answer, result, why, is_doubtful=any(figure.is_doubtful for figure in parts))


def _combine(compared: Sequence[_Compared]) -> tuple[Answer, tuple[str, ...]]:
    """The answer of all comparisons, and why where it is not yes."""
    answers = [found.answer for found in compared]
    total = False if False in answers else None if None in answers else True
    deciding = [found for found in compared if found.answer is total]
    if total is True:
        return HOLDS, ()
    why = list(dict.fromkeys(reason.text for found in deciding for reason in found.why))
    if len(compared) > 1:
        who = ", ".join(dict.fromkeys(_who(found.pair, compared) for found in deciding))
        which = "all" if len(deciding) == len(compared) else f"{len(deciding)} of {len(compared)}, {who}"
        why.insert(0, f"comparisons that {'do not hold' if total is False else 'are open'}: {which}")
    return _ANSWERS[total], tuple(why)


def _who(pair: Pair, compared: Sequence[_Compared]) -> str:
    """The variant that distinguishes a comparison from the others."""
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


def _settling(compared: Sequence[_Compared], suite: str, library: ArticleLibrary) -> Iterator[str]:
    """What would settle comparisons that are open: what to fix, then the command."""
    needs = {reason.need for found in compared for reason in found.why}
    operands = list(dict.fromkeys(operand for found in compared for operand in found.pair if operand is not None))
    # Of several doubts the most severe comes first, and its next step is the one to take.
    if hint := next((reason.hint for found in compared for reason in found.why if reason.hint), ""):
        yield f"first: {hint[0].lower()}{hint[1:]}"
    if Need.PROBE in needs:
        yield f"invoke probe --variant {_names(operands)}"
    if needs & {Need.BENCH, Need.BENCH_AGAIN}:
        yield bench_command(operands, suite, library)
    elif Need.ROUNDS in needs:
        yield f"{bench_command(operands, suite, library)} --rounds {_MORE_ROUNDS}"
    elif needs == {Need.NOTHING}:
        yield "no run under this load can"


def bench_command(operands: Sequence[Operand], suite: str, library: ArticleLibrary) -> str:
    """The command that measures operands as their articles did: by their suite where it has them, else one by one."""
    wanted = {(operand.variant, operand.scenario) for operand in operands}
    found = library.suites.get(suite)
    offered = {(row.variant, row.scenario) for row in found.rows} if found else set()
    if wanted <= offered:
        names = dict.fromkeys(operand.variant for operand in operands)
        is_named = len(names) <= _NAMED_MAX and set(names) != {variant for variant, _ in offered}
        return f"invoke bench --suite {suite}" + (f" --variant {','.join(names)}" if is_named else "")
    scenarios = dict.fromkeys(operand.scenario or "" for operand in operands)
    return " and ".join(
        f"invoke bench --variant {_names(one for one in operands if one.scenario == scenario)} --scenario {scenario}"
        for scenario in scenarios
    )


def _names(operands: Iterable[Operand]) -> str:
    return ",".join(dict.fromkeys(operand.variant for operand in operands))


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
    """The measured figure with its range: 1.89x (1.75x-2.01x); 3.00x, at least 2.80x; at least 0.1 %."""
    claim, found = result.claim, result.measured
    if found is None:
        return formats.NONE
    text = shown(claim, found.value)
    if not is_yes_or_no(claim.measure.metric):
        if found.has_range:
            text += f" ({shown(claim, found.low)}-{shown(claim, found.high)})"
        elif found.bound:
            text = _bound_text(claim, found)
    return f"{text}, doubtful" if result.is_doubtful else text


def _bound_text(claim: Claim, found: Estimate) -> str:
    """A figure of which only one end is known: at least 0.1 %; 3.00x, at least 2.80x."""
    text, end = shown(claim, found.value), shown(claim, found.low if found.bound == "at least" else found.high)
    return f"{found.bound} {end}" if text == end else f"{text}, {found.bound} {end}"


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
    """A value of the claim's metric, or of its ratio, as reports write it."""
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
