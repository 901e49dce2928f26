"""The module running_units, against a systemctl that keeps units in a file and processes in a folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.unit.ansible_parts import load_plugin
from wrklab.paths import PLAYBOOKS_DIR

#: Keeps units by name in units.json next to it. A start gives a process with the configuration that the unit names.
SYSTEMCTL = f"""#!{sys.executable}
import json, sys
from pathlib import Path
here = Path(__file__).parent
units = json.loads((here / "units.json").read_text())
verb, *names = [word for word in sys.argv[1:] if word != "--" and not word.startswith("--property")]
if verb == "show":
    print("\\n".join(f"{{key}}={{value}}" for key, value in {{"Id": names[0], **units[names[0]]}}.items()))
    sys.exit()
with (here / "calls").open("a") as calls:
    calls.write(" ".join([verb, *names]) + "\\n")
if verb == "daemon-reload":
    for unit in units.values():
        unit["NeedDaemonReload"] = "no"
for name in names:
    unit = units[name]
    if verb == "enable":
        unit["UnitFileState"] = "enabled"
    elif unit.get("fails"):
        sys.exit("Job failed.")
    else:
        unit.update(ActiveState="active", MainPID="7")
        (here / "proc/7").mkdir(parents=True, exist_ok=True)
        (here / "proc/7/environ").write_bytes(f"A=b\\0WRKLAB_CONFIG={{unit['config']}}\\0".encode())
(here / "units.json").write_text(json.dumps(units))
"""
UNIT = {
    "ActiveState": "inactive",
    "UnitFileState": "disabled",
    "NeedDaemonReload": "no",
    "MainPID": "0",
    "config": "new",
}


class Host:
    """A host's units, and the commands that changed something."""

    def __init__(self, folder: Path, module: ModuleType) -> None:
        """One unit that was written just now."""
        self.folder, self.module = folder, module
        (folder / "systemctl").write_text(SYSTEMCTL)
        (folder / "systemctl").chmod(0o755)
        self.write(UNIT)

    def write(self, unit: dict[str, str]) -> None:
        """What systemd knows of it from here on."""
        (self.folder / "units.json").write_text(json.dumps({"a.service": unit}))

    def settle(self, *, dry: bool = False) -> Any:  # noqa: ANN401
        """What the module does for the configuration `new`."""
        return self.module.settle({"a.service": "new"}, dry=dry)

    def calls(self) -> list[str]:
        """The commands that changed something."""
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host of the test's own."""
    module = load_plugin(PLAYBOOKS_DIR / "library/running_units.py")
    monkeypatch.setattr(module, "_PROC", tmp_path / "proc")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return Host(tmp_path, module)


def test_a_new_unit_is_enabled_and_started_once(host: Host) -> None:
    """A second time there is nothing to do."""
    first = host.settle()

    assert (first.reloaded, first.enabled, first.started) == (False, ["a.service"], ["a.service"])
    assert host.calls() == ["enable a.service", "restart a.service"]
    assert not host.settle().changed


def test_a_process_of_an_older_configuration_is_started_again(host: Host) -> None:
    """Also where an earlier run was cut off after it wrote the files: no task changed anything then."""
    host.settle()
    (host.folder / "proc/7/environ").write_bytes(b"WRKLAB_CONFIG=old\0")

    assert host.settle().started == ["a.service"]
    assert not host.settle().changed


def test_a_changed_unit_file_is_read_before_the_start(host: Host) -> None:
    """Otherwise systemd would start what it read before."""
    host.write({**UNIT, "NeedDaemonReload": "yes", "UnitFileState": "enabled"})

    assert host.settle().reloaded
    assert host.calls() == ["daemon-reload", "restart a.service"]


def test_a_process_that_has_ended_is_started(host: Host) -> None:
    """Whatever systemd believes: its process is not there."""
    host.settle()
    (host.folder / "proc/7/environ").unlink()

    assert host.settle().started == ["a.service"]


def test_a_look_changes_nothing(host: Host) -> None:
    """In check mode."""
    assert host.settle(dry=True).started == ["a.service"]
    assert host.calls() == []


def test_a_unit_that_does_not_start_is_an_error(host: Host) -> None:
    """With what systemctl said."""
    host.write({**UNIT, "fails": "yes"})

    with pytest.raises(host.module.SystemctlError, match=r"restart -- a\.service: exit status 1, said: Job failed\."):
        host.settle()
