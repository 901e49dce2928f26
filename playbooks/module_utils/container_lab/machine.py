"""The controller's settings that nodes need as well: certificates, package sources, proxies, name servers."""

from __future__ import annotations

import os
import pwd
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import apt_settings, pip_settings
from .apt_settings import reachable_from_a_node
from .commands import ContainerLabError, run
from .pip_settings import PackageIndex

CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
LOCAL_CERTIFICATES = Path("/usr/local/share/ca-certificates")
PROXY_NAMES = ("http_proxy", "https_proxy")
RESOLV_CONF = Path("/etc/resolv.conf")
# systemd-resolved's list of the real servers, for machines whose resolv.conf names its loopback stub.
UPLINK_RESOLV_CONF = Path("/run/systemd/resolve/resolv.conf")


@dataclass(frozen=True)
class MachineSettings:
    """What is carried over to the nodes.

    `ca_bundle` and `certificates` (file name to PEM text) are texts, `apt_sources` is a whole sources.list ("" means
    Debian's own defaults), `apt_proxies` maps APT's option names to URLs, `proxies` the environment's names to URLs.
    """

    ca_bundle: str
    certificates: dict[str, str]
    apt_sources: str
    apt_proxies: dict[str, str]
    proxies: dict[str, str]
    package_index: PackageIndex
    resolv_conf: str

    def summary(self) -> dict[str, object]:
        """What lab.json tells about it; passwords in URLs are left out."""
        return {
            "ca_certificates": sorted(self.certificates),
            "ca_bundle": bool(self.ca_bundle),
            "apt_sources": self.apt_sources.splitlines(),
            "apt_proxies": {name: _without_password(url) for name, url in self.apt_proxies.items()},
            "proxies": {name: _without_password(url) for name, url in self.proxies.items()},
            "pip_index_url": _without_password(self.package_index.index_url),
            "pip_extra_index_urls": [_without_password(url) for url in self.package_index.extra_index_urls],
        }


def read_settings(overrides: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> MachineSettings:
    """The machine's settings; a key of `overrides` that is not None stands in for what the machine says.

    `environment` is the user's where that is not this process's own.
    """
    given = os.environ if environment is None else environment
    environment = {name: value for name, value in given.items() if value}
    bundle = overrides.get("ca_bundle")
    return MachineSettings(
        ca_bundle=_read_bundle(bundle),
        certificates=_read_certificates() if bundle is None else {},
        apt_sources=_chosen(overrides, "apt_sources", _read_apt_sources),
        apt_proxies=_read_apt_proxies(overrides.get("apt_proxy")),
        proxies=_read_proxies(overrides, environment),
        package_index=_read_package_index(overrides, environment),
        resolv_conf=_read_resolv_conf(),
    )


def _chosen(overrides: Mapping[str, Any], key: str, read: Any) -> str:  # noqa: ANN401  a function without arguments
    value = overrides.get(key)
    return str(read() if value is None else value)


def _without_password(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//***@", url)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _read_bundle(wanted: str | None) -> str:
    if wanted is None:
        return _text(CA_BUNDLE)
    if wanted and not Path(wanted).is_file():
        raise ContainerLabError(
            f"lab_ca_bundle: {wanted}: no such file on this machine; give a PEM file, or '' for none"
        )
    return _text(Path(wanted)) if wanted else ""


def _read_certificates() -> dict[str, str]:
    if not LOCAL_CERTIFICATES.is_dir():
        return {}
    return {path.name: _text(path) for path in sorted(LOCAL_CERTIFICATES.rglob("*.crt"))}


def _read_apt_sources() -> str:
    if not re.search(rf"^VERSION_CODENAME={apt_settings.SUITE}$", _text(Path("/etc/os-release")), re.MULTILINE):
        return ""
    if not re.search(r"^ID=debian$", _text(Path("/etc/os-release")), re.MULTILINE):
        return ""
    parts = Path("/etc/apt/sources.list.d")
    entries = apt_settings.parse_one_line(_text(Path("/etc/apt/sources.list")))
    for path in sorted(parts.glob("*.list")):
        entries += apt_settings.parse_one_line(_text(path))
    for path in sorted(parts.glob("*.sources")):
        entries += apt_settings.parse_deb822(_text(path))
    return apt_settings.sources_text(entries)


def _read_apt_proxies(wanted: str | None) -> dict[str, str]:
    if wanted is not None:
        return {"Acquire::http::Proxy": wanted, "Acquire::https::Proxy": wanted} if wanted else {}
    return apt_settings.parse_proxies(run(["apt-config", "dump"])) if shutil.which("apt-config") else {}


def _read_proxies(overrides: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name in PROXY_NAMES:
        value = overrides.get(name)
        if value is None:
            value = environment.get(name) or environment.get(name.upper()) or ""
            value = value if reachable_from_a_node(value) else ""
        if value:
            found[name] = str(value)
    exceptions = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    return found | ({"no_proxy": exceptions} if found and exceptions else {})


def _read_package_index(overrides: Mapping[str, Any], environment: Mapping[str, str]) -> PackageIndex:
    wanted, extras = overrides.get("pip_index_url"), overrides.get("pip_extra_index_urls")
    if wanted is not None and extras is not None:
        return PackageIndex(wanted, tuple(extras))
    home = Path(invoking_user().pw_dir)
    found = pip_settings.from_environment(environment)
    for path in (home / ".config/uv/uv.toml", Path("/etc/uv/uv.toml")):
        found = found.over(pip_settings.parse_uv_toml(_text(path)))
    own = environment.get("PIP_CONFIG_FILE", "")
    for path in (Path(own or os.devnull), home / ".config/pip/pip.conf", home / ".pip/pip.conf", Path("/etc/pip.conf")):
        found = found.over(pip_settings.parse_pip_conf(_text(path)))
    return PackageIndex(
        found.index_url if wanted is None else wanted,
        found.extra_index_urls if extras is None else tuple(extras),
    )


def _read_resolv_conf() -> str:
    text = _text(RESOLV_CONF)
    servers = re.findall(r"^\s*nameserver\s+(\S+)", text, re.MULTILINE)
    only_loopback = all(server.startswith("127.") or server == "::1" for server in servers)
    return _text(UPLINK_RESOLV_CONF) if only_loopback and UPLINK_RESOLV_CONF.is_file() else text


def invoking_user() -> pwd.struct_passwd:
    """Who called the lab's verbs: the user behind sudo, or the one that this process runs as."""
    return pwd.getpwuid(int(os.environ.get("SUDO_UID", os.getuid())))
