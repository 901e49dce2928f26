#!/usr/bin/python
"""Ansible module: systemd knows units as their files are now, and those that are to be stopped are."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from ansible.module_utils import systemctl as systemd
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.systemctl import SystemctlError, systemctl

DOCUMENTATION = r"""
module: unit_states
short_description: Brings what systemd knows and runs in line with unit files, many units in one call
description:
  - Depends on nothing but what systemd says about the units. So it makes up for a run that was interrupted after it
    changed files, which a handler does not.
options:
  known:
    description: Units that systemd is to know as their files are now; it reads all files again where it does not.
    type: list
    elements: str
    default: []
  stopped: {description: Units to stop and to forget the failure of., type: list, elements: str, default: []}
  enabled_started:
    description: Units to start, each only where the next boot would start it.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Let the masks hold
  unit_states:
    stopped: [fstrim.timer]
    known: [fstrim.timer]
"""

RETURN = r"""
stopped: {description: Units that were stopped., type: list, elements: str, returned: always}
reloaded: {description: Whether systemd read all files again., type: bool, returned: always}
started: {description: Units that were started., type: list, elements: str, returned: always}
"""

_PROPERTIES = "Id,LoadState,ActiveState,UnitFileState,WantedBy,FragmentPath,NeedDaemonReload"
_FOLDER = Path("/etc/systemd/system")
_IDLE = frozenset({"inactive", "failed"})


@dataclass(frozen=True)
class Unit:
    """What systemd says about a unit."""

    name: str
    load_state: str
    active_state: str
    unit_file_state: str
    wanted_by: str
    fragment_path: str
    needs_reload: bool

    def is_known_as_it_is(self) -> bool:
        """Whether systemd goes by the file that is there now: another one, none, or a mask."""
        if self.needs_reload:
            return False
        if _is_mask(self.name):
            return self.load_state == "masked"
        if self.load_state == "masked":
            return False
        return self.load_state != "not-found" or not (_FOLDER / self.name).exists()

    def is_started_at_boot(self) -> bool:
        """Whether it is enabled, or has no switch and comes with what wants it (systemd-tmpfiles-clean.timer)."""
        return self.unit_file_state == "enabled" or (self.unit_file_state == "static" and bool(self.wanted_by))


@dataclass
class Outcome:
    """What was done, or would be done in check mode."""

    stopped: list[str] = field(default_factory=list)
    reloaded: bool = False
    started: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether anything is another now."""
        return bool(self.stopped or self.reloaded or self.started)


def _is_mask(name: str) -> bool:
    """Whether the file that counts is a link to nothing."""
    path = _FOLDER / name
    return path.is_symlink() and str(path.readlink()) == "/dev/null"


def show(names: list[str]) -> list[Unit]:
    """What systemd says about units, in their order. Raises SystemctlError."""
    return [_unit(values) for values in systemd.show(names, _PROPERTIES)]


def _unit(values: dict[str, str]) -> Unit:
    try:
        return Unit(
            name=values["Id"],
            load_state=values["LoadState"],
            active_state=values["ActiveState"],
            unit_file_state=values["UnitFileState"],
            wanted_by=values.get("WantedBy", ""),
            fragment_path=values["FragmentPath"],
            needs_reload=values["NeedDaemonReload"] == "yes",
        )
    except KeyError as error:
        raise SystemctlError(f"systemctl show: no {error} in {values!r}"[:400]) from error


def settle(known: list[str], stopped: list[str], enabled_started: list[str], *, dry: bool) -> Outcome:
    """Stop, read the files again, start: each only where it is needed. Raises SystemctlError."""
    outcome = Outcome()
    # Before systemd reads the files: a timer that loses its file while it waits would count as failed.
    before = show(stopped)
    outcome.stopped = [unit.name for unit in before if unit.active_state not in _IDLE]
    failed = [unit.name for unit in before if unit.active_state == "failed"]
    if outcome.stopped and not dry:
        systemctl("stop", "--", *outcome.stopped)
    if not dry and (failed or outcome.stopped):
        # What did not end in order is failed now; one that is forgotten already is no trouble.
        failed = [unit.name for unit in show(stopped) if unit.active_state == "failed"]
        if failed:
            systemctl("reset-failed", "--", *failed)
    outcome.reloaded = not all(unit.is_known_as_it_is() for unit in show(known))
    if outcome.reloaded and not dry:
        systemctl("daemon-reload")
    waiting = [unit.name for unit in show(enabled_started) if unit.is_started_at_boot() and unit.active_state in _IDLE]
    if waiting and not dry:
        systemctl("start", "--", *waiting)
        # A condition of the unit may have kept it from starting, each time again.
        waiting = [unit.name for unit in show(waiting) if unit.active_state not in _IDLE]
    outcome.started = waiting
    return outcome


def main() -> None:
    """Settle, say what was done."""
    names = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(
        argument_spec={"known": names, "stopped": names, "enabled_started": names}, supports_check_mode=True
    )
    os.environ["LC_ALL"] = "C"
    try:
        outcome = settle(
            module.params["known"], module.params["stopped"], module.params["enabled_started"], dry=module.check_mode
        )
    except (SystemctlError, OSError) as error:
        module.fail_json(msg=f"unit_states: {error}")
    module.exit_json(
        changed=outcome.changed, stopped=outcome.stopped, reloaded=outcome.reloaded, started=outcome.started
    )


if __name__ == "__main__":
    main()
