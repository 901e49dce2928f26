#!/usr/bin/env python3
"""Inventory script: load generators beyond the first, and the backends' node, as lab_up's lab.json lists them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

LAB_FILE = Path("/var/lib/wrklab/container/lab.json")
#: hosts.yml has this one, so that an inventory is whole before the lab is up.
FIRST = "loadgen"
GROUPS = ("loadgen", "backend")


def inventory(lab_text: str) -> dict[str, object]:
    """Ansible's inventory form of lab.json's text."""
    hosts = json.loads(lab_text)["hosts"] if lab_text else {}
    more = {name: host for name, host in hosts.items() if host["group"] in GROUPS and name != FIRST}
    groups = {group: {"hosts": [name for name, host in more.items() if host["group"] == group]} for group in GROUPS}
    addresses = {name: {"ansible_host": host["address"]} for name, host in more.items()}
    return {**groups, "_meta": {"hostvars": addresses}}


if __name__ == "__main__":
    text = LAB_FILE.read_text(encoding="utf-8") if LAB_FILE.exists() else ""
    sys.stdout.write(json.dumps(inventory(text)))
