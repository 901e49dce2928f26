"""What somebody changed by hand on a server is found before a run, and shown."""

from __future__ import annotations

from typing import Any, cast

import pytest
from rich.console import Console

from tests.unit.hosts.test_preflight import HOST
from wrklab.catalogue.catalogue import read_catalogue
from wrklab.catalogue.deployment import lock_text, locked_versions
from wrklab.catalogue.unit import HostGrant, unit_text
from wrklab.errors import OtherMachineError
from wrklab.hosts import node_calls, ready
from wrklab.hosts.as_deployed import Difference, deployed_differences, unit_differences
from wrklab.hosts.inventory import LabHosts
from wrklab.hosts.remote import CommandResult
from wrklab.hosts.session import Session
from wrklab.paths import PROJECT_DIR
from wrklab.results.records import UnitFile

CATALOGUE = read_catalogue()
VARIANT = CATALOGUE.variants["flask_gunicorn_gevent"]
STACK = CATALOGUE.stacks[VARIANT.stack]
GRANT = HostGrant(cpus_count=1, cpus=HOST.cpus, descriptors_count=4096, user="wrklab_app")
TEXT = unit_text(STACK, VARIANT, GRANT)
PATH = f"/etc/systemd/system/{VARIANT.unit}"


def found(*files: UnitFile) -> list[Difference]:
    """What is said of a unit with these files."""
    return list(unit_differences("server", VARIANT.unit, TEXT, files))


def test_a_unit_as_it_was_deployed_has_no_difference() -> None:
    """Nor has one with a drop-in for all services of the host."""
    assert found(UnitFile(path=PATH, text=TEXT)) == []
    for_all = UnitFile(
        path="/run/systemd/system/service.d/zzz-lxc-service.conf", text="[Service]\nProtectProc=default\n"
    )
    assert found(UnitFile(path=PATH, text=TEXT), for_all) == []


def test_an_edited_unit_is_shown_line_by_line() -> None:
    """Eight workers instead of one."""
    (one,) = found(UnitFile(path=PATH, text=TEXT.replace("\nExecStart=", "\nExecStart=/usr/bin/taskset -c 8 ")))
    assert one.summary.startswith(f"server: {PATH} was changed since it was deployed: -ExecStart=")
    assert any(line.startswith("+ExecStart=") and "8" in line for line in one.diff)
    assert str(one).count("\n") == len(one.diff)


@pytest.mark.parametrize("folder", ["/etc/systemd/system", "/run/systemd/system", "/run/systemd/system.control"])
def test_a_drop_in_is_shown(folder: str) -> None:
    """Also one that `systemctl set-property --runtime` made."""
    drop_in = UnitFile(path=f"{folder}/{VARIANT.unit}.d/50.conf", text="[Service]\n\nCPUQuota=10%\n")
    (one,) = found(UnitFile(path=PATH, text=TEXT), drop_in)
    assert one.summary == f"server: {drop_in.path} changes {VARIANT.unit}: [Service]; CPUQuota=10%"


def test_a_unit_that_is_missing_or_elsewhere_is_named() -> None:
    """A file below /run stands before that below /etc only for some; whichever systemd reads is told."""
    assert "systemd does not know it" in found()[0].summary
    assert "systemd reads it from /run/x" in found(UnitFile(path="/run/x", text=TEXT))[0].summary


class Server:
    """A server whose systemd says this."""

    name = "server"
    timeout_scale = 1.0

    def __init__(self, needs_reload: str) -> None:
        self._needs_reload = needs_reload

    def run(self, argv: list[str], *, limit_s: float) -> CommandResult:
        return CommandResult("server", "", 0, f"Id={argv[-1]}\nNeedDaemonReload={self._needs_reload}\n", "", 0.0)


def session(needs_reload: str = "no") -> Session:
    """A session with that server."""
    hosts = LabHosts("mylab", "ssh", HOST, (HOST,))
    return Session(CATALOGUE, hosts, cast("Any", Server(needs_reload)), ())


def environment(**packages: str) -> dict[str, Any]:
    """Of a server with what is locked, but for these packages."""
    locked = locked_versions(lock_text(PROJECT_DIR, STACK))
    return {
        "cpu": {"allowed": [0]},
        "limits": {"unit_descriptors_max": 4096, "local_ports_count": 28000},
        "stacks": {STACK.name: {"packages": locked | packages}},
    }


@pytest.fixture
def as_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose unit is as it was deployed."""
    files = {VARIANT.unit: [UnitFile(path=PATH, text=TEXT)]}
    monkeypatch.setattr(node_calls, "unit_files", lambda host, units: files)


@pytest.mark.usefixtures("as_rendered")
def test_other_software_and_a_unit_that_was_not_read_again_are_found() -> None:
    """A package put into the venv by hand; a file restored without a word to systemd."""
    assert deployed_differences(session(), environment(), [VARIANT]) == ()
    (one,) = deployed_differences(session(), environment(flask="3.0.0"), [VARIANT])
    assert "server: stack flask has other software than its lock: flask 3.0.0 (" in one.summary
    (one,) = deployed_differences(session("yes"), environment(), [VARIANT])
    assert "systemd has read" in one.summary
    (one,) = deployed_differences(session(), environment() | {"stacks": {}}, [VARIANT])
    assert "flask is missing (" in one.summary


@pytest.mark.usefixtures("as_rendered")
def test_a_run_on_what_was_changed_is_refused_and_forced_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """With every difference and the next step; the report's sentence has one line."""
    facts = {HOST.name: environment(flask="3.0.0")}
    console = Console(width=200)
    with pytest.raises(OtherMachineError, match=r"flask 3\.0\.0 \((?s:.*)`invoke deploy --lab mylab` puts units"):
        ready._refuse_what_was_changed(session(), facts, [VARIANT], console, is_forced=False)
    (reason,) = ready._refuse_what_was_changed(session(), facts, [VARIANT], console, is_forced=True)
    assert reason.startswith("server: stack flask has other software than its lock")
    assert "\n" not in reason
    assert "Measured by --force although server: stack flask" in capsys.readouterr().out
