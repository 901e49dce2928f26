"""How numbers are written."""

from __future__ import annotations

import pytest

from wrklab import formats


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (formats.rate(15_799.31), "15,799"),
        (formats.rate(390.92), "390.9"),
        (formats.rate(9.85), "9.85"),
        (formats.rate(0.0), "0"),
        (formats.rate(None), "-"),
        (formats.rate_range(390.0, 15_800.0), "390.0-15,800"),
        (formats.ms(126_180.0), "126.2"),
        (formats.ms(1_990_000.0), "1,990"),
        (formats.ms(350.0), "0.35"),
        (formats.duration_us(350.0), "350 µs"),
        (formats.duration_us(126_180.0), "126.2 ms"),
        (formats.duration_us(1_220_000.0), "1.22 s"),
        (formats.seconds(0.42), "0.42"),
        (formats.seconds(60.0), "60.0"),
        (formats.percent(97.2), "97 %"),
        (formats.percent(0.42), "0.4 %"),
        (formats.percent(0.0), "0 %"),
        (formats.ratio_percent(0.972), "97 %"),
        (formats.times(0.761), "0.76x"),
        (formats.mib(212 * 1024 * 1024), "212"),
        (formats.count(1_234_567), "1,234,567"),
        (formats.count(None), "-"),
        (formats.plural(1, "round"), "1 round"),
        (formats.plural(3, "round"), "3 rounds"),
    ],
)
def test_a_figure_is_written_with_what_it_can_carry(written: str, expected: str) -> None:
    """Three digits where they mean something, thousands apart, a dash for no number."""
    assert written == expected
