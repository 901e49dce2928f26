"""Hosts that cannot be used are told with the reason and the next step."""

from __future__ import annotations

import socket
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest

from tests.unit.handmade_hosts import handmade_host
from tests.unit.hosts.ssh_server import ssh_server
from wrklab.errors import HostError
from wrklab.hosts import container_lab, remote
from wrklab.hosts.inventory import LabHost
from wrklab.hosts.ready import _greets
from wrklab.hosts.remote import CommandResult, RemoteHost, failure_text


def host_at(port: int, folder: Path) -> LabHost:
    """A host on this machine's loopback, with a key and an empty known_hosts of its own."""
    key = folder / "key"
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    known_hosts = folder / "known_hosts"
    known_hosts.touch()
    return handmade_host(address="127.0.0.1", port=port, key_path=key, known_hosts_path=known_hosts, lab="mylab")


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_host_that_refuses_is_named_with_its_address(tmp_path: Path) -> None:
    """Nobody listens: the text has the host's name, user, address and port."""
    port = free_port()
    with pytest.raises(HostError, match=rf"server \(root@127\.0\.0\.1:{port}\): not reachable"):
        RemoteHost(host_at(port, tmp_path)).open()


def test_nobody_is_asked_in_the_place_of_a_node_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the lab's bridge its addresses lead out of this machine, where anybody may answer."""
    monkeypatch.setattr(container_lab, "_BRIDGE_FOLDER", tmp_path / "wrklab0")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        node = replace(host_at(listener.getsockname()[1], tmp_path), lab_kind="container")
        with pytest.raises(HostError, match=r"server: lab mylab is down\. `invoke lab\.up` brings the lab up\."):
            RemoteHost(node).open()
        assert not _greets(node)
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_what_is_no_ssh_server_is_told(tmp_path: Path) -> None:
    """Something answers that is no sshd: an error of ours, no traceback of another's."""

    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        with pytest.raises(HostError, match="not reachable"):
            RemoteHost(host_at(listener.getsockname()[1], tmp_path)).open()
        thread.join()


def test_a_host_that_turns_connections_away_is_tried_again(tmp_path: Path) -> None:
    """An sshd that restarts, or has too many beginners, ends them without a greeting."""
    with ssh_server(tmp_path, turns_away_count=2) as host, RemoteHost(host) as remote:
        assert remote.run(["echo", "here"], limit_s=10).stdout == "here\n"


def test_a_host_that_turns_every_connection_away_is_told(tmp_path: Path) -> None:
    """After four of them."""
    with ssh_server(tmp_path, turns_away_count=5) as host, pytest.raises(HostError, match="not reachable"):
        RemoteHost(host).open()


@pytest.mark.parametrize("way", ["ProxyCommand nc %h %p", "ProxyJump 192.0.2.9", "Hostname 192.0.2.9"])
def test_the_users_own_ssh_settings_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """The inventory says how a host is reached; a way of the user's own would be one with unchecked host keys."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text(f"Host *\n  {way}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    port = free_port()

    with pytest.raises(HostError, match=rf"127\.0\.0\.1:{port}\): not reachable: .*Unable to connect to port {port}"):
        RemoteHost(host_at(port, tmp_path)).open()


@pytest.mark.parametrize("is_default", [False, True], ids=["lab_known_hosts", "the user's own"])
def test_a_file_of_host_keys_that_cannot_be_meant_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_default: bool
) -> None:
    """A key that is cut off, and a file that cannot be read: with the file's name, and no traceback."""
    host = host_at(free_port(), tmp_path)
    known = tmp_path / "known_hosts"
    if is_default:
        monkeypatch.setenv("HOME", str(tmp_path))
        known = tmp_path / ".ssh" / "known_hosts"
        known.parent.mkdir()
        host = replace(host, known_hosts_path=None)
    known.write_text("127.0.0.1 ssh-ed25519 AAAAC\n")

    with pytest.raises(
        HostError, match=r"known_hosts: a line has no complete host key: '127\.0\.0\.1 ssh-ed25519 AAAAC'"
    ):
        RemoteHost(host).open()
    known.write_bytes(b"127.0.0.1 \xff\xfe AAAA\n")
    with pytest.raises(HostError, match=r"known_hosts cannot be read: .* lab_known_hosts in the inventory says which$"):
        RemoteHost(host).open()


def test_the_host_on_the_way_is_checked_as_the_host_is(tmp_path: Path) -> None:
    """With the lab's known hosts; Fabric itself would take any key."""
    host = replace(host_at(free_port(), tmp_path), jump_host="gate@127.0.0.1:2200", jump_key_path=tmp_path / "gate key")

    connection = remote._connection(host)

    policy = connection.gateway.client._policy
    assert isinstance(policy, paramiko.RejectPolicy)
    assert (connection.gateway.user, connection.gateway.port) == ("gate", 2200)
    assert connection.gateway.connect_kwargs["key_filename"] == [str(tmp_path / "gate key")]


def test_a_failed_command_shows_host_command_status_and_the_last_lines() -> None:
    """Ten lines of stderr are enough to see why; stdout stands in where stderr is empty."""
    stderr = "\n".join(f"line {number}" for number in range(20))
    text = failure_text(CommandResult("server", "systemctl start x", 1, "out", stderr, 0.1))

    assert text.startswith("server: `systemctl start x` ended with 1:")
    assert "line 19" in text
    assert "line 9\n" not in text
    assert "out" in failure_text(CommandResult("server", "x", 1, "out", "", 0.1))
