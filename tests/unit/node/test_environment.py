"""What a host tells of itself: every key is there, and nothing that is nobody's business."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.unit.node.conftest import NODE_DIR, PYTHON
from wrklab.node import environment, hardware, host_state, node_io, sock_diag
from wrklab.protocol.codec import decode, decode_json
from wrklab.protocol.host import BusyProcess, Environment, EnvironmentFacts, HostStateSpec

#: The kernel's command line of a cloud's virtual machine, shortened.
COMMAND_LINE = (
    "mitigations=auto,no_guest_host console=ttyS0 quiet root=UUID=12 init_token=abc nosmt isolcpus=2-3 -- --auth"
)


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """environment.py of this machine, as a host runs it."""
    command = [PYTHON, "-I", "-S", str(NODE_DIR / "environment.py"), "127.0.0.1"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | {"API_TOKEN": "hunter2"}
    )
    return dict(decode_json(Environment, done.stdout).facts)


def test_a_host_tells_all_that_may_explain_a_difference(told: dict[str, Any]) -> None:
    """Every key, with something in those that every Linux has."""
    assert set(told) == {
        *("hostname", "kernel", "os_release", "virtualisation", "cpu", "memory_bytes", "cgroup_limits", "clock_source"),
        *("network", "limits", "sysctls", "sysctls_before", "versions", "packages", "wrk_build", "stacks", "openresty"),
        "moment",
    }
    assert told["cpu"]["allowed"]
    assert told["cpu"]["model"]
    assert told["memory_bytes"]["total"] > 1 << 20
    assert told["kernel"]["release"] == os.uname().release
    assert int(told["sysctls"]["net.core.somaxconn"]) > 0
    assert told["network"]["interface"] == "lo"
    assert told["network"]["mtu_bytes"] > 1000
    assert list(decode(EnvironmentFacts, told).cpu.allowed) == told["cpu"]["allowed"]


def test_what_changes_from_moment_to_moment_stands_under_one_key(told: dict[str, Any]) -> None:
    """A second look differs there at most."""
    command = [PYTHON, "-I", "-S", str(NODE_DIR / "environment.py"), "127.0.0.1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    again: dict[str, Any] = dict(decode_json(Environment, done.stdout).facts)

    assert told["moment"]["clock_at_s"] < again["moment"]["clock_at_s"]
    assert {key: told[key] for key in told if key != "moment"} == {key: again[key] for key in again if key != "moment"}


def test_no_environment_variable_is_told(told: dict[str, Any]) -> None:
    """Secrets are often kept there."""
    assert "hunter2" not in json.dumps(told)


def test_of_the_kernels_command_line_only_what_bears_on_speed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mitigations, SMT and isolated CPUs; no tokens, no disks."""
    monkeypatch.setattr(node_io, "line", lambda _: COMMAND_LINE)

    assert hardware.command_line() == ["mitigations=auto,no_guest_host", "nosmt", "isolcpus=2-3"]


def test_the_tightest_limit_of_all_cgroups_above_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 2: 1.5 CPUs at the root, 4 below; memory and tasks limited in the unit's slice alone."""
    files = {
        "cpu.max": "150000 100000",
        "memory.max": "max",
        "system.slice/cpu.max": "400000 100000",
        "system.slice/memory.max": "536870912",
        "system.slice/pids.max": "200",
        "system.slice/ssh.service/cpuset.cpus.effective": "0-1",
        "cpuset.cpus.effective": "0-3",
        "cgroup.controllers": "cpu io memory",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    monkeypatch.setattr(hardware, "unified_root", lambda: str(tmp_path))
    monkeypatch.setattr(hardware, "own_cgroup", lambda: f"{tmp_path}/system.slice/ssh.service")
    monkeypatch.setattr(hardware, "_v1_folders", set)

    assert hardware.cgroup_limits() == {
        "version": 2,
        "cpus_count": 1.5,
        "cpuset": "0-1",
        "memory_bytes": 536870912,
        "unit_controllers": ["cpu", "memory"],
        "tasks_count": 200,
    }


def test_version_1_of_cgroups_is_understood_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quota of half a CPU, no limit on memory (a number near 2^63), -1 for no quota."""
    for name, text in (("cpu.cfs_quota_us", "50000"), ("cpu.cfs_period_us", "100000")):
        (tmp_path / name).write_text(f"{text}\n")
    (tmp_path / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    (tmp_path / "above").mkdir()
    (tmp_path / "above/cpu.cfs_quota_us").write_text("-1\n")
    (tmp_path / "above/cpu.cfs_period_us").write_text("100000\n")
    monkeypatch.setattr(hardware, "unified_root", lambda: "/nowhere/unified")
    monkeypatch.setattr(hardware, "own_cgroup", lambda: "/nowhere/unified")
    monkeypatch.setattr(hardware, "_v1_folders", lambda: {str(tmp_path), str(tmp_path / "above")})

    found = hardware.cgroup_limits()

    assert (found["version"], found["cpus_count"], found["memory_bytes"]) == (1, 0.5, None)


@pytest.mark.parametrize(
    ("mounted", "found"), [((), []), (("memory", "cpu,cpuacct/system.slice", "cpu,cpuacct"), ["cpu", "memory"])]
)
def test_what_units_can_be_limited_in_by_version_1(
    monkeypatch: pytest.MonkeyPatch, mounted: tuple[str, ...], found: list[str]
) -> None:
    """Where version 2 has no controllers: those that are mounted, and none in a container that sees none."""
    monkeypatch.setattr(hardware, "unified_root", lambda: "/nowhere/unified")
    monkeypatch.setattr(hardware, "own_cgroup", lambda: "/nowhere/unified")
    monkeypatch.setattr(hardware, "_v1_folders", lambda: {f"/sys/fs/cgroup/{name}" for name in mounted})

    assert hardware.cgroup_limits()["unit_controllers"] == found


def test_an_address_that_is_nowhere_has_no_interface() -> None:
    """A name that does not resolve (RFC 6761 reserves `invalid`), and a host's own that leads nowhere."""
    assert hardware.interface("no-such-host.invalid") is None
    assert hardware.interface("localhost") is None


def test_local_ports_are_those_that_connections_may_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: dict[str, Any]
) -> None:
    """Without the reserved ones, of which some lie outside of the range."""
    monkeypatch.setattr(sock_diag, "_SETTINGS", str(tmp_path))
    (tmp_path / "ip_local_port_range").write_text("1024\t65535\n")
    (tmp_path / "ip_local_reserved_ports").write_text("80,1000-1025,8080-8089\n")

    assert sock_diag.local_ports_count() == 65535 - 1024 + 1 - 2 - 10
    monkeypatch.undo()
    assert told["limits"]["local_ports_count"] == sock_diag.local_ports_count()


def test_the_luajit_that_wrk_is_linked_with_is_found(tmp_path: Path) -> None:
    """As ldd prints it, and as the library carries it."""
    library = tmp_path / "libluajit-5.1.so.2"
    library.write_bytes(b"\x7fELF\0LuaJIT 2.1.0-beta3\0jit\0")

    assert (
        environment._luajit(f"\tlibluajit-5.1.so.2 => {library} (0x00007f09ce873000)\n\tlibm.so.6 => ") == "2.1.0-beta3"
    )
    assert environment._luajit("\tlibm.so.6 => /lib/libm.so.6 (0x1)\n") is None


def test_the_processes_that_used_most_cpu_are_named() -> None:
    """The busiest first, a new one with all that it used; one that used nothing, or is gone, is not among them."""
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    before = {1: ("systemd", 500), 7: ("yes", 100), 8: ("gone", 3)}
    after = {1: ("systemd", 500), 7: ("yes", 100 + ticks_per_s // 2), 9: ("tar (1)", ticks_per_s // 10)}

    assert host_state._busiest(before, after, 0.5) == (
        BusyProcess(pid=7, name="yes", cpu_percent_of_one=100.0),
        BusyProcess(pid=9, name="tar (1)", cpu_percent_of_one=20.0),
    )


def test_a_look_reads_processes_and_those_file_systems_that_there_are() -> None:
    """This very test runs among the processes; a folder that a host lacks is left out."""
    found = host_state.state(HostStateSpec(look_s=0.05, paths=("/tmp", "/no/such/folder")))

    assert found.look_s >= 0.05
    assert [disk.path for disk in found.disks] == ["/tmp"]
    assert os.getppid() in host_state._process_ticks()
