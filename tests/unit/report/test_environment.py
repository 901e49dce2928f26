"""The environment of a run as its report tells it."""

from __future__ import annotations

from wrklab.report.environment import environment_tables, unit_texts
from wrklab.results.records import HostEnvironment, RunEnvironment, UnitFile

SERVER = {
    "kernel": {"release": "6.1.0-25-amd64"},
    "openresty": {"version": "1.21"},
    "cpu": {"turbo": False, "governors": []},
    "memory_bytes": {"total": 4294967296},
    "sysctls": {
        "net.core.somaxconn": "65535",
        "net.ipv4.tcp_syncookies": "1",
        "net.ipv4.ip_local_reserved_ports": "80",
    },
    "sysctls_before": {"net.core.somaxconn": "4096", "net.ipv4.ip_local_reserved_ports": ""},
    "stacks": {"flask": {"python": "3.11.2", "packages": {"flask": "3.1.2"}}},
    "moment": {"cpu_busy_percent": 3.14159, "clock": {"ahead_s": 0.000012}, "uptime_s": 123456.7},
}
GENERATOR = {
    "kernel": {"release": "6.1.0-26-amd64"},
    "openresty": None,
    "cpu": {"turbo": None},
    "versions": {"wrk": "4.1"},
}
ENVIRONMENT = RunEnvironment(
    hosts=(
        HostEnvironment(host="server", group="server", facts=SERVER),
        HostEnvironment(host="loadgen", group="loadgen", facts=GENERATOR),
    ),
    controller={"git": {"commit": None, "reason": "no git"}, "packages": {"fabric": "3.2.3", "invoke": "2.2.1"}},
)


def rows(title: str) -> dict[str, list[str]]:
    """A table's rows by their first cell."""
    return {row[0]: row[1:] for name, _, found in environment_tables(ENVIRONMENT) if name == title for row in found}


def test_hosts_stand_side_by_side() -> None:
    """What one of them lacks is a dash, and a dash of one does not stand beside the other's parts."""
    found = rows("Hosts")

    assert found["kernel.release"] == ["6.1.0-25-amd64", "6.1.0-26-amd64"]
    assert found["versions.wrk"] == ["-", "4.1"]
    assert found["openresty.version"] == ["1.21", "-"]
    assert "openresty" not in found
    assert found["cpu.turbo"] == ["no", "-"]
    assert found["memory_bytes.total"] == ["4,294,967,296", "-"]


def test_a_setting_that_provisioning_changed_is_told_with_what_it_was() -> None:
    """4096 -> 65535; one that it left alone as it is; one that was empty."""
    found = rows("Hosts")

    assert found["sysctls.net.core.somaxconn"][0] == "4096 -> 65535"
    assert found["sysctls.net.ipv4.tcp_syncookies"][0] == "1"
    assert found["sysctls.net.ipv4.ip_local_reserved_ports"][0] == "(empty) -> 80"
    assert not any(key.startswith("sysctls_before") for key in found)


def test_what_was_seen_before_the_first_cell_has_a_table_of_its_own() -> None:
    """So that the other one can be compared line by line."""
    assert rows("Hosts just before the first cell") == {
        "cpu_busy_percent": ["3.142", "-"],
        "clock.ahead_s": ["1.2e-05", "-"],
        "uptime_s": ["123,456.7", "-"],
    }
    assert not any(key.startswith("moment") for key in rows("Hosts"))


def test_versions_take_a_line_a_stack() -> None:
    """Libraries of the server's stacks, and of the controller."""
    assert rows("Stacks on server") == {"flask": ["python 3.11.2, flask 3.1.2"]}
    assert rows("Controller")["packages"] == ["fabric 3.2.3, invoke 2.2.1"]
    assert rows("Controller")["git.reason"] == ["no git"]


def test_units_say_what_they_have_in_common_once() -> None:
    """Comments are left out; a drop-in stands under its path, and what it changes counts as the variant's own."""
    first = UnitFile(path="/u/a.service", text="# Managed\n[Service]\nType=exec\n\nExecStart=/a\n")
    second = UnitFile(path="/u/b.service", text="[Service]\nType=exec\nExecStart=/b\n")
    drop_in = UnitFile(path="/u/b.service.d/x.conf", text="[Service]\nCPUQuota=10%\n")

    found = unit_texts({"a": (first,), "b": (second, drop_in), "gone": ()})

    assert found.common == ("[Service]", "Type=exec")
    assert found.own == {"a": ("ExecStart=/a",), "b": ("ExecStart=/b", "# /u/b.service.d/x.conf", "CPUQuota=10%")}


def test_one_variants_unit_is_told_whole() -> None:
    """With nothing to compare it with, nothing is common."""
    found = unit_texts({"a": (UnitFile(path="/u/a.service", text="[Service]\nExecStart=/a\n"),)})

    assert found.common == ()
    assert found.own == {"a": ("[Service]", "ExecStart=/a")}


def test_an_older_run_without_units_has_none() -> None:
    """Records of before they were kept."""
    assert unit_texts({}).own == {}
