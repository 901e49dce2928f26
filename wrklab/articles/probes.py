"""An article's finding beside ours: agrees, or differs and why. Pure."""

from __future__ import annotations

from wrklab.articles.published_probes import PublishedProbe
from wrklab.results.probe_record import CapacityLimit, KernelQueue, OverflowKind, ProbeRecord

AGREES = "agrees"

#: What an article's words for the requests beyond are in ours; nothing: they wait, and none is turned away.
_OVERFLOW_WORDS: dict[str, frozenset[OverflowKind]] = {
    "queued": frozenset(),
    "blocked": frozenset(),
    "none seen": frozenset(),
    "time-out": frozenset({OverflowKind.SYN_PENDING}),
    "reset": frozenset({OverflowKind.CLOSED, OverflowKind.REFUSED}),
    "500": frozenset({OverflowKind.SERVER_ERROR}),
}


def compare(record: ProbeRecord, published: PublishedProbe | None) -> dict[str, object]:
    """The fields `published_row` and `agrees` of a record."""
    if published is None:
        return {}
    return {"published_row": published.row, "agrees": _verdict(record, published)}


def _verdict(record: ProbeRecord, published: PublishedProbe) -> str | None:
    if record.state == "void":
        return None
    if published.in_flight == 0:
        return AGREES if record.is_expected_failure else f"differs, because {_another_end(record, published)}"
    if record.capacity is None:
        return f"differs, because the server failed here: {record.error or 'see its log'}"
    reasons = [
        reason
        for reason in (
            _capacity(record, published),
            _queue(record, published),
            _overflow(record, published),
            _reuse(record, published),
        )
        if reason
    ]
    return f"differs, because {'; '.join(reasons)}" if reasons else AGREES


def _capacity(record: ProbeRecord, published: PublishedProbe) -> str:
    """Empty where both found the same number, or no limit."""
    ours, theirs = record.capacity, published.in_flight
    is_unlimited = record.is_unlimited
    # All that the article sent were handled: no limit was met there either.
    were_all_handled = theirs is None or theirs == published.requests_count
    if ours == theirs or (is_unlimited and were_all_handled):
        return ""
    if is_unlimited:
        text = f"the article met a limit of {theirs}, and here was none up to {record.requests_count}"
    else:
        said = "no limit" if theirs is None else f"{theirs}"
        text = f"{ours} are handled at once here ({record.capacity_limited_by}), {said} in the article"
    if record.capacity_setting and not is_unlimited:
        text += f" (what sets it here: {record.capacity_setting})"
    return f"{text} (article: {published.note})" if published.note else text


def _queue(record: ProbeRecord, published: PublishedProbe) -> str:
    """Empty where the article's queue is the one found here; the one that Linux admits beyond a backlog counts as such.

    A queue within the process grows with the number of requests: there the numbers are no property of the server.
    """
    if published.queued is None or record.queued_process is None or record.queued_kernel is None:
        return ""
    if record.kernel_queue is KernelQueue.FULL and not record.queued_process:
        if published.queued in (record.kernel_limit, record.queued_kernel):
            return ""
        return (
            f"{record.queued_kernel} wait in the kernel here (backlog {record.kernel_limit}; Linux admits one more), "
            f"{published.queued} in the article"
        )
    ours = record.queued_process + record.queued_kernel
    if bool(ours) == bool(published.queued):
        return ""
    return f"{ours} requests wait here, {published.queued} in the article"


def _another_end(record: ProbeRecord, published: PublishedProbe) -> str:
    """Of a server that failed every request there, and not so here."""
    if record.capacity is None or record.capacity_limited_by is CapacityLimit.FAILS:
        return f"the server fails otherwise here: {record.error or 'see its log'}"
    return f"{record.capacity} are handled at once here, and none was in the article ({published.overflow})"


def _overflow(record: ProbeRecord, published: PublishedProbe) -> str:
    """Empty where the article's requests beyond met what ours did, or might have.

    Only what turns a request away contradicts: that it waits, or finds no place to wait, is a matter of their number,
    and so is all else where more were sent here than there.
    """
    is_like = (record.requests_count or 0) <= (published.requests_count or 0)
    theirs = [kinds for word, kinds in _OVERFLOW_WORDS.items() if word in published.overflow]
    ours = set(record.overflow) - {OverflowKind.SYN_PENDING}
    if not is_like or not theirs or not ours or ours & frozenset().union(*theirs):
        return ""
    return f"requests beyond: {', '.join(record.overflow)} here, {published.overflow} in the article"


def _reuse(record: ProbeRecord, published: PublishedProbe) -> str:
    if record.reused is None or published.reused is None or record.reused == published.reused:
        return ""
    return f"what serves is {'' if record.reused else 'not '}used again here ({record.serving})"
