"""The short transfer between two hosts, here from this machine to itself."""

from __future__ import annotations

import json
import socket
import subprocess

from tests.unit.node.conftest import NODE_DIR, PYTHON
from wrklab.node import link_check


def serving(ports: list[int]) -> subprocess.Popen[str]:
    """A sender as a host runs it, not yet asked."""
    words = ["serve", "127.0.0.1", ",".join(map(str, ports)), "20"]
    command = [PYTHON, "-I", "-S", str(NODE_DIR / "link_check.py"), *words]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(sender: subprocess.Popen[str]) -> dict[str, object]:
    """What it answers."""
    assert sender.stdin is not None
    assert sender.stdout is not None
    sender.stdin.write("\n")
    sender.stdin.flush()
    answer: dict[str, object] = json.loads(sender.stdout.readline())
    return answer


def test_bytes_come_from_the_first_port_that_is_free() -> None:
    """And the sender ends with its input, when the controller is gone."""
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as free:
        ports = [taken.getsockname()[1], free.getsockname()[1]]
        free.close()
        with serving(ports) as sender:
            port = ask(sender)["port"]
            found = link_check.fetch("127.0.0.1", ports[1], 0.2)
            assert sender.stdin is not None
            sender.stdin.close()
            assert sender.wait(timeout=5) == 0

    assert port == ports[1]
    assert found["bytes"] > 1 << 20
    assert 0 < found["connect_s"] < 1


def test_no_free_port_is_an_answer() -> None:
    """It is no silence that would be taken for a lost connection."""
    with socket.create_server(("127.0.0.1", 0)) as taken, serving([taken.getsockname()[1]]) as sender:
        assert ask(sender) == {"error": f"none of the ports [{taken.getsockname()[1]}] is free on 127.0.0.1"}
        assert sender.wait(timeout=5) == 0
