"""The embedded lab itself: brought up, repaired and put down on this machine, with nothing left over.

These tests take the lab away, so they come before those that use it (see conftest.py).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from container_lab import base, keys, network, plan
from container_lab.node import SYSTEMD_IS_PID_1

from tests.lab.conftest import invoke
from tests.lab.interrupted_verbs import InterruptedVerb
from tests.lab.traces import run, traces
from tests.pace import allowed_s
from wrklab.errors import ProvisionError
from wrklab.hosts import container_lab
from wrklab.hosts.ansible import run_playbook
from wrklab.hosts.container_lab import ContainerLabStatus, NodeStatus
from wrklab.hosts.inventory import read_hosts

LAB = "container"
KNOWN_HOSTS = plan.STATE / "known_hosts"


def on_node(node: NodeStatus, command: str) -> str:
    """What a command on a node says; the node's host key is checked."""
    return run(*keys.ssh_command(node.address, command)).strip()


@pytest.fixture(scope="module", autouse=True)
def traces_without_lab() -> Iterator[dict[str, object]]:
    """What this machine is like without the lab; the lab is gone before and after these tests."""
    if not list(plan.CACHE.glob("base-*")):
        container_lab.up()
    container_lab.down()
    yield traces()
    container_lab.down()


@pytest.fixture
def lab() -> ContainerLabStatus:
    """The lab, up and whole, with one generator and this machine's own halves of the CPUs."""
    container_lab.up(loadgens=1)
    return container_lab.status()


def node(lab: ContainerLabStatus, name: str) -> NodeStatus:
    """One node by its name."""
    return next(each for each in lab.nodes if each.name == name)


def nspawn_pid(name: str) -> int:
    """The process that runs a node."""
    record = (plan.NODES / name / "node.json").read_text()
    return int(record.partition('"pid": ')[2].partition(",")[0])


def test_up_from_nothing_is_quick(traces_without_lab: dict[str, object]) -> None:
    """With the base cached, both nodes answer ssh within 5 s, Ansible's start included; copied bases take longer."""
    change = container_lab.up()
    status = container_lab.status()
    assert change.changed
    assert status.up
    assert change.took_s < allowed_s(5 if {each.clone for each in status.nodes} == {"overlay"} else 30)


def test_a_node_that_answers_is_the_one_it_says(lab: ContainerLabStatus) -> None:
    """Host keys come from the controller; another key than the node's is refused."""
    assert [on_node(each, "hostname") for each in lab.nodes] == ["server", "loadgen"]
    server, loadgen = (each.address for each in lab.nodes)
    text = KNOWN_HOSTS.read_text()
    try:
        KNOWN_HOSTS.write_text(text.replace(server, "x").replace(loadgen, server))
        refused = subprocess.run(keys.ssh_command(server, "true"), capture_output=True, text=True, check=False)
    finally:
        KNOWN_HOSTS.write_text(text)
    assert refused.returncode == 255
    assert "Host key verification failed" in refused.stderr


def test_the_key_is_for_its_owner_alone(lab: ContainerLabStatus) -> None:
    """Nobody else can read it, nor look into the nodes' file systems."""
    assert (plan.STATE / "id_ed25519").stat().st_mode & 0o777 == 0o600
    assert plan.NODES.stat().st_mode & 0o777 == 0o700


def test_each_node_sees_its_own_cpus(lab: ContainerLabStatus) -> None:
    """Server and generator have disjoint CPUs, unless the machine has one; a cpuset cannot be widened inside."""
    for each in lab.nodes:
        assert int(on_node(each, "nproc")) == len(each.cpus)
        if each.cpu_separation == "cpuset":
            widened = on_node(each, f"taskset -pc 0-{(os.cpu_count() or 1) - 1} $$ >/dev/null 2>&1; nproc")
            assert int(widened) == len(each.cpus)
    server, loadgen = lab.nodes
    assert lab.cpus_shared == bool(set(server.cpus) & set(loadgen.cpus))
    assert lab.cpus_shared == (len(os.sched_getaffinity(0)) == 1)


def test_a_node_is_a_whole_system_of_its_own(lab: ContainerLabStatus) -> None:
    """No unit failed, units count their CPU time, no timer wakes up, and the ceiling of descriptors is as told."""
    for each in lab.nodes:
        assert on_node(each, "systemctl is-system-running --wait || systemctl --failed") == "running"
        assert "usage_usec" in on_node(each, "cat /sys/fs/cgroup/system.slice/ssh.service/cpu.stat")
        assert on_node(each, "systemctl list-timers --no-legend") == ""
        assert int(on_node(each, "ulimit -Hn")) == each.descriptor_ceiling_count


def test_up_again_changes_nothing(lab: ContainerLabStatus) -> None:
    """The playbook finds all as it should be; asked by the door, there is not even a playbook."""
    assert run_playbook("lab_up", LAB).changed == {"controller": 0}
    again = container_lab.up()
    assert not again.changed
    assert again.took_s < allowed_s(1)
    assert [each.alive for each in container_lab.status().nodes] == [True, True]


def kill_a_node() -> None:
    """As the kernel's memory killer would."""
    os.kill(nspawn_pid("server"), signal.SIGKILL)


def lose_the_processes_and_the_record() -> None:
    """As after a power cut in the middle of lab.up: file systems are there, nobody knows whose."""
    for name in ("server", "loadgen"):
        os.kill(nspawn_pid(name), signal.SIGKILL)
        (plan.NODES / name / "node.json").unlink()
    container_lab.LAB_FILE.unlink()


def lose_the_record_of_a_running_node() -> None:
    """As when the controller was killed between launch and record."""
    (plan.NODES / "loadgen" / "node.json").unlink()


def lose_the_table() -> None:
    """As after a firewall's reload."""
    run("nft", "delete", "table", "ip", network.TABLE)


def replace_the_table() -> None:
    """A table of our name with other rules."""
    run("nft", "delete", "table", "ip", network.TABLE)
    run("nft", "add", "table", "ip", network.TABLE)


def delete_the_bridge() -> None:
    """The nodes' links hang in the air."""
    run("ip", "link", "delete", plan.BRIDGE)


def end_sshd() -> None:
    """A node that runs and does not answer."""
    status = container_lab.status()
    run(*keys.ssh_command(node(status, "server").address, "systemctl stop ssh.service ssh.socket"))


def start_on_the_controller(program: str, *arguments: object) -> subprocess.Popen[bytes]:
    """Start a program of the package that the lab's modules use, in a session of its own."""
    environment = os.environ | {"PYTHONPATH": str(Path(base.__file__).parents[1])}
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, start_new_session=True)


def kill_when(process: subprocess.Popen[bytes], far_enough: Callable[[], bool]) -> None:
    """Kill a program with its children once it has come far enough. Fails when it never does."""
    try:
        deadline = time.monotonic() + 60
        while not far_enough() and time.monotonic() < deadline:
            time.sleep(0.005)
        assert far_enough()
        assert process.poll() is None
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def kill_the_controller_in_mid_up() -> None:
    """What it has launched boots on; nothing is recorded as whole."""
    container_lab.down()
    request = {"network": container_lab.wanted_network(), "loadgens": 1}
    rising = start_on_the_controller(f"from container_lab import lab, plan; lab.up(plan.make_plan({request}))")
    kill_when(rising, (plan.NODES / "server" / "node.json").exists)


@pytest.mark.parametrize(
    ("number", "exit_status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_lab_up_interrupted_and_run_again_is_whole(
    traces_without_lab: dict[str, object], number: signal.Signals, exit_status: int
) -> None:
    """With one node launched, and by a signal to the verb alone: its playbook has ended too before it runs again."""
    container_lab.down()
    with InterruptedVerb("lab.up") as rising:
        rising.signal_when((plan.NODES / "server" / "node.json").exists, number)
    assert rising.exit_status == exit_status, rising.output
    rising.assert_playbook_ended()

    again = invoke("lab.up")

    assert again.returncode == 0, again.stderr
    assert container_lab.status().up
    assert not container_lab.up().changed


BREAKAGES: list[Callable[[], None]] = [
    kill_a_node,
    lose_the_processes_and_the_record,
    lose_the_record_of_a_running_node,
    replace_the_table,
    delete_the_bridge,
    end_sshd,
    kill_the_controller_in_mid_up,
]


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda breakage: breakage.__name__)
def test_up_repairs(lab: ContainerLabStatus, breakage: Callable[[], None]) -> None:
    """Whatever is half there, lab_up makes whole, and says that it changed something."""
    breakage()
    assert run_playbook("lab_up", LAB).changed_count > 0
    repaired = container_lab.status()
    assert repaired.up
    server, loadgen = repaired.nodes
    assert on_node(loadgen, f"timeout 2 bash -c ': </dev/tcp/{server.address}/22' && hostname") == "loadgen"


@pytest.mark.parametrize("breakage", [lose_the_table, replace_the_table, delete_the_bridge])
def test_a_broken_network_is_noticed(lab: ContainerLabStatus, breakage: Callable[[], None]) -> None:
    """`lab.up` and `bench` look at the network before they go without a playbook."""
    breakage()
    assert container_lab.up().changed
    assert not container_lab.up().changed


@pytest.mark.parametrize("breakage", [lambda: None, BREAKAGES[1], BREAKAGES[-1]], ids=["whole", "lost", "half_up"])
def test_down_leaves_nothing(
    lab: ContainerLabStatus, traces_without_lab: dict[str, object], breakage: Callable[[], None]
) -> None:
    """No mount, link, cgroup, table, process or file; a second lab_down finds nothing to do."""
    breakage()
    change = container_lab.down()
    assert change.changed
    assert change.took_s < allowed_s(5)
    assert traces() == traces_without_lab
    assert not container_lab.down().changed


def test_forwarding_is_put_back() -> None:
    """A machine that did not forward does not after the lab has gone."""
    container_lab.down()
    switch = Path("/proc/sys/net/ipv4/ip_forward")
    former = switch.read_text()
    try:
        switch.write_text("0")
        container_lab.up()
        assert switch.read_text().strip() == "1"
        container_lab.down()
        assert switch.read_text().strip() == "0"
    finally:
        switch.write_text(former)


def test_a_network_in_use_is_refused(monkeypatch: pytest.MonkeyPatch, traces_without_lab: dict[str, object]) -> None:
    """Before anything is touched; the error names the variable to set."""
    container_lab.down()
    run("ip", "link", "add", "wrklabtest0", "type", "bridge")
    try:
        run("ip", "address", "add", "10.86.79.129/25", "dev", "wrklabtest0")
        run("ip", "link", "set", "wrklabtest0", "up")
        monkeypatch.setenv("LAB_NET", "10.86.79")
        with pytest.raises(ProvisionError, match=r"LAB_NET=10\.86\.78"):
            container_lab.up()
    finally:
        run("ip", "link", "delete", "wrklabtest0")
    assert traces() == traces_without_lab


def test_cpus_that_both_sides_share_are_told(lab: ContainerLabStatus) -> None:
    """As on a machine with one CPU."""
    first = min(os.sched_getaffinity(0))
    container_lab.up(overrides={"container_lab_server_cpus": [first], "container_lab_loadgen_cpus": [first]})
    shared = container_lab.status()
    assert shared.cpus_shared
    assert {each.cpu_separation for each in shared.nodes} == {"shared"}
    assert {each.cpus for each in shared.nodes} == {(first,)}


def test_more_generators_come_and_go(lab: ContainerLabStatus) -> None:
    """The server is left alone; the inventory has the further generators, and only while they are there."""
    server_pid = nspawn_pid("server")
    container_lab.up(loadgens=2)
    assert container_lab.status().up
    assert not container_lab.up().changed
    assert [host.address for host in read_hosts(LAB).generators] == ["10.86.77.21", "10.86.77.22"]
    container_lab.up(loadgens=1)
    assert [host.name for host in read_hosts(LAB).generators] == ["loadgen"]
    assert nspawn_pid("server") == server_pid


def test_a_killed_build_leaves_no_half_base(tmp_path: Path) -> None:
    """What was being made is under another name than a base, and the next build clears it away."""
    program = (
        "import sys; from pathlib import Path; from container_lab import base, machine, plan;"
        "plan.CACHE = Path(sys.argv[1]); base.build(machine.read_settings({}))"
    )
    building = start_on_the_controller(program, tmp_path)
    kill_when(building, lambda: any(tmp_path.glob(f"{base.UNFINISHED}*/root/var")))
    assert not list(tmp_path.glob("base-*"))


@pytest.mark.skipif(not SYSTEMD_IS_PID_1.is_dir(), reason="systemd is not PID 1 here: nodes are not units")
def test_where_systemd_is_pid_1_nodes_are_units(lab: ContainerLabStatus) -> None:
    """They are seen and stopped by systemctl like anything else."""
    units = [f"{plan.NODE_PREFIX}{each.name}" for each in lab.nodes]
    assert run("systemctl", "is-active", *units).split() == ["active"] * len(units)
