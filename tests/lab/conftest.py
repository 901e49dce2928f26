"""The lab that these tests share. They need root and Linux; elsewhere they skip, and say so."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from container_lab import keys

from wrklab.catalogue.catalogue import Catalogue, read_catalogue
from wrklab.hosts import container_lab
from wrklab.hosts.ansible import run_playbook
from wrklab.hosts.session import Session, open_session
from wrklab.paths import PROJECT_DIR
from wrklab.protocol.backend import BackendName

LAB = "container"


def why_not_here() -> str:
    """Why the lab cannot be made on this machine; empty where it can."""
    if platform.system() != "Linux":
        return f"the container lab needs Linux, this is {platform.system()}"
    if os.geteuid() != 0:
        return "the container lab needs root: run `sudo ./inv test`"
    return ""


#: Those that make labs of their own kind and take them away: what comes after finds it fresh, and deploys once. The
#: examples measure on the lab with backends, whose own tests end it. That a second playbook changes nothing is seen
#: before anything else has happened to the hosts.
_FIRST = (
    "test_container_lab.py",
    "test_lab_security.py",
    "test_examples.py",
    "test_backends.py",
    "test_provision.py",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Everything below tests/lab is a lab test, and is skipped loudly where no lab can be made."""
    reason = why_not_here()
    places = {name: place for place, name in enumerate(_FIRST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.lab)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def lab() -> str:
    """The container lab, up and whole."""
    container_lab.up(loadgens=1)
    return LAB


@pytest.fixture(scope="session")
def deployed_lab(lab: str) -> str:
    """The container lab, provisioned, with every stack deployed."""
    run_playbook("provision", lab)
    run_playbook("deploy", lab)
    return lab


@pytest.fixture(scope="session")
def backend_lab() -> str:
    """The container lab with a node for backends on which all of them are installed."""
    container_lab.up(loadgens=1, backends=True)
    run_playbook("provision", LAB, {"lab_backends": [str(name) for name in BackendName]})
    return LAB


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    """What this checkout offers."""
    return read_catalogue()


@pytest.fixture(scope="module")
def deployed_session(deployed_lab: str, catalogue: Catalogue) -> Iterator[Session]:
    """Open connections to the deployed lab for a whole module's fixtures."""
    with open_session(catalogue, deployed_lab) as found:
        yield found


@pytest.fixture
def session(deployed_lab: str, catalogue: Catalogue) -> Iterator[Session]:
    """Open connections to the deployed lab, with nothing of an earlier test left running."""
    with open_session(catalogue, deployed_lab) as found:
        found.clean_up()
        yield found
        found.clean_up()


def invoke(*words: str, limit_s: float = 300) -> subprocess.CompletedProcess[str]:
    """`invoke WORDS` as a user runs it; never raises on an exit status."""
    return subprocess.run(
        [Path(sys.executable).parent / "invoke", *words],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )


def ssh(name: str, command: str) -> subprocess.CompletedProcess[str]:
    """A shell command on a container node; never raises on an exit status."""
    address = next(node.address for node in container_lab.status().nodes if node.name == name)
    return subprocess.run(keys.ssh_command(address, command), capture_output=True, text=True, timeout=300, check=False)


def on_host(name: str, command: str) -> str:
    """What a shell command writes on a container node; it must succeed."""
    done = ssh(name, command)
    assert done.returncode == 0, f"{name}: {command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()
