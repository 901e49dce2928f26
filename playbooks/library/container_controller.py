#!/usr/bin/python
"""Ansible module: what the container lab needs of this machine, and what is missing. Touches nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.container_lab.apt_settings import DEBIAN_KEYRING
from ansible.module_utils.container_lab.base import base_path
from ansible.module_utils.container_lab.commands import ContainerLabError
from ansible.module_utils.container_lab.lab import REQUEST
from ansible.module_utils.container_lab.network import check_no_overlap
from ansible.module_utils.container_lab.plan import make_plan

DOCUMENTATION = r"""
module: container_controller
short_description: What the container lab needs of this machine
description:
  - Says which Debian packages are missing and whether the base file system is in the cache.
  - Fails where the lab's network overlaps a route of this machine, before anything is touched.
options:
  request:
    required: true
extends_documentation_fragment: container_lab
author: wrklab
"""

EXAMPLES = r"""
- name: Look at this machine
  container_controller:
    request:
      network: 10.86.77
  register: machine
"""

RETURN = r"""
missing_packages:
  description: Debian packages to be installed.
  type: list
  returned: always
base_is_cached:
  description: Whether the nodes' base file system is there.
  type: bool
  returned: always
"""

PROGRAMS = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "nft": "nftables",
    "ip": "iproute2",
    "ssh": "openssh-client",
}
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"])


def missing_packages() -> list[str]:
    """The Debian packages whose program (or keyring) is not on this machine."""
    missing = [package for program, package in PROGRAMS.items() if not shutil.which(program, path=SEARCH_PATH)]
    return missing if Path(DEBIAN_KEYRING).exists() else [*missing, "debian-archive-keyring"]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={"request": REQUEST | {"required": True}}, supports_check_mode=True)
    try:
        plan = make_plan(module.params["request"])
        check_no_overlap(plan)
    except ContainerLabError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=False,
        missing_packages=missing_packages(),
        base_is_cached=base_path(plan.settings).is_dir(),
    )


if __name__ == "__main__":
    main()
