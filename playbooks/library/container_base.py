#!/usr/bin/python
"""Ansible module: the container lab's base file system, in the cache."""

from __future__ import annotations

import os

from ansible.module_utils import module_lock
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.container_lab import base
from ansible.module_utils.container_lab.commands import ContainerLabError
from ansible.module_utils.container_lab.lab import REQUEST
from ansible.module_utils.container_lab.plan import make_plan

DOCUMENTATION = r"""
module: container_base
short_description: The container lab's base file system
description:
  - Builds Debian 12 with systemd and sshd by mmdebstrap into the cache, unless it is there for the same inputs.
  - A build that is killed leaves no half base.
options:
  request:
    required: true
extends_documentation_fragment: container_lab
author: wrklab
"""

EXAMPLES = r"""
- name: Build the base file system
  container_base:
    request:
      network: 10.86.77
"""

RETURN = r"""
path:
  description: Where the base is.
  type: str
  returned: always
"""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={"request": REQUEST | {"required": True}})
    # Whatever the user's is: what is made here, other users of the nodes must be able to reach.
    os.umask(0o022)
    # mmdebstrap's apt goes by them, and sudo has dropped them.
    os.environ.update({name: value for name, value in module.params["request"]["environment"].items() if value})
    try:
        settings = make_plan(module.params["request"]).settings
        with module_lock.held("container_lab", "container_base"):
            changed = base.build(settings)
    except (ContainerLabError, module_lock.LockedError, OSError) as error:
        module.fail_json(msg=f"container_base: {error}")
    module.exit_json(changed=changed, path=str(base.base_path(settings)))


if __name__ == "__main__":
    main()
