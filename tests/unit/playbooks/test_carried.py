"""What virtual machines take over from this machine: package sources, package index, proxy."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

from container_lab.carried import carried
from container_lab.machine import MachineSettings
from container_lab.pip_settings import PackageIndex

from wrklab.paths import PLAYBOOKS_DIR

NOTHING = MachineSettings("", {}, "", {}, {}, PackageIndex(), "")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
SOURCES = (
    f"deb [signed-by={KEYRING}] http://mirror.example/debian bookworm main contrib\n"
    f"deb [signed-by={KEYRING}] http://mirror.example/debian bookworm-updates main\n"
)


def test_each_setting_stands_for_its_variable() -> None:
    """Sources in the form that the role base writes into a `.sources` file."""
    index = PackageIndex("https://index.example/simple")
    proxies = {"http_proxy": "http://proxy.example:3128", "https_proxy": "http://other.example:3128"}

    found = carried(replace(NOTHING, apt_sources=SOURCES, package_index=index, proxies=proxies))

    first, second = found["LAB_APT_SOURCES"].split("\n\n")
    assert first.splitlines() == [
        "Types: deb",
        "URIs: http://mirror.example/debian",
        "Suites: bookworm",
        "Components: main contrib",
        f"Signed-By: {KEYRING}",
    ]
    assert "Suites: bookworm-updates\n" in second
    assert found["LAB_PIP_INDEX_URL"] == "https://index.example/simple"
    assert found["LAB_HTTP_PROXY"] == "http://proxy.example:3128"


def test_a_machine_without_settings_of_its_own_gives_none() -> None:
    """Then virtual machines keep theirs."""
    assert carried(NOTHING) == {"LAB_APT_SOURCES": "", "LAB_PIP_INDEX_URL": "", "LAB_HTTP_PROXY": ""}


def test_the_vagrantfile_is_answered_in_json() -> None:
    """As it asks, from any folder."""
    done = subprocess.run(
        [sys.executable, "-m", "container_lab.carried"],
        env={"PYTHONPATH": str(PLAYBOOKS_DIR / "module_utils"), "HTTP_PROXY": "http://127.0.0.1:3128"},
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(done.stdout)["LAB_HTTP_PROXY"] == ""
