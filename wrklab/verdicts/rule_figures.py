"""The figures that a rule rests on, as text: what differs from row to row."""

from __future__ import annotations

from typing import Literal

from wrklab.formats import count, duration_us, percent, plural, rate, rate_range, ratio_percent
from wrklab.summary.rows import SummaryRow
from wrklab.verdicts import contradictions
from wrklab.verdicts.conditions import errors_of, every_process_full
from wrklab.verdicts.contradictions import wrong_in_warmup

_ADDRESSES_TOLD = 3


def failed(row: SummaryRow) -> str:
    """Rounds that failed, and why."""
    return f"{row.rounds_failed} of {plural(row.rounds_planned, 'round')} failed: {'; '.join(row.failures)}"


def retried(row: SummaryRow) -> str:
    """Rounds that needed a second attempt, and why."""
    return f"{plural(row.rounds_retried, 'round')}; the first attempt ended so: {'; '.join(row.first_failures)}"


def errors(row: SummaryRow) -> str:
    """Read and write errors, of how many answers."""
    found = errors_of(row)
    return f"{found.read:,} read and {found.write:,} write errors on {plural(row.requests or 0, 'answer')}"


def wrong_answers(row: SummaryRow, kind: Literal["status", "body"]) -> str:
    """How many of the windows' and of the warm-ups' answers were wrong, each where there are any."""
    in_windows, in_warmups = getattr(errors_of(row), kind), getattr(wrong_in_warmup(row), kind)
    found = [f"{in_windows:,} of {_looked_at(row, kind)}"] if in_windows else []
    if in_warmups:
        found.append(f"{in_warmups:,} of {plural(row.warmup_requests or 0, 'answer')} of the warm-up")
    return "; ".join(found)


def _looked_at(row: SummaryRow, kind: Literal["status", "body"]) -> str:
    """wrk counts statuses above 399 of all answers; bodies are those of the answers that are compared."""
    answers = plural(row.requests or 0, "answer")
    if kind == "status" or row.answers_checked in (None, row.requests):
        return answers
    return f"the {row.answers_checked:,} compared ({answers} in all)"


def segments_lost(row: SummaryRow) -> str:
    """Lost segments, of how many answers, in the worst round."""
    return f"{(row.segments_lost_ratio or 0.0) * 100:.2g} lost segments for 100 answers in the worst round"


def answer_sizes(row: SummaryRow) -> str:
    """Bytes an answer, in the window and in the warm-up before it."""
    sizes = row.answer_sizes
    if sizes is None:
        return "sizes of answers cannot be compared"
    return f"{sizes.window_bytes:.1f} bytes an answer, {sizes.warmup_bytes:.1f} in the warm-up"


def quickest(row: SummaryRow) -> str:
    """The quickest answer beside the hold."""
    return f"the quickest answer took {duration_us(contradictions.quickest_us(row))}, its hold is {row.hold_ms} ms"


def in_flight_by_law(row: SummaryRow) -> str:
    """Little's law beside the connections."""
    found = contradictions.in_flight(row)
    connections = plural(row.connections_asked, "connection")
    return f"{count(None if found is None else round(found))} in flight on {connections}"


def hung_after(row: SummaryRow) -> str:
    """What was found after the window, and how long the queue could have taken."""
    queue = f"{plural(row.connections_asked, 'request')} at {rate(row.requests_per_s)} requests/s"
    return f"{'; '.join(row.verify_after)}; {queue} are served in {contradictions.drained_s(row):.2g} s"


def generator(row: SummaryRow) -> str:
    """CPU of both sides."""
    server = percent(row.server_cpu_percent)
    return (
        f"wrk took {percent(row.generator_cpu_percent)} of {row.busiest_generator}'s CPUs, the server's unit {server} "
        "of its own"
    )


def starved(row: SummaryRow) -> str:
    """The share of the connections' time that answers account for."""
    return (
        f"answers account for {ratio_percent(row.busy_ratio)} of the connections' time, generator at "
        f"{percent(row.generator_cpu_percent)} CPU, server's unit at {percent(row.server_cpu_percent)}"
    )


def generator_thread(row: SummaryRow) -> str:
    """wrk's busiest thread: its time on a CPU and waiting for one."""
    return (
        f"wrk's busiest thread ran or waited for a CPU {percent(row.generator_thread_percent)} of the time, waiting "
        f"{percent(row.generator_thread_waiting_percent)} of it; wrk took {percent(row.generator_cpu_percent)} of the "
        "generator's CPUs"
    )


def foreign_connections(row: SummaryRow) -> str:
    """Whose connections, and how many."""
    found = sorted(row.foreign_connections.items(), key=lambda entry: -entry[1])
    whose = ", ".join(f"{number:,} of {address}" for address, number in found[:_ADDRESSES_TOLD])
    return f"connections beside the lab's own: {whose}{' and others' if len(found) > _ADDRESSES_TOLD else ''}"


def held_back(row: SummaryRow) -> str:
    """The unit's waiting beside its CPUs' use."""
    waited = (
        f"the unit waited for a CPU {percent(row.unit_waiting_percent)} of the time, while the server's CPUs were "
        f"{percent(row.server_cpus_busy_percent)} busy"
    )
    if not row.unit_held_back_percent:
        return waited
    return f"{waited}; for {percent(row.unit_held_back_percent)} of the time nobody had the CPU that it waited for"


def silent(row: SummaryRow) -> str:
    """Connections that went without answers."""
    never = f"{count(row.connections_unanswered)} of {row.connections_asked:,} connections never got an answer"
    return f"{never}, {count(row.connections_silent)} more had none any longer, near the end of the worst window"


def not_let_in(row: SummaryRow) -> str:
    """The same, and where they wait."""
    return f"{silent(row)}; {count(row.connections_not_let_in)} of them waited in its accept queue, which grew shorter"


def server(row: SummaryRow) -> str:
    """CPU of the unit, of its host, and of its processes."""
    found = f"the unit took {percent(row.server_cpu_percent)} of the CPUs given to the server"
    if row.server_cpus_busy_percent is not None:
        found += f", which were {percent(row.server_cpus_busy_percent)} busy with the kernel's work"
    if every_process_full(row):
        found += f"; {row.full_processes_count} of {row.serving_processes_count} serving processes filled one CPU each"
    return found


def spread(row: SummaryRow) -> str:
    """How far rounds differ."""
    low_to_high = rate_range(row.requests_per_s_min, row.requests_per_s_max)
    return f"rounds range over {ratio_percent(row.spread_ratio)} of their median ({low_to_high} requests/s)"


def unexplained(row: SummaryRow) -> str:
    """CPU of both sides, neither of which explains the rate."""
    return f"{server(row)}; wrk took {percent(row.generator_cpu_percent)} of the generator's"


def in_flight(row: SummaryRow) -> str:
    """The limit on requests in flight, and where it is known from."""
    source = "probed" if row.is_limit_probed else "by its card"
    return f"{plural(row.in_flight_limit or 0, 'request')} in flight ({source}) held {row.hold_ms} ms"


def held(row: SummaryRow) -> str:
    """Connections and hold."""
    return f"{row.connections_asked:,} connections held {row.hold_ms} ms"
