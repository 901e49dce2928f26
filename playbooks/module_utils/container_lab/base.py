"""The base file system that every node is a clone of: Debian 12 by mmdebstrap, cached by the hash of its inputs."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path

from . import plan
from .apt_settings import DEBIAN_KEYRING, SUITE
from .commands import run
from .folders import link, remove, write
from .machine import MachineSettings

# Raised when the functions below come to make another base from the same constants.
FORMAT = 1
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "python3",
    "python3-apt",
    "iproute2",
    "procps",
    "curl",
    "ca-certificates",
    "sudo",
)
# Each would wake up inside a measurement, or wait for something that a container never has.
MASKED = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "logrotate.timer",
    "man-db.timer",
    "systemd-tmpfiles-clean.timer",
    "systemd-networkd-wait-online.service",
    "systemd-journal-flush.service",
    "console-getty.service",
    "getty.target",
)
APT_OPTIONS = (
    'Acquire::Languages "none"',
    'APT::Install-Recommends "false"',
    # What a clone installs is kept in the bound cache, for the next clone.
    'APT::Keep-Downloaded-Packages "true"',
    'Binary::apt::APT::Keep-Downloaded-Packages "true"',
)
DPKG_OPTIONS = (
    "force-unsafe-io",
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-include=/usr/share/locale/locale.alias",
)
FILES = {
    "etc/ssh/sshd_config.d/wrklab.conf": (
        "HostKey /etc/ssh/ssh_host_ed25519_key\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n"
        "UseDNS no\nMaxStartups 100:30:200\nMaxSessions 100\nPrintMotd no\n"
    ),
    "etc/systemd/journald.conf.d/wrklab.conf": "[Journal]\nStorage=volatile\n",
    "etc/timezone": "Etc/UTC\n",
    "etc/machine-id": "",
}
UNITS = "etc/systemd/system"
BUILD_LIMIT_S = 1800.0
# How the folder of a build under way is called.
UNFINISHED = "making-"


def base_path(settings: MachineSettings) -> Path:
    """Where the base for these settings is, or would be."""
    made_of = [FORMAT, SUITE, PACKAGES, MASKED, APT_OPTIONS, DPKG_OPTIONS, FILES]
    carried = [settings.ca_bundle, settings.certificates, settings.apt_sources, settings.apt_proxies]
    return plan.CACHE / f"base-{hashlib.sha256(json.dumps(made_of + carried).encode()).hexdigest()[:16]}"


def build(settings: MachineSettings) -> bool:
    """Build the base unless it is there; whether it was built. Half-built ones of earlier tries are removed."""
    target = base_path(settings)
    for stale in plan.CACHE.glob(f"{UNFINISHED}*"):
        remove(stale)
    if target.is_dir():
        return False
    plan.CACHE.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=plan.CACHE))
    # APT's own user reads in there while it downloads.
    work.chmod(0o755)
    root = work / "root"
    try:
        run(_command(settings, work, root), limit_s=BUILD_LIMIT_S)
        _customise(root, settings)
        # Renamed when whole and on disk: a build that was killed never looks like a base.
        os.sync()
        root.rename(target)
    finally:
        remove(work)
    return True


def _command(settings: MachineSettings, work: Path, root: Path) -> list[str]:
    command = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    # Fresh package lists save each clone an update.
    command.append("--skip=cleanup/apt/lists")
    if Path(DEBIAN_KEYRING).exists():
        command.append(f"--keyring={DEBIAN_KEYRING}")
    command += [f"--aptopt={option}" for option in APT_OPTIONS]
    if settings.apt_proxies:
        # A proxy's URL may hold a password, and every user of this machine sees command lines.
        proxies = work / "apt_proxies.conf"
        proxies.touch(mode=0o600)
        proxies.write_text(
            "".join(f'{name} "{url}";\n' for name, url in settings.apt_proxies.items()), encoding="utf-8"
        )
        command.append(f"--aptopt={proxies}")
    command += [f"--dpkgopt={option}" for option in DPKG_OPTIONS]
    command += [SUITE, str(root)]
    if settings.apt_sources:
        sources = work / "sources.list"
        sources.write_text(settings.apt_sources, encoding="utf-8")
        command.append(str(sources))
    return command


def _customise(root: Path, settings: MachineSettings) -> None:
    # For root alone: it holds APT's proxies. A node's own `/` is that of its clone.
    root.chmod(0o700)
    for name, text in FILES.items():
        write(root, name, text)
    # Debian starts what it installs; in a node only wrklab starts servers.
    write(root, "usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", mode=0o755)
    for unit in MASKED:
        link(root, f"{UNITS}/{unit}", "/dev/null")
    link(
        root,
        f"{UNITS}/multi-user.target.wants/systemd-networkd.service",
        "/lib/systemd/system/systemd-networkd.service",
    )
    link(root, "etc/localtime", "/usr/share/zoneinfo/Etc/UTC")
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    for name, text in settings.certificates.items():
        write(root, f"usr/local/share/ca-certificates/{name}", text)
    run(["chroot", str(root), "update-ca-certificates"])
    if settings.ca_bundle:
        write(root, "etc/ssl/certs/ca-certificates.crt", settings.ca_bundle)
