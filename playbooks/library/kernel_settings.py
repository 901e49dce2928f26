#!/usr/bin/python
"""Ansible module: kernel settings that are recorded before they are changed, and can be put back."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from ansible.module_utils import module_lock
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: kernel_settings
short_description: Sets sysctls at once and for the next boot, and remembers what they were
description:
  - A value is recorded before this module changes it for the first time. A setting that is no longer asked for is put
    back. With no settings at all, everything is put back, and both files are removed.
  - What the host lacks (network namespaces lack some) or does not let root change is told and left out.
options:
  settings: {description: Values by the sysctl's name., type: dict, required: true}
  file: {description: The file of /etc/sysctl.d that sets them at boot., type: path, required: true}
  record: {description: JSON file that keeps the values from before., type: path, required: true}
"""

EXAMPLES = r"""
- name: Set what a load of thousands of connections needs
  kernel_settings:
    settings: {net.core.somaxconn: 65535}
    file: /etc/sysctl.d/60-wrklab.conf
    record: /var/lib/wrklab/sysctl_before.json
"""

RETURN = r"""
set: {description: Values that were changed., type: dict, returned: always}
put_back: {description: Values from before that stand again., type: dict, returned: always}
left_out: {description: Settings that the host lacks or refuses, with why., type: dict, returned: always}
"""

_HEADER = "# Managed by wrklab (playbooks/roles/base); playbooks/reset.yml puts the former values back.\n"
_PROC_SYS = Path("/proc/sys")


@dataclass
class Outcome:
    """What was done, or would be done in check mode."""

    set: dict[str, str] = field(default_factory=dict)
    put_back: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    files_changed: bool = False

    @property
    def changed(self) -> bool:
        """Whether anything on the host is another now."""
        return bool(self.set or self.put_back or self.files_changed)


def place(name: str) -> Path:
    """The file below /proc/sys of a sysctl's name. Raises ValueError for a name that is none."""
    parts = name.split(".")
    if not all(parts) or "/" in name:
        raise ValueError(f"{name!r} is not the name of a sysctl, as in net.core.somaxconn")
    return _PROC_SYS.joinpath(*parts)


def read(name: str) -> str:
    """The value that holds now, blanks made single. Raises OSError."""
    return " ".join(place(name).read_text().split())


def write(name: str, value: str) -> None:
    """Set a value. Raises OSError."""
    place(name).write_text(value + "\n")


def settle(wanted: dict[str, str], before: dict[str, str], *, dry: bool) -> Outcome:
    """Bring each setting to its value, keeping what it was in `before`, which is changed in place. Raises OSError."""
    outcome = Outcome()
    for name, value in wanted.items():
        try:
            found = read(name)
            if found == value:
                continue
            if not dry:
                write(name, value)
        except OSError as error:
            outcome.left_out[name] = f"{error.strerror}"
            continue
        before.setdefault(name, found)
        outcome.set[name] = value
    for name in sorted(set(before) - set(wanted)):
        if read(name) != before[name]:
            if not dry:
                write(name, before[name])
            outcome.put_back[name] = before[name]
        del before[name]
    return outcome


def keep(path: Path, text: str, *, dry: bool) -> bool:
    """Bring a file to a text, or remove it where the text is empty. True when that changes anything."""
    found = path.read_text(encoding="utf-8") if path.exists() else ""
    if found == text:
        return False
    if not dry:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
        temporary.write_text(text, encoding="utf-8")
        temporary.chmod(0o644)
        temporary.replace(path)
        if not text:
            path.unlink()
    return True


def settle_with_files(wanted: dict[str, str], file: Path, record: Path, *, dry: bool) -> Outcome:
    """Settle, and bring the record and the file for the next boot to what holds then. Raises OSError, ValueError."""
    before: dict[str, str] = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    if not dry:
        # Before the first change, so that an interruption loses no value from before.
        planned = dict(before)
        settle(wanted, planned, dry=True)
        if planned.keys() - before.keys():
            keep(record, json.dumps(before | planned, indent=1) + "\n", dry=False)
    outcome = settle(wanted, before, dry=dry)
    kept = {name: value for name, value in wanted.items() if name not in outcome.left_out}
    lines = "".join(f"{name} = {value}\n" for name, value in kept.items())
    for path, text in (
        (record, json.dumps(before, indent=1) + "\n" if before else ""),
        (file, _HEADER + lines if kept else ""),
    ):
        outcome.files_changed |= keep(path, text, dry=dry)
    return outcome


def main() -> None:
    """Read the options, settle, say what changed."""
    module = AnsibleModule(
        argument_spec={
            "settings": {"type": "dict", "required": True},
            "file": {"type": "path", "required": True},
            "record": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    file, record = Path(module.params["file"]), Path(module.params["record"])
    wanted = {name: " ".join(str(value).split()) for name, value in module.params["settings"].items()}
    dry = module.check_mode
    os.umask(0o022)
    try:
        outcome = settle_with_files(wanted, file, record, dry=True)
        # A look leaves no trace on a host, and nothing to do needs no lock.
        if outcome.changed and not dry:
            with module_lock.held("modules", f"kernel_settings of {file}"):
                outcome = settle_with_files(wanted, file, record, dry=False)
    except (OSError, ValueError, module_lock.LockedError) as error:
        module.fail_json(msg=f"kernel_settings: {error}")
    module.exit_json(changed=outcome.changed, set=outcome.set, put_back=outcome.put_back, left_out=outcome.left_out)


if __name__ == "__main__":
    main()
