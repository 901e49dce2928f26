#!/usr/bin/env python3
"""Inventory script: generators beyond the first, as many as LAB_LOADGENS or the lab.json of `vagrant up` says."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

DOT_VAGRANT = Path(os.environ.get("VAGRANT_DOTFILE_PATH") or Path(__file__).resolve().parents[2] / ".vagrant")
GROUP = "loadgen"
#: Last number of the first generator's address; hosts.yml has that one.
FIRST_NUMBER = 21


def inventory(count: int) -> dict[str, object]:
    """Ansible's inventory form of `count` generators, without the first."""
    more = {f"{GROUP}_{index + 1}": FIRST_NUMBER + index for index in range(1, count)}
    addresses = {name: {"ansible_host": f"{{{{ lab_net }}}}.{number}"} for name, number in more.items()}
    return {GROUP: {"hosts": list(more)}, "_meta": {"hostvars": addresses}}


def wanted_count() -> int:
    """How many generators the machines were, or are to be, made with."""
    made = DOT_VAGRANT / "wrklab" / "lab.json"
    former = json.loads(made.read_text(encoding="utf-8")) if made.exists() else {}
    return int(os.environ.get("LAB_LOADGENS") or former.get("LAB_LOADGENS", "1"))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(inventory(wanted_count())))
