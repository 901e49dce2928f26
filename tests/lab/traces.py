"""What a lab could leave on this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

from container_lab import plan


def run(*argv: str) -> str:
    """Standard output of a command that must succeed."""
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30).stdout


def traces() -> dict[str, object]:
    """Everything that a lab could leave on this machine."""
    processes = {
        path.parent.name
        for path in Path("/proc").glob("[0-9]*/comm")
        if path.exists() and path.read_text().strip() == "systemd-nspawn" and (path.parent / "cmdline").read_bytes()
    }
    return {
        "mounts": sorted(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
        "links": sorted(path.name for path in Path("/sys/class/net").iterdir()),
        "cgroups": sorted(str(path) for path in Path("/sys/fs/cgroup").rglob(f"*{plan.NODE_PREFIX}*")),
        "tables": run("nft", "list", "tables"),
        "nspawns": processes,
        "forwarding": Path("/proc/sys/net/ipv4/ip_forward").read_text(),
        "state": plan.STATE.exists(),
    }
