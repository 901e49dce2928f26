"""The noise floor of a run for people: one sentence, and each variant's twins beside each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from wrklab import formats
from wrklab.summary.noise_floor import NoiseFloor
from wrklab.summary.statistics import median

TWIN_HEADERS = ("variant", "scenario", "A per s", "B per s", "B / A", "from-to", "told apart")


def floor_line(floor: NoiseFloor) -> str:
    """What the noise floor is and means; why there is none where nothing could be said."""
    if floor.ratio is None:
        return (
            "Noise floor: none can be said: no variant has two rounds with answers as A and as B. "
            "Measure with --rounds 3 or more."
        )
    return (
        f"Noise floor {floor.ratio * 100:.2g} %: each variant was measured as two, A and B, which differ by nothing; "
        "nineteen of twenty differences between them are smaller than this. Smaller differences are called equal."
    )


def twin_lines(floor: NoiseFloor) -> Iterator[tuple[str, ...]]:
    """One line a variant and scenario, by TWIN_HEADERS; `told apart`: the lab was not steady while it ran."""
    for pair in floor.pairs:
        interval = pair.interval
        yield (
            pair.variant,
            pair.scenario,
            formats.rate(median(pair.a_per_s)),
            formats.rate(median(pair.b_per_s)),
            formats.near_one(pair.ratio),
            formats.near_one_range(interval.low, interval.high) if interval else formats.NONE,
            "yes" if (pair.scenario, pair.variant) in floor.told_apart else "no",
        )


def twins_data(floor: NoiseFloor) -> list[dict[str, Any]]:
    """The same as plain data: rates in requests/s, `ratio` B / A with both ends of its interval."""
    return [
        {
            "variant": pair.variant,
            "scenario": pair.scenario,
            "a_per_s": list(pair.a_per_s),
            "b_per_s": list(pair.b_per_s),
            "ratio": pair.ratio,
            "ratio_low": pair.interval.low if pair.interval else None,
            "ratio_high": pair.interval.high if pair.interval else None,
            "told_apart": (pair.scenario, pair.variant) in floor.told_apart,
        }
        for pair in floor.pairs
    ]
