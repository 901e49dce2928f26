"""`invoke tune`: what its command line means, and what is refused before anything is touched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from invoke.exceptions import Exit
from rich.console import Console

from tests.unit.bench.search_rehearsal import Outcome, ready, rehearse
from tests.unit.handmade_application import handmade_application, handmade_ready, handmade_recipes
from tests.unit.handmade_hosts import handmade_host
from tests.unit.handmade_records import (
    handmade_cell,
    handmade_environment,
    handmade_latency,
    handmade_measurement,
    handmade_open_loop,
    handmade_plan,
    handmade_planned,
    handmade_scenario,
)
from tests.unit.handmade_tuning import handmade_tune_plan
from wrklab.bench.capacity_run import Judge
from wrklab.bench.cells import BenchResult, DescribeCell
from wrklab.bench.tune_run import TunePlan, TuneRequest, _Tuning
from wrklab.catalogue.application import Application
from wrklab.catalogue.application_stack import EntryRecipe, application_stack, choose_recipes, with_application
from wrklab.catalogue.catalogue import Catalogue, read_catalogue
from wrklab.catalogue.current_command import read_current
from wrklab.cli import tunes
from wrklab.cli.own_application import ApplicationWords, ServedApplication
from wrklab.errors import CardError, UsageError
from wrklab.results.records import LogError
from wrklab.results.run_folder import TUNE_PLAN_FILE, Run
from wrklab.verdicts.rules import RULES

CARD = """---
application: shop
entries: {web: {import: "shop.wsgi:app", interface: wsgi}}
requirements: requirements.txt
requests: [{name: front, path: /}]
current: gunicorn shop.wsgi:app -w 4 --preload
"""
SYNC = "shop_gunicorn_sync"


@pytest.mark.parametrize(("text", "size_bytes"), [("1GiB", 2**30), ("512 MiB", 2**29), ("1.5KiB", 1536)])
def test_memory_is_a_size_with_its_unit(text: str, size_bytes: int) -> None:
    """KiB, MiB or GiB."""
    assert tunes.parse_memory_bytes(text) == size_bytes


@pytest.mark.parametrize("text", ["", "1", "1GB", "0MiB", "-1GiB", "nan GiB"])
def test_other_sizes_are_refused(text: str) -> None:
    """With an example."""
    with pytest.raises(UsageError, match="for instance 1GiB"):
        tunes.parse_memory_bytes(text)


@pytest.mark.parametrize(("text", "seconds"), [("30m", 1800.0), ("90s", 90.0), ("1h", 3600.0)])
def test_a_budget_is_a_time(text: str, seconds: float) -> None:
    """With its unit."""
    assert tunes.parse_budget_s(text) == seconds


@pytest.mark.parametrize("text", ["0", "-1m", "inf", "soon"])
def test_other_budgets_are_refused(text: str) -> None:
    """With the flag's name."""
    with pytest.raises(UsageError, match="--budget"):
        tunes.parse_budget_s(text)


@pytest.mark.parametrize("text", ["0", "-300", "50%", "nan", "inf"])
def test_a_rate_is_requests_a_second(text: str) -> None:
    """Shares of a maximum have no meaning before one is measured."""
    assert tunes.parse_rate("300") == 300.0
    with pytest.raises(UsageError, match="--rate"):
        tunes.parse_rate(text)


def test_without_an_application_there_is_nothing_to_tune() -> None:
    """The next step is said."""
    with pytest.raises(UsageError, match="invoke tune --app DIR"):
        tunes.refuse_without_application()


def test_a_resumed_search_takes_nothing_else() -> None:
    """It goes on as it was planned."""
    with pytest.raises(UsageError, match="only --budget, --json and --force"):
        tunes.resume("", ["300"], "", is_forced=False, as_json=False)


def mine(tmp_path: Path, *recipes: str) -> ServedApplication:
    """The application under such recipes, as it would be deployed."""
    application, catalogue = handmade_application(tmp_path / "shop", CARD), read_catalogue()
    stack = application_stack(
        handmade_ready(application, tmp_path / "shop.tar"), choose_recipes(catalogue, application, recipes)
    )
    return ServedApplication(with_application(catalogue, stack), application, tuple(stack.variants))


def candidates(
    tmp_path: Path, recipes: tuple[str, ...], parameters: tuple[str, ...] = (), current: str = ""
) -> TuneRequest:
    """What a search among these tries on 2 CPUs."""
    words = ApplicationWords(folder=str(tmp_path / "shop"), recipes=recipes, parameters=parameters)
    served = mine(tmp_path, *recipes, "gunicorn_sync")
    asked = TuneRequest(candidates=(), current=None, objectives="p99<=250ms", budget_s=60.0)
    today = read_current(current or served.application.current or "")
    return tunes.with_candidates(asked, served, words, today, {}, 2)


def test_what_runs_today_is_among_the_candidates(tmp_path: Path) -> None:
    """Also where its recipe is not among those that are tried; flags that are left out are said."""
    found = candidates(tmp_path, ("waitress",))

    assert found.candidates == (
        *(f"shop_waitress@connections=1000,threads={threads}" for threads in (4, 16, 64)),
        f"{SYNC}@workers=4",
    )
    assert found.current == f"{SYNC}@workers=4"
    assert found.notes == ("What runs today is measured without --preload, which no recipe has.",)


def test_parameters_of_the_command_line_replace_those_of_the_recipes(tmp_path: Path) -> None:
    """What runs today is there once."""
    found = candidates(tmp_path, ("gunicorn_sync",), ("workers=2,4",))

    assert found.candidates == (f"{SYNC}@workers=2", f"{SYNC}@workers=4")


@pytest.mark.parametrize(
    ("current", "why"),
    [
        ("python manage.py runserver", "no recipe has the program"),
        ("gunicorn shop.wsgi:app -w 900000000000", "What runs today is not compared: parameter workers"),
        ("gunicorn shop.wsgi:app -w 40", r"at most 32 was expected (16 * cpus with cpus = 2); found 40"),
        ("hypercorn shop.asgi:app", "hypercorn_asyncio is not among the recipes"),
    ],
)
def test_what_runs_today_and_cannot_be_measured_is_said(tmp_path: Path, current: str, why: str) -> None:
    """All else is searched."""
    found = candidates(tmp_path, ("gunicorn_sync",), current=current)

    assert found.current is None
    assert len(found.candidates) == 4
    assert why in found.notes[0]


def test_a_recipe_whose_packages_the_application_excludes_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are tried; where none is left the first reason is the error."""
    application, catalogue = handmade_application(tmp_path / "shop", CARD), read_catalogue()
    refused = {"waitress.txt", "gunicorn.txt"}

    def pack(_: Application, pairs: list[EntryRecipe]) -> None:
        if {pair.recipe.requirements for pair in pairs} & refused:
            raise CardError("it wants another one")

    monkeypatch.setattr(tunes, "pack", pack)
    words = ["waitress", "gunicorn_sync", "gunicorn_gevent", "gunicorn_gthread"]

    usable, why = tunes.usable_recipes(catalogue, application, words, read_current("gunicorn shop.wsgi:app"))

    assert [pair.recipe.name for pair in usable] == ["gunicorn_gevent"]
    assert why == {
        "gunicorn_sync, gunicorn_gthread": "it wants another one",
        "waitress": "it wants another one",
    }
    refused.add("gunicorn_gevent.txt")
    with pytest.raises(CardError, match="it wants another one"):
        tunes.usable_recipes(catalogue, application, words, read_current("gunicorn shop.wsgi:app"))


def test_an_answer_of_stored_windows_has_commands_and_what_bounds_it(tmp_path: Path) -> None:
    """A pool that ran out in one of its windows is said with it."""
    assert "pool_exhausted" in {rule.name for rule in RULES}
    served = mine(tmp_path, "gunicorn_sync")
    name = f"{SYNC}@workers=2"
    plan = handmade_tune_plan(candidates=(name,), current=None)
    files = {TUNE_PLAN_FILE: plan.model_dump_json()}
    at_300 = handmade_scenario(name="standard@300", rate_per_s=300.0, compares_with=None)
    pool = LogError(text="QueuePool limit of size 5 overflow 10 reached", count=3)
    cells = [
        # That connections starve there hides nothing.
        handmade_cell(name, measurement=handmade_measurement(generator={"connections_unanswered": 900})),
        handmade_cell(name, at_300.name, measurement=handmade_measurement(server={"log_errors": (pool,)})),
    ]
    empty = handmade_plan([], scenarios=[handmade_scenario()], server_cpus_count=2)
    with Run.create(tmp_path / "results", empty, handmade_environment(), files) as run:
        for position, cell in enumerate(cells):
            run.extend_plan(handmade_planned(cell), at_300 if position else handmade_scenario())
            run.add_cell(cell.model_copy(update={"position": position}), {})
        answer, bound = tunes.answer_of(run, served), tunes.bound_of(run, name)

    assert answer.commands == {name: "gunicorn shop.wsgi:app --no-control-socket -b 0.0.0.0:8000 -w 2"}
    assert answer.server_cpus_count == 2
    assert bound.startswith("server-bound (")
    assert "), at 15,000 requests/s; " in bound
    assert "pool" in bound.partition("; ")[2]


@dataclass(frozen=True)
class _Server:
    """A server of one's own that says how many CPUs it has."""

    said: str

    def run(self, words: list[str], *, limit_s: float) -> SimpleNamespace:
        assert words == ["nproc"]
        assert limit_s > 0
        return SimpleNamespace(stdout=self.said)


@pytest.mark.parametrize(
    ("described", "later", "said", "cpus_count"),
    [((2, 3), (), "", 2), ((), (1,), "", 1), ((), (), "8\n", 8)],
    ids=["by the inventory", "by a lab that comes up", "by the host itself"],
)
def test_the_servers_cpus_are_known_before_the_grid_is_made(
    monkeypatch: pytest.MonkeyPatch, described: tuple[int, ...], later: tuple[int, ...], said: str, cpus_count: int
) -> None:
    """Nothing is asked that is known already."""
    known = iter([described, later])

    @contextmanager
    def session(*_: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(server=_Server(said))

    def hosts(_lab: str) -> SimpleNamespace:
        return SimpleNamespace(kind="ssh", server=handmade_host(cpus=next(known)))

    monkeypatch.setattr(tunes, "read_hosts", hosts)
    monkeypatch.setattr(tunes, "bring_up", lambda *_, **__: None)
    monkeypatch.setattr(tunes, "open_session", session)

    assert tunes.cpus_count_of(handmade_recipes(), "own") == cpus_count


@pytest.mark.parametrize(
    ("limit", "words"),
    [(32, "likely the 32 requests that it handles at once, or what"), (None, "likely what its requests wait for")],
)
def test_where_no_cpu_is_full_requests_wait(tmp_path: Path, limit: int | None, words: str) -> None:
    """For a thread, or for what a thread waits for."""
    idle = handmade_measurement(server={"cpu_percent": 20.0, "host_cpu_percent": 22.0}, requests_per_s=640.0)
    cell = handmade_cell("flask_gunicorn_gthread", measurement=idle, in_flight_limit=limit, hold_ms=0)
    with Run.create(tmp_path, handmade_plan([cell]), handmade_environment()) as run:
        run.add_cell(cell, {})
        bound = tunes.bound_of(run, cell.variant)
        nothing = tunes.bound_of(run, "another")

    assert bound.startswith("no CPU was full, so ")
    assert words in bound
    assert bound.endswith(", at 640.0 requests/s")
    assert nothing == ""


def clerk(candidate: str, rate_per_s: float | None) -> Outcome:
    """Eight workers serve 400/s, and each other number as many times less."""
    capacity = 50.0 * int(candidate.rpartition("=")[2])
    served = capacity if rate_per_s is None else rate_per_s
    changes: dict[str, Any] = {} if rate_per_s is None else {"open_loop": handmade_open_loop()}
    latency = handmade_latency(p99_us=100_000.0 if served <= capacity else 900_000.0)
    return handmade_measurement(requests_per_s=served, requests=round(4 * served), latency=latency, **changes)


@pytest.fixture
def rehearsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ApplicationWords:
    """The verb without hosts: a lab of 2 CPUs whose windows say what `clerk` says, and a results folder of its own."""
    served = mine(tmp_path, "gunicorn_sync")
    results_dir = tmp_path / "results"

    def run(  # noqa: PLR0913, PLR0917  as run_tune
        catalogue: Catalogue,
        plan: TunePlan,
        _lab: str,
        console: Console,
        describe: DescribeCell,
        judge: Judge,
        attachments: dict[str, str],
        *,
        is_forced: bool,
    ) -> BenchResult:
        files = {**attachments, TUNE_PLAN_FILE: plan.model_dump_json()}
        empty = handmade_plan([], scenarios=[plan.scenario], server_cpus_count=2)
        with Run.create(results_dir, empty, handmade_environment(), files) as made:
            return _Tuning(ready(catalogue), made, plan, describe, judge).run(console)

    monkeypatch.setattr(tunes, "RESULTS_DIR", results_dir)
    monkeypatch.setattr(tunes, "pack", lambda *_: None)
    monkeypatch.setattr(tunes, "served", lambda *_: served)
    monkeypatch.setattr(tunes, "cpus_count_of", lambda *_: 2)
    monkeypatch.setattr(tunes, "run_tune", run)
    return ApplicationWords(folder=str(tmp_path / "shop"), recipes=("gunicorn_sync",), parameters=("workers=2,8",))


def words(**changes: str) -> tunes.TuneWords:
    """What was typed."""
    given = {"objectives": "p99<=250ms", "rate": "", "memory": "", "budget": "", "scenario": ""} | changes
    return tunes.TuneWords(**given, assignments=())


def test_the_verb_shows_its_plan_and_ends_with_a_command(
    rehearsed: ApplicationWords, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """tune.json is in the run's folder, and says the same."""
    ended: list[str] = []
    rehearse(monkeypatch, clerk, ended)

    tunes.tune(rehearsed, words(), "container", is_forced=False, as_json=False)

    shown = capsys.readouterr()
    assert shown.err.index("3 configurations: a look at each") < shown.err.index("cells, about")
    assert "    gunicorn shop.wsgi:app --no-control-socket -b 0.0.0.0:8000 -w 8" in shown.out
    assert (
        f"Against what runs today (gunicorn shop.wsgi:app -w 4 --preload, measured as {SYNC}@workers=4): " in shown.out
    )
    assert "measured without --preload" in shown.out
    (stored,) = (tmp_path / "results").glob("*/tune.json")
    found = json.loads(stored.read_text(encoding="utf-8"))
    assert found["recommended"] == f"{SYNC}@workers=8"
    assert found["gain_over_current"]["low"] < 2 < found["gain_over_current"]["high"]
    assert (stored.parent / "report.md").is_file()
    assert "workers=8 | tied |" in (stored.parent / "tune.md").read_text(encoding="utf-8")
    assert ended == ["finished "]


def test_the_verb_fails_where_nothing_serves(
    rehearsed: ApplicationWords, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With JSON on stdout all the same."""
    rehearse(monkeypatch, clerk, [])

    with pytest.raises(Exit, match="no configuration is known to serve it") as error:
        tunes.tune(rehearsed, words(rate="9000"), "container", is_forced=False, as_json=True)

    assert error.value.code == 1
    assert json.loads(capsys.readouterr().out)["recommended"] is None


def test_an_interrupt_says_how_to_go_on(
    rehearsed: ApplicationWords, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 130, and what is known so far."""
    count = iter(range(100))
    rehearse(monkeypatch, lambda *step: KeyboardInterrupt() if next(count) == 6 else clerk(*step), [])

    with pytest.raises(Exit, match=r"interrupted\n.*invoke tune --resume 2026") as error:
        tunes.tune(rehearsed, words(), "container", is_forced=False, as_json=False)

    assert error.value.code == 130
    assert "known roughly" in capsys.readouterr().out
