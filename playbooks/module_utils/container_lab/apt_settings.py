"""APT's sources and proxies, as the controller has them and a node can use them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

SUITE = "bookworm"
SUITES = frozenset({SUITE, f"{SUITE}-updates", f"{SUITE}-security"})
COMPONENTS = frozenset({"main", "contrib", "non-free", "non-free-firmware"})
DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
LOOPBACK = re.compile(r"^(localhost|127\.\d+\.\d+\.\d+|::1)$")
ONE_LINE = re.compile(r"^deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)$")
PROXY = re.compile(r'^(Acquire::https?::Proxy(?:::[^ "]+)?) "(.+)";$')


@dataclass(frozen=True)
class AptEntry:
    """One archive: where, which suite, which components, and the keyring that its entry names ("" when none)."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str = ""

    @property
    def is_debians_own(self) -> bool:
        """Whether a node of Debian 12 can use it as it is: Debian's own suites and keys, reached over the network."""
        return (
            self.suite in SUITES
            and "main" in self.components
            and COMPONENTS.issuperset(self.components)
            and (not self.signed_by or "debian-archive" in self.signed_by)
            and urlsplit(self.uri).scheme in {"http", "https"}
        )

    def line(self) -> str:
        """The entry in APT's one-line form, checked with Debian's archive keys."""
        return f"deb [signed-by={DEBIAN_KEYRING}] {self.uri} {self.suite} {' '.join(self.components)}"


def parse_one_line(text: str) -> list[AptEntry]:
    """The binary archives of a `sources.list`; comments and `deb-src` are left out."""
    entries = []
    for raw in text.splitlines():
        found = ONE_LINE.match(raw.partition("#")[0].strip())
        if found:
            signed = re.search(r"signed-by=(\S+)", found["options"] or "")
            components = tuple(found["components"].split())
            entries.append(AptEntry(found["uri"], found["suite"], components, signed[1] if signed else ""))
    return entries


def parse_deb822(text: str) -> list[AptEntry]:
    """The binary archives of a `*.sources` file; disabled stanzas and `deb-src` are left out."""
    entries: list[AptEntry] = []
    for stanza in re.split(r"\n\s*\n", text):
        fields = _deb822_fields(stanza)
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in {"no", "false"}:
            continue
        components = tuple(fields.get("components", "").split())
        entries.extend(
            AptEntry(uri, suite, components, fields.get("signed-by", "").strip())
            for uri in fields.get("uris", "").split()
            for suite in fields.get("suites", "").split()
        )
    return entries


def _deb822_fields(stanza: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1].isspace():
            fields[name] = f"{fields.get(name, '')}\n{line}"
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def sources_text(entries: Iterable[AptEntry]) -> str:
    """A node's `sources.list`: the entries that are Debian's own, each once; "" when there is none."""
    lines = dict.fromkeys(entry.line() for entry in entries if entry.is_debians_own)
    return "".join(f"{line}\n" for line in lines)


def deb822_text(entries: Iterable[AptEntry]) -> str:
    """The entries as a `*.sources` file, checked with Debian's archive keys; "" when there is none."""
    return "\n".join(
        f"Types: deb\nURIs: {entry.uri}\nSuites: {entry.suite}\nComponents: {' '.join(entry.components)}\n"
        f"Signed-By: {DEBIAN_KEYRING}\n"
        for entry in entries
    )


def parse_proxies(config_dump: str) -> dict[str, str]:
    """The proxies of `apt-config dump` (option name to value) that a node can reach."""
    found = (PROXY.match(line) for line in config_dump.splitlines())
    return {
        match[1]: match[2] for match in found if match and (match[2] == "DIRECT" or reachable_from_a_node(match[2]))
    }


def reachable_from_a_node(url: str) -> bool:
    """Whether a URL means the same machine in a node as on the controller: not a file, not the loopback."""
    parts = urlsplit(url)
    return parts.scheme in {"http", "https"} and not LOOPBACK.match(parts.hostname or "localhost")
