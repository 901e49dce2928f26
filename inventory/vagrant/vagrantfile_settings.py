#!/usr/bin/env python3
"""Inventory script: what the machines were, or are to be, made with, generators beyond the first, and the backends'.

The environment comes before the lab.json of `vagrant up`, and that before what this machine has (carried.json), as in
the Vagrantfile; but the network of machines that are there is the one that they were made with.
Ansible reads an inventory's files by name: after hosts.yml, so that the first generator stays the first.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

DOT_VAGRANT = Path(__file__).resolve().parents[2] / (os.environ.get("VAGRANT_DOTFILE_PATH") or ".vagrant")
OWN = DOT_VAGRANT / "wrklab"
GROUP = "loadgen"
#: Last number of the first generator's address; hosts.yml has that one.
FIRST_NUMBER = 21
BACKEND_GROUP = "backend"
BACKEND_NUMBER = 131
DEFAULT_NET = "192.168.56"


def read(name: str) -> dict[str, str]:
    """A file of the Vagrantfile's; empty where there is none."""
    path = OWN / name
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def settings(environment: Mapping[str, str], former: Mapping[str, str], carried: Mapping[str, str]) -> dict[str, str]:
    """Variables of all hosts; `former` is what the machines that are there were made with."""

    def chosen(name: str) -> str:
        return environment.get(name) or former.get(name) or carried.get(name, "")

    bundle, gathered = chosen("LAB_CA_BUNDLE"), OWN / "ca_certificates.crt"
    if not bundle and gathered.exists() and gathered.stat().st_size:
        bundle = str(gathered)
    return {
        "lab_vagrant_dir": str(DOT_VAGRANT),
        "lab_net": former.get("LAB_NET") or environment.get("LAB_NET") or DEFAULT_NET,
        "lab_ca_bundle": str(Path(bundle).absolute()) if bundle else "",
        "lab_apt_sources": chosen("LAB_APT_SOURCES"),
        "lab_pip_index_url": chosen("LAB_PIP_INDEX_URL"),
        "lab_http_proxy": chosen("LAB_HTTP_PROXY"),
    }


def more_generators(count: int) -> dict[str, dict[str, str]]:
    """The address of each of `count` generators but the first."""
    return {
        f"{GROUP}_{index + 1}": {"ansible_host": f"{{{{ lab_net }}}}.{FIRST_NUMBER + index}"}
        for index in range(1, count)
    }


def inventory() -> dict[str, object]:
    """Ansible's inventory form of it."""
    # Told by a machine's id, which Vagrant keeps from `up` to `destroy`.
    former = read("lab.json") if any(DOT_VAGRANT.glob("machines/*/*/id")) else {}
    more = more_generators(int(os.environ.get("LAB_LOADGENS") or former.get("LAB_LOADGENS", "1")))
    has_backends = (os.environ.get("LAB_BACKENDS") or former.get("LAB_BACKENDS", "0")) == "1"
    backends = {BACKEND_GROUP: {"ansible_host": f"{{{{ lab_net }}}}.{BACKEND_NUMBER}"}} if has_backends else {}
    return {
        "all": {"vars": settings(os.environ, former, read("carried.json"))},
        GROUP: {"hosts": list(more)},
        BACKEND_GROUP: {"hosts": list(backends)},
        "_meta": {"hostvars": {**more, **backends}},
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(inventory()))
