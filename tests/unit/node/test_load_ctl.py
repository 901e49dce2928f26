"""The unit that a cell's load runs in."""

from __future__ import annotations

import io
import os
import pwd
from pathlib import Path

import pytest

from tests.unit.node.conftest import cell_folder
from wrklab.hosts.inventory import LabHost
from wrklab.hosts.node_calls import call_limit_s
from wrklab.hosts.remote import RemoteHost
from wrklab.node import load_ctl, node_io
from wrklab.protocol.codec import decode_json
from wrklab.protocol.load import LoadSpec


@pytest.mark.parametrize(("cpus", "affinity"), [([2, 3], ["CPUAffinity=2 3"]), ([], [])])
def test_a_load_keeps_to_the_cpus_of_its_generator(tmp_path: Path, cpus: list[int], affinity: list[str]) -> None:
    """To those that the inventory gives it; without any, to none in particular."""
    cell_folder(tmp_path, 8080, deadline_s=61.5, cpus=cpus)
    spec = decode_json(LoadSpec, (tmp_path / "spec.json").read_text())
    properties = load_ctl.unit_properties("/var/lib/wrklab/cells/c1", spec)

    assert [item for item in properties if item.startswith("CPUAffinity")] == affinity
    assert "RuntimeMaxSec=61.5" in properties


def test_a_load_runs_without_rights(tmp_path: Path) -> None:
    """As a user of its own that can write nothing but its cell's folder."""
    cell_folder(tmp_path, 8080)
    spec = decode_json(LoadSpec, (tmp_path / "spec.json").read_text())
    properties = load_ctl.unit_properties("/var/lib/wrklab/cells/c1", spec)

    assert {f"User={load_ctl.USER}", "CapabilityBoundingSet=", "NoNewPrivileges=yes"} <= set(properties)
    assert "ProtectSystem=strict" in properties
    assert [item for item in properties if item.startswith("ReadWritePaths")] == [
        "ReadWritePaths=/var/lib/wrklab/cells/c1"
    ]


def test_a_host_without_that_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rather than run the load as root."""
    monkeypatch.setattr(load_ctl, "USER", "nobody_has_this_name")
    with pytest.raises(SystemExit):
        load_ctl._give_to_load_user(str(tmp_path))
    assert "`invoke provision` makes it" in capsys.readouterr().out


def test_a_spec_with_secrets_is_for_the_loads_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither other users nor the process list have it: it comes as a line of standard input."""
    monkeypatch.setattr(load_ctl, "USER", pwd.getpwuid(os.getuid()).pw_name)
    monkeypatch.setattr("sys.stdin", io.StringIO("eyJhIjogMX0=\nmore\n"))

    assert load_ctl._line_of_input() == "eyJhIjogMX0="
    load_ctl._write_spec(str(tmp_path / "spec.json"), '{"a": 1}')
    assert (tmp_path / "spec.json").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "spec.json").read_text() == '{"a": 1}'


def test_a_spec_that_is_too_long_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before it takes this host's memory."""
    monkeypatch.setattr(load_ctl, "_LINE_MAX_CHARS", 10)
    monkeypatch.setattr("sys.stdin", io.StringIO("x" * 50))
    with pytest.raises(SystemExit):
        load_ctl._line_of_input()
    assert "more than 10 characters" in capsys.readouterr().out


def test_a_call_outlasts_the_commands_of_its_script() -> None:
    """So that the script says which of them hung."""
    host = LabHost("server", "server", "192.0.2.1", "192.0.2.1", "root", 22, None, None, None, (), "own", "ssh")
    assert call_limit_s(RemoteHost(host)) > node_io.COMMAND_LIMIT_S
