"""When the container lab is brought up without a playbook, and with which variables otherwise. Nothing is touched."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from container_lab import network, plan

from wrklab.hosts import container_lab
from wrklab.hosts.ansible import PlaybookResult

NODES = {"server": "10.86.77.11", "loadgen": "10.86.77.21"}
RULES = f'table ip wrklab {{\n\tip saddr 10.86.77.0/24 masquerade comment "{network.definition()}"\n}}\n'

Played = list[Mapping[str, object]]


def write_lab_file(path: Path, table: str = RULES, **request: object) -> None:
    """lab.json of a lab whose nodes are this very process, made with a table that nft listed so."""
    host = {
        "cpus": [0],
        "cpu_separation": "cpuset",
        "clone": "overlay",
        "descriptor_ceiling": 4096,
        "pid": os.getpid(),
        "start_ticks": container_lab._start_ticks(os.getpid()),
    }
    content = {
        "network": "10.86.77.0/24",
        "hosts": {name: host | {"group": name, "address": address} for name, address in NODES.items()},
        "table_sha256": sha256(table.encode()).hexdigest(),
        "cpus_shared": False,
        "usable_cpus": sorted(os.sched_getaffinity(0)),
        "created_at": 1000.0,
        "request": {"network": "10.86.77", "loadgens": 1, "server_cpus": [], "loadgen_cpus": []} | request,
    }
    path.write_text(json.dumps(content))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for this machine, with a whole lab."""
    for node in NODES:
        (tmp_path / "brif" / f"vb-{node}").mkdir(parents=True)
    (tmp_path / "ip_forward").write_text("1\n")
    write_lab_file(tmp_path / "lab.json")
    monkeypatch.delenv("LAB_NET", raising=False)
    monkeypatch.setattr(container_lab, "LAB_FILE", tmp_path / "lab.json")
    monkeypatch.setattr(container_lab, "_BRIDGE_FOLDER", tmp_path)
    monkeypatch.setattr(container_lab, "_FORWARDING", tmp_path / "ip_forward")
    monkeypatch.setattr(container_lab, "greets", lambda address, port=22: True)
    monkeypatch.setattr(container_lab, "_nft_table", lambda: RULES)
    return tmp_path


@pytest.fixture
def played(machine: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    """The variables of each playbook that would have run."""
    found: Played = []

    def play(name: str, lab: str, variables: Mapping[str, object], on_task: Any) -> PlaybookResult:  # noqa: ANN401
        found.append(variables)
        return PlaybookResult(playbook=name, changed={"controller": 1}, took_s=0.0, log_path=machine / "log")

    monkeypatch.setattr(container_lab, "run_playbook", play)
    return found


def test_the_names_are_the_roles() -> None:
    """The door looks at the bridge and the table that the role makes."""
    assert (container_lab.BRIDGE, container_lab.TABLE) == (plan.BRIDGE, network.TABLE)
    assert container_lab.LAB_FILE == plan.STATE / "lab.json"
    assert container_lab.MOST_GENERATORS == plan.MOST_GENERATORS


def test_a_whole_lab_needs_no_playbook(played: Played) -> None:
    """Asked for anything that is there, `up` says that nothing changed."""
    assert not container_lab.up().changed
    assert not container_lab.up(loadgens=1).changed
    assert played == []


@pytest.mark.parametrize(
    "rules",
    ["", "table ip wrklab {\n}\n", RULES.replace("10.86.77", "10.86.78"), RULES.replace("masquerade", "accept")],
)
def test_a_lost_or_strange_table_is_noticed(played: Played, monkeypatch: pytest.MonkeyPatch, rules: str) -> None:
    """A reloaded firewall, an empty table, one of another network, or one that somebody changed."""
    monkeypatch.setattr(container_lab, "_nft_table", lambda: rules)

    assert container_lab.up().changed
    assert len(played) == 1


def test_the_table_of_another_version_is_noticed(
    machine: Path, played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is as it was loaded, and not what this version would load; and in a lab of before tables were recorded."""
    older = RULES.replace(network.definition(), "0123456789abcdef")
    write_lab_file(machine / "lab.json", older)
    monkeypatch.setattr(container_lab, "_nft_table", lambda: older)
    assert container_lab.up().changed

    content = json.loads((machine / "lab.json").read_text())
    del content["table_sha256"]
    (machine / "lab.json").write_text(json.dumps(content))
    monkeypatch.setattr(container_lab, "_nft_table", lambda: RULES)
    assert container_lab.up().changed
    assert len(played) == 2


def test_a_lost_bridge_is_noticed(machine: Path, played: Played) -> None:
    """Neither its absence nor a bridge without the nodes is taken for whole."""
    (machine / "brif" / "vb-loadgen").rmdir()
    assert container_lab.up().changed
    (machine / "brif" / "vb-server").rmdir()
    (machine / "brif").rmdir()
    assert container_lab.up().changed


def test_lost_forwarding_is_noticed(machine: Path, played: Played) -> None:
    """Nodes would not reach the outside."""
    (machine / "ip_forward").write_text("0\n")

    assert container_lab.up().changed


def test_another_network_is_noticed(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    """LAB_NET other than the lab's own."""
    monkeypatch.setenv("LAB_NET", "10.86.78")

    assert container_lab.up().changed


def test_a_lab_keeps_its_shape(machine: Path, played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made with more generators or other CPUs it counts as whole, and is repaired to the same."""
    write_lab_file(machine / "lab.json", loadgens=2, server_cpus=[3])
    assert not container_lab.up().changed

    monkeypatch.setattr(container_lab, "_nft_table", lambda: "")
    container_lab.up()
    container_lab.up(loadgens=1)

    assert played == [
        {"container_lab_loadgens": 2, "container_lab_server_cpus": [3]},
        {"container_lab_loadgens": 1},
    ]


def test_a_server_takes_all_cpus_for_as_long_as_it_is_requested(machine: Path, played: Played) -> None:
    """The next `up` without the request puts the usual CPUs back, and keeps what else the lab was made with."""
    write_lab_file(machine / "lab.json", loadgens=2)
    container_lab.up(server_takes_all_cpus=True)
    write_lab_file(machine / "lab.json", loadgens=2, server_takes_all_cpus=True)
    assert not container_lab.up(server_takes_all_cpus=True).changed
    container_lab.up()
    container_lab.up(loadgens=2)

    assert played == [
        {"container_lab_loadgens": 2, "container_lab_server_takes_all_cpus": True},
        {"container_lab_loadgens": 2},
        {"container_lab_loadgens": 2},
    ]


@pytest.mark.parametrize("text", [None, "{"])
def test_a_lab_that_is_not_there_takes_the_roles_variables(machine: Path, played: Played, text: str | None) -> None:
    """Neither without lab.json nor with a broken one does the door decide in place of the inventory."""
    if text is None:
        (machine / "lab.json").unlink()
    else:
        (machine / "lab.json").write_text(text)

    assert container_lab.up().changed
    assert played == [{}]


@pytest.mark.parametrize("program", ["exit 1", "echo strange; exit 1"])
def test_what_nft_does_not_tell_is_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """A failing or missing nft (or sudo) is not taken for a table."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not container_lab._nft_table()
    for name in ("nft", "sudo"):
        (tmp_path / name).write_text(f"#!/bin/sh\n{program}\n")
        (tmp_path / name).chmod(0o755)

    assert not container_lab._nft_table()


@pytest.mark.parametrize(
    ("before", "now", "chosen", "is_remade"),
    [({0}, {0, 1}, [], True), ({0, 1}, {0, 1}, [], False), ({0, 1}, {0}, [], False), ({0}, {0, 1}, [0], False)],
)
def test_a_lab_of_fewer_cpus_than_there_are_is_made_again(  # noqa: PLR0913  fixtures, and one case a row
    machine: Path,
    played: Played,
    *,
    monkeypatch: pytest.MonkeyPatch,
    before: set[int],
    now: set[int],
    chosen: list[int],
    is_remade: bool,
) -> None:
    """As after `taskset -c 0 ./inv lab.up`; one who has fewer for a while, or chose them, keeps the lab."""
    write_lab_file(machine / "lab.json", server_cpus=chosen, loadgen_cpus=chosen)
    content = json.loads((machine / "lab.json").read_text())
    (machine / "lab.json").write_text(json.dumps(content | {"usable_cpus": sorted(before)}))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: now)

    container_lab.up()

    assert bool(played) == is_remade


def test_a_lab_gets_a_node_for_backends_and_keeps_it(machine: Path, played: Played) -> None:
    """Asked for where there is none it is made; later commands repair a lab with it, whatever else they want."""
    assert container_lab.up(backends=True).changed
    write_lab_file(machine / "lab.json", backends=True)
    assert not container_lab.up(backends=True).changed
    assert not container_lab.up().changed
    (machine / "ip_forward").write_text("0\n")
    container_lab.up()
    container_lab.up(loadgens=2)

    assert [variables.get("container_lab_backends") for variables in played] == [True, True, True]
