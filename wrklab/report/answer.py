"""The answer of a run in a few sentences, composed from rows and verdicts."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wrklab import formats
from wrklab.report.at_once import at_once
from wrklab.report.contents import Contents, ReportRow, deciding_note, reason
from wrklab.report.half_rate import why_missing
from wrklab.verdicts.verdict import Verdict

#: More names than this in one sentence tire a reader: the others are counted.
_NAMES_SHOWN = 3
#: More reasons than this are not an answer.
_REASONS_SHOWN = 3
_AT_ONCE_SHOWN = 5
#: Below this ratio a difference is given in percent, above as "times".
_TIMES_FROM = 1.5
#: The next row is worth naming from this ratio on.
_NEXT_FROM = 1.02


@dataclass(frozen=True)
class Answer:
    """What a reader should know after thirty seconds."""

    #: Each complete in itself, the most important one first.
    sentences: tuple[str, ...]
    #: The command that would settle most of the doubtful rows; empty where none would, or nothing is doubtful.
    next_command: str = ""


def compose(contents: Contents) -> Answer:
    """The answer of a run. Says so where nothing was measured or no row is sound."""
    entries = main_entries(contents)
    hold_ms = usual_hold_ms(entries)
    measured = [entry for entry in entries if entry.row.requests_per_s and entry.row.hold_ms == hold_ms]
    if not measured:
        return Answer(("Nothing was measured: there is no answer.", *_failures(contents.rows)))
    sentences = [
        *_fastest(contents, measured),
        *_limits(measured),
        *(one.sentence for one in at_once(contents)[:_AT_ONCE_SHOWN]),
        *_half_rates(contents),
        *_failures(contents.rows),
        *_doubts(contents.rows),
    ]
    return Answer(tuple(sentences), next_command(contents))


def main_entries(contents: Contents) -> list[ReportRow]:
    """The rows of the scenario that most variants ran under, the highest rate first.

    Of several such closed loops the one with the most connections; else the first.
    """
    return max(contents.by_scenario().values(), key=_rank_of_scenario, default=[])


def _rank_of_scenario(entries: Sequence[ReportRow]) -> tuple[int, int]:
    load = entries[0].row.load
    return len(entries), 0 if load.is_open_loop else load.connections


def usual_hold_ms(entries: Sequence[ReportRow]) -> int | None:
    """The hold of most rows: one that holds for another time does other work, and is compared with none of them."""
    counts = Counter(entry.row.hold_ms for entry in entries)
    return counts.most_common(1)[0][0] if counts else None


def next_command(contents: Contents) -> str:
    """The command that would settle most of the doubtful rows, for just these; empty where no rule names one."""
    wanted: dict[str, list[str]] = {}
    for entry in contents.doubtful_rows:
        note = deciding_note(entry)
        if note is not None and note.settle:
            wanted.setdefault(note.settle, []).append(entry.row.variant)
    if not wanted:
        return ""
    settle, variants = max(wanted.items(), key=lambda item: len(item[1]))
    names = list(dict.fromkeys(variants))
    if not settle.startswith("--"):
        return settle if settle.startswith("invoke ") else ""
    return f"invoke bench {_which(contents, names)} {settle}"


def _which(contents: Contents, names: Sequence[str]) -> str:
    """The words of a command line that mean just these variants."""
    plan = contents.plan
    if plan.application is None:
        return f"--variant {','.join(names)}"
    recipes = dict.fromkeys(plan.served_by[name].recipe for name in names if name in plan.served_by)
    return f"--app {shlex.quote(plan.application)} --recipe {','.join(recipes)}"


def _fastest(contents: Contents, measured: Sequence[ReportRow]) -> Iterator[str]:
    sound = [entry for entry in measured if not entry.is_doubtful]
    if not sound:
        highest = measured[0]
        yield (
            f"No row is sound enough to name a fastest. The highest rate is {_with_rate(highest)} "
            f"requests/s, and it is doubtful ({reason(highest) or highest.verdict})."
        )
        return
    best = _best(sound)
    yield _winner("Fastest", best, sound)
    python = [entry for entry in sound if is_python(contents, entry)]
    if python and not any(is_python(contents, entry) for entry in best):
        best_python = _best(python)
        overall = f"{_apart(best[0], best_python[0])} slower than {best[0].row.variant}"
        yield _winner("Fastest Python server", best_python, python, overall)
    if all(entry.rank is None for entry in sound):
        yield "Each row rests on one round, so differences below 10 % mean nothing (--rounds 3)."


def is_python(contents: Contents, entry: ReportRow) -> bool:
    """Whether a row's stack runs on Python, by the plan."""
    return contents.plan.runtimes.get(entry.row.stack) == "python"


def _best(sound: Sequence[ReportRow]) -> list[ReportRow]:
    """Those of the best rank among these rows; without ranks the one of the highest rate.

    Where the load sets the best one's rate, all that it sets are equal: nobody knows which would give more.
    """
    held = [entry for entry in sound if entry.verdict is Verdict.HOLD_BOUND]
    if held and held[0] is sound[0]:
        return held
    ranked = [entry for entry in sound if entry.rank is not None]
    if not ranked:
        return [sound[0]]
    first = min(entry.rank.number for entry in ranked if entry.rank is not None)
    return [entry for entry in ranked if entry.rank is not None and entry.rank.number == first]


def _winner(title: str, best: Sequence[ReportRow], sound: Sequence[ReportRow], overall: str = "") -> str:
    """`Fastest: a 18,774 and b 18,381 requests/s, a tie; 3.3 times faster than c.`"""
    text = f"{title}: {_listed([_with_rate(entry) for entry in best])} requests/s"
    if all(entry.verdict is Verdict.HOLD_BOUND for entry in best):
        row = best[0].row
        text += (
            f", as much as the load allows: {row.connections_asked:,} connections held {row.hold_ms} ms give at most "
            f"{formats.rate(row.ideal_per_s)}, and more connections would tell them apart"
        )
    elif len(best) > 1:
        text += ", a tie"
    names = {entry.row.variant for entry in best}
    following = next((entry for entry in sound if entry.row.variant not in names), None)
    further = [overall] if overall else []
    if following is not None and _ratio(best[-1], following) > _NEXT_FROM:
        further.append(f"{_apart(best[-1], following)} faster than {following.row.variant}")
    return f"{text}; {', '.join(further)}." if further else f"{text}."


def _apart(faster: ReportRow, slower: ReportRow) -> str:
    """`3.3 times` or `12 %`: how far two rates are apart."""
    ratio = _ratio(faster, slower)
    return f"{ratio:.1f} times" if ratio >= _TIMES_FROM else f"{max(0.0, ratio - 1) * 100:.0f} %"


def _ratio(faster: ReportRow, slower: ReportRow) -> float:
    return (faster.row.requests_per_s or 0.0) / (slower.row.requests_per_s or 1.0)


def _limits(measured: Sequence[ReportRow]) -> Iterator[str]:
    limited = [entry for entry in measured if entry.verdict is Verdict.LIMIT_BOUND]
    if limited:
        shown = _listed([f"{_with_rate(entry)}{_in_flight(entry)}" for entry in limited])
        what = (
            "Its own limit on requests at once, not its CPU, sets"
            if len(limited) == 1
            else ("Their own limits on requests at once, not their CPU, set")
        )
        yield f"{what} the rate of {shown}."


def _in_flight(entry: ReportRow) -> str:
    return "" if entry.row.in_flight_limit is None else f" ({entry.row.in_flight_limit:,} at once)"


def _half_rates(contents: Contents) -> Iterator[str]:
    """What visitors wait where they ask for half of what a server can give, and who has no such window."""
    windows = [window for entry in contents.rows if (window := entry.half_rate) is not None]
    sound = [window for window in windows if not window.doubts and window.row.latency_p99_us is not None]
    sound.sort(key=lambda window: window.row.latency_p99_us or 0.0)
    if sound:
        ends = [sound[0], sound[-1]] if len(sound) > 1 else sound
        waits = [f"{formats.duration_us(one.row.latency_p99_us)} ({one.row.variant})" for one in ends]
        doubtful_count = len(windows) - len(sound)
        rest = f"; {doubtful_count} of {formats.plural(len(windows), 'window')} doubtful" if doubtful_count else ""
        yield f"At half of its own rate a server has a p99 of {' to '.join(waits)}{rest}."
    elif windows:
        yield f"Of {formats.plural(len(windows), 'window')} at half rate none is without doubt."
    missing = [entry.row.variant for entry in contents.rows if why_missing(contents, entry)]
    if missing:
        yield f"No window at half rate: {_listed(missing)} (report.md says why)."


def _failures(entries: Sequence[ReportRow]) -> Iterator[str]:
    failed = [entry for entry in entries if entry.verdict is Verdict.FAILED]
    for entry in failed[:_NAMES_SHOWN]:
        why = (entry.row.failures or entry.row.first_failures or ("no round ended",))[0]
        yield f"Failed: {entry.row.variant}, {formats.cut(formats.one_line(why), 140)}."
    if len(failed) > _NAMES_SHOWN:
        yield f"{formats.plural(len(failed) - _NAMES_SHOWN, 'more row')} failed."


def _doubts(entries: Sequence[ReportRow]) -> Iterator[str]:
    doubtful = [entry for entry in entries if entry.is_doubtful and entry.verdict is not Verdict.FAILED]
    if not doubtful:
        yield f"All {formats.plural(len(entries), 'row')} can be believed as they stand."
        return
    found = Counter(note.rule.replace("_", " ") for entry in doubtful if (note := deciding_note(entry)))
    common = found.most_common()
    shown = [f"{title} ({number})" for title, number in common[:_REASONS_SHOWN]]
    others = sum(number for _, number in common[_REASONS_SHOWN:])
    if others:
        shown.append(f"other reasons ({others})")
    verb = "is" if len(doubtful) == 1 else "are"
    yield f"{len(doubtful)} of {formats.plural(len(entries), 'row')} {verb} doubtful: {', '.join(shown)}."


def _with_rate(entry: ReportRow) -> str:
    return f"{entry.row.variant} {formats.rate(entry.row.requests_per_s)}"


def _listed(texts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`, `a, b, c and 4 more`."""
    shown = list(texts[:_NAMES_SHOWN])
    if len(texts) > _NAMES_SHOWN:
        shown.append(f"{len(texts) - _NAMES_SHOWN} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
