"""Rules on rounds: which failed, which are missing, how far they differ, what the run and the log say of them."""

from __future__ import annotations

from wrklab.formats import occurrences, plural, rate_range, ratio_percent
from wrklab.summary.rows import SummaryRow
from wrklab.verdicts.verdict import Rule, Severity, Verdict, above

#: Between rounds; pyperf warns from the same.
SPREAD_LIMIT_RATIO = 0.10


def _failed_text(row: SummaryRow) -> str:
    return f"{row.rounds_failed} of {plural(row.rounds_planned, 'round')} failed: {'; '.join(row.failures)}"


def _missing_count(row: SummaryRow) -> int:
    return row.rounds_planned - row.rounds - row.rounds_failed


#: The rules of this theme, the more severe first within one severity.
RULES: tuple[Rule, ...] = (
    Rule(
        name="failed",
        severity=Severity.NO_FIGURES,
        doubt="rate",
        applies=lambda row: row.rounds_failed > 0 and not row.failure_expected,
        figures=_failed_text,
        meaning="figures, where there are any, are of the other rounds",
        next_step="The server's last log lines stand below and in raw/",
        words=lambda row: f"{row.rounds_failed} of {row.rounds_planned} failed",
        verdict=Verdict.FAILED,
        unknown_because="a round that failed has no rate, and the others may be the lucky ones",
    ),
    Rule(
        name="failed_as_expected",
        severity=Severity.NO_FIGURES,
        doubt="none",
        applies=lambda row: row.rounds_failed > 0 and row.failure_expected,
        figures=_failed_text,
        meaning="it was expected to",
        next_step="The variant is here to show that it does not work",
        words=lambda _: "failed as expected",
        verdict=Verdict.FAILED_AS_EXPECTED,
    ),
    Rule(
        name="spread",
        severity=Severity.UNSTABLE,
        doubt="rate",
        # Rates of an open loop are those of its timetables, whose gaps are drawn.
        applies=lambda row: not row.is_open_loop and above(row.spread_ratio, SPREAD_LIMIT_RATIO),
        figures=lambda row: (
            f"rounds range over {ratio_percent(row.spread_ratio)} of their median "
            f"({rate_range(row.requests_per_s_min, row.requests_per_s_max)} requests/s)"
        ),
        meaning="the rounds do not agree",
        next_step="Measure more or longer rounds, and look for neighbours",
        words=lambda row: f"rounds differ {ratio_percent(row.spread_ratio)}",
        settle="--rounds 10",
        verdict=Verdict.UNSTABLE,
        unknown_because="rounds differ both ways, and the tests on them weigh it",
        is_weighed_by_tests=True,
        cost_stands=True,
    ),
    Rule(
        name="did_not_fail",
        severity=Severity.REMARK,
        doubt="none",
        applies=lambda row: row.expect_failure is not None and row.rounds > 0,
        figures=lambda row: f"{plural(row.rounds, 'round')}, and its card expects `{row.expect_failure}`",
        meaning="the variant is here to show that it does not work, and it answered as it should",
        next_step=(
            "Something changed: look at its command and versions, and take expect_failure out of its card if it works"
        ),
        words=lambda _: "did not fail",
    ),
    Rule(
        name="second_attempt",
        severity=Severity.REMARK,
        doubt="none",
        applies=lambda row: row.rounds_retried > 0,
        figures=lambda row: (
            f"{plural(row.rounds_retried, 'round')}; the first attempt ended so: {'; '.join(row.first_failures)}"
        ),
        meaning="a round that fails is measured once more, on a fresh server",
        next_step="The first attempt's evidence is in raw/<cell>/attempt_1",
        words=lambda _: "second attempt",
    ),
    Rule(
        name="rounds_missing",
        severity=Severity.REMARK,
        doubt="none",
        applies=lambda row: _missing_count(row) > 0,
        figures=lambda row: f"{_missing_count(row)} of {plural(row.rounds_planned, 'round')}",
        meaning="rounds were not reached: the run ended early",
        next_step="Measure again for all rounds",
        words=lambda row: f"{_missing_count(row)} of {row.rounds_planned} missing",
        settle="--resume",
    ),
    Rule(
        name="one_round",
        severity=Severity.REMARK,
        doubt="none",
        applies=lambda row: row.rounds == 1 and row.rounds_planned == 1,
        figures=lambda row: f"one window of {row.duration_s:g} s",
        meaning="how far rounds differ cannot be said",
        next_step="Take differences below 10 % for nothing",
        words=lambda _: "one round",
        settle="--rounds 3",
    ),
    Rule(
        name="log_errors",
        severity=Severity.REMARK,
        doubt="none",
        applies=lambda row: bool(row.log_errors),
        figures=lambda row: occurrences(row.log_errors.items()),
        meaning="the server's log says so of itself",
        next_step="Read it in raw/",
        words=lambda _: "errors in its log",
    ),
)
