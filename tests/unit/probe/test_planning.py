"""How many requests a probe sends, when, and what follows a wave."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.probe_waves import first_wave
from wrklab.catalogue.catalogue import read_catalogue
from wrklab.catalogue.stack import Variant
from wrklab.probe import planning
from wrklab.probe.analysis import Counts, Figures, figures
from wrklab.results.probe_record import KernelQueue


def found(
    queued_kernel: int, backlog: int, kernel_queue: KernelQueue = KernelQueue.AT_LEAST, requests_count: int = 1000
) -> Figures:
    """A wave of which one request is handled and some wait in the kernel."""
    counts = Counts(1, 1 + queued_kernel, queued_kernel, backlog, kernel_queue is KernelQueue.FULL, 1, 1)
    usual = figures(first_wave("single"))
    return replace(usual, counts=counts, kernel_queue=kernel_queue, requests_count=requests_count, overflow=())


def test_snapshots_lie_between_the_last_arrival_and_the_deadline() -> None:
    """Half a second apart at least, and with time left."""
    plan = planning.plan_wave(1000, planning.Pace())
    first, second = plan.looks_s
    assert plan.arrival_s(999) + 0.5 < first
    assert first + 0.5 <= second < plan.until_s - 0.3


def test_first_arrivals_are_slow_and_the_rest_keep_the_rate() -> None:
    """Two requests that a loop reads in one turn would make its figure a matter of chance."""
    plan = planning.plan_wave(1000, planning.Pace(rate_per_s=500))
    assert plan.arrival_s(1) - plan.arrival_s(0) == pytest.approx(0.02)
    assert plan.arrival_s(999) - plan.arrival_s(499) == pytest.approx(1.0)


@pytest.mark.parametrize("requests_count", [100, 1000, 5000])
def test_slow_hosts_get_slower_waves_within_the_same_hold(requests_count: int) -> None:
    """However slow, and after every void try: more time to settle and to look, and no server's own time-out."""
    pace = planning.Pace().with_scaled_timeouts(20.0)
    assert planning.Pace().with_scaled_timeouts(1.0) == planning.Pace()
    for _ in range(planning.TRIES_MAX):
        plan = planning.plan_wave(requests_count, pace)
        assert plan.until_s + 2 <= planning.HOLD_LIMIT_S
        assert plan.until_s - plan.looks_s[1] > 2.9
        assert plan.looks_s[0] - plan.arrival_s(requests_count - 1) > 1.7
        pace = pace.slower()


def test_no_hold_comes_near_the_time_outs_of_servers() -> None:
    """They begin at 30 s and would be taken for an answer."""
    plan = planning.plan_wave(10_000, planning.Pace(rate_per_s=1000))
    assert plan.rate_per_s == 1000
    assert plan.last_release_s < planning.HOLD_LIMIT_S
    with pytest.raises(ValueError, match="longer than 25 s"):
        planning.plan_wave(1_000_000, planning.Pace(rate_per_s=1000))


@pytest.mark.parametrize("count", [1000, 5000, 10_000])
def test_no_number_of_void_tries_makes_a_wave_too_slow(count: int) -> None:
    """Each is slower than the one before, as far as the hold allows."""
    pace = planning.Pace(rate_per_s=1000)
    for _ in range(planning.TRIES_MAX):
        pace = pace.slower()
        assert planning.plan_wave(count, pace).last_release_s < planning.HOLD_LIMIT_S + 0.001


def test_ids_of_waves_are_apart() -> None:
    """Notes of one wave are never counted in another."""
    plans = (planning.plan_wave(10_000, planning.Pace(1000)), planning.plan_scout(None), planning.plan_second_wave())
    ids = [number for plan in plans for number in range(plan.first_id, plan.first_id + plan.requests_count)]
    assert len(ids) == len(set(ids))


def test_a_queue_that_is_used_and_not_full_raises_the_number() -> None:
    """Enough to fill it: handled + waiting in the process + backlog + 1, and some more."""
    wave = found(999, 2048)
    assert planning.next_step(wave, 1, planning.CEILING_COUNT) == "raise"
    assert planning.needed_count(wave) > 1 + 2048 + 1


@pytest.mark.parametrize(
    ("wave", "ceiling"),
    [(found(129, 128, KernelQueue.FULL), 5000), (found(0, 2048, KernelQueue.EMPTY), 5000), (found(999, 65_535), 5000)],
)
def test_a_wave_that_shows_all_is_reported(wave: Figures, ceiling: int) -> None:
    """The queue is full, or unused, or longer than the ceiling allows to fill."""
    assert planning.next_step(wave, 1, ceiling) == "report"


def test_a_void_wave_is_tried_again_and_at_last_given_up() -> None:
    """It is never reported; each try is slower."""
    assert planning.next_step(None, 1, 5000) == "again"
    assert planning.next_step(None, planning.TRIES_MAX, 5000) == "give up"
    pace = planning.Pace()
    assert pace.slower().rate_per_s < pace.rate_per_s
    assert pace.slower().settle_s > pace.settle_s


def test_a_known_limit_is_exceeded() -> None:
    """Where it can be below the ceiling; else nothing is won by more than the usual number."""
    assert planning.first_count(None, 5000) == 1000
    assert planning.first_count(40, 5000) == 1000
    assert planning.first_count(2000, 5000) == 3000
    assert planning.first_count(8000, 5000) == 1000
    assert [planning.plan_scout(limit).requests_count for limit in (None, 40, 300, 8000)] == [60, 120, 500, 60]


def test_what_a_probe_begins_with() -> None:
    """What is there to fail is asked little, and what asks for many is asked faster."""
    assert planning.opening(None) == planning.Opening(None, 5000, planning.Pace())
    assert planning.opening(None, is_to_fail=True).requests_count == 100
    many = planning.opening(10_000)
    assert (many.requests_count, many.ceiling_count, many.pace.rate_per_s) == (10_000, 10_000, 1000)
    assert planning.opening(None, timeout_scale=3).pace == planning.Pace().with_scaled_timeouts(3)


#: What a probe takes beside its waves where hosts are of usual speed: start, first answer, quiet, clocks, stop; from
#: the calls of a wave to its first arrival; and the longest backlog that a server of ours asks for and a wave can fill.
BESIDE_S, LEAD_S, BACKLOG = 3.0, 0.35, 2048


def planned_s(variant: Variant) -> float:
    """What a probe of a variant takes by plan if its kernel's queue is used and its backlog as long as any."""
    begin = planning.opening(variant.probe_requests_count, is_to_fail=variant.expect_failure is not None)
    count, limit, plans = begin.requests_count, variant.limit_at(1), []
    if count is None:
        plans = [planning.plan_scout(limit)]
        usual = planning.first_count(limit, begin.ceiling_count)
        counts = Counts(limit or 1, (limit or 1) + 1, 1, BACKLOG, is_queue_full=False, processes=1, threads=1)
        behind = replace(found(1, BACKLOG), counts=counts)
        count = max(usual, planning.next_count(behind, begin.ceiling_count) or 0) if (limit or 0) < usual else usual
    plans.append(planning.plan_wave(count, begin.pace))
    if planning.has_second_wave(count):
        plans.append(planning.plan_second_wave())
    return BESIDE_S + sum(LEAD_S + plan.last_release_s for plan in plans)


def test_no_variants_plan_takes_20_s() -> None:
    """With a scout, the wave that fills the kernel's queue, and the second wave, where no try has to be repeated."""
    seconds = {name: planned_s(variant) for name, variant in read_catalogue().variants.items()}
    assert 7 < seconds["flask_gunicorn_gevent"] < 13
    assert {name: took for name, took in seconds.items() if took >= 20} == {}


def test_only_a_long_backlog_within_reach_is_scouted() -> None:
    """A short one is filled by the usual number, a very long one by none."""
    assert [planning.wants_scout(backlog, 5000) for backlog in (128, 2048, 65_535)] == [False, True, False]


def test_a_wave_that_did_not_reach_every_worker_is_spread() -> None:
    """One process handles few and another lets requests wait: the figure is too small. In the kernel it is not."""
    pool = figures(first_wave("pool"))
    assert planning.next_step(pool, 1, 5000) == "report"
    assert planning.next_step(replace(pool, is_even=False), 1, 5000) == "spread"
    assert planning.next_step(pool, 1, 5000, in_flight_limit=80) == "spread"
    counts = replace(pool.counts, queued_kernel=900)
    assert planning.next_step(replace(pool, is_even=False, counts=counts), 1, 5000) == "report"


def test_a_wave_that_never_reached_every_worker_is_given_up() -> None:
    """Its figure is not that of the server; the reason names the limit where it is that which was not met."""
    pool = figures(first_wave("pool"))
    assert [planning.next_step(replace(pool, is_even=False), tries, 5000) for tries in (3, 4, 5)] == [
        "spread",
        "give up",
        "give up",
    ]
    assert planning.next_step(pool, 4, 5000, in_flight_limit=80) == "give up"
    assert planning.unreached(pool, 80) == "the card's in_flight_limit of 80 was not met"
    assert planning.unreached(replace(pool, is_even=False), 40) == "some processes handled fewer than others"
    assert planning.unreached(pool, 40) == ""


@pytest.mark.parametrize(
    ("idle_processes", "limit", "most_before", "step"),
    [
        (1, None, None, "report"),  # a supervisor
        (2, None, None, "spread"),
        (2, None, 40, "report"),
        (2, None, 39, "spread"),
        (2, None, 80, "spread"),  # an earlier wave reached more
        (3, 40, None, "report"),
    ],
)
def test_one_of_several_workers_that_took_all_looks_even(
    idle_processes: int, limit: int | None, most_before: int | None, step: str
) -> None:
    """Without a limit to go by a second wave must show the same; what never serves is idle in both."""
    pool = replace(figures(first_wave("pool")), idle_processes=idle_processes)
    assert planning.next_step(pool, 2, 5000, limit, most_before) == step


def test_bursts_keep_the_rate() -> None:
    """Several at a time, as many a second."""
    plan = planning.plan_wave(1000, planning.Pace(rate_per_s=500).in_bursts(backlog=128))
    assert plan.arrival_s(20) == plan.arrival_s(83) < plan.arrival_s(84)
    assert plan.arrival_s(20 + 64 * 10) - plan.arrival_s(20) == pytest.approx(64 * 10 / 500)
