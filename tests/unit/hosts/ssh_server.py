"""An sshd of the tests' own on the loopback, which runs each command on this machine, or behaves badly."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
from paramiko.common import AUTH_SUCCESSFUL, OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED, OPEN_SUCCEEDED

from tests.unit.handmade_hosts import handmade_host
from wrklab.hosts.inventory import LabHost

#: What is done with a channel on which a command was requested.
OnCommand = Callable[[paramiko.Channel, str], None]


def run_here(channel: paramiko.Channel, command: str) -> None:
    """As sshd does: stdout, stderr and the exit status go back."""
    with subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            errors = threading.Thread(target=_copy, args=(process.stderr.read1, channel.sendall_stderr))  # type: ignore[attr-defined]
            errors.start()
            _copy(process.stdout.read1, channel.sendall)  # type: ignore[attr-defined]
            errors.join()
        finally:
            process.stdout.close()
            process.kill()
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        channel.send_exit_status(process.returncode)
        channel.close()


def _copy(read: Callable[[int], bytes], send: Callable[[bytes], None]) -> None:
    with contextlib.suppress(OSError, EOFError):
        while part := read(1 << 16):
            send(part)


class _Server(paramiko.ServerInterface):
    def __init__(self, on_command: OnCommand, *, accepts_commands: bool) -> None:
        self._on_command = on_command
        self._accepts_commands = accepts_commands
        self.forwards_event = threading.Event()

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return AUTH_SUCCESSFUL

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_direct_tcpip_request(
        self, chanid: int, origin: tuple[str, int], destination: tuple[str, int]
    ) -> int:
        # A host on the way that never says whether it opens the way on.
        self.forwards_event.wait(10)
        return OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        if not self._accepts_commands:
            # No answer at all: paramiko's server sends one as soon as this returns.
            self.forwards_event.wait(10)
        threading.Thread(target=self._on_command, args=(channel, command.decode()), daemon=True).start()
        return True


@contextlib.contextmanager
def ssh_server(
    folder: Path, on_command: OnCommand = run_here, *, accepts_commands: bool = True, turns_away_count: int = 0
) -> Iterator[LabHost]:
    """A host behind such an sshd, its host key known. The first so many connections end without a greeting."""
    host_key, client_key = paramiko.RSAKey.generate(2048), paramiko.RSAKey.generate(2048)
    client_key.write_private_key_file(str(folder / "key"))
    transports: list[paramiko.Transport] = []
    server = _Server(on_command, accepts_commands=accepts_commands)

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            for _ in range(turns_away_count):
                listener.accept()[0].close()
            while True:
                transport = paramiko.Transport(listener.accept()[0])
                transports.append(transport)
                transport.add_server_key(host_key)
                with contextlib.suppress(paramiko.SSHException, EOFError):
                    transport.start_server(server=server)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
        known_hosts = folder / "known_hosts"
        known_hosts.write_text(f"[127.0.0.1]:{port} {host_key.get_name()} {host_key.get_base64()}\n")
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        try:
            yield handmade_host(
                address="127.0.0.1",
                port=port,
                key_path=folder / "key",
                known_hosts_path=known_hosts,
                lab="mylab",
            )
        finally:
            server.forwards_event.set()
            for transport in transports:
                transport.close()
