"""`invoke cleanup`: each host by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from tests.unit.handmade_messages import handmade_cleaned_host
from tests.unit.hosts.test_remote import host_at
from wrklab.cli import provisioning
from wrklab.errors import HostError, ParseError, WrklabError
from wrklab.hosts.inventory import LabHost, LabHosts
from wrklab.hosts.remote import CommandResult, RemoteHost
from wrklab.protocol.server import CleanedHost


@pytest.fixture
def cleaned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], dict[str, WrklabError]]:
    """The hosts of a lab of three that were cleaned up, and why those cannot be that are in the second."""
    done: list[str] = []
    problems: dict[str, WrklabError] = {}

    def clean_up_on(host: LabHost, *, by_force: bool) -> CleanedHost:
        assert by_force
        if host.name in problems:
            raise problems[host.name]
        done.append(host.name)
        return handmade_cleaned_host(ended=("wrklab-x.service",))

    server = host_at(22, tmp_path)
    generators = tuple(replace(server, name=name, group="loadgen") for name in ("loadgen_1", "loadgen_2"))
    lab = LabHosts(lab="mylab", kind="container", server=server, generators=generators)
    monkeypatch.setattr(provisioning, "read_hosts", lambda _: lab)
    monkeypatch.setattr(provisioning, "inventory_path", lambda _: None)
    monkeypatch.setattr(provisioning, "_clean_up_on", clean_up_on)
    return done, problems


def test_a_host_that_is_down_keeps_no_other_from_being_cleaned_up(
    cleaned: tuple[list[str], dict[str, WrklabError]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that answer are cleaned up; those that do not, or say nonsense, are named; the exit status is 1."""
    done, problems = cleaned
    hosts = ["server", "loadgen_1", "loadgen_2"]
    problems |= {hosts[0]: HostError(f"{hosts[0]}: no route"), hosts[2]: ParseError(f"{hosts[2]}: answered no JSON")}
    with pytest.raises(
        HostError, match=rf"(?s){hosts[0]}: no route.*{hosts[2]}: answered no JSON.*not cleaned"
    ) as told:
        provisioning.clean_up("mylab", by_force=True)
    assert done == [hosts[1]]
    assert told.value.exit_status == 1
    assert f"{hosts[1]}: ended wrklab-x.service" in capsys.readouterr().err


def test_all_hosts_are_cleaned_up(cleaned: tuple[list[str], dict[str, WrklabError]]) -> None:
    """Without a problem nothing is raised."""
    provisioning.clean_up("mylab", by_force=True)
    assert cleaned[0] == ["server", "loadgen_1", "loadgen_2"]


def test_a_host_that_was_never_provisioned_has_a_next_step(tmp_path: Path) -> None:
    """No word of a script that cannot be opened."""

    class Bare:
        name, timeout_scale = "server", 1.0
        host = host_at(22, tmp_path)

        def run(self, argv: list[str], *, limit_s: float, check: bool) -> CommandResult:
            return CommandResult("server", " ".join(argv), 1, "", "", 0.0)

    with pytest.raises(HostError, match=r"server_ctl\.py is not there: the host is not provisioned.*`invoke provision"):
        provisioning._require_scripts(cast("RemoteHost", Bare()))
