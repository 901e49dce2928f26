"""What captured waves of real servers show, and that a wave that must not be believed is void."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.probe_waves import first_wave, raw_waves, second_wave
from wrklab.errors import ParseError
from wrklab.probe.analysis import (
    Figures,
    Serving,
    displacement_mean,
    figures,
    overflow_kinds,
    running,
    serving,
    serving_of,
    void_reasons,
)
from wrklab.probe.wave import Note, decode_wave, read_notes
from wrklab.protocol.probe import LoggedNote
from wrklab.results.probe_record import CapacityLimit, KernelQueue, OverflowCount, OverflowKind, ServingKind


def figures_of(kind: str) -> Figures:
    """The figures of a captured wave, which must not be void."""
    wave = first_wave(kind)
    assert void_reasons(wave) == []
    return figures(wave)


def who_served(kind: str) -> Serving:
    """Who served in a captured probe."""
    return serving(first_wave(kind), second_wave(kind).notes)


def notes_of(*lines: tuple[int, str]) -> list[Note]:
    """Notes as handlers write them, each with the offset at which it ends."""
    return read_notes(LoggedNote(end_bytes=end, words=words) for end, words in lines)


def reasons(kind: str, **changes: object) -> str:
    """Why a captured wave is void once parts of the server's last look are replaced."""
    raw = raw_waves(kind)["first"]
    raw["server"]["looks"][-1].update(changes)
    return "; ".join(void_reasons(decode_wave(raw)))


@pytest.mark.parametrize(
    ("kind", "in_flight", "in_process", "in_kernel"),
    [("forking", 10, 0, 129), ("single", 1, 0, 129), ("pool", 40, 960, 0), ("loop", 1000, 0, 0), ("capped", 25, 0, 0)],
)
def test_requests_are_found_where_they_are(kind: str, in_flight: int, in_process: int, in_kernel: int) -> None:
    """Running, accepted and not started, not accepted: three different figures."""
    counts = figures_of(kind).counts
    assert (counts.in_flight, counts.queued_process, counts.queued_kernel) == (in_flight, in_process, in_kernel)


@pytest.mark.parametrize(
    ("kind", "queue", "beyond"),
    [
        ("forking", "full", (OverflowKind.SYN_PENDING,)),
        ("pool", "empty", ()),
        ("loop", "empty", ()),
        ("capped", "empty", (OverflowKind.SERVER_ERROR,)),
    ],
)
def test_what_becomes_of_the_rest(kind: str, queue: str, beyond: tuple[OverflowKind, ...]) -> None:
    """The kernel's queue is full when it holds one more than its backlog; the excess is counted by its state."""
    found = figures_of(kind)
    assert found.kernel_queue == queue
    assert overflow_kinds(found.overflow) == beyond


@pytest.mark.parametrize(
    ("kind", "limited_by"),
    [("loop", CapacityLimit.NO_LIMIT), ("pool", CapacityLimit.OWN), ("capped", CapacityLimit.OWN)],
)
def test_what_limits_the_capacity(kind: str, limited_by: CapacityLimit) -> None:
    """A server that handles all that was sent has met no limit."""
    assert figures_of(kind).capacity_limited_by == limited_by


def test_a_full_table_of_descriptors_is_what_limits_the_capacity() -> None:
    """Where every accepted connection is handled and no descriptor is left."""
    raw = raw_waves("forking")["first"]
    look = raw["server"]["looks"][-1]
    look["descriptors"] = [[pid, 256, 256] for pid, _, _ in look["descriptors"]]
    assert figures(decode_wave(raw)).capacity_limited_by == CapacityLimit.DESCRIPTORS


@pytest.mark.parametrize(
    ("limit", "limited_by"),
    [
        (None, CapacityLimit.OWN),
        (1000, CapacityLimit.OWN),
        (14, CapacityLimit.OWN),
        (13, CapacityLimit.TASKS),  # one task left: too few for what takes two a request
        (12, CapacityLimit.TASKS),
    ],
)
def test_as_many_tasks_as_are_allowed_are_what_limits_the_capacity(
    limit: int | None, limited_by: CapacityLimit
) -> None:
    """The kernel's counter of refused tasks does not move where it is the limit on the user's own processes."""
    raw = raw_waves("capped")["first"]
    raw["server"]["looks"][-1].update(threads_count=12, tasks_limit=limit)
    assert figures(decode_wave(raw)).capacity_limited_by == limited_by


def test_a_task_that_the_kernel_refused_is_what_limits_the_capacity() -> None:
    """By the cgroup's counter; but a pool with all its threads that lets requests wait is limited by itself."""
    raw = raw_waves("pool")["first"]
    look = raw["server"]["looks"][-1]
    look["tasks_limit"] = look["threads_count"]
    assert figures(decode_wave(raw)).capacity_limited_by == CapacityLimit.OWN
    look["tasks_limit_hits"] = 3
    assert figures(decode_wave(raw)).capacity_limited_by == CapacityLimit.TASKS


def test_processes_that_handle_nothing_are_counted() -> None:
    """A supervisor, a router, a worker that got no turn."""
    raw = raw_waves("pool")["first"]
    assert figures(decode_wave(raw)).idle_processes == 0
    raw["server"]["looks"][-1]["pids"] += [1, 2]
    assert figures(decode_wave(raw)).idle_processes == 2


@pytest.mark.parametrize("rose", [0, 400])
def test_a_queue_is_full_only_when_the_kernel_counted_an_overflow(rose: int) -> None:
    """One that is just as long as it may be has not been seen to refuse anything."""
    raw = raw_waves("single")["first"]
    looks = raw["server"]["looks"]
    looks[-1]["counters"]["listen_overflows"] = looks[0]["counters"]["listen_overflows"] + rose
    assert figures(decode_wave(raw)).kernel_queue == (KernelQueue.FULL if rose else KernelQueue.AT_LEAST)


@pytest.mark.parametrize(
    ("kind", "who", "reused"),
    [
        ("forking", "process per request", False),
        ("capped", "thread per request", False),
        ("pool", "pool", True),
        ("loop", "event loop", True),
        ("single", "single thread", True),
    ],
)
def test_who_serves_and_whether_again(kind: str, who: str, reused: bool) -> None:
    """By native threads and their serials over two waves."""
    found = who_served(kind)
    assert (found.kind, found.reused) == (who, reused)


def test_a_new_thread_with_an_old_number_is_a_new_thread() -> None:
    """The kernel gives thread numbers again; the thread-local serial tells."""
    first = notes_of(*[(1, "S 0 10 11 aaaa 1.0 thread"), (2, "F 0 10 11 aaaa 2.0 thread")])
    second = notes_of(*[(3, "S 1000000 10 11 bbbb 3.0 thread")])
    assert serving_of(first[:1], first, second).kind == "thread per request"


def test_greenlets_are_an_event_loop() -> None:
    """Several handlers at once on one native thread, though thread-local serials differ (gevent's patch)."""
    first = notes_of(*[(k, f"S {k} 10 10 serial{k} {k}.0 thread") for k in range(1, 4)])
    second = notes_of(*[(9, "S 1000000 10 10 other 9.0 thread")])
    assert serving_of(first, first, second) == Serving(ServingKind.EVENT_LOOP, True, 1, (1,))


def test_a_loop_in_a_new_thread_for_each_request_is_no_event_loop() -> None:
    """Flask runs each coroutine on a loop of its own."""
    first = notes_of(*[(k, f"S {k} 10 {10 + k} serial{k} {k}.0 loop") for k in range(1, 4)])
    second = notes_of(*[(9, "S 1000000 10 99 other 9.0 loop")])
    assert serving_of(first, first, second).kind == "thread per request"


def test_without_a_second_wave_the_first_one_tells() -> None:
    """Whether those that started after others had finished were served by new threads."""

    def notes(serial: str) -> list[Note]:
        early = [(1, "S 0 10 11 aaaa 1.0 thread"), (2, "F 0 10 11 aaaa 2.0 thread")]
        return notes_of(*[*early, *((k, f"S {k} 10 {k} {serial.format(k)} 3.0 thread") for k in range(12, 40))])

    new = notes("new{}")
    assert serving_of(new[:1], new, []).kind == "thread per request"
    again = notes_of(*[(k, f"S {k} 10 {k % 3} s{k % 3} 3.0 thread") for k in range(12, 40)])
    assert serving_of(again[:3], again, []).kind == "pool"
    assert serving_of(new[:1], new[:2], []).reused is None


def test_a_pool_that_is_not_full_yet_is_a_pool() -> None:
    """Its next requests may meet new threads, though others have served twice."""
    first = notes_of(*[(k, f"S {k} 10 {k % 3} s{k % 3} {k}.0 thread") for k in range(1, 9)])
    second = notes_of(*[(20, "S 1000000 11 99 new 20.0 thread")])
    assert serving_of(first[:3], first, second) == Serving(ServingKind.POOL, True, 1, (3,))


def test_order_of_start_against_order_of_arrival() -> None:
    """0 where they are the same; the mean distance of places where not."""

    def starts(*ids: int) -> list[Note]:
        return notes_of(*[(at, f"S {number} 1 1 s {at}.0") for at, number in enumerate(ids)])

    assert displacement_mean(starts(5, 6, 7)) == 0
    assert displacement_mean(starts(7, 6, 5)) == pytest.approx(4 / 3)
    assert displacement_mean([]) is None


def test_a_dead_process_runs_nothing() -> None:
    """A start without a finish counts only while its process is there."""
    raw = raw_waves("forking")["first"]
    look = raw["server"]["looks"][-1]
    wave = decode_wave(raw)
    killed = {note.pid for note in running(wave, wave.looks[-1])[:3]}
    look["pids"] = [pid for pid in look["pids"] if pid not in killed]
    again = decode_wave(raw)
    assert len(running(again, again.looks[-1])) == 7


def test_late_arrivals_void_a_wave() -> None:
    """The client was starved."""
    raw = raw_waves("pool")["first"]
    raw["client"]["requests"][412][1] += 0.9
    assert "arrivals fell behind schedule: request 412" in "; ".join(void_reasons(decode_wave(raw)))


@pytest.mark.parametrize("side", ["server", "client"])
def test_a_late_snapshot_voids_a_wave(side: str) -> None:
    """On either host."""
    raw = raw_waves("pool")["first"]
    raw[side]["looks"][-1]["at_s"] += 0.3
    assert "late" in "; ".join(void_reasons(decode_wave(raw)))


def test_snapshots_that_differ_void_a_wave() -> None:
    """The server was still at it."""
    states = raw_waves("pool")["first"]["server"]["looks"][-1]["states"]
    assert "connections changed" in reasons("pool", states={**states, "ESTABLISHED": states["ESTABLISHED"] - 1})


def test_a_stopped_or_starved_server_voids_a_wave() -> None:
    """SIGSTOP, a frozen cgroup, a CPU that others hold: equal snapshots prove nothing then."""
    look = raw_waves("pool")["first"]["server"]["looks"][-1]
    assert "stopped" in reasons("pool", task_states={"T": 41})
    assert "frozen" in reasons("pool", is_frozen=True)
    assert "waited for a CPU" in reasons("pool", cpu_pressure_us=look["cpu_pressure_us"] + 500_000)


def test_without_pressure_accounting_a_wave_is_not_void() -> None:
    """Then it is not known whether the server waited for a CPU, and nothing is said of it."""
    raw = raw_waves("pool")["first"]
    for look in raw["server"]["looks"]:
        look["cpu_pressure_us"] = None
    assert void_reasons(decode_wave(raw)) == []


def moved(raw: dict[str, Any], count: int, **to: object) -> None:
    """So many of the requests that wait are something else in both of the client's looks."""
    for look in raw["client"]["looks"]:
        waiting = next(each for each in look["states"] if each["state"] == "waiting")
        waiting["count"] -= count
        look["states"].append({"status": None, "error": "", "count": count} | to)


@pytest.mark.parametrize(
    ("state", "error"),
    [("generator_failed", "EADDRNOTAVAIL"), ("generator_failed", "EMFILE"), ("timed_out", ""), ("unsent", "")],
)
def test_what_the_generator_itself_could_not_do_voids_a_wave(state: str, error: str) -> None:
    """It is no overflow of the server's."""
    raw = raw_waves("capped")["first"]
    moved(raw, 3, state=state, error=error)
    assert f"the generator failed with 3 requests: {error or state}" in void_reasons(decode_wave(raw))


@pytest.mark.parametrize("state", ["closed", "reset"])
def test_a_connection_that_the_server_closed_does_not_void_a_wave(state: str) -> None:
    """By FIN or by RST: it is what becomes of requests beyond."""
    raw = raw_waves("pool")["first"]
    moved(raw, 3, state=state)
    for look in raw["server"]["looks"][1:]:
        look["states"]["ESTABLISHED"] -= 3
    wave = decode_wave(raw)
    assert void_reasons(wave) == []
    assert figures(wave).overflow == (OverflowCount(kind=OverflowKind.CLOSED, count=3),)


def test_a_snapshot_after_the_deadline_voids_a_wave() -> None:
    """Handlers may have been released by then."""
    assert "after the deadline" in reasons("pool", took_s=2.0)


def test_connections_that_vanish_void_a_wave() -> None:
    """Pending though the queue has room: packets were lost, or the server was overrun and clients try again."""
    raw = raw_waves("pool")["first"]
    moved(raw, 7, state="pending")
    for look in raw["server"]["looks"][1:]:
        look["states"]["ESTABLISHED"] -= 7
    assert "7 connections pending" in "; ".join(void_reasons(decode_wave(raw)))


def test_a_server_that_died_voids_a_wave() -> None:
    """Nothing can be said of one that is gone."""
    assert "gone" in reasons("pool", pids=[])


def test_a_note_of_another_shape_is_an_error() -> None:
    """The text names the note and the page with the format."""
    with pytest.raises(ParseError, match=r"'S one'.*docs/probe.md"):
        notes_of((1, "S one"))
    with pytest.raises(ParseError):
        decode_wave({"plan": raw_waves("pool")["first"]["plan"]})


def beyond(**counts: int) -> tuple[OverflowCount, ...]:
    """Counts of overflow by the names of their kinds."""
    return tuple(OverflowCount(kind=OverflowKind[name], count=count) for name, count in counts.items())


def test_what_befell_hardly_any_request_is_no_kind_of_overflow() -> None:
    """8 of 4,872 are chance, 1 % are not."""
    assert overflow_kinds(beyond(SERVER_ERROR=8, SYN_PENDING=4864)) == (OverflowKind.SYN_PENDING,)
    both = (OverflowKind.SYN_PENDING, OverflowKind.SERVER_ERROR)
    assert overflow_kinds(beyond(SERVER_ERROR=10, SYN_PENDING=990)) == both
    assert overflow_kinds(()) == ()


def test_several_threads_that_each_serve_many_are_a_runtime_scheduler() -> None:
    """One thread of a process that does so is an event loop, in however many processes."""
    notes = notes_of(*[(k, f"S {k} 10 {10 + k % 2} s{k % 2} {k}.0 loop") for k in range(1, 9)])
    assert serving_of(notes, notes, []) == Serving(ServingKind.RUNTIME_SCHEDULER, True, 1, (2,))
    apart = notes_of(*[(k, f"S {k} {10 + k % 2} {10 + k % 2} s{k % 2} {k}.0 loop") for k in range(1, 9)])
    assert serving_of(apart, apart, []) == Serving(ServingKind.EVENT_LOOP, True, 2, (1,))


@pytest.mark.parametrize(
    ("has_spare_threads", "kind"), [(True, ServingKind.RUNTIME_SCHEDULER), (False, ServingKind.EVENT_LOOP)]
)
def test_handlers_that_do_not_know_their_thread_are_judged_by_the_threads_there_are(
    kind: ServingKind, *, has_spare_threads: bool
) -> None:
    """Go spreads its goroutines over several; nginx, which runs Lua, has one a process."""
    notes = notes_of(*[(k, f"S {k} 10 0 0 {k}.0 loop") for k in range(1, 9)])
    assert serving_of(notes, notes, [], has_spare_threads=has_spare_threads) == Serving(kind, True, 1, ())
