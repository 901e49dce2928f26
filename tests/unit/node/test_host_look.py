"""What a host is told to be before anything of ours is on it: its addresses and ports, on this machine's loopback."""

from __future__ import annotations

import json
import socket
import subprocess

import pytest

from tests.unit.node.conftest import NODE_DIR, PYTHON
from wrklab.node import host_look


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1", ""),
        ("localhost", ""),
        ("192.0.2.1", "assign"),
        ("::1", "::1 is of IPv6, and variants listen on IPv4 addresses only"),
    ],
)
def test_a_load_address_must_be_one_that_variants_can_listen_on(address: str, said: str) -> None:
    """The host's own, and of IPv4."""
    problem = host_look.address_problem(address)

    assert said in problem
    assert bool(problem) == bool(said)


def test_a_name_of_ipv6_alone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the address that it stands for; one that has both is fine."""
    six = (socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("2001:db8::1", 0, 0, 0))
    four = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 0))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [six])
    alone = host_look.address_problem("name")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [six, four])

    assert alone == "2001:db8::1 is of IPv6, and variants listen on IPv4 addresses only"
    assert host_look.address_problem("name") == ""


def test_a_hosts_own_name_that_stands_for_its_loopback_tells_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian writes it so into /etc/hosts: any address is listened on, and the way to a peer is not its loopback's."""
    own = {"big": "127.0.1.1", "peer": "192.0.2.7"}
    given = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda name, *words, **more: given(own.get(name, name), *words, **more))
    bound = []
    monkeypatch.setattr(socket.socket, "bind", lambda _, name: bound.append(name))

    assert host_look.address_problem("big") == ""
    host_look.mtu_bytes("big", "peer")

    assert set(bound) == {("0.0.0.0", 0)}
    assert [host_look.listen_address(name) for name in ("big", "peer", "127.0.0.1")] == [
        *("0.0.0.0", "192.0.2.7", "127.0.0.1"),
    ]
    assert host_look.number_of("no-such-host.invalid") is None


def test_every_peer_and_port_is_looked_at() -> None:
    """The way to each, from another address where the one given is translated; and who listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_server(("127.0.0.1", 0)) as closed:
        ports = [listener.getsockname()[1], closed.getsockname()[1]]
        closed.close()
        words = ["192.0.2.1", "127.0.0.1,127.0.0.2", ",".join(map(str, ports))]
        command = [PYTHON, "-I", "-S", str(NODE_DIR / "host_look.py"), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True)

    found = json.loads(done.stdout)
    assert sorted(found["mtu_bytes"]) == ["127.0.0.1", "127.0.0.2"]
    assert all(mtu_bytes >= 1500 for mtu_bytes in found["mtu_bytes"].values())
    assert found["ports_taken"] == ports[:1]
    assert found["peer_addresses"] == {"127.0.0.1": "127.0.0.1", "127.0.0.2": "127.0.0.2"}
    assert found["listen_address"] == "192.0.2.1"
