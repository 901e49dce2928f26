#!/usr/bin/python
"""Ansible module: the container lab's nodes with their network, all there or all gone."""

from __future__ import annotations

import os

from ansible.module_utils import module_lock
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.container_lab import lab
from ansible.module_utils.container_lab.commands import ContainerLabError
from ansible.module_utils.container_lab.plan import make_plan

DOCUMENTATION = r"""
module: container_nodes
short_description: The container lab's nodes
description:
  - With O(state=present) every node answers ssh when it returns; what is half there is repaired.
  - With O(state=absent) nothing of the lab is left but the caches.
  - The nodes are handled all at once.
options:
  state:
    description: Whether the lab is there.
    type: str
    choices: [present, absent]
    default: present
  purge:
    description: With O(state=absent), remove the caches as well.
    type: bool
    default: false
extends_documentation_fragment: container_lab
author: wrklab
"""

EXAMPLES = r"""
- name: Bring the nodes up
  container_nodes:
    request:
      network: 10.86.77

- name: Remove the lab and its caches
  container_nodes:
    state: absent
    purge: true
"""

RETURN = r"""
lab_file:
  description: The file that describes the lab.
  type: str
  returned: always
"""


def main() -> None:
    """Run the module."""
    arguments = {
        "request": lab.REQUEST,
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "purge": {"type": "bool", "default": False},
    }
    module = AnsibleModule(argument_spec=arguments, required_if=[("state", "present", ["request"])])
    # Whatever the user's is: what is made here, other users of the nodes must be able to reach.
    os.umask(0o022)
    try:
        with module_lock.held("container_lab", f"container_nodes, state {module.params['state']}"):
            if module.params["state"] == "present":
                plan = make_plan(module.params["request"])
                changed = lab.up(plan)
                for warning in lab.warnings(plan):
                    module.warn(warning)
            else:
                changed = lab.down(purge=module.params["purge"])
    except (ContainerLabError, module_lock.LockedError, OSError) as error:
        module.fail_json(msg=f"container_nodes: {error}")
    module.exit_json(changed=changed, lab_file=str(lab.LAB_FILE))


if __name__ == "__main__":
    main()
