"""What the container lab decides before it touches anything: CPUs, addresses, settings that are carried over."""

from __future__ import annotations

import ipaddress
import os
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from container_lab import apt_settings, base, cgroups, folders, lab, machine, network, pip_settings
from container_lab.commands import ContainerLabError
from container_lab.cpus import parse_cpu_list, share_out, split_cores, with_backends
from container_lab.plan import make_plan
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.network_namespaces import connect, ip, network_namespaces

REQUEST = {"network": "10.86.77", "loadgens": 1, "server_cpus": [], "loadgen_cpus": [], "overrides": {}}


def test_cpu_list_of_the_kernel() -> None:
    """Ranges and single numbers are told apart."""
    assert parse_cpu_list("0-2,5,7-8\n") == (0, 1, 2, 5, 7, 8)


def test_siblings_stay_on_one_side() -> None:
    """Two threads of a core share its units: parted, server and generator would fight for them."""
    split = split_cores([(0, 4), (1, 5), (2, 6), (3, 7)])
    assert split.server == (0, 4, 1, 5)
    assert split.loadgen == (2, 6, 3, 7)


def test_one_core_with_siblings_is_parted() -> None:
    """It is the only separation that such a machine has."""
    split = split_cores([(0, 1)])
    assert (split.server, split.loadgen, split.shared) == ((0,), (1,), False)


def test_one_cpu_is_shared() -> None:
    """Both sides get it, and it is known."""
    split = split_cores([(0,)])
    assert (split.server, split.loadgen, split.shared) == ((0,), (0,), True)


@given(core_count=st.integers(2, 64), threads=st.integers(1, 2))
def test_sides_are_disjoint_and_whole(core_count: int, threads: int) -> None:
    """Every CPU is on just one side, and the generators never have fewer than the server."""
    cores = [tuple(core + core_count * thread for thread in range(threads)) for core in range(core_count)]
    split = split_cores(cores)
    assert sorted(split.server + split.loadgen) == list(range(core_count * threads))
    assert len(split.loadgen) >= len(split.server) >= 1


@given(cpus=st.lists(st.integers(0, 99), min_size=1, unique=True), count=st.integers(1, 20))
def test_generators_shares(cpus: list[int], count: int) -> None:
    """With enough CPUs the shares are disjoint and none is empty; with too few every generator has all."""
    shares = share_out(cpus, count)
    assert len(shares) == count
    if len(cpus) >= count:
        assert [cpu for share in shares for cpu in share] == cpus
        assert all(shares)
    else:
        assert shares == [tuple(cpus)] * count


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"network": "10.86"}, "LAB_NET=10.86"),
        ({"network": "8.8.8"}, "LAB_NET=8.8.8"),
        ({"loadgens": 0}, "container_lab_loadgens"),
        ({"server_cpus": [4096]}, "container_lab_server_cpus"),
        ({"overrides": {"ca_bundle": "/nowhere.pem"}}, "lab_ca_bundle: /nowhere.pem"),
    ],
)
def test_a_wrong_request_is_refused_by_name(change: dict[str, object], named: str) -> None:
    """The error names the setting and what was found."""
    with pytest.raises(ContainerLabError, match=named):
        make_plan(REQUEST | change)


def test_a_server_that_takes_all_cpus_leaves_the_generators_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    """They share those of the generators; lab.json repeats the request, so that a later one can put the CPUs back."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2, 3})
    usual = make_plan(REQUEST)
    shared = make_plan(REQUEST | {"server_takes_all_cpus": True, "server_cpus": [0]})

    assert shared.nodes[0].cpus == (0, 1, 2, 3)
    assert shared.nodes[1:] == usual.nodes[1:]
    assert (usual.cpus_shared, shared.cpus_shared) == (False, True)
    assert shared.request["server_takes_all_cpus"] is True


def test_backends_have_half_of_the_generators_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server keeps its own, so that rates compare with and without backends; threads of a core stay together."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2, 3})
    without, plan = make_plan(REQUEST), make_plan(REQUEST | {"backends": True})

    assert plan.nodes[0] == without.nodes[0]
    assert [node.name for node in plan.nodes] == ["server", "loadgen", "backend"]
    assert sorted(plan.nodes[1].cpus + plan.nodes[2].cpus) == sorted(without.nodes[1].cpus)
    assert (plan.nodes[2].group, plan.nodes[2].address) == ("backend", "10.86.77.131")
    assert plan.sharing(plan.nodes[2]) == ()
    assert lab.warnings(plan) == []
    assert with_backends((1, 5, 2, 6, 3, 7), [(0, 4), (1, 5), (2, 6), (3, 7)]) == ((1, 5, 2, 6), (3, 7))


def test_backends_share_a_generators_only_core_and_that_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """On two CPUs; the server is left alone, and does not count as sharing."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
    plan = make_plan(REQUEST | {"backends": True})
    server, loadgen, backend = plan.nodes

    assert backend.cpus == loadgen.cpus
    assert plan.sharing(backend) == (loadgen,)
    assert plan.sharing(server) == ()
    assert not plan.cpus_shared
    [warning] = lab.warnings(plan)
    assert warning.startswith(f"backend has no CPU of its own: it shares {backend.cpus[0]} with loadgen. ")


def test_cpus_of_backends_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is not there is refused by the variable's name; lab.json repeats the request."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2, 3})
    plan = make_plan(REQUEST | {"backends": True, "backend_cpus": [3]})

    assert plan.nodes[2].cpus == (3,)
    assert (plan.request["backends"], plan.request["backend_cpus"]) == (True, [3])
    with pytest.raises(ContainerLabError, match="container_lab_backend_cpus"):
        make_plan(REQUEST | {"backends": True, "backend_cpus": [9]})


def test_addresses_of_nodes() -> None:
    """.1 is the controller, .11 the server, .21 and on the generators, whose names say their number."""
    plan = make_plan(REQUEST | {"loadgens": 3})
    assert plan.bridge_address == "10.86.77.1"
    assert {node.name: node.address for node in plan.nodes} == {
        "server": "10.86.77.11",
        "loadgen": "10.86.77.21",
        "loadgen_2": "10.86.77.22",
        "loadgen_3": "10.86.77.23",
    }


def test_shared_cpus_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """With which they are, and what to do; where each side has its own there is nothing to report."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {3})
    assert lab.warnings(make_plan(REQUEST))[0].startswith("server and generator share CPU 3: ")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
    assert lab.warnings(make_plan(REQUEST)) == []


ONE_LINE = """\
# deb http://mirror.example.test/debian bookworm main
deb http://mirror.example.test/debian bookworm main contrib
deb [arch=amd64 signed-by=/usr/share/keyrings/other.gpg] https://apt.example.test bookworm main
deb-src http://mirror.example.test/debian bookworm main
deb https://download.example.test/linux/debian bookworm stable
deb file:/srv/mirror bookworm main
"""
DEB822 = """\
Types: deb deb-src
# a comment inside
URIs: https://mirror.example.test/debian
Suites: bookworm bookworm-updates trixie
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
Types: deb
URIs: http://off.example.test/debian
Suites: bookworm
Components: main

Types: deb
URIs: https://mirror.example.test/debian-security
Suites: bookworm-security
Components: main
"""


def test_only_debians_own_sources_are_carried_over() -> None:
    """Third parties' archives, other releases, local files, sources and disabled entries stay behind."""
    text = apt_settings.sources_text(apt_settings.parse_one_line(ONE_LINE) + apt_settings.parse_deb822(DEB822))
    assert [line.split("] ")[1] for line in text.splitlines()] == [
        "http://mirror.example.test/debian bookworm main contrib",
        "https://mirror.example.test/debian bookworm main",
        "https://mirror.example.test/debian bookworm-updates main",
        "https://mirror.example.test/debian-security bookworm-security main",
    ]


def test_proxies_on_the_loopback_stay_behind() -> None:
    """A node's loopback is its own: the proxy would not be there."""
    dump = (
        'Acquire::http::Proxy "http://proxy.example.test:3128";\nAcquire::https::Proxy "http://127.0.0.1:3142";\n'
        'Acquire::http::Proxy::mirror.example.test "DIRECT";\nAcquire::Languages "none";\n'
    )
    assert apt_settings.parse_proxies(dump) == {
        "Acquire::http::Proxy": "http://proxy.example.test:3128",
        "Acquire::http::Proxy::mirror.example.test": "DIRECT",
    }


def test_a_proxys_password_is_on_no_command_line(tmp_path: Path) -> None:
    """mmdebstrap is given a file that only root can read: every user sees command lines."""
    proxy = "http://me:secret@proxy.example.test:3128"
    settings = machine.read_settings({"apt_proxy": proxy, "ca_bundle": "", "apt_sources": ""}, {})

    command = base._command(settings, tmp_path, tmp_path / "root")

    assert [word for word in command if "secret" in word] == []
    assert f"--aptopt={tmp_path}/apt_proxies.conf" in command
    text = (tmp_path / "apt_proxies.conf").read_text()
    assert text == f'Acquire::http::Proxy "{proxy}";\nAcquire::https::Proxy "{proxy}";\n'
    assert (tmp_path / "apt_proxies.conf").stat().st_mode & 0o777 == 0o600


def test_the_users_environment_counts_not_that_of_root() -> None:
    """It comes with the request, as sudo drops it."""
    own = {"https_proxy": "http://proxy.example.test:3128", "http_proxy": ""}
    assert make_plan(REQUEST | {"environment": own}).settings.proxies == {
        "https_proxy": "http://proxy.example.test:3128"
    }


def test_local_package_indexes_stay_behind() -> None:
    """file: URLs and paths name what a node does not have."""
    text = (
        "[global]\nindex-url = https://index.example.test/simple\n"
        "extra-index-url = file:///opt/simple\n  https://more.example.test/simple\nfind-links = /opt/wheels\n"
    )
    assert pip_settings.parse_pip_conf(text) == pip_settings.PackageIndex(
        "https://index.example.test/simple", ("https://more.example.test/simple",)
    )


def test_the_environment_is_stronger_than_a_file() -> None:
    """As it is for pip and uv themselves; what the environment leaves open the file says."""
    found = pip_settings.from_environment({"PIP_INDEX_URL": "https://a.example.test", "PIP_CONFIG_FILE": "x"})
    file = pip_settings.parse_uv_toml(
        '[[index]]\nurl = "https://b.example.test"\ndefault = true\n[[index]]\nurl = "https://c.example.test"\n'
    )
    assert found.over(file) == pip_settings.PackageIndex("https://a.example.test", ("https://c.example.test",))


def test_without_an_index_the_tools_keep_their_default() -> None:
    """No index is named where the controller names none."""
    index = pip_settings.PackageIndex()
    assert "index-url" not in index.pip_conf("/etc/ssl/certs/ca-certificates.crt")
    assert "index-url" not in index.uv_toml()


def test_routes() -> None:
    """/proc/net/route has addresses as little-endian words."""
    text = (
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "wl0\t004D580A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )
    assert network.parse_routes(text) == [
        ("eth0", ipaddress.IPv4Network("0.0.0.0/0")),
        ("wl0", ipaddress.IPv4Network("10.88.77.0/24")),
    ]


def route_line(device: str, destination: str, mask: str) -> str:
    """A line of /proc/net/route."""
    return f"{device}\t{destination}\t00000000\t0001\t0\t0\t0\t{mask}\t0\t0\t0\n"


ROUTES_HEADER = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
FULL_TUNNEL = route_line("tun0", "00000000", "00000080") + route_line("tun0", "00000080", "00000080")


@pytest.fixture
def links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two links, of which the tunnel carries less; the routes are those in the file `route`."""
    for device, mtu in (("eth0", "1500"), ("tun0", "1420")):
        (tmp_path / device).mkdir()
        (tmp_path / device / "mtu").write_text(f"{mtu}\n")
    monkeypatch.setattr(network, "LINKS", tmp_path)
    monkeypatch.setattr(network, "ROUTES", tmp_path / "route")
    return tmp_path


def test_a_vpn_that_takes_everything_leaves_every_lab_net_free(links: Path) -> None:
    """Its routes are halves of all addresses; the lab's own is more specific, and packets fit through the tunnel."""
    (links / "route").write_text(ROUTES_HEADER + route_line("eth0", "00000000", "00000000") + FULL_TUNNEL)

    network.check_no_overlap(make_plan(REQUEST))
    assert network.default_route_mtu_bytes() == 1420


def test_a_vpn_to_private_networks_is_no_place_for_the_lab(links: Path) -> None:
    """A company's 10.0.0.0/8: its hosts of the lab's numbers would be out of reach."""
    (links / "route").write_text(ROUTES_HEADER + route_line("tun0", "0000000A", "000000FF"))

    with pytest.raises(ContainerLabError, match=r"10.86.77.0/24 overlaps the route 10.0.0.0/8 on tun0"):
        network.check_no_overlap(make_plan(REQUEST))
    network.check_no_overlap(make_plan(REQUEST | {"network": "192.168.77"}))


@pytest.fixture
def lab_router() -> Iterator[dict[str, list[str]]]:
    """A machine with the lab's table, a node, and two neighbours: as commands that enter each network namespace."""
    with network_namespaces("router", "node", "left", "right") as entered:
        router = entered["router"]
        ip(router, "link add wrklab0 type bridge forward_delay 0")
        ip(router, "address add 10.86.77.1/24 dev wrklab0")
        for name, link, own, gateway in (
            ("node", "port0", "10.86.77.11/24", "10.86.77.1"),
            ("left", "left0", "198.51.100.2/24", "198.51.100.1"),
            ("right", "right0", "203.0.113.2/24", "203.0.113.1"),
        ):
            connect(router, link, entered[name], "host0")
            if name == "node":
                ip(router, f"link set {link} master wrklab0")
            else:
                ip(router, f"address add {gateway}/24 dev {link}")
            ip(router, f"link set {link} up")
            ip(entered[name], f"address add {own} dev host0")
            ip(entered[name], "link set host0 up")
            ip(entered[name], f"route add default via {gateway}")
        ip(router, "link set wrklab0 up")
        subprocess.run([*router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"], check=True)
        yield entered


#: Ends with 0 where the port is refused: nobody listens there, and the machine has answered.
ASK = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 9), timeout=1, source_address=(sys.argv[2], 0))
except ConnectionRefusedError:
    sys.exit(0)
sys.exit(1)
"""


def reaches(source: list[str], address: str, own: str = "") -> bool:
    """Whether a machine answers, asked from an address of the source's own."""
    command = [*source, sys.executable, "-c", ASK, address, own]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("forwarded_before", [True, False])
def test_only_nodes_reach_out_and_only_answers_come_in(
    lab_router: dict[str, list[str]], *, forwarded_before: bool
) -> None:
    """A machine that did not forward before does not begin to do so between its other networks."""
    table = network.table_text(make_plan(REQUEST), forwarded_before=forwarded_before)
    assert reaches(lab_router["left"], "10.86.77.11")
    subprocess.run([*lab_router["router"], "nft", "-f", "-"], input=table, text=True, check=True)

    assert reaches(lab_router["node"], "198.51.100.2")
    assert not reaches(lab_router["left"], "10.86.77.11")
    assert reaches(lab_router["router"], "10.86.77.11")
    assert reaches(lab_router["left"], "203.0.113.2") == forwarded_before
    # Another bridge of this machine is its maker's to filter.
    for words in ("link add other0 type bridge", "link set right0 master other0", "link set other0 up"):
        subprocess.run([*lab_router["router"], "ip", *words.split()], check=True)
    subprocess.run([*lab_router["router"], "ip", "address", "flush", "dev", "right0"], check=True)
    subprocess.run([*lab_router["router"], "ip", "address", "add", "203.0.113.1/24", "dev", "other0"], check=True)
    assert reaches(lab_router["left"], "203.0.113.2")
    # Under an address that is not the lab's.
    subprocess.run([*lab_router["node"], "ip", "address", "add", "192.0.2.9/32", "dev", "host0"], check=True)
    subprocess.run([*lab_router["left"], "ip", "route", "add", "192.0.2.9", "via", "198.51.100.1"], check=True)
    subprocess.run([*lab_router["router"], "ip", "route", "add", "192.0.2.9", "dev", "wrklab0"], check=True)
    assert not reaches(lab_router["node"], "198.51.100.2", "192.0.2.9")


def test_a_listed_table_shows_which_version_made_it(lab_router: dict[str, list[str]]) -> None:
    """nft lists rules in its own words, and comments as they are."""
    table = network.table_text(make_plan(REQUEST), forwarded_before=False)
    subprocess.run([*lab_router["router"], "nft", "-f", "-"], input=table, text=True, check=True)
    listing = [*lab_router["router"], "nft", "list", "table", "ip", network.TABLE]
    listed = subprocess.run(listing, capture_output=True, text=True, check=True).stdout

    assert network.definition() in listed
    assert network.definition() == sha256(Path(network.__file__).read_bytes()).hexdigest()[:16]


MOUNTS = r"""
30 1 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw
31 30 0:27 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
32 30 0:28 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
33 30 0:29 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
34 30 0:30 / /sys/fs/cgroup/unified rw,relatime shared:1 - cgroup2 cgroup2 rw
40 1 0:40 / /srv/lab/nodes/a/root rw - overlay wrklab rw
41 40 0:41 / /srv/lab/nodes/a/root/with\040space rw - tmpfs tmpfs rw
42 1 0:42 / /srv/lab/nodes/ab rw - tmpfs tmpfs rw
""".lstrip()


def test_hierarchies_that_a_node_needs() -> None:
    """Of cgroup v1 the one that nspawn looks for itself in and the one that holds CPUs; cgroup v2 always."""
    found = {each.mount.name: (each.version, each.has_cpuset) for each in cgroups.parse_hierarchies(MOUNTS)}
    assert found == {"cpuset": (1, True), "systemd": (1, False), "unified": (2, False)}


def test_mounts_below_a_folder_innermost_first() -> None:
    """They can be unmounted in this order; a neighbour whose name begins alike is none of them."""
    assert folders.parse_mounts_below(MOUNTS, Path("/srv/lab/nodes/a")) == [
        Path("/srv/lab/nodes/a/root/with space"),
        Path("/srv/lab/nodes/a/root"),
    ]
