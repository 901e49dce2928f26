"""Rates on the command line, and the closed-loop maximum that shares are of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.handmade_records import handmade_cell, handmade_environment, handmade_measurement, handmade_plan
from wrklab.bench.plan import BenchRequest, resolve
from wrklab.bench.rates import Rate, closed_loop_maximum, parse_rates
from wrklab.catalogue.catalogue import read_catalogue
from wrklab.errors import UsageError
from wrklab.results.run_folder import Run

VARIANT = "flask_gunicorn_gevent"


def store(
    results_dir: Path, run_id: str, rates_per_s: list[float], *, digest: str = "d1", lab: str = "container"
) -> None:
    """A run of VARIANT with these rounds."""
    cells = [
        handmade_cell(round_number=number, measurement=handmade_measurement(requests_per_s=rate))
        for number, rate in enumerate(rates_per_s, 1)
    ]
    plan = handmade_plan(cells, run_id=run_id, variant_digests={VARIANT: digest}, lab=lab)
    with Run.create(results_dir, plan, handmade_environment()) as run:
        for cell in cells:
            run.add_cell(cell, {})
        run.end("finished")


def test_rates_are_numbers_or_shares() -> None:
    """As many as are given."""
    assert parse_rates("100, 200.5,50%") == (Rate(100, False), Rate(200.5, False), Rate(50, True))
    assert parse_rates("") == ()


@pytest.mark.parametrize("text", ["fast", "0", "-5", "100,", "50 %", "1e3", "200000", "2000%"])
def test_a_bad_rate_is_refused(text: str) -> None:
    """With what is expected."""
    with pytest.raises(UsageError, match="--rate"):
        parse_rates(text)


def test_the_maximum_is_that_of_the_newest_run_of_this_lab_and_server(tmp_path: Path) -> None:
    """The median of its rounds; runs of other servers and labs are passed over."""
    store(tmp_path, "20261121T000000Z_aaaa", [900.0])
    store(tmp_path, "20261122T000000Z_aaaa", [1000.0, 1200.0, 1100.0])
    store(tmp_path, "20261123T000000Z_aaaa", [5000.0], digest="another")
    store(tmp_path, "20261124T000000Z_aaaa", [7000.0], lab="vagrant")

    assert closed_loop_maximum(tmp_path, "container", VARIANT, "d1", "/health") == 1100.0
    assert closed_loop_maximum(tmp_path, "container", VARIANT, "d1", "/cpu") is None
    assert closed_loop_maximum(tmp_path, "container", "go_net_http", "d1", "/health") is None


def test_each_rate_is_a_scenario_of_its_own() -> None:
    """A share is of each variant's own maximum, to three digits."""
    catalogue = read_catalogue()
    request = BenchRequest(variants=("go_net_http", VARIANT), rates=parse_rates("200,50%"))
    maxima = {"go_net_http": 15_811.0, VARIANT: 2_001.0}

    pairs = resolve(catalogue, request, lambda variant, _path: maxima[variant.name])

    found = {(variant.name, scenario.name) for variant, scenario in pairs}
    assert found == {
        *((name, "standard@200") for name in maxima),
        ("go_net_http", "standard@7910"),
        (VARIANT, "standard@1000"),
    }


def test_a_share_of_an_unknown_maximum_is_refused_with_the_command_that_measures_it() -> None:
    """Before a host is touched."""
    request = BenchRequest(variants=(VARIANT,), rates=parse_rates("50%"))

    with pytest.raises(UsageError, match=f"invoke bench --variant {VARIANT}"):
        resolve(read_catalogue(), request)


def test_suites_have_no_rates() -> None:
    """Nor are two rates given at once."""
    catalogue, rates = read_catalogue(), parse_rates("50")

    with pytest.raises(UsageError, match="not for suites"):
        resolve(catalogue, BenchRequest(suite="flask_gunicorn_article", rates=rates))
    with pytest.raises(UsageError, match="leave one out"):
        resolve(catalogue, BenchRequest(variants=(VARIANT,), rates=rates, overrides={"rate_per_s": 5}))
