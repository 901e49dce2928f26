"""Machines of a test's own: network namespaces with veth pairs between them, entered by a command each."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest


@contextmanager
def network_namespaces(*names: str) -> Iterator[dict[str, list[str]]]:
    """By name, the words that run a command in each; gone with the block. Skips the test where none can be made."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "--net", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets us make no network namespace (root and unshare are needed)")
    with ExitStack() as ended:
        entered = {}
        for name in names:
            holder = ended.enter_context(subprocess.Popen([unshare, "--net", "sleep", "60"]))
            ended.callback(holder.kill)
            place = Path(f"/proc/{holder.pid}/ns/net")
            while place.readlink() == Path("/proc/self/ns/net").readlink():
                os.sched_yield()
            entered[name] = ["nsenter", f"--net={place}"]
        yield entered


def ip(machine: list[str], words: str) -> None:
    """`ip WORDS` on a machine."""
    subprocess.run([*machine, "ip", *words.split()], check=True)


def connect(one: list[str], link: str, other: list[str], other_link: str) -> None:
    """A veth pair from one machine's `link` to the other's."""
    pid = other[1].removeprefix("--net=").split("/")[2]
    ip(one, f"link add {link} type veth peer name {other_link} netns {pid}")
