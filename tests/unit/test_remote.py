"""Hosts that cannot be used are told with the reason and the next step."""

from __future__ import annotations

import socket
import subprocess
import threading
from pathlib import Path

import pytest

from wrklab.doors.inventory import LabHost
from wrklab.doors.remote import CommandResult, RemoteHost, failure_text
from wrklab.errors import HostError


def host_at(port: int, folder: Path) -> LabHost:
    """A host on this machine's loopback, with a key and an empty known_hosts of its own."""
    key = folder / "key"
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    known_hosts = folder / "known_hosts"
    known_hosts.touch()
    return LabHost(
        name="server",
        group="server",
        address="127.0.0.1",
        load_address="127.0.0.1",
        user="root",
        port=port,
        key_path=key,
        known_hosts_path=known_hosts,
        jump_host=None,
        cpus=(),
        lab="mylab",
        lab_kind="ssh",
    )


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_host_that_refuses_is_named_with_its_address(tmp_path: Path) -> None:
    """Nobody listens: the text has the host's name, user, address and port."""
    port = free_port()
    with pytest.raises(HostError, match=rf"server \(root@127\.0\.0\.1:{port}\): not reachable"):
        RemoteHost(host_at(port, tmp_path)).open()


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


def test_a_failed_command_shows_host_command_status_and_the_last_lines() -> None:
    """Ten lines of stderr are enough to see why; stdout stands in where stderr is empty."""
    stderr = "\n".join(f"line {number}" for number in range(20))
    text = failure_text(CommandResult("server", "systemctl start x", 1, "out", stderr, 0.1))

    assert text.startswith("server: `systemctl start x` ended with 1:")
    assert "line 19" in text
    assert "line 9\n" not in text
    assert "out" in failure_text(CommandResult("server", "x", 1, "out", "", 0.1))
