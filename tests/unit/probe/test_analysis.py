"""What captured waves of real servers show, and that a wave that must not be believed is void."""

from __future__ import annotations

import pytest
from wrklab.probe.serving import Serving, displacement_mean, serving

from tests.unit.probe_waves import first_wave, raw_waves, second_wave
from wrklab.errors import ParseError
from wrklab.probe.analysis import Figures, figures, overflow_text, running, void_reasons
from wrklab.probe.wave import Note, parse_notes, parse_wave


def figures_of(kind: str) -> Figures:
    """The figures of a captured wave, which must not be void."""
    wave = first_wave(kind)
    assert void_reasons(wave) == []
    return figures(wave)


def serving_of(kind: str) -> Serving:
    """Who served in a captured probe."""
    wave = first_wave(kind)
    return serving(running(wave, wave.looks[-1]), wave.notes, second_wave(kind).notes)


def reasons(kind: str, **changes: object) -> str:
    """Why a captured wave is void once parts of what the server told at its last look are replaced."""
    raw = raw_waves(kind)["first"]
    raw["server"]["looks"][-1].update(changes)
    return "; ".join(void_reasons(parse_wave(raw)))


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
        ("forking", "full", "SYN pending"),
        ("pool", "empty", "none seen"),
        ("loop", "empty", "none seen"),
        ("capped", "empty", "5xx"),
    ],
)
def test_what_becomes_of_the_rest(kind: str, queue: str, beyond: str) -> None:
    """The kernel's queue is full when it holds one more than its backlog; the excess is told by its state."""
    found = figures_of(kind)
    assert found.kernel_queue == queue
    assert overflow_text(found.overflow) == beyond


@pytest.mark.parametrize(
    ("kind", "limited_by"),
    [("loop", "no limit up to 1000"), ("pool", "the server's own limit"), ("capped", "the server's own limit")],
)
def test_what_limits_the_capacity(kind: str, limited_by: str) -> None:
    """A server that handles all that was sent has met no limit."""
    assert figures_of(kind).capacity_limited_by == limited_by


def test_a_full_table_of_descriptors_is_what_limits_the_capacity() -> None:
    """Where every accepted connection is handled and no descriptor is left."""
    raw = raw_waves("forking")["first"]
    look = raw["server"]["looks"][-1]
    look["descriptors"] = [[pid, 256, 256] for pid, _, _ in look["descriptors"]]
    assert figures(parse_wave(raw)).capacity_limited_by == "descriptor-limited"


@pytest.mark.parametrize(
    ("limit", "limited_by"),
    [
        (None, "the server's own limit"),
        (1000, "the server's own limit"),
        (14, "the server's own limit"),
        (13, "task-limited"),  # one task left: too few for what takes two a request
        (12, "task-limited"),
    ],
)
def test_as_many_tasks_as_are_allowed_are_what_limits_the_capacity(limit: int | None, limited_by: str) -> None:
    """The kernel's counter of refused tasks does not move where it is the limit on the user's own processes."""
    raw = raw_waves("capped")["first"]
    raw["server"]["looks"][-1].update(threads=12, tasks_limit=limit)
    assert figures(parse_wave(raw)).capacity_limited_by == limited_by


def test_a_task_that_the_kernel_refused_is_what_limits_the_capacity() -> None:
    """By the cgroup's counter; but a pool with all its threads that lets requests wait is limited by itself."""
    raw = raw_waves("pool")["first"]
    look = raw["server"]["looks"][-1]
    look["tasks_limit"] = look["threads"]
    assert figures(parse_wave(raw)).capacity_limited_by == "the server's own limit"
    look["tasks_limit_hits"] = 3
    assert figures(parse_wave(raw)).capacity_limited_by == "task-limited"


def test_processes_that_handle_nothing_are_counted() -> None:
    """A supervisor, a router, a worker that got no turn."""
    raw = raw_waves("pool")["first"]
    assert figures(parse_wave(raw)).idle_processes == 0
    raw["server"]["looks"][-1]["pids"] += [1, 2]
    assert figures(parse_wave(raw)).idle_processes == 2


@pytest.mark.parametrize("rose", [0, 400])
def test_a_queue_is_full_only_when_the_kernel_counted_an_overflow(rose: int) -> None:
    """One that is just as long as it may be has not been seen to refuse anything."""
    raw = raw_waves("single")["first"]
    looks = raw["server"]["looks"]
    looks[-1]["counters"]["ListenOverflows"] = looks[0]["counters"]["ListenOverflows"] + rose
    assert figures(parse_wave(raw)).kernel_queue == ("full" if rose else "at least")


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
    """Told by native threads and their serials over two waves."""
    found = serving_of(kind)
    assert (found.kind, found.reused) == (who, reused)


def test_a_new_thread_with_an_old_number_is_a_new_thread() -> None:
    """The kernel gives thread numbers again; the thread-local serial tells."""
    first = parse_notes([[1, "S 0 10 11 aaaa 1.0 thread"], [2, "F 0 10 11 aaaa 2.0 thread"]])
    second = parse_notes([[3, "S 1000000 10 11 bbbb 3.0 thread"]])
    assert serving(first[:1], first, second).kind == "thread per request"


def test_greenlets_are_an_event_loop() -> None:
    """Several handlers at once on one native thread, though thread-local serials differ (gevent's patch)."""
    first = parse_notes([[k, f"S {k} 10 10 serial{k} {k}.0 thread"] for k in range(1, 4)])
    second = parse_notes([[9, "S 1000000 10 10 other 9.0 thread"]])
    assert serving(first, first, second) == Serving("event loop", "1 loop", reused=True)


def test_a_loop_in_a_new_thread_for_each_request_is_no_event_loop() -> None:
    """Flask runs each coroutine on a loop of its own."""
    first = parse_notes([[k, f"S {k} 10 {10 + k} serial{k} {k}.0 loop"] for k in range(1, 4)])
    second = parse_notes([[9, "S 1000000 10 99 other 9.0 loop"]])
    assert serving(first, first, second).kind == "thread per request"


def test_without_a_second_wave_the_first_one_tells() -> None:
    """Whether those that started after others had finished were served by new threads."""

    def notes(serial: str) -> list[Note]:
        early = [[1, "S 0 10 11 aaaa 1.0 thread"], [2, "F 0 10 11 aaaa 2.0 thread"]]
        return parse_notes([*early, *([k, f"S {k} 10 {k} {serial.format(k)} 3.0 thread"] for k in range(12, 40))])

    new = notes("new{}")
    assert serving(new[:1], new, []).kind == "thread per request"
    again = parse_notes([[k, f"S {k} 10 {k % 3} s{k % 3} 3.0 thread"] for k in range(12, 40)])
    assert serving(again[:3], again, []).kind == "pool"
    assert serving(new[:1], new[:2], []).reused is None


def test_a_pool_that_is_not_full_yet_is_a_pool() -> None:
    """Its next requests may meet new threads, though others have served twice."""
    first = parse_notes([[k, f"S {k} 10 {k % 3} s{k % 3} {k}.0 thread"] for k in range(1, 9)])
    second = parse_notes([[20, "S 1000000 11 99 new 20.0 thread"]])
    assert serving(first[:3], first, second) == Serving("pool", "3 workers: 1 process of 3 threads", reused=True)


def test_order_of_start_against_order_of_arrival() -> None:
    """0 where they are the same; the mean distance of places where not."""

    def starts(*ids: int) -> list[Note]:
        return parse_notes([[at, f"S {number} 1 1 s {at}.0"] for at, number in enumerate(ids)])

    assert displacement_mean(starts(5, 6, 7)) == 0
    assert displacement_mean(starts(7, 6, 5)) == pytest.approx(4 / 3)
    assert displacement_mean([]) is None


def test_a_dead_process_runs_nothing() -> None:
    """A start without a finish counts only while its process is there."""
    raw = raw_waves("forking")["first"]
    look = raw["server"]["looks"][-1]
    wave = parse_wave(raw)
    killed = {note.pid for note in running(wave, wave.looks[-1])[:3]}
    look["pids"] = [pid for pid in look["pids"] if pid not in killed]
    again = parse_wave(raw)
    assert len(running(again, again.looks[-1])) == 7


def test_late_arrivals_void_a_wave() -> None:
    """The client was starved."""
    raw = raw_waves("pool")["first"]
    raw["client"]["requests"][412][1] += 0.9
    assert "arrivals fell behind schedule: request 412" in "; ".join(void_reasons(parse_wave(raw)))


@pytest.mark.parametrize("side", ["server", "client"])
def test_a_late_snapshot_voids_a_wave(side: str) -> None:
    """On either host."""
    raw = raw_waves("pool")["first"]
    raw[side]["looks"][-1]["at"] += 0.3
    assert "late" in "; ".join(void_reasons(parse_wave(raw)))


def test_snapshots_that_differ_void_a_wave() -> None:
    """The server was still at it."""
    states = raw_waves("pool")["first"]["server"]["looks"][-1]["states"]
    assert "connections changed" in reasons("pool", states={**states, "ESTABLISHED": states["ESTABLISHED"] - 1})


def test_a_stopped_or_starved_server_voids_a_wave() -> None:
    """SIGSTOP, a frozen cgroup, a CPU that others hold: equal snapshots prove nothing then."""
    look = raw_waves("pool")["first"]["server"]["looks"][-1]
    assert "stopped" in reasons("pool", task_states={"T": 41})
    assert "frozen" in reasons("pool", frozen=True)
    assert "waited for a CPU" in reasons("pool", pressure_us=look["pressure_us"] + 500_000)


def test_without_pressure_accounting_a_wave_is_not_void() -> None:
    """Then it is not known whether the server waited for a CPU, and nothing is said of it."""
    raw = raw_waves("pool")["first"]
    for look in raw["server"]["looks"]:
        look["pressure_us"] = None
    assert void_reasons(parse_wave(raw)) == []


@pytest.mark.parametrize("state", ["EADDRNOTAVAIL", "EMFILE", "gave_up", "unsent"])
def test_what_the_generator_itself_could_not_do_voids_a_wave(state: str) -> None:
    """It is no overflow of the server's."""
    raw = raw_waves("capped")["first"]
    for look in raw["client"]["looks"]:
        look["states"][-3:] = [state] * 3
    assert f"the generator failed with 3 requests: {state}" in void_reasons(parse_wave(raw))


def test_a_snapshot_after_the_deadline_voids_a_wave() -> None:
    """Handlers may have been released by then."""
    assert "after the deadline" in reasons("pool", took_s=2.0)


def test_connections_that_vanish_void_a_wave() -> None:
    """Pending though the queue has room: packets were lost, or the server was overrun and clients try again."""
    raw = raw_waves("pool")["first"]
    for look in raw["client"]["looks"]:
        look["states"] = ["pending" if k < 7 else state for k, state in enumerate(look["states"])]
    for look in raw["server"]["looks"]:
        look["states"]["ESTABLISHED"] = look["states"].get("ESTABLISHED", 0) - 7 * bool(look["states"])
    assert "7 connections pending" in "; ".join(void_reasons(parse_wave(raw)))


def test_a_server_that_died_voids_a_wave() -> None:
    """Nothing can be said of one that is gone."""
    assert "gone" in reasons("pool", pids=[])


def test_a_note_of_another_shape_is_an_error() -> None:
    """The text names the note and the page with the format."""
    with pytest.raises(ParseError, match=r"'S one'.*docs/probe.md"):
        parse_notes([[1, "S one"]])
    with pytest.raises(ParseError):
        parse_wave({"plan": raw_waves("pool")["first"]["plan"]})


def test_what_befell_hardly_any_request_is_no_kind_of_overflow() -> None:
    """8 of 4,872 are chance, 1 % are not; nothing at all is `none seen`."""
    assert overflow_text({"5xx": 8, "SYN pending": 4864}) == "SYN pending"
    assert overflow_text({"5xx": 10, "SYN pending": 990}) == "SYN pending, 5xx"
    assert overflow_text({}) == "none seen"
