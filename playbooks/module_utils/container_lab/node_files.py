"""A node's file system: a clone of the base, and the few files that make it this node."""

from __future__ import annotations

import os
from pathlib import Path

from .commands import run, succeeds
from .folders import write
from .keys import CLIENT_KEY, host_key
from .network import default_route_mtu_bytes
from .plan import CACHE, LabPlan, Node

CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


def binds(node: Node) -> dict[Path, str]:
    """Folders of the controller's cache and where the node sees them; APT locks its own, so each node has one."""
    return {
        CACHE / f"apt-{node.name}": "/var/cache/apt/archives",
        CACHE / "uv": "/var/cache/wrklab/uv",
        CACHE / "go": "/var/cache/wrklab/go",
    }


def clone(node: Node, base: Path) -> str:
    """Make the node's root from the base; `overlay`, or `copy` where the file system below cannot carry an overlay."""
    base.chmod(0o700)
    upper, work = node.place / "upper", node.place / "work"
    for folder in (node.root, upper, work, *binds(node)):
        folder.mkdir(parents=True, exist_ok=True)
        # Whatever the umask is: the node's `/` has the mode of `upper`, and nobody in it but root could go anywhere.
        folder.chmod(0o755)
    options = f"lowerdir={base},upperdir={upper},workdir={work}"
    if succeeds(["mount", "-t", "overlay", "wrklab", "-o", options, str(node.root)]):
        # Some file systems mount an overlay read-only instead of refusing it.
        if os.access(node.root, os.W_OK):
            return "overlay"
        run(["umount", str(node.root)])
    run(["cp", "--archive", "--reflink=auto", f"{base}/.", str(node.root)], limit_s=300)
    node.root.chmod(0o755)
    return "copy"


def write_files(plan: LabPlan, node: Node) -> bool:
    """Write what makes the clone this node (name, address, keys, proxies…); whether any file was not yet so.

    A running node is brought up to date by it as well, so that another name server or index costs no new node. It may
    have been root's who means ill: see folders.write.
    """
    bundle = CA_BUNDLE if plan.settings.ca_bundle else ""
    key = host_key(node)
    texts = {
        "etc/hostname": f"{node.machine}\n",
        "etc/hosts": _hosts_text(plan),
        "etc/resolv.conf": plan.settings.resolv_conf,
        "etc/systemd/network/10-lab.network": _network_text(plan, node),
        "etc/pip.conf": plan.settings.package_index.pip_conf(bundle),
        "etc/uv/uv.toml": plan.settings.package_index.uv_toml(),
        "etc/environment": _environment_text(plan, bundle),
        "etc/ssh/ssh_host_ed25519_key.pub": key.with_name(f"{key.name}.pub").read_text(),
    }
    secrets = {
        "etc/ssh/ssh_host_ed25519_key": key.read_text(),
        "root/.ssh/authorized_keys": CLIENT_KEY.with_suffix(".pub").read_text(),
    }
    changed = [write(node.root, name, text) for name, text in texts.items()]
    changed += [write(node.root, name, text, mode=0o600, folder_mode=0o700) for name, text in secrets.items()]
    return any(changed)


def _hosts_text(plan: LabPlan) -> str:
    lines = ["127.0.0.1 localhost", "::1 localhost"]
    lines += [" ".join(dict.fromkeys((node.address, node.machine, node.name))) for node in plan.nodes]
    return "\n".join(lines) + "\n"


def _network_text(plan: LabPlan, node: Node) -> str:
    # Packets for the outside leave the controller by a link that may carry less than the lab's own.
    mtu_bytes = default_route_mtu_bytes()
    route = f"[Route]\nGateway={plan.bridge_address}\n" + (f"MTUBytes={mtu_bytes}\n" if mtu_bytes else "")
    address = f"{node.address}/{plan.network.prefixlen}"
    return f"[Match]\nName=host0\n[Network]\nAddress={address}\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n{route}"


def _environment_text(plan: LabPlan, bundle: str) -> str:
    variables = dict(plan.settings.proxies)
    if variables:
        exceptions = [variables.get("no_proxy", ""), "localhost", "127.0.0.1", *(node.address for node in plan.nodes)]
        variables["no_proxy"] = ",".join(name for name in exceptions if name)
        variables |= {name.upper(): value for name, value in variables.items()}
    if bundle:
        variables |= {"SSL_CERT_FILE": bundle, "REQUESTS_CA_BUNDLE": bundle}
    return "".join(f"{name}={value}\n" for name, value in variables.items())
