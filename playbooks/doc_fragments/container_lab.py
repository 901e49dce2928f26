"""What the container lab's modules have in common, for their documentation."""

from __future__ import annotations


class ModuleDocFragment:
    """The request that says what lab is wanted (module_utils/container_lab/lab.py, REQUEST)."""

    DOCUMENTATION = r"""
options:
  request:
    description: What lab is wanted. A module that can put the lab away needs it only to make one.
    type: dict
    suboptions:
      network:
        description: The first three numbers of the lab's network.
        type: str
        required: true
      loadgens:
        description: How many load generators there are.
        type: int
        default: 1
      backends:
        description: Whether there is one more node, for services that applications need.
        type: bool
        default: false
      server_takes_all_cpus:
        description: Whether the server may use all CPUs, the generators' too; stronger than O(request.server_cpus).
        type: bool
        default: false
      server_cpus:
        description: CPU numbers for the server; half of the machine's when left out.
        type: list
        elements: int
      loadgen_cpus:
        description: CPU numbers for all generators together; the other half when left out.
        type: list
        elements: int
      backend_cpus:
        description: CPU numbers for the backends' node; half of the generators' cores when left out.
        type: list
        elements: int
      overrides:
        description: Settings of this machine that are replaced in the nodes; a value of null keeps the machine's.
        type: dict
        default: {}
      environment:
        description: Variables of the user's environment that say how packages are reached.
        type: dict
        default: {}
"""
