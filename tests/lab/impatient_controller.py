"""`python -m tests.lab.impatient_controller WORDS`: `invoke WORDS` that gives up a host that is gone after seconds.

What happens then is the same as after the usual limits, which add up to more than a minute.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from invoke.collection import Collection
from invoke.program import Program

import tasks
from wrklab.cli import benching  # noqa: F401  the modules that hold the limits are loaded with it

#: Seconds for the usual ones: until a silent connection counts as dead, a lost one as lost, a lease as run out.
LIMITS_S = {"DEAD_AFTER_S": 6.0, "RECONNECT_LIMIT_S": 6.0, "LEASE_S": 12.0}


def set_limits(limits_s: Mapping[str, float]) -> None:
    """Puts these limits in place of the product's, in whichever modules have them. Raises LookupError."""
    modules = [module for name, module in sys.modules.items() if name.startswith("wrklab.hosts.")]
    for name, limit_s in limits_s.items():
        holders = [module for module in modules if hasattr(module, name)]
        if not holders:
            raise LookupError(f"no module of wrklab.hosts has {name}: tests/lab/impatient_controller.py is out of date")
        for module in holders:
            setattr(module, name, limit_s)


if __name__ == "__main__":
    set_limits(LIMITS_S)
    namespace: Collection = Collection.from_module(tasks)
    Program(namespace=namespace).run(["invoke", *sys.argv[1:]])
