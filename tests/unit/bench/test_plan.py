"""A plan's cells and their order; scenarios changed on the command line."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from wrklab.bench.plan import BenchRequest, Cell, Pair, order_cells, resolve
from wrklab.bench.rates import parse_rates
from wrklab.catalogue.catalogue import Catalogue, read_catalogue
from wrklab.catalogue.scenario import Scenario, override
from wrklab.errors import UsageError
from wrklab.results.records import served_by


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """The catalogue of this checkout."""
    return read_catalogue()


@pytest.fixture(scope="module")
def standard(catalogue: Catalogue) -> Scenario:
    """The default scenario."""
    return catalogue.scenario("standard")


@pytest.fixture(scope="module")
def pairs(catalogue: Catalogue, standard: Scenario) -> list[Pair]:
    """Every variant under the default scenario."""
    return [(variant, standard) for variant in catalogue.variants.values()]


def test_the_order_is_a_function_of_the_seed(pairs: list[Pair]) -> None:
    """The same seed gives the same cells in the same order, whatever else drew random numbers in between."""
    first = order_cells(pairs, seed=7)
    random.random()

    assert order_cells(pairs, seed=7) == first
    assert order_cells(pairs, seed=8) != first


def test_rounds_are_outside_and_variants_inside(pairs: list[Pair]) -> None:
    """A round holds each cell once, and ends before the next begins; each round has an order of its own."""
    cells = order_cells(pairs, seed=7)
    names = [variant.name for variant, _ in pairs]
    rounds = [cells[i : i + len(names)] for i in range(0, len(cells), len(names))]

    assert [{cell.round_number for cell in cells_of_round} for cells_of_round in rounds] == [{1}, {2}, {3}]
    orders = [[cell.variant.name for cell in cells_of_round] for cells_of_round in rounds]
    for order in orders:
        assert Counter(order) == Counter(names)
    assert orders[0] != orders[1] != orders[2]


def test_a_scenario_of_fewer_rounds_ends_earlier(catalogue: Catalogue, standard: Scenario) -> None:
    """Rounds beyond a scenario's own hold only the others' cells."""
    variant = catalogue.variants["sanic_fast"]
    smoke = catalogue.scenario("smoke")

    assert Counter(cell.cell_id for cell in order_cells([(variant, standard), (variant, smoke)], seed=1)) == Counter(
        ["standard.sanic_fast.1", "standard.sanic_fast.2", "standard.sanic_fast.3", "smoke.sanic_fast.1"]
    )


def test_companions_run_for_variants_with_a_published_row_there(catalogue: Catalogue) -> None:
    """`--variant go,fastapi_uvicorn_async` under standard adds Go's 20,000 connections and the plain row."""
    chosen = resolve(catalogue, BenchRequest(variants=("go_net_http", "fastapi_uvicorn_async,flask_dev_sync")))

    assert [(variant.name, scenario.name) for variant, scenario in chosen] == [
        ("fastapi_uvicorn_async", "standard"),
        ("flask_dev_sync", "standard"),
        ("go_net_http", "standard"),
        ("go_net_http", "standard_20000"),
        ("fastapi_uvicorn_async", "standard_plain_100"),
    ]


def test_a_suite_runs_its_rows_under_its_own_scenarios(catalogue: Catalogue) -> None:
    """The article's table as it stands; `--scenario standard` takes the short windows at the same loads."""
    suite = catalogue.suite("flask_gunicorn_article")
    own = resolve(catalogue, BenchRequest(suite=suite.name))
    short = resolve(catalogue, BenchRequest(suite=suite.name, scenario="standard"))

    assert [(variant.name, scenario.name) for variant, scenario in own] == [(r.variant, r.scenario) for r in suite.rows]
    assert [variant.name for variant, _ in short] == [variant.name for variant, _ in own]
    assert {scenario.name for _, scenario in short} == {"standard", "standard_20000", "standard_25000"}
    assert [scenario.connections for _, scenario in short] == [scenario.connections for _, scenario in own]


def test_nothing_asked_for_is_an_error(catalogue: Catalogue) -> None:
    """Neither --variant nor --suite: the message says what to give."""
    with pytest.raises(UsageError, match="give --variant NAME"):
        resolve(catalogue, BenchRequest())


def test_the_hold_of_a_cell_is_the_scenarios_before_the_variants(catalogue: Catalogue, standard: Scenario) -> None:
    """A scenario's hold overrides the variant's; paths other than /health hold nothing."""
    variant = catalogue.variants["flask_dev_sync"]

    assert Cell(variant, standard, 1).hold_ms == 100
    assert Cell(variant, override(standard, {"hold_ms": 20}), 1).hold_ms == 20
    assert Cell(variant, catalogue.scenario("plain_100"), 1).hold_ms == 0


def test_a_cells_answer_is_the_scenarios_before_the_variants(catalogue: Catalogue, standard: Scenario) -> None:
    """/cpu answers with its result, everything else with what the card says."""
    variant = catalogue.variants["flask_dev_sync"]

    assert Cell(variant, standard, 1).body == "ok"
    assert Cell(variant, catalogue.scenario("cpu"), 1).body == "46831694"
    assert Cell(variant, catalogue.scenario("cpu"), 1).hold_ms == 0


def test_keys_are_overridden_and_checked_as_a_whole(standard: Scenario) -> None:
    """`--connections 500 --duration 5s --rounds 1`; the card itself stays as it is."""
    changed = override(standard, {"connections": "500", "duration_s": "5s", "rounds": 1})

    assert (changed.connections, changed.threads, changed.duration_s, changed.rounds) == (500, 4, 5.0, 1)
    assert changed.wrk_timeout_s == 7
    assert [override(standard, {"timeout_s": text}).timeout_s for text in ("5", "5s", "1m", "2000ms")] == [5, 5, 60, 2]
    assert changed.companions == ()
    assert (standard.connections, standard.rounds, standard.companions != ()) == (2000, 3, True)


def test_threads_follow_connections_unless_given(standard: Scenario) -> None:
    """Threads are lowered to a divisor of the connections asked for; given threads are taken at their word."""
    assert [override(standard, {"connections": count}).threads for count in (2, 7, 10, 101, 102)] == [2, 1, 2, 1, 3]
    assert override(standard, {"connections": 12, "threads": 3}).threads == 3


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"connections": 10, "threads": 4},
            (
                "connections: must be a multiple of threads (4), found 10: wrk opens floor(c/t) a thread and never the "
                "rest; 8 would do"
            ),
        ),
        ({"duration_s": "long"}, "duration_s: 'long' is not a duration: write 5, 2.5s, 500ms or 1m"),
        (
            {"rounds": "many"},
            "rounds: Input should be a valid integer, unable to parse string as an integer; found 'many'",
        ),
        ({"connections": 200_000}, "connections: Input should be less than or equal to 100000; found 200000"),
        (
            {"speed": 3},
            (
                "speed: unknown key 'speed'. Known: arrivals, body, companions, compares_with, connection_mode, "
                "connections, description, duration_s, half_rate_window, hold_ms, login, path, rate_per_s, requests, "
                "rounds, sample_interval_s, threads, timeout_s, validate_bodies, warmup_connections, warmup_s."
            ),
        ),
    ],
)
def test_a_bad_override_names_the_option(standard: Scenario, changes: dict[str, object], expected: str) -> None:
    """What is wrong, what was found, and what would do; nothing is run."""
    with pytest.raises(UsageError) as caught:
        override(standard, changes)

    assert str(caught.value) == f"scenario standard with your options: {expected}"


def test_twins_are_two_cells_of_one_variant(pairs: list[Pair]) -> None:
    """With `aa` each variant is in each round twice, under two names, shuffled like two different variants."""
    cells = order_cells(pairs, seed=7, aa=True)
    of_first_round = [cell for cell in cells if cell.round_number == 1]

    assert len({cell.cell_id for cell in cells}) == len(cells) == 2 * len(order_cells(pairs, seed=7))
    assert Counter((cell.variant.name, cell.twin) for cell in of_first_round) == Counter(
        (variant.name, twin) for variant, _ in pairs for twin in ("a", "b")
    )
    first_twins = {cell.variant.name: cell.twin for cell in reversed(of_first_round)}
    assert set(first_twins.values()) == {"a", "b"}
    assert Cell(*pairs[0], round_number=2, twin="b").cell_id == f"standard.{pairs[0][0].name}.2b"


def test_a_made_variants_cell_has_a_name_fit_for_a_folder(catalogue: Catalogue, standard: Scenario) -> None:
    """On the controller and on hosts, where letters, digits and `_ . - @` make a cell's name."""
    variant = catalogue.made_variant("flask_gunicorn_gthread@workers=2,threads=16")

    assert Cell(variant, standard, 1).cell_id == "standard.flask_gunicorn_gthread.threads-16.workers-2.1"


def test_a_plan_says_by_which_recipe_and_parameters_variants_are_served(catalogue: Catalogue) -> None:
    """All of them, on the server's CPUs, and which the command line gave; a variant without a recipe is not there."""
    made = catalogue.made_variant("flask_gunicorn_gthread@threads=16")

    found = served_by([made, catalogue.variants["flask_gunicorn_sync_cpus"], catalogue.variants["go_net_http"]], 3)

    assert {name: entry.model_dump() for name, entry in found.items()} == {
        "flask_gunicorn_gthread@threads=16": {
            "recipe": "gunicorn_gthread",
            "entry": "app:sync_app",
            "parameters": {"backlog": 2048, "threads": 16, "workers": 4},
            "given": {"threads": 16},
        },
        "flask_gunicorn_sync_cpus": {
            "recipe": "gunicorn_sync",
            "entry": "app:sync_app",
            "parameters": {"backlog": 2048, "workers": 3},
            "given": {},
        },
    }


def with_half_rates(request: BenchRequest) -> dict[str, bool]:
    """By scenario, whether a request adds windows at half rate."""
    return {scenario.name: scenario.half_rate_window for _, scenario in resolve(read_catalogue(), request)}


def test_windows_at_half_rate_are_of_a_bench_of_all_variants() -> None:
    """A bench of some stays short, and so does a suite; a flag says otherwise. Open loops have a rate already."""
    on, off = {"half_rate_window": True}, {"half_rate_window": False}

    assert with_half_rates(BenchRequest(variants=("all",))) == {
        "standard": True,
        "standard_20000": False,
        "standard_25000": False,
        "standard_plain_100": False,
    }
    assert with_half_rates(BenchRequest(variants=("sanic_fast",))) == {"standard": False}
    assert with_half_rates(BenchRequest(variants=("sanic_fast",), overrides=on)) == {"standard": True}
    assert not any(with_half_rates(BenchRequest(variants=("all",), overrides=off)).values())
    assert not any(with_half_rates(BenchRequest(suite="flask_gunicorn_article", scenario="standard")).values())
    assert with_half_rates(BenchRequest(variants=("sanic_fast",), rates=parse_rates("500"))) == {"standard@500": False}


def test_an_open_loop_has_no_rate_to_halve() -> None:
    """Asked for both, the command is refused."""
    both = BenchRequest(variants=("sanic_fast",), rates=parse_rates("500"), overrides={"half_rate_window": True})

    with pytest.raises(UsageError, match="only a closed loop has a rate of its own to halve"):
        resolve(read_catalogue(), both)


def test_several_numbers_of_connections_are_several_scenarios(catalogue: Catalogue) -> None:
    """Each of a name that says it, with threads to fit; a number that is given twice counts once."""
    request = BenchRequest(variants=("go_net_http,sanic_fast",), connections=(1, 64, 1), rates=())
    chosen = resolve(catalogue, request)

    assert [(variant.name, scenario.name, scenario.connections) for variant, scenario in chosen] == [
        ("go_net_http", "standard@c1", 1),
        ("sanic_fast", "standard@c1", 1),
        ("go_net_http", "standard@c64", 64),
        ("sanic_fast", "standard@c64", 64),
    ]
    assert chosen[0][1].threads == 1
    assert {scenario.published_scenario for _, scenario in chosen} == {"article"}


def test_several_numbers_of_connections_and_several_rates_are_all_pairs(catalogue: Catalogue) -> None:
    """Cells need names of their own."""
    request = BenchRequest(variants=("go_net_http",), connections=(64, 128), rates=parse_rates("100,200"))
    assert [scenario.name for _, scenario in resolve(catalogue, request)] == [
        "standard@100-c64",
        "standard@200-c64",
        "standard@100-c128",
        "standard@200-c128",
    ]
