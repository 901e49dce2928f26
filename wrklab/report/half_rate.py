"""The windows at half rate as reports show them: what visitors wait, what of it is doubtful, and who has none."""

from __future__ import annotations

from collections.abc import Iterator

from wrklab import formats
from wrklab.report.contents import Contents, ReportRow
from wrklab.verdicts.rules import Note

#: Follows a latency that is doubtful though the row's rate is not.
DOUBTFUL_LATENCY = "?"

HALF_RATE_HEADERS = (
    "variant",
    "requests per s",
    "half rate per s",
    "p50 ms",
    "p90 ms",
    "p99 ms",
    "p99 from-to ms",
    "answers",
    "achieved %",
    "doubtful because",
)
#: Places of texts, which stand to the left.
HALF_RATE_TEXTS = (0, 9)
#: Places of the figures that a doubt about a window concerns.
HALF_RATE_LATENCIES = frozenset({3, 4, 5, 6})

HALF_RATE_MEANING = (
    "A closed loop keeps a server full, and its latencies are those of a full server. So each variant has one more "
    "window: an open loop at half of the median rate of its sound rounds, as visitors would send it. It lasts as long "
    "as 10,000 answers take, 10 s at most; for a longer one: invoke bench --variant NAME --rate RATE --duration 60s. A "
    "doubt about such a window leaves the rate of the row as it is."
)


def deciding_doubt(window: ReportRow) -> Note | None:
    """The most severe note that casts doubt on a window, one on its load first; None for a window without doubt."""
    found = [note for doubt in ("rate", "latency") for note in window.notes if note.doubt == doubt]
    return found[0] if found else None


def half_rate_note(window: ReportRow) -> str:
    """The notes that cast doubt on a window, as sentences."""
    return " ".join(note.sentence for note in window.notes if note.doubt != "none")


def half_rate_text(entry: ReportRow) -> str:
    """`0.41 / 2.75`: p50 and p99 in ms, with a mark where they are doubtful."""
    window = entry.half_rate
    if window is None:
        return formats.NONE
    row = window.row
    mark = DOUBTFUL_LATENCY if window.doubts else ""
    return f"{formats.ms(row.latency_p50_us)} / {formats.ms(row.latency_p99_us)}{mark}"


def half_rate_lines(contents: Contents) -> Iterator[tuple[ReportRow, tuple[str, ...]]]:
    """Each window with its line by HALF_RATE_HEADERS, the highest rate first."""
    for entries in contents.by_scenario().values():
        for entry in entries:
            if entry.half_rate is not None:
                yield entry.half_rate, _cells(entry, entry.half_rate)


def _cells(entry: ReportRow, window: ReportRow) -> tuple[str, ...]:
    row, note = window.row, deciding_doubt(window)
    return (
        row.variant,
        formats.rate(entry.row.requests_per_s),
        formats.rate(row.rate_per_s),
        formats.ms(row.latency_p50_us),
        formats.ms(row.latency_p90_us),
        formats.ms(row.latency_p99_us),
        _p99_range(window),
        formats.whole(row.latency_count),
        formats.ratio_percent_number(row.achieved_ratio),
        note.words if note else "",
    )


def _p99_range(window: ReportRow) -> str:
    """`110.2-118.4`; `from 110.2` where only more answers could bound it."""
    low_us, high_us = window.row.latency_p99_low_us, window.row.latency_p99_high_us
    if high_us is None:
        return formats.NONE if low_us is None else f"from {formats.ms(low_us)}"
    return f"{formats.ms(low_us)}-{formats.ms(high_us)}"


def missing_windows(contents: Contents) -> Iterator[str]:
    """Sentences on the rows that were due a window at half rate and have none, one a reason."""
    by_reason: dict[str, list[str]] = {}
    for entry in contents.rows:
        if why := why_missing(contents, entry):
            by_reason.setdefault(why, []).append(entry.row.variant)
    for why, variants in by_reason.items():
        yield f"No window at half rate: {', '.join(variants)}: {why}."


def why_missing(contents: Contents, entry: ReportRow) -> str:
    """Why a row that was due a window at half rate has none; empty where it has one, or was due none."""
    if entry.half_rate is not None or not entry.row.load.half_rate_window:
        return ""
    window = entry.row.half_rate
    if window is not None and window.failures:
        return f"it failed: {formats.cut(formats.one_line(window.failures[0]), 140)}"
    if window is not None or contents.info.state != "finished":
        return "the run ended before it (invoke bench --resume)"
    return "no round has a sound rate that could be halved"
