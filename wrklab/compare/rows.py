"""One variant of two runs: whether it became better or worse, and whether that is more than noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from wrklab import formats
from wrklab.results.environment_changes import fact_changes
from wrklab.results.records import RunPlan
from wrklab.summary.metrics import Metric
from wrklab.summary.rows import COMPARED_METRICS, SummaryRow
from wrklab.summary.statistics import (
    SIGNIFICANCE_P,
    Interval,
    difference_p,
    holm,
    is_beyond,
    median_ratio,
    ratio_interval,
)
from wrklab.verdicts.verdict import Verdict
from wrklab.verdicts.verdicts import applying, verdict_of

#: What became of a row:
#: - better, worse: told apart, and beyond the noise floor; equal: not so
#: - untested: too few rounds on one side
#: - unsound: what one of the runs says of its own rate forbids to compare it
#: - failed, vanished: measured in the old run, failed (or in more rounds) or not there in the new one
#: - polluted: in the new run, and not in the old, its rate is not one of right answers to the load that was asked for
#: - appeared: measured in the new run only
#: - other_load: the two scenarios of that name ask for different things
#: - unmeasured: in neither
Outcome = Literal[
    "better",
    "equal",
    "worse",
    "untested",
    "unsound",
    "failed",
    "vanished",
    "polluted",
    "appeared",
    "other_load",
    "unmeasured",
]

#: What a scenario says that is no matter of the load; `rounds` says how well its rate is known.
_NOT_THE_LOAD = {"description", "rounds", "compares_with", "companions", "sample_interval_s"}

_SET_BY_LOAD = {Verdict.HOLD_BOUND, Verdict.LIMIT_BOUND}
#: Answers were wrong or missing, or rounds were: such rates are often the higher ones.
_NO_RATE = {Verdict.POLLUTED, Verdict.FAILED}
#: Somebody else kept the rate down: it says nothing of the server's own but that it was so much at least.
_HELD_BACK = {Verdict.GENERATOR_BOUND, Verdict.DISTURBED}
_COMPARED = {"better", "equal", "worse", "untested"}


@dataclass(frozen=True)
class Limits:
    """What a difference is held against."""

    #: The larger noise floor of the two runs: 0.02 is 2 %; None where neither has one.
    floor_ratio: float | None
    #: A new / old below this is too slow: 0.9 at a threshold of 10 %.
    worst_ratio: float


@dataclass(frozen=True)
class PValues:
    """Welch's p-value of one row, by itself and adjusted for all rows that were tested (Holm)."""

    own: float
    adjusted: float


@dataclass(frozen=True, kw_only=True)
class RowChange:
    """One variant under one scenario in both runs. Ratios are new / old."""

    variant: str
    scenario: str
    outcome: Outcome
    old: SummaryRow | None
    new: SummaryRow | None
    ratio: float | None = None
    interval: Interval | None = None
    #: None where it could not be tested.
    p_values: PValues | None = None
    remark: str = ""
    #: It makes `compare` end with exit status 1.
    is_regression: bool = False
    #: So does this: slower by more than the threshold where neighbours or a generator may be why, or may not.
    must_be_measured_again: bool = False

    @property
    def is_compared(self) -> bool:
        """Whether its ratio is one of two rates that stand for their servers."""
        return self.outcome in _COMPARED

    @property
    def is_load_set(self) -> bool:
        """In both runs the load or the variant's own limit set the rate: a slower server has the same one."""
        return all(row is not None and verdict_of(row) in _SET_BY_LOAD for row in (self.old, self.new))

    @property
    def metric_ratios(self) -> dict[str, float | None]:
        """New / old of the registry's compared metrics, by name; None where the rates have no ratio either."""
        return {metric.name: self._ratio_of(metric) for metric in COMPARED_METRICS}

    def _ratio_of(self, metric: Metric[object]) -> float | None:
        if self.old is None or self.new is None or self.ratio is None:
            return None
        old, new = metric.scalar_of(self.old), metric.scalar_of(self.new)
        return new / old if isinstance(old, int | float) and isinstance(new, int | float) and old else None


@dataclass(frozen=True)
class RowPair:
    """One variant under one scenario as the two runs have it; at least one of them does."""

    old: SummaryRow | None
    new: SummaryRow | None
    #: `connections 500 -> 200`: why the rows are not of the same load.
    load_differences: tuple[str, ...] = ()

    @property
    def both(self) -> tuple[SummaryRow, SummaryRow] | None:
        """(old, new) where both have a rate under the same load: these can be compared."""
        if self.load_differences or self.old is None or self.new is None:
            return None
        return (self.old, self.new) if _has_rate(self.old) and _has_rate(self.new) else None

    @property
    def obstacle(self) -> tuple[Outcome, str]:
        """What there is to say where the two cannot be compared, with a remark."""
        if self.load_differences:
            return "other_load", ", ".join(self.load_differences)
        if not _has_rate(self.old) and not _has_rate(self.new):
            return "unmeasured", ""
        if self.new is None:
            return "vanished", ""
        if not _has_rate(self.new):
            return "failed", "; ".join(self.new.failures) or "no round of it was measured in the new run"
        return "appeared", "" if self.old is None else "without a rate in the old run"


def load_differences(old_plan: RunPlan, new_plan: RunPlan, old: SummaryRow, new: SummaryRow) -> tuple[str, ...]:
    """In what the loads of two rows of the same scenario name differ: `duration_s 4.0 -> 60.0`."""
    before = old_plan.scenarios[old.scenario].model_dump(exclude=_NOT_THE_LOAD) | {"hold_ms": old.hold_ms}
    after = new_plan.scenarios[new.scenario].model_dump(exclude=_NOT_THE_LOAD) | {"hold_ms": new.hold_ms}
    return tuple(f"{change.key} {change.old} -> {change.new}" for change in fact_changes("", before, after))


def row_changes(pairs: Sequence[RowPair], limits: Limits) -> tuple[RowChange, ...]:
    """What became of each pair."""
    return tuple(_change(pair, p_values, limits) for pair, p_values in zip(pairs, _all_p_values(pairs), strict=True))


def _all_p_values(pairs: Sequence[RowPair]) -> list[PValues | None]:
    own = [_p_value(*pair.both) if pair.both and not _unsound(*pair.both) else None for pair in pairs]
    adjusted = iter(holm([p_value for p_value in own if p_value is not None]))
    return [None if p_value is None else PValues(p_value, next(adjusted)) for p_value in own]


def _p_value(old: SummaryRow, new: SummaryRow) -> float | None:
    if old.rates_per_s == new.rates_per_s:
        return 1.0  # a run beside itself, of one round too
    return difference_p(new.rates_per_s, old.rates_per_s)


def _change(pair: RowPair, p_values: PValues | None, limits: Limits) -> RowChange:
    if pair.both is None:
        outcome, remark = pair.obstacle
        ratio, interval, is_too_slow = None, None, False
    else:
        old, new = pair.both
        ratio = median_ratio(new.rates_per_s, old.rates_per_s)
        interval = ratio_interval(new.rates_per_s, old.rates_per_s)
        is_too_slow = ratio is not None and ratio < limits.worst_ratio
        is_plain = _is_plainly_slower(old, new, interval, limits)
        outcome, remark = (
            _broken(old, new) or _unsound(old, new) or _tested(ratio, p_values, limits, is_plainly_slower=is_plain)
        )
    return RowChange(
        variant=_any_of(pair).variant,
        scenario=_any_of(pair).scenario,
        outcome=outcome,
        old=pair.old,
        new=pair.new,
        ratio=ratio,
        interval=interval,
        p_values=p_values,
        remark=remark,
        is_regression=outcome in {"vanished", "failed", "polluted"}
        or (outcome in {"worse", "untested"} and is_too_slow),
        must_be_measured_again=outcome == "unsound" and is_too_slow and not _has_no_rate(pair),
    )


def _broken(old: SummaryRow, new: SummaryRow) -> tuple[Outcome, str] | None:
    """What is worse whatever the rate: errors are often quicker than answers."""
    if new.rounds_failed > old.rounds_failed and not new.failure_expected:
        counts = f"{new.rounds_failed} of {formats.plural(new.rounds_planned, 'round')} failed"
        return "failed", f"{counts}, {old.rounds_failed} in the old run: {'; '.join(new.failures)}"
    if verdict_of(new) is Verdict.POLLUTED and not _is_polluted(old):
        return "polluted", _reasons(new, Verdict.POLLUTED)
    return None


def _is_polluted(row: SummaryRow) -> bool:
    """Also where rounds failed besides, which is the graver verdict."""
    verdicts = [rule.verdict for rule in applying(row) if rule.verdict not in {None, Verdict.FAILED}]
    return verdicts[:1] == [Verdict.POLLUTED]


def _unsound(old: SummaryRow, new: SummaryRow) -> tuple[Outcome, str] | None:
    """Where one of the rates is not its server's: which run's, and why. Unstable ones are: the test weighs them."""
    sides = [(name, row, verdict_of(row)) for name, row in (("old", old), ("new", new))]
    found = [
        f"{name} run {verdict} ({_reasons(row, verdict)})"
        for name, row, verdict in sides
        if verdict in _NO_RATE | _HELD_BACK
    ]
    return ("unsound", "; ".join(found)) if found else None


def _has_no_rate(pair: RowPair) -> bool:
    """Measured again in quiet, it could not be compared either."""
    return any(row is not None and verdict_of(row) in _NO_RATE for row in (pair.old, pair.new))


def _reasons(row: SummaryRow, verdict: Verdict | None) -> str:
    """What led to a verdict, each rule with its figures."""
    return "; ".join(f"{rule.name}: {rule.figures(row)}" for rule in applying(row) if rule.verdict is verdict)


def _is_plainly_slower(old: SummaryRow, new: SummaryRow, interval: Interval | None, limits: Limits) -> bool:
    """Every new round is below every old one by the threshold, or the whole interval of the ratio is beyond it."""
    is_every_round = max(new.rates_per_s) < limits.worst_ratio * min(old.rates_per_s)
    return is_every_round or (interval is not None and interval.high < limits.worst_ratio)


def _tested(
    ratio: float | None, p_values: PValues | None, limits: Limits, *, is_plainly_slower: bool
) -> tuple[Outcome, str]:
    """Whether the rates differ.

    A drop beyond the threshold needs no adjustment for the number of rows: by chance a row is rarely both that slow
    and told apart, and the adjustment would hide one slow variant among many. Few rounds that differ much among each
    other hide a drop from the test that is plain to see: that is not equal either.
    """
    if ratio is None or p_values is None:
        return "untested", "too few rounds with answers to tell it from noise: measure with --rounds 3 or more"
    is_gate = ratio < limits.worst_ratio
    is_told_apart = (p_values.own if is_gate else p_values.adjusted) < SIGNIFICANCE_P
    if not is_beyond(ratio, limits.floor_ratio):
        return "equal", ""
    if not is_told_apart:
        return ("untested", "too few rounds to tell: measure with more") if is_plainly_slower else ("equal", "")
    return ("better", "") if ratio > 1 else ("worse", "")


def _has_rate(row: SummaryRow | None) -> bool:
    return row is not None and bool(row.requests_per_s)


def _any_of(pair: RowPair) -> SummaryRow:
    found = pair.new or pair.old
    if found is None:
        raise ValueError("a pair of rows has at least one")
    return found
