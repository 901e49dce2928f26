"""The rates of open loops as the command line gives them: requests/s, or a share of what a variant does at most."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wrklab.catalogue.scenario import RATE_DIGITS_COUNT, RATE_MAX_PER_S
from wrklab.errors import StoreError, UsageError
from wrklab.results.run_folder import Run, list_runs

_RATE = re.compile(r"(?P<number>\d+(\.\d+)?)(?P<percent>%?)")
_PERCENT_MAX = 1000


@dataclass(frozen=True)
class Rate:
    """One rate that was requested: requests/s, or percent of the variant's closed-loop maximum."""

    value: float
    is_percent: bool

    def per_s(self, maximum_per_s: float | None) -> float:
        """In requests/s. `maximum_per_s` is the variant's, which a share needs. Raises ValueError without one."""
        if not self.is_percent:
            return self.value
        if maximum_per_s is None:
            raise ValueError(f"{self.value:g} % of a maximum that is not known")
        return float(f"{maximum_per_s * self.value / 100:.{RATE_DIGITS_COUNT}g}")


def parse_rates(text: str) -> tuple[Rate, ...]:
    """The rates in `100,200,400` or `25%,50%`; none in an empty text. Raises UsageError."""
    return tuple(_parse_rate(word.strip()) for word in text.split(",")) if text.strip() else ()


def _parse_rate(word: str) -> Rate:
    found = _RATE.fullmatch(word)
    value = float(found["number"]) if found else 0.0
    most = _PERCENT_MAX if found and found["percent"] else RATE_MAX_PER_S
    if not found or not 0 < value <= most:
        raise UsageError(
            f"--rate {word!r}: requests/s (500) or percent of the variant's closed-loop maximum (50%) were expected, "
            f"above 0 and at most {RATE_MAX_PER_S:,.0f} or {_PERCENT_MAX} %; several with commas between"
        )
    return Rate(value, bool(found["percent"]))


def closed_loop_maximum(results_dir: Path, lab: str, variant: str, digest: str, asks_for: str) -> float | None:
    """The highest rate of a variant in the newest run that measured it in a closed loop: right answers/s; None without.

    Only of runs of the same lab, with the same server: `digest` is catalogue.deployment.variant_digest. Of several
    rounds it is the median, of several scenarios on this path the highest.
    """
    for info in reversed(list_runs(results_dir)):
        if info.problem or info.lab != lab:
            continue
        try:
            with Run.open(results_dir, info.run_id) as run:
                found = _maximum_in(run, variant, digest, asks_for)
        except StoreError:
            continue
        if found is not None:
            return found
    return None


def _maximum_in(run: Run, variant: str, digest: str, asks_for: str) -> float | None:
    if run.plan.variant_digests.get(variant) != digest:
        return None
    rates: dict[str, list[float]] = {}
    for cell in run.cells():
        scenario = run.plan.scenarios[cell.scenario]
        if cell.variant == variant and cell.measurement and not scenario.is_open_loop and scenario.asks_for == asks_for:
            rates.setdefault(cell.scenario, []).append(cell.measurement.right_answers_per_s)
    return max(map(statistics.median, rates.values()), default=None)


def refuse_unknown_maxima(variants: Sequence[str]) -> None:
    """Raises UsageError where shares of maxima that nobody measured were requested; it names the command."""
    if variants:
        names = ",".join(variants)
        raise UsageError(
            f"--rate in percent needs the closed-loop maximum of {names}, and no run of this lab has measured it with "
            f"the present server. Measure it first: invoke bench --variant {names}"
        )
