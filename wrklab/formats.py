"""How numbers are written, everywhere a person reads them: one rule a quantity, a dash where there is no number."""

from __future__ import annotations

from collections.abc import Iterable

#: Stands where there is no number; never 0.
NONE = "-"

_US_PER_MS = 1_000.0
_US_PER_S = 1_000_000.0
_BYTES_PER_MIB = 1024 * 1024
#: Below these a rate or a latency keeps one or two decimals, so that three digits are shown.
_TWO_DECIMALS_BELOW = 10.0
_ONE_DECIMAL_BELOW = 1000.0


def count(value: int | None) -> str:
    """1,234,567"""
    return NONE if value is None else f"{value:,}"


def rate(value: float | None) -> str:
    """Requests/s without the unit: 15,799 or 390.9 or 9.85."""
    return NONE if value is None else _three_digits(value)


def whole(value: float | None) -> str:
    """A number without decimals: 1,277."""
    return NONE if value is None else f"{value:,.0f}"


def rate_range(low: float | None, high: float | None) -> str:
    """Both ends of a range of rates, without the unit: 15,700-15,900."""
    return NONE if low is None or high is None else f"{rate(low)}-{rate(high)}"


def ms(value_us: float | None) -> str:
    """Milliseconds without the unit, from µs: 126.2 or 1,990 or 0.35."""
    return NONE if value_us is None else _three_digits(value_us / _US_PER_MS)


def duration_us(value_us: float | None) -> str:
    """A time with the unit that suits it, from µs: 350 µs, 126.2 ms, 1.22 s."""
    if value_us is None:
        return NONE
    if value_us < _US_PER_MS:
        return f"{value_us:.0f} µs"
    if value_us < _US_PER_S:
        return f"{_three_digits(value_us / _US_PER_MS)} ms"
    return f"{value_us / _US_PER_S:.2f} s"


def seconds(value_s: float | None) -> str:
    """Seconds without the unit: 0.42 or 60.0."""
    return NONE if value_s is None else f"{value_s:.2f}" if abs(value_s) < _TWO_DECIMALS_BELOW else f"{value_s:.1f}"


def percent_number(value_percent: float | None) -> str:
    """Percent without the sign, for columns that have it in their header: 97 or 0.4."""
    if value_percent is None:
        return NONE
    return f"{value_percent:.1f}" if 0 < value_percent < 1 else f"{value_percent:.0f}"


def percent(value_percent: float | None) -> str:
    """97 % from 97.2; 0.4 % from 0.4."""
    return NONE if value_percent is None else f"{percent_number(value_percent)} %"


def ratio_percent(value_ratio: float | None) -> str:
    """A share as percent: 97 % from 0.972."""
    return NONE if value_ratio is None else percent(value_ratio * 100)


def ratio_percent_number(value_ratio: float | None) -> str:
    """A share as percent without the sign: 97 from 0.972."""
    return NONE if value_ratio is None else percent_number(value_ratio * 100)


def times(value_ratio: float | None) -> str:
    """A ratio: 0.76x."""
    return NONE if value_ratio is None else f"{value_ratio:.2f}x"


def near_one(value_ratio: float | None) -> str:
    """A ratio that is often near 1, without the sign: 1.003."""
    return NONE if value_ratio is None else f"{value_ratio:.3f}"


def near_one_range(low_ratio: float | None, high_ratio: float | None) -> str:
    """Both ends of a range of such ratios: 0.991-1.013."""
    return NONE if low_ratio is None or high_ratio is None else f"{near_one(low_ratio)}-{near_one(high_ratio)}"


def mib(value_bytes: int | None) -> str:
    """Memory in MiB without the unit: 212."""
    return NONE if value_bytes is None else f"{value_bytes / _BYTES_PER_MIB:,.0f}"


def plural(number: int, noun: str) -> str:
    """1 round, 3 rounds."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _three_digits(value: float) -> str:
    size = abs(value)
    if size and size < _TWO_DECIMALS_BELOW:
        return f"{value:.2f}"
    return f"{value:,.1f}" if size and size < _ONE_DECIMAL_BELOW else f"{value:,.0f}"


def occurrences(counts: Iterable[tuple[str, int]]) -> str:
    """Texts with how often each was found: `3,626 x RuntimeError: can't start new thread; 2 x KeyError`."""
    return "; ".join(f"{number:,} x {text}" for text, number in counts)


def one_line(text: str) -> str:
    """A text on one line: every run of white space is one space."""
    return " ".join(text.split())


def cut(text: str, length: int) -> str:
    """A text of at most `length` characters; `...` ends one that was longer."""
    return text if len(text) <= length else f"{text[: length - 3]}..."
