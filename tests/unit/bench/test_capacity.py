"""The search for a capacity, against simulated servers whose limit is known: M/D/k, cliffs, noise."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.unit.handmade_records import handmade_latency, handmade_measurement, handmade_open_loop
from wrklab.bench.capacity import (
    NOT_KEPT_UP,
    Capacity,
    Ending,
    Keeping,
    Search,
    Window,
    figures_of,
    parse_objectives,
)
from wrklab.catalogue.scenario import RATE_MAX_PER_S
from wrklab.errors import UsageError

P99 = parse_objectives("p99<=100ms,errors<0.1%")


def window(rate_per_s: float, p99_ms: float, *, errors: float = 0.0, keeping: Keeping = Keeping.KEPT) -> Window:
    """One whose tail and errors are these."""
    figures = {"p50": p99_ms * 200, "p90": p99_ms * 500, "p99": p99_ms * 1000, "p99.9": p99_ms * 1500}
    return Window(rate_per_s, figures | {"max": p99_ms * 2000, "errors": errors, "status": 0.0}, keeping)


def run(search: Search, measure: Callable[[float], Window]) -> tuple[Capacity, list[Window]]:
    """A complete search."""
    windows: list[Window] = []
    while (rate := search.next_rate(windows)) is not None:
        windows.append(measure(rate))
    return search.capacity(windows), windows


def queue_p99_ms(rate_per_s: float, workers: int, service_s: float, duration_s: float, seed: int) -> tuple[float, bool]:
    """p99 of a simulated M/D/k, and whether its queue grew all through the window."""
    random = np.random.default_rng(seed)
    arrivals = np.cumsum(random.exponential(1 / rate_per_s, int(rate_per_s * duration_s)))
    free = [0.0] * workers
    waits = []
    for at in arrivals:
        end = max(at, heapq.heappop(free)) + service_s
        heapq.heappush(free, end)
        waits.append(end - at)
    quarters = [float(np.mean(part)) for part in np.array_split(np.array(waits), 4)]
    is_growing = all(b > 1.05 * a for a, b in itertools.pairwise(quarters)) and quarters[3] > 2 * quarters[0]
    return float(np.percentile(waits, 99)) * 1000, is_growing and rate_per_s > 1.02 * workers / service_s


def true_capacity(workers: int, service_s: float, limit_ms: float) -> float:
    """By simulation of ten minutes at each rate, to 1 %: the rate at which p99 passes the limit."""
    low, high = 0.5 * workers / service_s, workers / service_s
    while high / low > 1.01:
        middle = (low + high) / 2
        p99_ms, _ = queue_p99_ms(middle, workers, service_s, 300, 99)
        low, high = (middle, high) if p99_ms <= limit_ms else (low, middle)
    return low


def test_an_m_d_k_queue_is_found_within_five_percent_each_time() -> None:
    """10 workers of 20 ms; begun at twice and at a twentieth of it, with windows of 20 s as noisy as they are."""
    truth = true_capacity(10, 0.02, 100)
    for seed in range(5):
        seeds = iter(range(1000 * seed, 1000 * seed + 100))

        def measure(rate: float, seeds: iter = seeds) -> Window:  # type: ignore[valid-type]
            p99_ms, is_behind = queue_p99_ms(rate, 10, 0.02, 20, next(seeds))
            return window(rate, p99_ms, keeping=Keeping.BEHIND if is_behind else Keeping.KEPT)

        found, windows = run(Search(P99, start_per_s=25.0 if seed % 2 else 1000.0), measure)

        assert found.ending is Ending.FOUND
        assert found.estimate_per_s == pytest.approx(truth, rel=0.05)
        assert found.passed_per_s is not None
        assert found.failed_per_s is not None
        assert found.failed_per_s / found.passed_per_s <= 1.05
        assert len(windows) <= 22
        for rate in (found.passed_per_s, found.failed_per_s):
            assert sum(one.rate_per_s == rate for one in windows) >= 2
        assert found.failed_first == "p99<=100ms"


@pytest.mark.parametrize("start_per_s", [20.0, 480.0, 5000.0])
def test_a_cliff_is_found_and_called_one(start_per_s: float) -> None:
    """5 ms up to 500/s, and 5 s beyond it."""
    found, windows = run(Search(P99, start_per_s), lambda rate: window(rate, 5.0 if rate <= 500 else 5000.0))

    assert found.passed_per_s is not None
    assert found.failed_per_s is not None
    assert found.passed_per_s <= 500 < found.failed_per_s <= 1.05 * found.passed_per_s
    assert (found.is_cliff, found.failed_first) == (True, "p99<=100ms")
    assert len(windows) < 20


def test_a_tail_that_grows_steadily_is_no_cliff() -> None:
    """p99 is the rate over 5, so it passes 100 ms at 500/s."""
    found, windows = run(Search(P99, 300.0), lambda rate: window(rate, rate / 5))

    assert found.estimate_per_s == pytest.approx(500, rel=0.03)
    assert not found.is_cliff
    assert len(windows) <= 10


def test_no_step_goes_beyond_what_is_likely_before_that_has_passed() -> None:
    """A closed loop served 520/s, so 700/s is not tried on the way to 500/s; where it was wrong the search goes on."""
    _, windows = run(Search(P99, 350.0, likely_max_per_s=520.0), lambda rate: window(rate, rate / 5))
    found, _ = run(Search(P99, 100.0, likely_max_per_s=120.0), lambda rate: window(rate, rate / 5))

    assert [one.rate_per_s for one in windows[:2]] == [350.0, 520.0]
    assert max(one.rate_per_s for one in windows) == 520.0
    assert found.estimate_per_s == pytest.approx(500, rel=0.03)


def test_a_bracket_is_what_most_windows_say() -> None:
    """Void windows do not count, and nothing passes above a rate that failed."""
    search = Search(P99, 300.0)
    measured = [window(100, 5.0), window(300, 900.0), window(400, 5.0), window(200, 5.0, keeping=Keeping.VOID)]

    assert search.bracket(measured) == (100, 300)
    assert search.bracket([]) == (None, None)


def test_what_failed_first_is_named() -> None:
    """Errors, or a rate that is not kept up with while answers are still fast."""
    by_errors, _ = run(Search(P99, 300.0), lambda rate: window(rate, 5.0, errors=0.2 if rate > 400 else 0.0))
    by_rate, _ = run(
        Search(P99, 300.0), lambda rate: window(rate, 5.0, keeping=Keeping.BEHIND if rate > 400 else Keeping.KEPT)
    )

    assert by_errors.failed_first == "errors<0.1%"
    assert by_rate.failed_first == NOT_KEPT_UP


@pytest.mark.parametrize("noisy_number", range(8))
def test_one_noisy_window_does_not_decide(noisy_number: int) -> None:
    """A window that says the opposite, whenever it comes, is outvoted by those that repeat it."""
    numbers = iter(range(100))

    def measure(rate: float) -> Window:
        is_bad = (rate > 500) != (next(numbers) == noisy_number)
        return window(rate, 400.0 if is_bad else 20.0)

    found, _ = run(Search(P99, 300.0), measure)

    assert found.passed_per_s is not None
    assert found.failed_per_s is not None
    assert found.passed_per_s <= 500 < found.failed_per_s


def test_a_server_that_never_passes_or_always_does_ends_the_search() -> None:
    """With no upper or no lower rate, and no number made up for it."""
    never, _ = run(Search(P99, 300.0), lambda rate: window(rate, 900.0))
    always, _ = run(Search(P99, 300.0), lambda rate: window(rate, 1.0))

    assert (never.ending, never.passed_per_s, never.estimate_per_s) == (Ending.NONE_PASSES, None, None)
    assert (always.ending, always.failed_per_s) == (Ending.EVERY_RATE_PASSES, None)


def test_a_start_that_is_far_too_high_costs_few_windows() -> None:
    """Steps down grow, and what they leaped over is found afterwards."""
    _, never = run(Search(P99, 5000.0), lambda rate: window(rate, 900.0))
    found, windows = run(Search(P99, 20_000.0), lambda rate: window(rate, rate / 5))

    assert [one.rate_per_s for one in never] == [5000.0, 2500.0, 625.0, 39.1, 2.44, 2.0]
    assert found.estimate_per_s == pytest.approx(500, rel=0.03)
    assert len(windows) <= 14


@pytest.mark.parametrize("start_per_s", [300.0, 5000.0])
def test_a_generator_that_is_too_small_gives_a_lower_bound(start_per_s: float) -> None:
    """A void window is tried twice more, and counts for nothing; below it there is a rate that says something."""
    found, windows = run(
        Search(P99, start_per_s), lambda rate: window(rate, 5.0, keeping=Keeping.VOID if rate > 700 else Keeping.KEPT)
    )
    rates = [one.rate_per_s for one in windows]

    assert (found.ending, found.failed_per_s) == (Ending.VOID_WINDOWS, None)
    assert found.passed_per_s is not None
    assert 700 / 1.5 <= found.passed_per_s <= 700
    assert all(rates.count(rate) == 3 for rate in rates if rate > 700)
    assert len(rates) <= 14


@pytest.mark.parametrize("start_per_s", [3000.0, 14_400.0])
def test_what_an_overloaded_server_turns_over_says_where_to_go_on(start_per_s: float) -> None:
    """500 right answers a second at 14,400 requests/s: the next rate is a little below that."""

    def measure(rate: float) -> Window:
        keeping = Keeping.BEHIND if rate > 510 else Keeping.KEPT
        return replace(window(rate, 20.0 if rate < 495 else 900.0, keeping=keeping), achieved_per_s=min(rate, 500.0))

    found, windows = run(Search(P99, start_per_s), measure)

    assert [one.rate_per_s for one in windows[:3]] == [start_per_s, 450.0, 500.0]
    assert found.estimate_per_s == pytest.approx(495, rel=0.03)
    assert len(windows) <= 8


@pytest.mark.parametrize("achieved_per_s", [51.1, 54.5, 56.8])
def test_a_server_that_fails_at_every_rate_is_asked_at_each_once(achieved_per_s: float) -> None:
    """It answers about as many as were sent, with errors among them: that leads nowhere, and not round in a circle."""
    found, windows = run(
        Search(P99, 51.1),
        lambda rate: replace(window(rate, 900.0, keeping=Keeping.BEHIND), achieved_per_s=achieved_per_s),
    )

    assert found.ending is Ending.NONE_PASSES
    assert len(windows) == len({one.rate_per_s for one in windows}) <= 6


def test_a_rate_whose_confirmations_say_nothing_ends_the_search() -> None:
    """Neither side of a bracket is asked for without end; what is known of both stands."""
    seen: list[float] = []

    def measure(rate: float) -> Window:
        seen.append(rate)
        return window(rate, rate / 5, keeping=Keeping.VOID if seen.count(rate) > 1 else Keeping.KEPT)

    found, windows = run(Search(P99, 300.0), measure)

    assert found.ending is Ending.VOID_WINDOWS
    assert found.passed_per_s is not None
    assert found.failed_per_s is not None
    assert found.passed_per_s <= 500 < found.failed_per_s
    assert len(windows) < 12


def test_a_lower_bound_is_confirmed() -> None:
    """By a second window at the rate that passed."""
    found, windows = run(
        Search(P99, 600.0), lambda rate: window(rate, 5.0, keeping=Keeping.VOID if rate > 700 else Keeping.KEPT)
    )

    assert found.ending is Ending.VOID_WINDOWS
    assert sum(one.rate_per_s == found.passed_per_s for one in windows) == 2


def test_a_start_beyond_what_may_be_sent_begins_at_the_end_of_that() -> None:
    """As where a closed loop is said to have served far more than any generator sends."""
    assert Search(P99, 1e9).next_rate([]) == RATE_MAX_PER_S
    assert Search(P99, 0.1).next_rate([]) == 2.0


def test_where_every_window_is_void_nothing_is_said() -> None:
    """A generator that cannot send two requests a second says nothing of any server."""
    found, _ = run(Search(P99, 300.0), lambda rate: window(rate, 5.0, keeping=Keeping.VOID))

    assert (found.ending, found.passed_per_s, found.failed_per_s) == (Ending.VOID_WINDOWS, None, None)


def test_a_void_window_once_is_a_neighbours_doing() -> None:
    """The next one at the same rate counts."""
    numbers = iter(range(100))

    def measure(rate: float) -> Window:
        return window(rate, rate / 5, keeping=Keeping.VOID if next(numbers) == 1 else Keeping.KEPT)

    found, _ = run(Search(P99, 300.0), measure)

    assert found.ending is Ending.FOUND
    assert found.estimate_per_s == pytest.approx(500, rel=0.03)


def test_a_window_that_fails_while_others_use_the_hosts_is_measured_again() -> None:
    """One that passes all the same counts; so neighbours make no capacity too low."""
    numbers = iter(range(100))

    def measure(rate: float) -> Window:
        is_disturbed = next(numbers) % 3 == 0
        found = window(rate, 500.0 if is_disturbed and rate > 200 else rate / 5)
        return Window(found.rate_per_s, found.figures, found.keeping, is_disturbed=is_disturbed)

    found, _ = run(Search(P99, 100.0), measure)

    assert found.ending is Ending.FOUND
    assert found.estimate_per_s == pytest.approx(500, rel=0.05)


def test_a_search_is_a_function_of_its_windows() -> None:
    """So one that was interrupted goes on with the same next window."""
    search = Search(P99, 300.0)
    _, windows = run(search, lambda rate: window(rate, rate / 5))

    for number, one in enumerate(windows):
        assert search.next_rate(windows[:number]) == one.rate_per_s


@pytest.mark.parametrize(
    ("text", "metric", "limit", "is_strict"),
    [
        ("p99<=250ms", "p99", 250_000.0, False),
        ("p99.9 < 1.5s", "p99.9", 1_500_000.0, True),
        ("errors<0.1%", "errors", 0.001, True),
        ("status<=0%", "status", 0.0, False),
        ("max<=900us", "max", 900.0, False),
    ],
)
def test_an_objective_is_read(text: str, metric: str, limit: float, is_strict: bool) -> None:
    """Latencies in any unit of time, shares in percent."""
    [found] = parse_objectives(text)

    assert (found.metric, found.is_strict) == (metric, is_strict)
    assert found.limit == pytest.approx(limit)


@pytest.mark.parametrize(
    "text", ["", "p98<=1ms", "p99=1ms", "p99<=250", "p99<=5%", "errors<5ms", "errors<200%", "p99<=0ms", "p99<1s,p99<2s"]
)
def test_a_bad_objective_is_refused_with_what_is_known(text: str) -> None:
    """Before a host is touched."""
    with pytest.raises(UsageError, match="slo"):
        parse_objectives(text)


def test_figures_are_those_of_the_window() -> None:
    """An unanswered request is an error."""
    measured = handmade_measurement(latency=handmade_latency(), open_loop=handmade_open_loop(unanswered=20))

    found = figures_of(measured)

    assert (found["p50"], found["p99"], found["p99.9"], found["max"]) == (125_000, 150_000, 170_000, 200_000)
    assert (found["errors"], found["status"]) == (0.01, 0.0)
