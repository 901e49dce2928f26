"""Prints what this machine's packages come through, as settings of a lab of virtual machines: the Vagrantfile asks.

Read as for the nodes of the container lab: what only this machine itself can reach is left out, and is empty.
"""

from __future__ import annotations

import json
import sys

from .apt_settings import deb822_text, parse_one_line
from .machine import MachineSettings, read_settings


def carried(settings: MachineSettings) -> dict[str, str]:
    """Values by the name of the environment's variable that stands in for each (inventory/vagrant)."""
    return {
        "LAB_APT_SOURCES": deb822_text(parse_one_line(settings.apt_sources)),
        "LAB_PIP_INDEX_URL": settings.package_index.index_url,
        "LAB_HTTP_PROXY": settings.proxies.get("http_proxy") or settings.proxies.get("https_proxy", ""),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(carried(read_settings({}))) + "\n")
