"""The module unit_states, against a systemctl that keeps units in a file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.unit.ansible_parts import load_plugin
from wrklab.paths import PLAYBOOKS_DIR

#: Keeps units by name in units.json next to it, and writes each command that changes something to calls.
SYSTEMCTL = f"""#!{sys.executable}
import json, sys
from pathlib import Path
here = Path(__file__).parent
units = json.loads((here / "units.json").read_text())
verb, *names = [word for word in sys.argv[1:] if word != "--" and not word.startswith("--property")]
if verb == "show":
    absent = {{"LoadState": "not-found", "ActiveState": "inactive", "UnitFileState": "", "NeedDaemonReload": "no"}}
    blocks = [{{"Id": name, "FragmentPath": "", **absent, **units.get(name, {{}})}} for name in names]
    print("\\n\\n".join("\\n".join(f"{{key}}={{value}}" for key, value in block.items()) for block in blocks))
    sys.exit()
with (here / "calls").open("a") as calls:
    calls.write(" ".join([verb, *names]) + "\\n")
missing = [name for name in names if name not in units]
if missing:
    sys.exit(f"Unit {{missing[0]}} not loaded.")
for name in names:
    units[name]["ActiveState"] = {{"stop": "inactive", "reset-failed": "inactive", "start": "active"}}[verb]
    if verb == "start" and "condition" in units[name]:
        units[name]["ActiveState"] = "inactive"
if verb == "daemon-reload":
    for name, unit in units.items():
        unit.update(NeedDaemonReload="no", LoadState="masked" if (here / name).is_symlink() else "loaded")
(here / "units.json").write_text(json.dumps(units))
"""
LOADED = {
    "LoadState": "loaded",
    "ActiveState": "inactive",
    "UnitFileState": "enabled",
    "WantedBy": "timers.target",
    "NeedDaemonReload": "no",
}


class Host:
    """A host's unit files, what systemd knows, and the commands that changed something."""

    def __init__(self, folder: Path, module: ModuleType) -> None:
        """Without units."""
        self.folder, self.module = folder, module
        (folder / "systemctl").write_text(SYSTEMCTL)
        (folder / "systemctl").chmod(0o755)
        self.write({})

    def write(self, units: dict[str, dict[str, str]]) -> None:
        """What systemd knows from here on."""
        (self.folder / "units.json").write_text(json.dumps(units))

    def settle(
        self,
        known: list[str] | None = None,
        stopped: list[str] | None = None,
        started: list[str] | None = None,
        *,
        dry: bool = False,
    ) -> Any:  # noqa: ANN401
        """What the module does for these names."""
        return self.module.settle(known or [], stopped or [], started or [], dry=dry)

    def calls(self) -> list[str]:
        """The commands that changed something."""
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host of the test's own."""
    module = load_plugin(PLAYBOOKS_DIR / "library/unit_states.py")
    monkeypatch.setattr(module, "_FOLDER", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return Host(tmp_path, module)


def test_a_mask_that_was_made_before_an_interruption_is_made_to_hold(host: Host) -> None:
    """The link stands, so no task changes a file: what systemd knows says what there is to do."""
    host.write({"fstrim.timer": {**LOADED, "ActiveState": "active"}})
    (host.folder / "fstrim.timer").symlink_to("/dev/null")

    outcome = host.settle(known=["fstrim.timer"], stopped=["fstrim.timer"])

    assert (outcome.stopped, outcome.reloaded) == (["fstrim.timer"], True)
    assert host.calls() == ["stop fstrim.timer", "daemon-reload"]
    assert not host.settle(known=["fstrim.timer"], stopped=["fstrim.timer"]).changed


def test_units_that_were_written_before_an_interruption_are_read(host: Host) -> None:
    """A new file that systemd does not know, and one that it knows as it was."""
    (host.folder / "wrklab-new.service").touch()
    assert host.settle(known=["wrklab-new.service"]).reloaded

    host.write({"wrklab-a.service": {**LOADED, "NeedDaemonReload": "yes"}})
    assert host.settle(known=["wrklab-a.service"], dry=True).reloaded
    assert host.settle(known=["wrklab-a.service"]).reloaded
    assert not host.settle(known=["wrklab-a.service"]).changed


def test_a_unit_without_a_file_is_no_reason_to_read_all_again(host: Host) -> None:
    """It is gone, and systemd knows that."""
    assert not host.settle(known=["wrklab-gone.service"], stopped=["wrklab-gone.service"]).changed
    assert host.calls() == []


def test_timers_start_again_after_an_interrupted_reset(host: Host) -> None:
    """The masks are gone and systemd goes by them still; what a boot would start does, and only what can, once."""
    masked = {**LOADED, "LoadState": "masked"}
    host.write(
        {
            "man-db.timer": masked,
            "off.timer": {**masked, "UnitFileState": "disabled"},
            "never.timer": {**masked, "condition": "no"},
            "with_systemd.timer": {**masked, "UnitFileState": "static"},
            "by_hand.timer": {**masked, "UnitFileState": "static", "WantedBy": ""},
        }
    )
    names = ["man-db.timer", "off.timer", "never.timer", "with_systemd.timer", "by_hand.timer"]

    first = host.settle(known=names, started=names)
    second = host.settle(known=names, started=names)

    assert (first.reloaded, first.started) == (True, ["man-db.timer", "with_systemd.timer"])
    assert second.changed is False


def test_the_failure_of_a_stopped_unit_is_forgotten(host: Host) -> None:
    """Otherwise systemd would keep a unit whose file is gone."""
    host.write({"wrklab-a.service": {**LOADED, "ActiveState": "failed"}})

    assert not host.settle(stopped=["wrklab-a.service"]).changed
    assert host.calls() == ["reset-failed wrklab-a.service"]


def test_a_look_changes_nothing(host: Host) -> None:
    """In check mode."""
    host.write({"wrklab-a.service": {**LOADED, "ActiveState": "active"}})

    assert host.settle(stopped=["wrklab-a.service"], dry=True).stopped == ["wrklab-a.service"]
    assert host.calls() == []


def test_what_systemctl_says_is_the_error(host: Host) -> None:
    """With the command."""
    with pytest.raises(host.module.SystemctlError, match=r"stop x.service: exit status 1, said: Unit x.service"):
        host.module.systemctl("stop", "x.service")
