"""Sockets by netlink: accept queues, backlogs, connections by state."""

from __future__ import annotations

import socket
import time

import pytest

from wrklab.node import sock_diag

_IPPROTO_MPTCP = 262


def test_the_accept_queue_and_the_backlog_are_seen() -> None:
    """Three connections that nobody accepts wait in a queue for seven."""
    with socket.create_server(("127.0.0.1", 0), backlog=7) as listening:
        address = listening.getsockname()
        clients = [socket.create_connection(address) for _ in range(3)]
        (found,) = sock_diag.listeners(address[1])
        assert (found.family, found.queued_count, found.backlog) == ("tcp4", 3, 7)
        assert f"tcp4 {address[1]} 3 7\n" in sock_diag.listeners_text()
        for client in clients:
            client.close()


def test_listeners_of_both_families_are_seen() -> None:
    """IPv6 too."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6, backlog=9) as listening:
        (found,) = sock_diag.listeners(listening.getsockname()[1])
        assert (found.family, found.backlog) == ("tcp6", 9)


def test_a_listener_of_mptcp_is_seen_with_its_queue() -> None:
    """Go's net/http listens with MPTCP from 1.24 on."""
    try:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, _IPPROTO_MPTCP)
    except OSError as error:
        pytest.skip(f"no MPTCP in this kernel: {error}")
    with listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(5)
        with socket.create_connection(listening.getsockname()):
            (found,) = sock_diag.listeners(listening.getsockname()[1])
            assert (found.queued_count, found.backlog) == (1, 5)


def test_connections_to_a_target_are_counted_by_state() -> None:
    """Only those to this address and port, only this side's."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listening:
        address, port = listening.getsockname()
        clients = [socket.create_connection((address, port)) for _ in range(150)]
        assert sock_diag.connection_states(address, port) == {"ESTABLISHED": 150}
        assert sock_diag.connection_states("127.0.0.2", port) == {}
        for client in clients[:50]:
            client.close()
        assert sock_diag.connection_states(address, port)["ESTABLISHED"] == 100
        for client in clients:
            client.close()
    assert sock_diag.listeners(port) == []


@pytest.mark.parametrize("is_dual", [False, True])
def test_who_is_connected_at_a_port_is_told_by_address(*, is_dual: bool) -> None:
    """Also at a listener of both families, to which IPv4 comes under an IPv6 name. Who closed is not told."""
    if is_dual and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 on this machine")
    family = socket.AF_INET6 if is_dual else socket.AF_INET
    any_address = "::" if is_dual else "0.0.0.0"
    with socket.create_server((any_address, 0), family=family, dualstack_ipv6=is_dual, backlog=9) as listening:
        port = listening.getsockname()[1]
        clients = [socket.create_connection((f"127.0.0.{number}", port)) for number in (1, 1, 2)]
        six = [socket.create_connection(("::1", port))] if is_dual else []
        expected = {"127.0.0.1": 3} | ({"::1": 1} if is_dual else {})
        assert sock_diag.peers(port) == expected
        clients[0].close()
        assert sock_diag.peers(port) == expected | {"127.0.0.1": 2}
        for client in (*clients[1:], *six):
            client.close()


def test_nobody_listening_is_an_empty_list() -> None:
    """Not an error."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert sock_diag.listeners(port) == []


def test_silences_tell_who_was_never_answered() -> None:
    """Of ten connections three had an answer and read it, two have one to read, five never had one."""
    with socket.create_server(("127.0.0.1", 0), backlog=20) as listening:
        address, port = listening.getsockname()
        clients = [socket.create_connection((address, port)) for _ in range(10)]
        servers = dict(_accepted(listening) for _ in clients)
        for client in clients[:5]:
            servers[client.getsockname()].sendall(b"ok")
        for client in clients[:3]:
            client.recv(10)
        time.sleep(0.25)
        found = sock_diag.target_connections(address, port, with_silences=True)
        received = {client.getsockname()[1]: 2 if client in clients[:3] else 0 for client in clients[:3] + clients[5:]}
        assert {socket.ntohs(own): count for own, count in found.received_bytes.items()} == received
        assert (found.states, found.reopening_count, found.unread_count) == ({"ESTABLISHED": 10}, 0, 2)
        assert sum(found.silences_answered.values()) == 3
        assert sum(found.silences_unanswered.values()) == 5
        assert all(step >= 2 for step in (*found.silences_answered, *found.silences_unanswered))
        servers[clients[0].getsockname()].close()
        assert sock_diag.target_connections(address, port).reopening_count == 1
        for connection in (*clients, *servers.values()):
            connection.close()


def _accepted(listening: socket.socket) -> tuple[object, socket.socket]:
    connection, address = listening.accept()
    return address, connection
