"""Where the controller takes Python packages from, as far as a node can take them from there too."""

from __future__ import annotations

import configparser
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .apt_settings import reachable_from_a_node


@dataclass(frozen=True)
class PackageIndex:
    """URL of the package index ("" for the tools' own default) and of further ones."""

    index_url: str = ""
    extra_index_urls: tuple[str, ...] = ()

    def over(self, weaker: PackageIndex) -> PackageIndex:
        """This one's settings where it has any, the weaker one's elsewhere."""
        return PackageIndex(self.index_url or weaker.index_url, self.extra_index_urls or weaker.extra_index_urls)

    def pip_conf(self, ca_bundle: str) -> str:
        """The text of /etc/pip.conf; `ca_bundle` is a path in the node, or "" for pip's own certificates."""
        lines = ["[global]", "disable-pip-version-check = true"]
        lines += [f"index-url = {self.index_url}"] if self.index_url else []
        lines += [f"extra-index-url = {' '.join(self.extra_index_urls)}"] if self.extra_index_urls else []
        lines += [f"cert = {ca_bundle}"] if ca_bundle else []
        return "\n".join(lines) + "\n"

    def uv_toml(self) -> str:
        """The text of /etc/uv/uv.toml. The cache is another file system than the venvs, so hard links cannot do."""
        lines = ['link-mode = "copy"', "system-certs = true", 'python-downloads = "never"']
        lines += [f"index-url = {json.dumps(self.index_url)}"] if self.index_url else []
        lines += [f"extra-index-url = {json.dumps(list(self.extra_index_urls))}"] if self.extra_index_urls else []
        return "\n".join(lines) + "\n"


def _index(url: object, extras: Iterable[object]) -> PackageIndex:
    usable = tuple(str(extra) for extra in extras if reachable_from_a_node(str(extra)))
    return PackageIndex(str(url) if url and reachable_from_a_node(str(url)) else "", usable)


def from_environment(environment: Mapping[str, str]) -> PackageIndex:
    """What uv's and pip's variables say; uv's come first."""
    uv = _index(
        environment.get("UV_DEFAULT_INDEX") or environment.get("UV_INDEX_URL"),
        (environment.get("UV_INDEX") or environment.get("UV_EXTRA_INDEX_URL") or "").split(),
    )
    pip = _index(environment.get("PIP_INDEX_URL"), environment.get("PIP_EXTRA_INDEX_URL", "").split())
    return uv.over(pip)


def parse_pip_conf(text: str) -> PackageIndex:
    """What a pip.conf says; a file that pip itself could not read counts as saying nothing."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error:
        return PackageIndex()
    found = PackageIndex()
    for section in ("global", "install"):
        url = parser.get(section, "index-url", fallback="")
        extras = parser.get(section, "extra-index-url", fallback="").split()
        found = _index(url, extras).over(found)
    return found


def parse_uv_toml(text: str) -> PackageIndex:
    """What a uv.toml says; a file that uv itself could not read counts as saying nothing."""
    try:
        settings = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return PackageIndex()
    indexes = [entry for entry in settings.get("index", []) if isinstance(entry, dict)]
    default = next((entry.get("url") for entry in indexes if entry.get("default")), settings.get("index-url"))
    extras = [entry.get("url") for entry in indexes if not entry.get("default")]
    return _index(default, extras or settings.get("extra-index-url", []))
