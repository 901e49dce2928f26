"""What differs between two environments, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.handmade_records import handmade_cell, handmade_environment, handmade_plan
from wrklab.results.environment_changes import VOLATILE_KEYS, Change, environment_changes, fact_changes, plan_changes
from wrklab.results.records import HostEnvironment, RunEnvironment, UnitFile


def server(**facts: Any) -> RunEnvironment:  # noqa: ANN401  facts are whatever a host tells
    """A run with one host."""
    return RunEnvironment(hosts=(HostEnvironment(host="server", group="server", facts=facts),))


def test_the_same_environment_has_no_changes() -> None:
    """Hosts, stacks and controller alike."""
    assert environment_changes(handmade_environment(), handmade_environment()) == ()


def test_a_change_is_told_where_it_is() -> None:
    """By host and dotted key, with both values; facts that are the same are left out."""
    old = server(kernel="6.1", sysctls={"net.core.somaxconn": "4096", "vm.swappiness": "60"}, cpus_given=[0])
    new = server(kernel="6.1", sysctls={"net.core.somaxconn": "65535", "vm.swappiness": "60"}, cpus_given=[0, 1])

    assert environment_changes(old, new) == (
        Change("server", "sysctls.net.core.somaxconn", "4096", "65535"),
        Change("server", "cpus_given", "0", "0, 1"),
    )


def test_what_one_run_lacks_is_a_dash() -> None:
    """A host, a package, a fact that only one of them has."""
    old = server(packages={"flask": "3.1.2", "gevent": "25.1"})
    new = server(packages={"flask": "3.1.2"})

    assert environment_changes(old, new) == (Change("server", "packages.gevent", "25.1", "-"),)
    assert environment_changes(old, RunEnvironment())[0] == Change("server", "group", "server", "-")


def test_the_controllers_checkout_is_told() -> None:
    """Another commit, and whether it was changed since."""
    old, new = (RunEnvironment(controller={"git": {"commit": name, "is_dirty": False}}) for name in ("0123", "4567"))

    assert environment_changes(old, new) == (Change("controller", "git.commit", "0123", "4567"),)


@pytest.mark.parametrize("key", sorted(VOLATILE_KEYS))
def test_what_changes_by_itself_is_left_out(key: str) -> None:
    """At any depth."""
    assert fact_changes("server", {key: 1, "deep": {key: 2}}, {key: 3, "deep": {key: 4}}) == ()


def test_of_long_texts_only_the_lines_that_changed_are_told() -> None:
    """A unit's file of which one line differs."""
    old, new = (f"[Service]\nExecStart=/bin/app -w {workers}\nUser=wrklab\n" for workers in (4, 8))

    assert fact_changes("server", {"unit": old}, {"unit": new}) == (
        Change("server", "unit", "ExecStart=/bin/app -w 4", "ExecStart=/bin/app -w 8"),
    )


def test_a_units_file_that_changed_is_told() -> None:
    """By variant and path, with the lines that changed; a variant of one run only is told as a row, not here."""
    old, new = (
        RunEnvironment(
            units={
                "v": (UnitFile(path="/etc/v.service", text=f"[Service]\nLimitNOFILE={limit}\n"),),
                f"only_{limit}": (UnitFile(path="/etc/only.service", text="[Service]\n"),),
            }
        )
        for limit in (1024, 4096)
    )

    assert environment_changes(old, new) == (Change("v", "/etc/v.service", "LimitNOFILE=1024", "LimitNOFILE=4096"),)


def test_the_labs_shape_is_told() -> None:
    """Other CPUs are another lab, whatever its name."""
    cells = [handmade_cell()]

    assert plan_changes(handmade_plan(cells), handmade_plan(cells, server_cpus_count=4, seed=8)) == (
        Change("lab", "server_cpus_count", "1", "4"),
    )
