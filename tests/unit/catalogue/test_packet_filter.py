"""Who gets through a server's packet filter, tried with the kernel's own; and what becomes of names and addresses."""

from __future__ import annotations

import ipaddress
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from wrklab.catalogue.packet_filter import TABLE, UNIT_TEXT, PacketFilter, addresses_of, load_addresses
from wrklab.errors import UsageError

GENERATOR, STRANGER = "198.51.100.2", "203.0.113.2"
RULES = PacketFilter(ports=(8080,), clients=(ipaddress.ip_address(GENERATOR),), backends=(), user="nobody")

#: Ends with 0 where the port is refused: nobody listens there, and the machine has answered.
ASK = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=0.5)
except ConnectionRefusedError:
    sys.exit(0)
sys.exit(1)
"""


@pytest.fixture
def machines() -> Iterator[dict[str, list[str]]]:
    """A server between a generator and a stranger: as commands that enter each network namespace."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "--net", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets us make no network namespace (root and unshare are needed)")
    with ExitStack() as ended:
        entered = {}
        for name in ("server", "generator", "stranger"):
            holder = ended.enter_context(subprocess.Popen([unshare, "--net", "sleep", "60"]))
            ended.callback(holder.kill)
            place = Path(f"/proc/{holder.pid}/ns/net")
            while place.readlink() == Path("/proc/self/ns/net").readlink():
                os.sched_yield()
            entered[name] = ["nsenter", f"--net={place}"]
        for name, address in (("generator", GENERATOR), ("stranger", STRANGER)):
            peer = entered[name][1].removeprefix("--net=").split("/")[2]
            own = address.rpartition(".")[0] + ".1"
            for where, words in (
                ("server", f"link add {name} type veth peer name host0 netns {peer}"),
                ("server", f"address add {own}/24 dev {name}"),
                ("server", f"link set {name} up"),
                ("server", "link set lo up"),
                (name, f"address add {address}/24 dev host0"),
                (name, "link set host0 up"),
            ):
                subprocess.run([*entered[where], "ip", *words.split()], check=True)
        yield entered


def load(machines: dict[str, list[str]], rules: PacketFilter) -> None:
    """The table on the server, as its unit does it."""
    subprocess.run([*machines["server"], "nft", "-f", "-"], input=rules.text, text=True, check=True)


def reaches(source: list[str], address: str, port: int, user: str = "root") -> bool:
    """Whether a machine answers at a port."""
    as_user = ["setpriv", f"--reuid={user}", "--clear-groups"]
    command = [*source, *as_user, sys.executable, "-I", "-S", "-c", ASK, address, str(port)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_only_generators_get_at_variants(machines: dict[str, list[str]]) -> None:
    """And everybody at ssh; the server at itself. Loading the table again changes nothing."""
    load(machines, RULES)
    load(machines, RULES)

    assert reaches(machines["generator"], "198.51.100.1", 8080)
    assert not reaches(machines["stranger"], "203.0.113.1", 8080)
    assert reaches(machines["stranger"], "203.0.113.1", 22)
    assert reaches(machines["server"], "203.0.113.1", 8080)
    subprocess.run([*machines["server"], "nft", "delete", "table", "inet", TABLE], check=True)
    assert reaches(machines["stranger"], "203.0.113.1", 8080)


def test_variants_reach_nobody_but_backends(machines: dict[str, list[str]]) -> None:
    """Other users of the server reach whom they like."""
    assert reaches(machines["server"], STRANGER, 9, user="nobody")
    load(machines, RULES)

    assert not reaches(machines["server"], STRANGER, 9, user="nobody")
    assert not reaches(machines["server"], GENERATOR, 9, user="nobody")
    assert reaches(machines["server"], "127.0.0.1", 9, user="nobody")
    assert reaches(machines["server"], STRANGER, 9)
    load(machines, replace(RULES, backends=(ipaddress.ip_address(STRANGER),)))
    assert reaches(machines["server"], STRANGER, 9, user="nobody")


def test_packets_of_an_open_connection_meet_one_rule() -> None:
    """And nothing tracks connections: that would cost each packet of a measured load."""
    for chain in ("input", "output"):
        first = RULES.text.partition(f"chain {chain} {{")[2].splitlines()[2].strip()
        assert first == "tcp flags & (syn | ack) != syn accept"
    assert "ct state" not in RULES.text


def test_both_versions_of_ip_have_their_rules() -> None:
    """In an order that does not depend on the inventory's."""
    clients = addresses_of(["2001:db8::2", "192.0.2.9", "192.0.2.10", "192.0.2.9"])
    text = replace(RULES, ports=(8080, 9000), clients=clients).text

    assert "tcp dport { 8080, 9000 } ip saddr { 192.0.2.9, 192.0.2.10 } accept" in text
    assert "tcp dport { 8080, 9000 } ip6 saddr { 2001:db8::2 } accept" in text
    assert text == replace(RULES, ports=(8080, 9000), clients=clients[::-1]).text


def test_a_name_is_resolved_or_refused() -> None:
    """RFC 6761 reserves `invalid`."""
    assert ipaddress.ip_address("127.0.0.1") in addresses_of(["localhost"])
    with pytest.raises(UsageError, match=r"no-such-host\.invalid cannot be resolved .* leave lab_filter out"):
        addresses_of(["no-such-host.invalid"])


def test_a_host_has_an_address_for_ssh_and_one_for_its_load() -> None:
    """Its name where it has neither."""
    values = {"a": {"ansible_host": "192.0.2.1", "lab_load_address": "198.51.100.1"}, "b": {}}
    assert load_addresses(["a", "b"], values) == ["192.0.2.1", "198.51.100.1", "b"]


def test_systemd_has_nothing_to_say_about_the_unit(tmp_path: Path) -> None:
    """`systemd-analyze verify` knows every setting of it."""
    unit = tmp_path / "wrklab_filter.service"
    unit.write_text(UNIT_TEXT.replace("/usr/sbin/nft", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert [line for line in done.stderr.splitlines() if "wrklab_filter" in line] == []
