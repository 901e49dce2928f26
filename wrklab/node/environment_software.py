"""Versions of what runs on a host: the distribution's programs, each stack's virtual environment and binary."""

from __future__ import annotations

import json
import os
import re
import sys
from glob import glob
from typing import Any

import node_io

_STACKS = "/opt/wrklab/stacks"
_OPENRESTY_SOURCE = "/opt/wrklab/openresty/source.json"
_GO_BUILD_INFO = b"\xff Go buildinf:"
_SEARCH_BYTES = 1 << 24
#: Debian's packages whose revision may explain a difference; those that are not installed are left out.
_PACKAGES = (
    "wrk", "libluajit-5.1-2", "libluajit2-5.1-2", "nginx", "nginx-light", "libnginx-mod-http-lua", "openresty",
    "lua-resty-core", "libc6", "libssl3", "libssl3t64", "python3", "python3-minimal", "systemd", "iproute2",
)  # fmt: skip


def os_release() -> dict[str, str]:
    """`id`, `version_id` and `pretty_name` of /etc/os-release, and Debian's point release."""
    rows = (line.partition("=") for line in (node_io.read_text("/etc/os-release") or "").splitlines())
    fields = {name: value.strip('"') for name, _, value in rows if value}
    found = {name.lower(): fields[name] for name in ("ID", "VERSION_ID", "PRETTY_NAME") if name in fields}
    point = node_io.line("/etc/debian_version")
    return found | ({"debian_version": point} if point else {})


def versions() -> dict[str, str]:
    """What programs say of themselves, by program."""
    found = {"python": sys.version.split()[0]}
    patterns = {
        "wrk": (["wrk", "-v"], r"wrk (\S+)"),
        "nginx": (["nginx", "-v"], r"nginx/(\S+)"),
        "openresty": (["openresty", "-v"], r"openresty/(\S+)"),
        "systemd": (["systemctl", "--version"], r"\((\S+)\)"),
        "openssl": (["openssl", "version"], r"OpenSSL (\S+)"),
    }
    for name, (argv, pattern) in patterns.items():
        match = re.search(pattern, node_io.run(argv).output)
        if match:
            found[name] = match.group(1)
    return found


def debian_packages() -> dict[str, str]:
    """Versions with Debian's revision, by package; {} on a host without dpkg."""
    listed = node_io.run(
        ["dpkg-query", "--show", "--showformat=${db:Status-Abbrev}|${Package}|${Version}\n", *_PACKAGES]
    )
    rows = [line.split("|") for line in listed.output.splitlines()]
    return {row[1]: row[2] for row in rows if len(row) == 3 and row[0].startswith("ii")}  # noqa: PLR2004  as shown


def wrk_build() -> dict[str, str | None] | None:
    """What wrk was made with: how it waits for sockets, and the LuaJIT that runs its scripts; None without wrk."""
    told = node_io.run(["wrk", "-v"]).output
    if not told.startswith("wrk "):
        return None
    polls = re.search(r"\[(\w+)\]", told)
    return {"polls_by": polls.group(1) if polls else None, "luajit": _luajit(node_io.run(["sh", "-c", _LINKED]).output)}


_LINKED = 'exec ldd "$(command -v wrk)"'


def _luajit(linked: str) -> str | None:
    """The version that the library wrk is linked with carries in itself, or wrk where it has none."""
    paths = re.findall(r"(/\S*libluajit\S*) \(", linked) or re.findall(r"^(/\S*/wrk)", linked, re.MULTILINE)
    return _search(paths[0], rb"LuaJIT (\d[\w.+-]*)") if paths else None


def stacks() -> dict[str, dict[str, Any]]:
    """By stack: what its venv holds, the Go version that its binary was built with."""
    found: dict[str, dict[str, Any]] = {}
    for folder in sorted(glob(f"{_STACKS}/*")):
        entry: dict[str, Any] = {}
        packages = _packages(f"{folder}/venv")
        if packages:
            entry["packages"] = packages
            entry["python"] = _python_of(f"{folder}/venv")
        go_version = _go_version(f"{folder}/app/server")
        if go_version:
            entry["go"] = go_version
        found[os.path.basename(folder)] = entry
    return found


def openresty() -> dict[str, Any] | None:
    """Which build serves the Lua variants, and its version, as deploy noted it; None where there is none."""
    text = node_io.read_text(_OPENRESTY_SOURCE)
    return dict(json.loads(text)) if text else None


def _packages(venv: str) -> dict[str, str]:
    """Name and version of each distribution in a venv, from the names of its dist-info folders."""
    folders = (os.path.basename(path) for path in glob(f"{venv}/lib/python3*/site-packages/*.dist-info"))
    parts = (name.removesuffix(".dist-info").partition("-") for name in sorted(folders))
    return {name.lower().replace("_", "-"): version for name, _, version in parts}


def _python_of(venv: str) -> str | None:
    match = re.search(r"^version(?:_info)?\s*=\s*(\S+)$", node_io.read_text(f"{venv}/pyvenv.cfg") or "", re.MULTILINE)
    return match.group(1) if match else None


def _search(path: str, pattern: bytes) -> str | None:
    """The group of a pattern in a binary file's first part; None without the file or the pattern."""
    match = re.search(pattern, _first_bytes(path))
    return match.group(1).decode("ascii", "replace") if match else None


def _go_version(binary: str) -> str | None:
    """The version that a Go program carries in itself (since Go 1.18: a length, then the text, after 32 bytes)."""
    data = _first_bytes(binary)
    start = data.find(_GO_BUILD_INFO)
    if start < 0:
        return None
    length = data[start + 32]
    return data[start + 33 : start + 33 + length].decode("ascii", "replace")


def _first_bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read(_SEARCH_BYTES)
    except OSError:
        return b""
