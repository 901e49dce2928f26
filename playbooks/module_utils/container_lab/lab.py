"""The whole lab: up (which also repairs) and down."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

from . import base, cgroups, folders, keys, network, node_files
from .commands import ContainerLabError, run, succeeds
from .node import (
    Record,
    answers,
    cgroup_controllers,
    descriptor_ceiling,
    follow_reboot,
    is_alive,
    launch,
    read_record,
    remove,
    unit_node_names,
    wait_for_ssh,
    write_record,
)
from .plan import CACHE, NODES, STATE, LabPlan, Node

LAB_FILE = STATE / "lab.json"
# How long a running node's sshd may take to greet before the node counts as broken: it may be under full load.
BUSY_LIMIT_S = 5.0
# What each of the lab's modules is told: the plan must come out the same in all of them.
REQUEST: dict[str, object] = {
    "type": "dict",
    "options": {
        "network": {"type": "str", "required": True},
        "loadgens": {"type": "int", "default": 1},
        "backends": {"type": "bool", "default": False},
        "server_takes_all_cpus": {"type": "bool", "default": False},
        "server_cpus": {"type": "list", "elements": "int"},
        "loadgen_cpus": {"type": "list", "elements": "int"},
        "backend_cpus": {"type": "list", "elements": "int"},
        # URLs in them may hold passwords.
        "overrides": {"type": "dict", "default": {}, "no_log": True},
        "environment": {"type": "dict", "default": {}, "no_log": True},
    },
}


def up(plan: LabPlan) -> bool:
    """Bring every planned node up and remove those not planned; whether anything changed."""
    network.check_no_overlap(plan)
    started = time.monotonic()
    STATE.mkdir(parents=True, exist_ok=True)
    # Also where a narrow umask once made them.
    CACHE.mkdir(parents=True, exist_ok=True)
    for folder in (CACHE, STATE.parent, STATE):
        folder.chmod(0o755)
    NODES.mkdir(exist_ok=True)
    # What is in a node's file system is for root alone.
    NODES.chmod(0o700)
    gone = _in_parallel(remove, [node for node in known_nodes() if node not in plan.nodes])
    changed = [keys.make_keys(plan.nodes), network.set_up(plan), bool(gone)]
    changed += _in_parallel(lambda node: _ensure(plan, node), plan.nodes)
    if any(changed):
        _check_nodes_reach_each_other(plan)
    if any(changed) or not _is_written_as_now(plan):
        _write_lab_file(plan, time.monotonic() - started)
    return any(changed)


def _fingerprint(plan: LabPlan, node: Node) -> str:
    """Changes with whatever a running node would have to be made afresh for."""
    made_of = [asdict(node), str(base.base_path(plan.settings)), str(plan.network), keys.host_key(node).read_text()]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]


def _is_whole(node: Node, fingerprint: str) -> bool:
    follow_reboot(node)
    record = read_record(node)
    if record is None or not is_alive(record) or not network.has_ports():
        return False
    return record.fingerprint == fingerprint and record.descriptor_ceiling > 0 and answers(node, BUSY_LIMIT_S)


def _ensure(plan: LabPlan, node: Node) -> bool:
    fingerprint = _fingerprint(plan, node)
    if _is_whole(node, fingerprint):
        # One in which a link stands in the way of our files is made again.
        with contextlib.suppress(folders.NotAPlainFileError):
            return node_files.write_files(plan, node)
    remove(node)
    clone = node_files.clone(node, base.base_path(plan.settings))
    node_files.write_files(plan, node)
    launch(node, fingerprint, clone)
    wait_for_ssh(node)
    _complete_record(node)
    return True


def _check_nodes_reach_each_other(plan: LabPlan) -> None:
    """Raise ContainerLabError unless generators get a connection to the server, and the server one to the backends."""
    server = plan.nodes[0]
    ways = [(node, server) for node in plan.nodes if node.group == "loadgen"]
    ways += [(server, node) for node in plan.nodes if node.group == "backend"]

    def reaches(node: Node) -> bool:
        target = dict(ways)[node]
        return succeeds(keys.ssh_command(node.address, f"timeout 3 bash -c ': </dev/tcp/{target.address}/22'"))

    for (node, target), fine in zip(ways, _in_parallel(reaches, [node for node, _ in ways]), strict=True):
        if not fine:
            raise ContainerLabError(
                f"node {node.name} answers, but gets no connection to {target.name} ({target.address}): a firewall of "
                "this machine drops what passes the bridge. Look at `iptables -S FORWARD` and `nft list ruleset`, and "
                f"accept {plan.network} there"
            )


def _complete_record(node: Node) -> None:
    record = read_record(node)
    if record is None:
        raise ContainerLabError(f"node {node.name}: its record went away while it was booting: is a lab.down at work?")
    controllers = cgroup_controllers(record.pid)
    ceiling = descriptor_ceiling(record.pid)
    write_record(node, replace(record, descriptor_ceiling=ceiling, cgroup_controllers=controllers))


def _in_parallel(do: Callable[[Node], bool], nodes: Sequence[Node]) -> list[bool]:
    if not nodes:
        return []
    with ThreadPoolExecutor(max_workers=len(nodes)) as pool:
        return list(pool.map(do, nodes))


def known_nodes() -> list[Node]:
    """The nodes that lab.json, a folder, a cgroup or a unit on this machine speaks of, complete or not."""
    names = [place.name for place in NODES.glob("*")] + cgroups.node_names() + unit_node_names()
    found = {name: Node(name, "", "", ()) for name in sorted(set(names))}
    try:
        hosts = json.loads(LAB_FILE.read_text())["hosts"]
        for name, host in hosts.items():
            found[name] = Node(name, host["group"], host["address"], tuple(host["cpus"]))
    except (OSError, ValueError, KeyError, TypeError):
        # A controller that died half-way wrote none: the folders tell enough to remove them.
        return list(found.values())
    return list(found.values())


def _is_written_as_now(plan: LabPlan) -> bool:
    """Whether lab.json is there and knows the nodes' processes and this machine's CPUs.

    A node that has rebooted has another process, and CPUs may have come that no node takes.
    """
    try:
        content = json.loads(LAB_FILE.read_text())
        processes = {name: (host["pid"], host["start_ticks"]) for name, host in content["hosts"].items()}
        records = {node.name: read_record(node) for node in plan.nodes}
        known = {name: (record.pid, record.start_ticks) for name, record in records.items() if record}
        return processes == known and set(content["usable_cpus"]) == os.sched_getaffinity(0)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def warnings(plan: LabPlan) -> list[str]:
    """What whoever makes this lab should know."""
    found = []
    if plan.cpus_shared and not plan.request["server_takes_all_cpus"]:
        generators = [node for node in plan.nodes if node.group == "loadgen"]
        shared = set(plan.nodes[0].cpus) & {cpu for node in generators for cpu in node.cpus}
        found.append(
            f"server and generator share CPU {', '.join(map(str, sorted(shared)))}: every rate is of both together. "
            f"This process may use {sorted(os.sched_getaffinity(0))} only; with more, `lab.up` makes the nodes again"
        )
    found += [
        f"{node.name} has no CPU of its own: it shares {', '.join(map(str, sorted(node.cpus)))} with "
        f"{', '.join(other.name for other in others)}. What one of them uses the other lacks; each report says how "
        "much it was. A machine of three cores or more gives it its own"
        for node in plan.nodes
        if node.group == "backend" and (others := plan.sharing(node))
    ]
    return found


def _write_lab_file(plan: LabPlan, took_s: float) -> None:
    records = {node: read_record(node) for node in plan.nodes}
    content = {
        "network": str(plan.network),
        "bridge_address": plan.bridge_address,
        "hosts": {node.name: _host_entry(plan, node, record) for node, record in records.items()},
        "cpus_shared": plan.cpus_shared,
        # Of this machine for whoever made the lab: where there are more now, the nodes are made again.
        "usable_cpus": sorted(os.sched_getaffinity(0)),
        "descriptor_ceiling": min(record.descriptor_ceiling for record in records.values() if record),
        "created_at": time.time(),
        "took_s": round(took_s, 3),
        "request": plan.request,
        "settings": plan.settings.summary(),
        "base": str(base.base_path(plan.settings)),
        "versions": {
            "kernel": platform.release(),
            "systemd_nspawn": run(["systemd-nspawn", "--version"]).splitlines()[0],
        },
    }
    new = LAB_FILE.with_suffix(".new")
    new.write_text(json.dumps(content, indent=2))
    new.chmod(0o644)
    new.rename(LAB_FILE)


def _host_entry(plan: LabPlan, node: Node, record: Record | None) -> dict[str, object]:
    if record is None:
        raise ContainerLabError(f"node {node.name}: its record is missing just after it came up")
    return {
        "address": node.address,
        "group": node.group,
        "cpus": list(node.cpus),
        "cpu_separation": "shared" if plan.sharing(node) else record.cpu_separation,
        "cpus_shared_with": [other.name for other in plan.sharing(node)],
        "descriptor_ceiling": record.descriptor_ceiling,
        # What limits of units hold there: MemoryMax needs `memory`, TasksMax `pids`, CPUQuota `cpu`.
        "cgroup_controllers": list(record.cgroup_controllers),
        "clone": record.clone,
        "pid": record.pid,
        "start_ticks": record.start_ticks,
    }


def down(*, purge: bool) -> bool:
    """Remove every node, the network and the lab's files; with `purge` the caches too. Whether there was anything."""
    nodes = known_nodes()
    changed = _in_parallel(remove, nodes)
    changed.append(network.take_down())
    if STATE.exists():
        folders.remove(STATE)
        changed.append(True)
    if purge and CACHE.exists():
        folders.remove(CACHE)
        changed.append(True)
    for folder in (CACHE, STATE.parent):
        # Others may keep things there.
        with contextlib.suppress(OSError):
            folder.rmdir()
    return any(changed)
