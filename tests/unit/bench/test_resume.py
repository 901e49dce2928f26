"""Going on with a run that ended early: which one, with which servers, and where it must be refused."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from tests.unit.cli.test_bad_input import invoke
from tests.unit.extract.test_damaged_answers import HOSTS
from tests.unit.handmade_records import handmade_cell, handmade_environment, handmade_plan
from wrklab.bench.plan import cells_of_plan, made_again
from wrklab.bench.resume import (
    choose_run,
    drop_half_written,
    other_machines,
    refuse_other_hosts,
    refuse_other_servers,
    variant_digests,
)
from wrklab.catalogue.catalogue import Catalogue, read_catalogue
from wrklab.catalogue.formula import parse_formula
from wrklab.errors import OtherMachineError, StoreError, UnknownNameError, UsageError
from wrklab.results.records import CellRecord, HostEnvironment, RunEnvironment, RunPlan, UnitFile
from wrklab.results.run_folder import Run

OLDER, NEWER = "20261121T003012Z_ab12", "20261122T003012Z_ab12"


def make_run(results_dir: Path, run_id: str, state: str = "open") -> None:
    cells = [handmade_cell(round_number=number) for number in (1, 2)]
    with Run.create(results_dir, handmade_plan(cells, run_id=run_id), handmade_environment()) as run:
        run.add_cell(cells[0], {})
        if state == "finished":
            run.end("finished")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """The catalogue of this checkout."""
    return read_catalogue()


def plan_of(catalogue: Catalogue, name: str = "go_net_http") -> RunPlan:
    """A plan that begins with today's server of one variant."""
    cells: list[CellRecord] = [handmade_cell(name, round_number=number) for number in (1, 2)]
    return handmade_plan(cells, variant_digests=variant_digests(catalogue, {name}))


def test_the_newest_unfinished_run_is_resumed(tmp_path: Path) -> None:
    """A newer one that is finished does not count; a name says which one, whatever its state."""
    make_run(tmp_path, OLDER)
    make_run(tmp_path, NEWER, "finished")

    assert choose_run(tmp_path, "").run_id == OLDER
    assert choose_run(tmp_path, NEWER).state == "finished"
    assert choose_run(tmp_path, "latest~1").run_id == OLDER


def test_a_run_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    """Also where there is none at all."""
    with pytest.raises(UsageError, match="no run"):
        choose_run(tmp_path, "")
    make_run(tmp_path, OLDER)
    with pytest.raises(UnknownNameError, match=OLDER):
        choose_run(tmp_path, NEWER)


def test_a_run_with_a_damaged_plan_is_told_and_passed_over(tmp_path: Path) -> None:
    """By name: the file and what is wrong with it. Without a name: the newest that can be read."""
    make_run(tmp_path, OLDER)
    make_run(tmp_path, NEWER)
    (tmp_path / NEWER / "plan.json").write_text('{"run_id": "2026')

    assert choose_run(tmp_path, "").run_id == OLDER
    with pytest.raises(StoreError, match=r"plan\.json"):
        choose_run(tmp_path, NEWER)


def test_the_plans_cells_come_back_in_its_order(catalogue: Catalogue) -> None:
    """With the scenario as it was stored, not as its file is today."""
    plan = plan_of(catalogue)
    cells = cells_of_plan(catalogue, plan)

    assert [cell.cell_id for cell in cells] == [cell.cell_id for cell in plan.cells]
    assert cells[0].scenario == plan.scenarios["standard"]


def test_a_variant_that_is_gone_refuses(catalogue: Catalogue) -> None:
    """Its name is told."""
    plan = handmade_plan([handmade_cell("flask_on_the_moon")])
    with pytest.raises(UsageError, match="flask_on_the_moon is not among the variants"):
        cells_of_plan(catalogue, plan)


def test_another_server_under_the_same_name_refuses(catalogue: Catalogue) -> None:
    """A changed command line; a changed description is nothing to refuse for."""
    plan = plan_of(catalogue)
    refuse_other_servers(catalogue, plan)
    variant = catalogue.variants["go_net_http"]

    described = {**catalogue.variants, "go_net_http": variant.model_copy(update={"description": "told otherwise"})}
    refuse_other_servers(dataclasses.replace(catalogue, variants=described), plan)
    other = {**catalogue.variants, "go_net_http": variant.model_copy(update={"command": "/bin/other"})}
    with pytest.raises(UsageError, match="rounds of two different servers"):
        refuse_other_servers(dataclasses.replace(catalogue, variants=other), plan)


def test_other_hosts_refuse() -> None:
    """Another number of CPUs, or of generators."""
    plan = handmade_plan([handmade_cell()])
    refuse_other_hosts(HOSTS, plan)
    for changes in ({"server_cpus_count": 4}, {"generators": ("loadgen", "loadgen2")}):
        with pytest.raises(UsageError, match="the lab container has 1 CPU for the server, 1 CPU for loadgen now"):
            refuse_other_hosts(HOSTS, plan.model_copy(update=changes))


MADE = {
    "cpu": {"model": "EPYC", "mhz": 1},
    "kernel": {"release": "6.1.0-25"},
    "virtualisation": {"container": "nspawn"},
}


def environment_of(**facts: object) -> RunEnvironment:
    """A server made so."""
    return RunEnvironment(hosts=(HostEnvironment(host="server", group="server", facts=MADE | facts),))


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"cpu": {"model": "Xeon"}}, "cpu.model EPYC -> Xeon"),
        ({"kernel": {"release": "6.12.1"}}, "kernel.release 6.1.0-25 -> 6.12.1"),
        ({"virtualisation": {"container": "docker"}}, "virtualisation.container nspawn -> docker"),
    ],
)
def test_another_machine_under_the_same_name_refuses(facts: dict[str, object], text: str) -> None:
    """With what has changed, and exit status 1; forced, it is a sentence for the report."""
    with pytest.raises(OtherMachineError, match=rf"server is another machine .*{text}(?s:.*)--force") as told:
        other_machines(environment_of(), environment_of(**facts), is_forced=False)
    assert told.value.exit_status == 1
    forced = other_machines(environment_of(), environment_of(**facts), is_forced=True)
    assert forced == (f"server is another machine than the run began on: {text}",)


SOFTWARE = {
    "versions": {"nginx": "1.22.1"},
    "packages": {"nginx": "1.22.1-9"},
    "stacks": {"go_net_http": {"go": "go1.24.1"}, "flask": {"packages": {"gevent": "25.1"}, "python": "3.11.2"}},
    "wrk_build": {"polls_by": "epoll", "luajit": "2.1.0"},
    "openresty": {"source": "debian", "version": "1:0.10.23"},
    "sysctls": {"net.core.somaxconn": "65535", "vm.swappiness": "60"},
    "sysctls_before": {"net.core.somaxconn": "4096"},
}


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"versions": {"nginx": "1.22.2"}}, "versions.nginx 1.22.1 -> 1.22.2"),
        ({"packages": {"nginx": "1.22.1-10"}}, "packages.nginx 1.22.1-9 -> 1.22.1-10"),
        ({"stacks": {"go_net_http": {"go": "go1.25"}}}, "stacks.go_net_http.go go1.24.1 -> go1.25"),
        ({"stacks": {"flask": {"packages": {"gevent": "25.9"}}}}, "stacks.flask.packages.gevent 25.1 -> 25.9"),
        ({"wrk_build": {"polls_by": "epoll", "luajit": "2.1.1"}}, "wrk_build.luajit 2.1.0 -> 2.1.1"),
        ({"openresty": {"source": "openresty", "version": "1:0.10.23"}}, "openresty.source debian -> openresty"),
        ({"sysctls": {"net.core.somaxconn": "4096"}}, "sysctls.net.core.somaxconn 65535 -> 4096"),
    ],
)
def test_other_software_and_settings_refuse(facts: dict[str, object], text: str) -> None:
    """Half of a row's rounds by one nginx and half by another: with what has changed; forced, the report says so."""
    begun, now = environment_of(**SOFTWARE), environment_of(**(SOFTWARE | facts))
    assert other_machines(begun, begun, is_forced=False) == ()
    sentence = f"server has not the software and settings that the run began with: {text}"
    with pytest.raises(OtherMachineError, match=rf"{re.escape(sentence)}(?s:.*)--force"):
        other_machines(begun, now, is_forced=False)
    assert other_machines(begun, now, is_forced=True) == (sentence,)


def test_each_reason_is_told_by_host_and_long_lists_are_cut() -> None:
    """Another kernel and a dozen packages: two sentences; environment_2.json has the rest."""
    begun, now = (
        environment_of(kernel={"release": kernel}, packages={f"p{number:02}": version for number in range(12)})
        for kernel, version in (("6.1.0-25", "1"), ("6.12.1", "2"))
    )
    machine, software = other_machines(begun, now, is_forced=True)

    assert machine.endswith("began on: kernel.release 6.1.0-25 -> 6.12.1")
    assert software.endswith("packages.p06 1 -> 2, packages.p07 1 -> 2 and 4 more")


def test_stacks_that_the_run_does_not_use_may_change() -> None:
    """Its units say which it does."""
    now = environment_of(**(SOFTWARE | {"stacks": {"flask": {"packages": {"gevent": "25.9"}, "python": "3.11.2"}}}))
    begun = environment_of(**SOFTWARE)
    unit = UnitFile(path="/etc/x.service", text="[Service]\nExecStart=/opt/wrklab/stacks/go_net_http/app/server\n")

    assert other_machines(begun.model_copy(update={"units": {"go_net_http": (unit,)}}), now, is_forced=False) == ()
    flask = UnitFile(path="/etc/y.service", text="[Service]\nExecStart=/opt/wrklab/stacks/flask/venv/bin/gunicorn\n")
    with pytest.raises(OtherMachineError, match="gevent"):
        other_machines(begun.model_copy(update={"units": {"flask": (flask,)}}), now, is_forced=False)


def test_the_same_machine_may_have_changed_otherwise() -> None:
    """Clocks, settings that nobody tunes, the controller's packages, and what one of the two did not store."""
    now = environment_of(**(SOFTWARE | {"cpu": {"model": "EPYC", "mhz": 2}}))
    assert other_machines(environment_of(), now, is_forced=False) == ()
    assert other_machines(environment_of(cpu={}, virtualisation={}), now, is_forced=False) == ()

    settings = {"net.core.somaxconn": "65535", "vm.swappiness": "1"}
    begun = environment_of(**SOFTWARE).model_copy(update={"controller": {"packages": {"rich": "13"}}})
    later = environment_of(**(SOFTWARE | {"sysctls": settings})).model_copy(
        update={"controller": {"packages": {"rich": "14"}}}
    )
    assert other_machines(begun, later, is_forced=False) == ()


def test_half_written_cells_leave_nothing(tmp_path: Path) -> None:
    """Raw files of the cell that ended stay; those of the cell that did not are removed."""
    make_run(tmp_path, OLDER)
    with Run.open(tmp_path, OLDER) as run:
        ended, half = (cell.cell_id for cell in run.plan.cells)
        for cell_id in (ended, half):
            (run.raw_dir(cell_id) / "load.json").write_text("{}")
        drop_half_written(run)

        assert [path.name for path in (run.path / "raw").iterdir()] == [ended]


def test_one_process_writes_a_run(tmp_path: Path) -> None:
    """While one holds it, another that would go on with it is refused; afterwards it is not."""
    make_run(tmp_path, OLDER)
    with Run.open(tmp_path, OLDER) as first, Run.open(tmp_path, OLDER) as second:
        first.hold()
        with pytest.raises(StoreError, match="being written by another process"):
            second.hold()
    with Run.open(tmp_path, OLDER) as later:
        later.hold()


def test_what_changed_since_is_kept_with_the_run(tmp_path: Path) -> None:
    """The environment as it is now beside the first one; notes in the plan, so that every report has them."""
    make_run(tmp_path, OLDER)
    with Run.open(tmp_path, OLDER) as run:
        run.resumed(handmade_environment(), ["Resumed after a storm."])

    with Run.open(tmp_path, OLDER) as again:
        assert again.plan.notes[-1] == "Resumed after a storm."
        assert (again.path / "environment_2.json").is_file()
        assert [entry.text for entry in again.journal_entries() if entry.phase == "resumed"] == [
            "Resumed after a storm."
        ]


@pytest.mark.parametrize("words", [("--variant", "all"), ("--rounds", "1"), ("--lab", "vagrant"), ("--seed", "1")])
def test_resume_takes_no_other_flag(words: tuple[str, ...]) -> None:
    """The stored plan says it all: exit status 2."""
    done = invoke("bench", *words, "--resume")

    assert done.returncode == 2, done.stderr
    assert "as it was planned" in done.stderr


def test_an_unknown_run_cannot_be_resumed() -> None:
    """Exit status 2, and what is known."""
    done = invoke("bench", "--resume", "20010101T000000Z_0000")

    assert done.returncode == 2, done.stderr
    assert "unknown run" in done.stderr


def test_a_run_of_made_variants_is_resumed_from_its_plan(catalogue: Catalogue) -> None:
    """Their names say with which parameters; the servers are those of before."""
    name = "flask_gunicorn_gthread@threads=16,workers=2"
    plan = plan_of(catalogue.with_made([name]), name)

    made = made_again(catalogue, plan)

    assert {cell.variant.name for cell in cells_of_plan(made, plan)} == {name}
    refuse_other_servers(made, plan)


def test_a_made_variants_server_that_is_another_now_is_refused(catalogue: Catalogue) -> None:
    """The card's own workers were changed since: what was not given comes from there."""
    name = "flask_gunicorn_gthread@threads=16"
    plan = plan_of(catalogue.with_made([name]), name)
    base = catalogue.variants["flask_gunicorn_gthread"]
    assert base.serving is not None
    values = {**base.serving.values, "workers": parse_formula(8)}
    changed = base.model_copy(update={"serving": dataclasses.replace(base.serving, values=values)})
    other = dataclasses.replace(catalogue, variants={**catalogue.variants, base.name: changed})

    with pytest.raises(UsageError, match="cannot be resumed: the card, application or locked packages of flask_gunico"):
        refuse_other_servers(made_again(other, plan), plan)


def test_a_made_variant_that_cannot_be_made_any_more_is_refused(catalogue: Catalogue) -> None:
    """Its base is gone, or the recipe's parameter is."""
    plan = plan_of(catalogue.with_made(["flask_gunicorn_gthread@threads=16"]), "flask_gunicorn_gthread@threads=16")
    gone = dataclasses.replace(catalogue, variants={"go_net_http": catalogue.variants["go_net_http"]})

    with pytest.raises(UsageError, match=rf"run {plan.run_id} cannot be resumed: unknown variant 'flask_gunicorn_gth"):
        made_again(gone, plan)
