#!/usr/bin/python
"""Ansible module: units are enabled, and run with the configuration that is there now."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ansible.module_utils import systemctl as systemd
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.systemctl import SystemctlError, systemctl

DOCUMENTATION = r"""
module: running_units
short_description: Keeps services enabled, and running with the configuration that is there now
description:
  - Each unit writes the digest of its configuration into C(started_with) in its runtime directory (C(/run/NAME)) as it
    starts. One that was started with another configuration is started again. So it depends on nothing but what runs,
    and makes up for a run that was interrupted after it changed files, which a handler does not.
options:
  units:
    description: The units.
    type: list
    elements: dict
    required: true
    suboptions:
      name: {description: Name of the unit., type: str, required: true}
      digest: {description: Digest of its configuration, as its unit file has it., type: str, required: true}
"""

EXAMPLES = r"""
- name: Run the service
  running_units:
    units:
      - {name: wrklab_redis.service, digest: 5e8e}
"""

RETURN = r"""
reloaded: {description: Whether systemd read all files again., type: bool, returned: always}
enabled: {description: Units that were enabled., type: list, elements: str, returned: always}
started: {description: Units that were started or restarted., type: list, elements: str, returned: always}
"""

_PROPERTIES = "Id,ActiveState,UnitFileState,NeedDaemonReload"
_RUN = Path("/run")
_JOURNAL_LINES = 15


@dataclass(frozen=True)
class Outcome:
    """What was done, or would be done in check mode."""

    reloaded: bool
    enabled: list[str]
    started: list[str]

    @property
    def changed(self) -> bool:
        """Whether anything is another now."""
        return bool(self.reloaded or self.enabled or self.started)


def show(names: list[str]) -> dict[str, dict[str, str]]:
    """What systemd says about units, by name. Raises SystemctlError."""
    return dict(zip(names, systemd.show(names, _PROPERTIES), strict=True))


def runs_with(name: str, unit: dict[str, str], digest: str) -> bool:
    """Whether a unit runs, and was started with this configuration."""
    try:
        started_with = (_RUN / name.removesuffix(".service") / "started_with").read_text().strip()
    except OSError:
        return False  # systemd removes the folder when the unit ends
    return unit.get("ActiveState") == "active" and started_with == digest


def settle(digests: dict[str, str], *, dry: bool) -> Outcome:
    """Read files again, enable, start or restart: each only where it is needed. Raises SystemctlError."""
    reloaded = any(unit.get("NeedDaemonReload") == "yes" for unit in show([*digests]).values())
    if reloaded and not dry:
        systemctl("daemon-reload")
    units = show([*digests])
    enabled = [name for name, unit in units.items() if unit.get("UnitFileState") != "enabled"]
    if enabled and not dry:
        systemctl("enable", "--", *enabled)
    started = [name for name, unit in units.items() if not runs_with(name, unit, digests[name])]
    for name in started if not dry else ():
        try:
            systemctl("restart", "--", name)
        except SystemctlError as error:
            raise SystemctlError(f"{error}\n{_journal(name)}") from error
    return Outcome(reloaded, enabled, started)


def _journal(name: str) -> str:
    """Why a unit did not start, as it said itself."""
    words = ["journalctl", "--no-pager", f"--lines={_JOURNAL_LINES}", "--output=cat", f"--unit={name}"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=systemd.LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def main() -> None:
    """Settle, say what was done."""
    unit = {"name": {"type": "str", "required": True}, "digest": {"type": "str", "required": True}}
    module = AnsibleModule(
        argument_spec={"units": {"type": "list", "elements": "dict", "required": True, "options": unit}},
        supports_check_mode=True,
    )
    os.environ["LC_ALL"] = "C"
    try:
        outcome = settle({each["name"]: each["digest"] for each in module.params["units"]}, dry=module.check_mode)
    except (SystemctlError, OSError) as error:
        module.fail_json(msg=f"running_units: {error}")
    module.exit_json(
        changed=outcome.changed, reloaded=outcome.reloaded, enabled=outcome.enabled, started=outcome.started
    )


if __name__ == "__main__":
    main()
