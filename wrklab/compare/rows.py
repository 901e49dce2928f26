"""One variant of two runs: whether it became better or worse, and whether that is more than noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from wrklab import formats
from wrklab.results.environment_changes import Change, fact_changes
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
from wrklab.verdicts.bounds import IDEAL_LIMIT_RATIO, complete_holds
from wrklab.verdicts.rules import applying, is_doubtful, rate_bound, settling, verdict_of
from wrklab.verdicts.verdict import Bound, Direction, Verdict

#: What became of a row:
#: - better, worse: distinguishable, and beyond the noise floor; equal: not so
#: - untested: too few rounds on one side
#: - unsound: it can't be said: what one of the runs says of its own rate leaves both answers open
#: - failed, vanished: measured in the old run; failed (or in more rounds) in the new one, or planned and not reached
#: - polluted: in the new run, and not in the old, its rate is not one of right answers to the requested load
#: - appeared: measured in the new run only
#: - unplanned: measured in the old run; the new one's plan does not have it
#: - other_load: the two scenarios of that name request different things
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
    "unplanned",
    "other_load",
    "unmeasured",
]

#: What a scenario says that is no matter of the load; `rounds` says how well its rate is known.
_NOT_THE_LOAD = {"description", "rounds", "compares_with", "companions", "sample_interval_s", "half_rate_window"}
#: How long was measured, and how: rates of sound rows compare all the same, and latencies do not.
_THE_WINDOW = {"duration_s", "warmup_s", "warmup_connections", "timeout_s"}

_SET_BY_LOAD = {Verdict.HOLD_BOUND, Verdict.LIMIT_BOUND}
#: Answers were wrong or missing, or rounds were. Such rates are often the higher ones, and a fix may cost some of them.
_NO_RATE = {Verdict.POLLUTED, Verdict.FAILED}
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
    #: Which way the ratio is moved by what the runs doubt of their own rates; None: it stands.
    ratio_direction: Direction | None = None
    remark: str = ""
    #: What would settle an answer that can't be said; none where there is nothing to settle.
    settle: tuple[str, ...] = ()
    #: The windows differ, so that percentiles of one are not those of the other.
    has_other_window: bool = False
    #: It makes `compare` end with exit status 1.
    is_regression: bool = False
    #: So does this: slower by more than the threshold where neighbours or a generator may be why, or may not.
    must_be_measured_again: bool = False

    @property
    def is_compared(self) -> bool:
        """Whether something is said of its rates, one against the other."""
        return self.outcome in _COMPARED

    @property
    def is_exact(self) -> bool:
        """Whether its ratio is one of two rates that both stand for their servers."""
        return self.is_compared and self.ratio_direction is None

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
        if metric.doubt == "latency" and self.has_other_window:
            return None
        if metric.doubt == "half_rate" and any(_has_unsound_window(row) for row in (self.old, self.new)):
            return None
        old, new = metric.scalar_of(self.old), metric.scalar_of(self.new)
        return new / old if isinstance(old, int | float) and isinstance(new, int | float) and old else None


def _has_unsound_window(row: SummaryRow) -> bool:
    """Its window at half rate was another load than the one requested."""
    return row.half_rate is not None and is_doubtful(row.half_rate)


@dataclass(frozen=True)
class RowPair:
    """One variant under one scenario as the two runs have it; at least one of them does."""

    old: SummaryRow | None
    new: SummaryRow | None
    #: `connections 500 -> 200`: why the rows are not of the same load.
    load_differences: tuple[str, ...] = ()
    #: `duration_s 4.0 -> 3.0`: how their windows differ, where rates compare all the same.
    window_differences: tuple[str, ...] = ()

    @property
    def both(self) -> tuple[SummaryRow, SummaryRow] | None:
        """(old, new) where both have a rate under the same load: these can be compared."""
        if self.load_differences or self.old is None or self.new is None:
            return None
        return (self.old, self.new) if _has_rate(self.old) and _has_rate(self.new) else None

    @property
    def any_row(self) -> SummaryRow:
        """The new run's row, else the old one's. Raises ValueError for a pair of none."""
        found = self.new or self.old
        if found is None:
            raise ValueError("a pair of rows has at least one")
        return found

    @property
    def obstacle(self) -> tuple[Outcome, str]:
        """What there is to say where the two cannot be compared, with a remark."""
        if self.load_differences:
            return "other_load", ", ".join(self.load_differences)
        if not _has_rate(self.old) and not _has_rate(self.new):
            return "unmeasured", ""
        if self.new is None:
            return "unplanned", ""
        if self.new.state == "missing":
            return "vanished", "the new run planned it, and ended before it was measured"
        if not _has_rate(self.new):
            return "failed", "; ".join(self.new.failures) or "no round of it was measured in the new run"
        return "appeared", "" if self.old is None else "without a rate in the old run"


def row_pair(old_plan: RunPlan, new_plan: RunPlan, old: SummaryRow | None, new: SummaryRow | None) -> RowPair:
    """The rows of a variant and scenario in both runs, with the differences of their loads: `duration_s 4.0 -> 3.0`."""
    if old is None or new is None:
        return RowPair(old, new)
    before = old_plan.scenarios[old.scenario].model_dump(exclude=_NOT_THE_LOAD) | {"hold_ms": old.hold_ms}
    after = new_plan.scenarios[new.scenario].model_dump(exclude=_NOT_THE_LOAD) | {"hold_ms": new.hold_ms}
    changes = fact_changes("", before, after)
    texts = tuple(f"{change.key} {change.old} -> {change.new}" for change in changes)
    if texts and _are_rates_comparable(changes, old, new):
        return RowPair(old, new, window_differences=texts)
    return RowPair(old, new, load_differences=texts)


def _are_rates_comparable(changes: Sequence[Change], old: SummaryRow, new: SummaryRow) -> bool:
    """Whether two loads differ in their windows alone, both rates stand, and no window's edge moves one of them."""
    if any(change.key not in _THE_WINDOW for change in changes) or is_doubtful(old) or is_doubtful(new):
        return False
    filled = [complete_holds(row.hold_ms, row.duration_s) for row in (old, new)]
    return max(filled) <= IDEAL_LIMIT_RATIO * min(filled)


def row_changes(pairs: Sequence[RowPair], limits: Limits) -> tuple[RowChange, ...]:
    """What became of each pair."""
    return tuple(_change(pair, p_values, limits) for pair, p_values in zip(pairs, _all_p_values(pairs), strict=True))


def _all_p_values(pairs: Sequence[RowPair]) -> list[PValues | None]:
    own = [_p_value(*pair.both) if pair.both and not _is_open(*pair.both) else None for pair in pairs]
    adjusted = iter(holm([p_value for p_value in own if p_value is not None]))
    return [None if p_value is None else PValues(p_value, next(adjusted)) for p_value in own]


def _p_value(old: SummaryRow, new: SummaryRow) -> float | None:
    if old.rates_per_s == new.rates_per_s:
        return 1.0  # a run against itself, of one round too
    return difference_p(new.rates_per_s, old.rates_per_s)


def _change(pair: RowPair, p_values: PValues | None, limits: Limits) -> RowChange:
    variant, scenario = pair.any_row.variant, pair.any_row.scenario
    if pair.both is None:
        outcome, remark = pair.obstacle
        is_regression = outcome in {"vanished", "failed"}
        return RowChange(
            variant=variant,
            scenario=scenario,
            outcome=outcome,
            old=pair.old,
            new=pair.new,
            remark=remark,
            is_regression=is_regression,
        )
    old, new = pair.both
    ratio = median_ratio(new.rates_per_s, old.rates_per_s)
    outcome, remark = _outcome(old, new, p_values, limits)
    remarks = [remark, f"other windows ({', '.join(pair.window_differences)}): latencies are not compared"]
    is_too_slow = ratio is not None and ratio < limits.worst_ratio
    return RowChange(
        variant=variant,
        scenario=scenario,
        outcome=outcome,
        old=old,
        new=new,
        ratio=ratio,
        interval=ratio_interval(new.rates_per_s, old.rates_per_s),
        p_values=p_values,
        ratio_direction=_ratio_direction(old, new),
        remark="; ".join(text for text in (remarks if pair.window_differences else remarks[:1]) if text),
        settle=tuple(dict.fromkeys([*settling(old), *settling(new)])) if outcome == "unsound" else (),
        has_other_window=bool(pair.window_differences),
        is_regression=outcome in {"failed", "polluted"} or (outcome in {"worse", "untested"} and is_too_slow),
        must_be_measured_again=outcome == "unsound" and is_too_slow and not _has_no_rate(old, new),
    )


def _outcome(old: SummaryRow, new: SummaryRow, p_values: PValues | None, limits: Limits) -> tuple[Outcome, str]:
    """Errors first, which are worse whatever the rate; then what bounds leave open; then the test."""
    if found := _broken(old, new):
        return found
    if _is_open(old, new):
        return "unsound", _unsound_text(old, new)
    outcome, remark = _tested(old, new, p_values, limits)
    if _ratio_direction(old, new) is None:
        return outcome, remark
    if outcome == "equal":
        # Not distinguishable as measured, and the true rates may be further apart.
        return "unsound", _unsound_text(old, new)
    found_texts = [remark, f"at least so much: {_unsound_text(old, new)}"]
    return outcome, "; ".join(text for text in found_texts if text)


def _broken(old: SummaryRow, new: SummaryRow) -> tuple[Outcome, str] | None:
    """What is worse whatever the rate: errors are often quicker than answers."""
    if new.rounds_failed > old.rounds_failed and not new.failure_expected:
        counts = f"{new.rounds_failed} of {formats.plural(new.rounds_planned, 'round')} failed"
        return "failed", f"{counts}, {old.rounds_failed} in the old run: {'; '.join(new.failures)}"
    if verdict_of(new) is Verdict.POLLUTED and not _is_polluted(old):
        return "polluted", _reasons(new, Verdict.POLLUTED)
    return None


def _is_polluted(row: SummaryRow) -> bool:
    """Also where rounds failed as well, which is the more severe verdict."""
    verdicts = [rule.verdict for rule in applying(row) if rule.verdict not in {None, Verdict.FAILED}]
    return verdicts[:1] == [Verdict.POLLUTED]


def _ratio_bound(old: SummaryRow, new: SummaryRow) -> Bound:
    """Where the true new / old may lie next to the measured one."""
    if _has_no_rate(old, new):
        return Bound(may_be_higher=True, may_be_lower=True)
    before, after = rate_bound(old), rate_bound(new)
    return Bound(
        may_be_higher=after.may_be_higher or before.may_be_lower,
        may_be_lower=after.may_be_lower or before.may_be_higher,
    )


def _ratio_direction(old: SummaryRow, new: SummaryRow) -> Direction | None:
    bound = _ratio_bound(old, new)
    if bound.is_closed:
        return None
    if bound.is_unknown:
        return Direction.UNKNOWN
    return Direction.TOO_LOW if bound.may_be_higher else Direction.TOO_HIGH


def _is_open(old: SummaryRow, new: SummaryRow) -> bool:
    """Whether the doubts of the two runs allow both answers: the true ratio may lie on either side of 1."""
    bound = _ratio_bound(old, new)
    ratio = median_ratio(new.rates_per_s, old.rates_per_s) or 1.0
    return (ratio <= 1 and bound.may_be_higher) or (ratio >= 1 and bound.may_be_lower)


def _unsound_text(old: SummaryRow, new: SummaryRow) -> str:
    """Which run's rate is not its server's, and why. Unstable rates are: the test weighs them."""
    sides = [(name, row, verdict_of(row)) for name, row in (("old", old), ("new", new))]
    return "; ".join(
        f"{name} run {verdict} ({_reasons(row, verdict)})"
        for name, row, verdict in sides
        if verdict in _NO_RATE or not rate_bound(row).is_closed
    )


def _has_no_rate(old: SummaryRow, new: SummaryRow) -> bool:
    """Measured again in quiet, it could not be compared either."""
    return any(verdict_of(row) in _NO_RATE for row in (old, new))


def _reasons(row: SummaryRow, verdict: Verdict | None) -> str:
    """What led to a verdict, each rule with its figures."""
    return "; ".join(f"{rule.name}: {rule.figures(row)}" for rule in applying(row) if rule.verdict is verdict)


def _is_plainly_slower(old: SummaryRow, new: SummaryRow, limits: Limits) -> bool:
    """Every new round is below every old one by the threshold, or the whole interval of the ratio is beyond it."""
    interval = ratio_interval(new.rates_per_s, old.rates_per_s)
    is_every_round = max(new.rates_per_s) < limits.worst_ratio * min(old.rates_per_s)
    return is_every_round or (interval is not None and interval.high < limits.worst_ratio)


def _tested(old: SummaryRow, new: SummaryRow, p_values: PValues | None, limits: Limits) -> tuple[Outcome, str]:
    """Whether the rates differ.

    A drop beyond the threshold needs no adjustment for the number of rows: by chance a row is rarely both that slow
    and distinguishable, and the adjustment would hide one slow variant among many. Few rounds that differ much among
    each other hide a drop from the test that is plain to see: that is not equal either.
    """
    ratio = median_ratio(new.rates_per_s, old.rates_per_s)
    if ratio is None or p_values is None:
        return "untested", "too few rounds with answers to tell it from noise: measure with --rounds 3 or more"
    is_gate = ratio < limits.worst_ratio
    is_distinguishable = (p_values.own if is_gate else p_values.adjusted) < SIGNIFICANCE_P
    if not is_beyond(ratio, limits.floor_ratio):
        return "equal", ""
    if not is_distinguishable:
        is_plain = _is_plainly_slower(old, new, limits)
        return ("untested", "too few rounds to tell: measure with more") if is_plain else ("equal", "")
    return ("better", "") if ratio > 1 else ("worse", "")


def _has_rate(row: SummaryRow | None) -> bool:
    return row is not None and bool(row.requests_per_s)
