"""How numbers are written."""

from __future__ import annotations

import pytest

from wrklab import figures


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (figures.rate(15_799.31), "15,799"),
        (figures.rate(390.92), "390.9"),
        (figures.rate(9.85), "9.85"),
        (figures.rate(0.0), "0"),
        (figures.rate(None), "-"),
        (figures.rate_range(390.0, 15_800.0), "390.0-15,800"),
        (figures.ms(126_180.0), "126.2"),
        (figures.ms(1_990_000.0), "1,990"),
        (figures.ms(350.0), "0.35"),
        (figures.duration_us(350.0), "350 µs"),
        (figures.duration_us(126_180.0), "126.2 ms"),
        (figures.duration_us(1_220_000.0), "1.22 s"),
        (figures.seconds(0.42), "0.42"),
        (figures.seconds(60.0), "60.0"),
        (figures.percent(97.2), "97 %"),
        (figures.percent(0.42), "0.4 %"),
        (figures.percent(0.0), "0 %"),
        (figures.ratio_percent(0.972), "97 %"),
        (figures.times(0.761), "0.76x"),
        (figures.mib(212 * 1024 * 1024), "212"),
        (figures.count(1_234_567), "1,234,567"),
        (figures.count(None), "-"),
        (figures.plural(1, "round"), "1 round"),
        (figures.plural(3, "round"), "3 rounds"),
    ],
)
def test_a_figure_is_written_with_what_it_can_carry(written: str, expected: str) -> None:
    """Three digits where they mean something, thousands apart, a dash for no number."""
    assert written == expected
