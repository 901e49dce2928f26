"""Apache Otava in its own locked environment: how well it finds steps in noise, and that it reads our CSV."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from tests.unit.handmade_full_run import handmade_full_run
from wrklab.report.change_points import ENVIRONMENT, ChangePointError, change_points
from wrklab.report.export_formats import export_as

_SEED = 20261128
_NOISE = 0.03
_STEP = 0.95
_BEFORE = 40
_WITHIN = 6
_HISTORIES = 60


@pytest.fixture(scope="module", autouse=True)
def otava() -> Path:
    """Its environment, made by the first call."""
    try:
        change_points({"warm-up": [1.0] * 8})
    except ChangePointError as error:
        pytest.skip(f"OTAVA'S TESTS SKIPPED: its environment cannot be made here: {error}")
    return ENVIRONMENT / "bin" / "otava"


def noise(draw: random.Random, count: int) -> list[float]:
    return [draw.gauss(1.0, _NOISE) for _ in range(count)]


def bounded_noise(draw: random.Random, count: int) -> list[float]:
    return [1.0 + draw.uniform(-_NOISE, _NOISE) for _ in range(count)]


def found_share(histories: list[list[float]]) -> float:
    """The share in which the step is found, within two places, by one of the first runs after it."""
    asked = {
        f"{number}/{count}": values[: _BEFORE + count]
        for number, values in enumerate(histories)
        for count in range(1, _WITHIN + 1)
    }
    steps = change_points(asked)
    found = {
        name.partition("/")[0] for name, points in steps.items() if any(abs(p.index - _BEFORE) <= 2 for p in points)
    }
    return len(found) / len(histories)


def test_a_step_of_5_percent_in_noise_of_at_most_3_is_found_within_6_runs() -> None:
    """Nearly always: noise that moves a ratio by up to 3 % hides it from nobody."""
    draw = random.Random(_SEED)
    histories = [
        [*bounded_noise(draw, _BEFORE), *(_STEP * value for value in bounded_noise(draw, _WITHIN))]
        for _ in range(_HISTORIES)
    ]

    assert found_share(histories) >= 0.95


def test_where_3_percent_is_the_standard_deviation_most_steps_are_found() -> None:
    """Six values cannot tell a step of 1.7 standard deviations from chance more often than four times in five."""
    draw = random.Random(_SEED)
    histories = [[*noise(draw, _BEFORE), *(_STEP * value for value in noise(draw, _WITHIN))] for _ in range(_HISTORIES)]

    assert found_share(histories) >= 0.55


def test_200_points_of_noise_give_at_most_one_false_alarm() -> None:
    """On average over histories, looked at once; four in five have one at most (others have a pair)."""
    draw = random.Random(_SEED)
    found = change_points({str(number): noise(draw, 200) for number in range(40)})
    counts = [len(points) for points in found.values()]

    assert sum(counts) / len(counts) <= 1
    assert sum(count <= 1 for count in counts) >= 0.8 * len(counts)


def test_a_history_that_is_looked_at_after_each_run_gives_about_one_false_alarm_in_200() -> None:
    """Alarms that came and went counted too; those within three places are one."""
    draw = random.Random(_SEED)
    histories = [noise(draw, 200) for _ in range(6)]
    asked = {f"{n}/{count}": values[:count] for n, values in enumerate(histories) for count in range(10, 201)}
    alarms: dict[str, list[int]] = {}
    for name, points in change_points(asked).items():
        seen = alarms.setdefault(name.partition("/")[0], [])
        seen += [point.index for point in points if all(abs(point.index - other) > 3 for other in seen)]

    assert sum(map(len, alarms.values())) / len(histories) <= 2


def test_too_short_a_series_has_no_step() -> None:
    """Three runs are needed on either side."""
    assert change_points({"short": [1.0, 1.0, 2.0, 2.0, 2.0]}) == {"short": ()}


def test_otava_reads_the_exported_csv_by_its_configuration(tmp_path: Path, otava: Path) -> None:
    """Its own command line lists the test's metrics, and analyses the line that is there."""
    with handmade_full_run(tmp_path, rounds=2) as run:
        export_as(run, "otava")
        folder = run.path / "export"
    environment = {**os.environ, "OTAVA_CONFIG": str(folder / "otava.yaml")}
    words = [str(otava), "list-metrics", "wrklab"]
    listed = subprocess.run(words, env=environment, capture_output=True, text=True, check=True, timeout=120)
    words = [str(otava), "analyze", "wrklab", "--since", "2026-01-01"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=120)

    assert "go_net_http_requests_per_s" in listed.stdout
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr.lower()
