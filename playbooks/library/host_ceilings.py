#!/usr/bin/python
"""Ansible module: what a host is and what it allows, in one call that changes nothing."""

from __future__ import annotations

import os
import re
import resource
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: host_ceilings
short_description: Reads a host's distribution, CPUs and the descriptors that a unit may have
description:
  - A quick stand-in for gathering facts, which cannot tell the descriptor ceiling.
options: {}
"""

EXAMPLES = r"""
- name: Read what the host allows
  host_ceilings:
  register: host
"""

RETURN = r"""
distribution: {description: 'ID and VERSION_ID of os-release, as in C(debian 12).', type: str, returned: always}
cpus: {description: Numbers of the CPUs that a program may run on., type: list, elements: int, returned: always}
descriptors_count: {description: Highest RLIMIT_NOFILE that a systemd unit gets., type: int, returned: always}
init: {description: Name of the program that runs as PID 1., type: str, returned: always}
missing_packages:
  description: Debian packages that installing others rests on, and that a minimal system lacks.
  type: list
  elements: str
  returned: always
package_lists_of:
  description: What the role base noted about the sources that the lists were fetched from; empty without a note.
  type: str
  returned: always
package_lists_age_s: {description: Since apt's lists were fetched; null without any., type: int, returned: always}
"""

_OS_RELEASE = Path("/etc/os-release")
_PACKAGE_LISTS = Path("/var/lib/apt/lists")
_PACKAGE_LISTS_OF = Path("/var/lib/wrklab/package_lists_of")
#: By package, the file that tells whether it is there: certificates for every download, Ansible's module apt, and what
#: loads a server's routing rules.
_NEEDED_FIRST = {
    "ca-certificates": Path("/usr/sbin/update-ca-certificates"),
    "python3-apt": Path("/usr/lib/python3/dist-packages/apt/__init__.py"),
    "iproute2": Path("/usr/sbin/ip"),
}
_MAX_OPEN_FILES = re.compile(r"^Max open files\s+\S+\s+(?P<hard>\d+|unlimited)", re.MULTILINE)


def distribution() -> str:
    """`debian 12` of os-release; empty where there is none."""
    text = _OS_RELEASE.read_text() if _OS_RELEASE.exists() else ""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return " ".join(values.get(key, "").strip('"') for key in ("ID", "VERSION_ID")).strip()


def descriptors_count() -> int:
    """fs.nr_open where root may raise its limit so far, else the hard limit of PID 1, which its units cannot exceed."""
    nr_open = int(Path("/proc/sys/fs/nr_open").read_text())
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (nr_open, nr_open))
    except (ValueError, PermissionError):
        found = _MAX_OPEN_FILES.search(Path("/proc/1/limits").read_text())
        if found is None:
            raise ValueError("/proc/1/limits has no line 'Max open files'") from None
        return nr_open if found["hard"] == "unlimited" else int(found["hard"])
    return nr_open


def package_lists_age_s() -> int | None:
    """How long ago the newest of apt's package lists was put there; None where there is none."""
    # The time of the file's data is the archive's; that of the inode is ours.
    put_at = [path.stat().st_ctime for path in _PACKAGE_LISTS.glob("*_Packages*")]
    return int(time.time() - max(put_at)) if put_at else None


def missing_packages() -> list[str]:
    """Those that must be there before any other can be installed."""
    return [package for package, path in _NEEDED_FIRST.items() if not path.exists()]


def main() -> None:
    """Read and tell."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    try:
        module.exit_json(
            changed=False,
            distribution=distribution(),
            cpus=sorted(os.sched_getaffinity(0)),
            descriptors_count=descriptors_count(),
            missing_packages=missing_packages(),
            package_lists_age_s=package_lists_age_s(),
            package_lists_of=_PACKAGE_LISTS_OF.read_text().strip() if _PACKAGE_LISTS_OF.is_file() else "",
            init=Path("/proc/1/comm").read_text().strip(),
        )
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"host_ceilings: {error}")


if __name__ == "__main__":
    main()
