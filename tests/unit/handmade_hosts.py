"""Hosts of a lab, as an inventory describes them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from wrklab.hosts.inventory import LabHost

_HOST = LabHost(
    name="server",
    group="server",
    address="192.0.2.1",
    load_address="192.0.2.1",
    user="root",
    port=22,
    key_path=None,
    known_hosts_path=None,
    jump_host=None,
    cpus=(),
    lab="own",
    lab_kind="ssh",
)


def handmade_host(name: str = "server", address: str = "192.0.2.1", **changes: Any) -> LabHost:  # noqa: ANN401  fields
    """A host of one's own for ssh and load at one address, but for `changes`; a `loadgen` is one by its group too."""
    group = "loadgen" if name.startswith("loadgen") else "server"
    return replace(_HOST, **{"name": name, "group": group, "address": address, "load_address": address, **changes})
