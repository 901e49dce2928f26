"""The embedded lab: Debian 12 nodes on this machine. Ansible makes and removes them; here they are asked for.

`status` reads what lab_up wrote and looks at the nodes' processes and sshd, `up` at their network too before it runs a
playbook: no Ansible, a few milliseconds.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from wrklab.errors import LabError
from wrklab.hosts.ansible import run_playbook
from wrklab.paths import PLAYBOOKS_DIR

LAB = "container"
LAB_FILE = Path("/var/lib/wrklab/container/lab.json")
DEFAULT_NETWORK = "10.86.77"
#: The role's own names; what ships with a playbook cannot be imported from here.
BRIDGE = "wrklab0"
TABLE = "wrklab"
MOST_GENERATORS = 100
#: What makes the table.
_TABLE_SOURCE = PLAYBOOKS_DIR / "module_utils" / "container_lab" / "network.py"
_BRIDGE_FOLDER = Path("/sys/class/net") / BRIDGE
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_SSH_PORT = 22
_GREETING_LIMIT_S = 2.0
_LISTING_LIMIT_S = 5.0


@dataclass(frozen=True)
class NodeStatus:
    """One node.

    `cpu_separation` is `cpuset`, `affinity` (which a process inside can undo) or `shared`; `clone` says how its root
    was made (`overlay`, `copy`); `descriptor_ceiling_count` is the hard limit of open files of everything in it.
    """

    name: str
    group: str
    address: str
    cpus: tuple[int, ...]
    cpu_separation: str
    clone: str
    descriptor_ceiling_count: int
    alive: bool
    reachable: bool
    #: Nodes of other groups that may use a CPU of this one's.
    cpus_shared_with: tuple[str, ...] = ()


@dataclass(frozen=True)
class ContainerLabStatus:
    """The lab as it is; `up` only when every node runs and its sshd greets. No nodes: there is no lab."""

    network: str
    nodes: tuple[NodeStatus, ...]
    cpus_shared: bool
    created_at: float | None
    request: Mapping[str, Any]
    #: Of this machine, for whoever made the lab.
    usable_cpus: tuple[int, ...]
    #: Of the nft table as nft listed it when the lab was made; empty where an older version made it.
    table_sha256: str = ""

    @property
    def up(self) -> bool:
        """Whether every node can be used."""
        return bool(self.nodes) and all(node.alive and node.reachable for node in self.nodes)


@dataclass(frozen=True)
class LabChange:
    """What `up` or `down` did: whether anything changed, and in how many seconds."""

    changed: bool
    took_s: float


def wanted_network() -> str:
    """The first three numbers of the lab's network: LAB_NET, or the default."""
    return os.environ.get("LAB_NET") or DEFAULT_NETWORK


def status() -> ContainerLabStatus:
    """The lab as it is now. Raises LabError when lab.json is there and cannot be read."""
    try:
        content = json.loads(LAB_FILE.read_text(encoding="utf-8"))
        hosts = content["hosts"]
        with ThreadPoolExecutor(max_workers=max(1, len(hosts))) as pool:
            nodes = tuple(pool.map(lambda item: _node_status(*item), hosts.items()))
        return ContainerLabStatus(
            content["network"],
            nodes,
            content["cpus_shared"],
            content["created_at"],
            content["request"],
            tuple(content["usable_cpus"]),
            str(content.get("table_sha256", "")),
        )
    except FileNotFoundError:
        return ContainerLabStatus(
            f"{wanted_network()}.0/24", (), cpus_shared=False, created_at=None, request={}, usable_cpus=()
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabError(
            f"{LAB_FILE}: cannot be read as lab_up writes it ({error!r}); run lab.down, then lab.up"
        ) from error


def _node_status(name: str, host: Mapping[str, Any]) -> NodeStatus:
    return NodeStatus(
        name=name,
        group=host["group"],
        address=host["address"],
        cpus=tuple(host["cpus"]),
        cpu_separation=host["cpu_separation"],
        clone=host["clone"],
        descriptor_ceiling_count=host["descriptor_ceiling"],
        alive=_start_ticks(host["pid"]) == host["start_ticks"],
        reachable=is_network_there() and greets(host["address"]),
        cpus_shared_with=tuple(host.get("cpus_shared_with", ())),
    )


def _start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot: its number alone may have gone to another since."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else int(fields[18])


def is_network_there() -> bool:
    """Whether this machine has the lab's bridge. Without it a node's address leads out of this machine, to whoever
    answers there: nobody may be asked.
    """
    return _BRIDGE_FOLDER.exists()


def greets(address: str, port: int = _SSH_PORT, limit_s: float = _GREETING_LIMIT_S) -> bool:
    """Whether a program there greets as sshd does."""
    try:
        with socket.create_connection((address, port), timeout=limit_s) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def require_root() -> None:
    """Raises LabError unless this user is root, or becomes root without a password, as Ansible will."""
    if problem := root_problem():
        raise LabError(f"lab {LAB}: making nodes on this machine needs root: {problem}")


def root_problem() -> str:
    """Why root rights cannot be had here, and what to do; empty where they can."""
    if os.geteuid() == 0:
        return ""
    if shutil.which("sudo") is None:
        return "this user is not root, and there is no sudo. Run the command as root, or: apt-get install sudo"
    try:
        done = subprocess.run(
            ["sudo", "-n", "true"], capture_output=True, text=True, timeout=_LISTING_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"sudo did not answer ({error}). Run the command as root"
    if done.returncode == 0:
        return ""
    said = " ".join((done.stderr or done.stdout).split())[:200]
    return f"sudo wants more than this user has ({said}). Run the command as root, or `sudo -v` before it"


def up(
    loadgens: int | None = None,
    overrides: Mapping[str, object] | None = None,
    on_task: Callable[[str], None] | None = None,
    *,
    server_takes_all_cpus: bool = False,
    backends: bool = False,
) -> LabChange:
    """Bring the lab up, or repair it; without Ansible when all is up as requested.

    Without `loadgens` a lab that is there keeps its generators and CPUs, and a new one takes the role's variables.
    With `backends` there is a node for them too; a lab that has one keeps it until it is taken down.
    With `server_takes_all_cpus` the server may use the generators' CPUs too. No later call keeps that: without it the
    server gets its usual CPUs again.
    `overrides` are variables of the role `container_lab` (`container_lab_server_cpus`, `container_lab_apt_proxy`, …).

    Raises:
        ProvisionError: the playbook failed; the text has its last lines.
    """
    started = time.monotonic()
    if not overrides and is_up_as_wanted(loadgens, server_takes_all_cpus=server_takes_all_cpus, backends=backends):
        return LabChange(changed=False, took_s=time.monotonic() - started)
    found = _status_if_readable()
    shape = _shape(found.request if found else {}) if loadgens is None else {"container_lab_loadgens": loadgens}
    if backends or (found and found.request.get("backends")):
        shape["container_lab_backends"] = True
    if server_takes_all_cpus:
        shape["container_lab_server_takes_all_cpus"] = True
    return _run("lab_up", shape | dict(overrides or {}), on_task, started)


def is_up_as_wanted(
    loadgens: int | None = None, *, server_takes_all_cpus: bool = False, backends: bool = False
) -> bool:
    """Whether `up` has nothing to do."""
    found = _status_if_readable()
    if found is None or (backends and not found.request.get("backends")):
        return False
    return _is_up_as_wanted(found, loadgens, server_takes_all_cpus=server_takes_all_cpus)


def _status_if_readable() -> ContainerLabStatus | None:
    try:
        return status()
    except LabError:
        return None


def _is_up_as_wanted(found: ContainerLabStatus, loadgens: int | None, *, server_takes_all_cpus: bool) -> bool:
    wanted: dict[str, object] = {"network": wanted_network()}
    if loadgens is not None:
        wanted |= {"loadgens": loadgens, "server_cpus": [], "loadgen_cpus": []}
    takes_all_cpus = bool(found.request.get("server_takes_all_cpus"))
    is_as_wanted = takes_all_cpus == server_takes_all_cpus and all(
        found.request.get(key) == value for key, value in wanted.items()
    )
    return is_as_wanted and found.up and _network_is_complete(found) and not _are_more_cpus_there(found)


def _are_more_cpus_there(found: ContainerLabStatus) -> bool:
    """Whether this machine gives more CPUs than when the lab was made, and nobody has said which to take."""
    is_chosen = any(found.request.get(key) for key in ("server_cpus", "loadgen_cpus", "backend_cpus"))
    return not is_chosen and os.sched_getaffinity(0) > set(found.usable_cpus)


def _shape(request: Mapping[str, Any]) -> dict[str, object]:
    """The variables that make a lab as it was asked for when it was made; what was left to the machine still is."""
    keys = ("loadgens", "server_cpus", "loadgen_cpus", "backend_cpus")
    return {f"container_lab_{key}": request[key] for key in keys if request.get(key)}


def _network_is_complete(found: ContainerLabStatus) -> bool:
    """Whether every node hangs on the bridge, this machine forwards, and the nft table is the one of this version.

    What cannot be told is not whole.
    """
    try:
        ports_count = len(list((_BRIDGE_FOLDER / "brif").iterdir()))
        forwards = _FORWARDING.read_text(encoding="ascii").strip() == "1"
    except OSError:
        return False
    return ports_count >= len(found.nodes) and forwards and _table_is_current(found)


def _table_is_current(found: ContainerLabStatus) -> bool:
    """Whether the nft table is as it was loaded, and as this checkout would load it.

    A reloaded firewall takes the table away, and nodes answer on as before. The table carries a digest of the file that
    made it (`definition` in network.py).
    """
    listed = _nft_table()
    definition = sha256(_TABLE_SOURCE.read_bytes()).hexdigest()[:16]
    return sha256(listed.encode()).hexdigest() == found.table_sha256 and definition in listed


def _nft_table() -> str:
    """The table as nft lists it (2 ms); empty where there is none or we may not look."""
    listing = ["nft", "list", "table", "ip", TABLE]
    command = listing if os.geteuid() == 0 else ["sudo", "-n", *listing]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LISTING_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def down(*, purge: bool = False, on_task: Callable[[str], None] | None = None) -> LabChange:
    """Remove the lab; with `purge` its caches too. Raises ProvisionError with the playbook's last lines."""
    return _run("lab_down", {"container_lab_purge": purge}, on_task, time.monotonic())


def _run(
    playbook: str, variables: Mapping[str, object], on_task: Callable[[str], None] | None, started: float
) -> LabChange:
    done = run_playbook(playbook, LAB, variables, on_task)
    return LabChange(changed=done.changed_count > 0, took_s=time.monotonic() - started)
