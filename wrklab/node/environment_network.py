"""The network interface that carries the load: driver, size, speed, what the card does instead of the kernel."""

from __future__ import annotations

import array
import errno
import fcntl
import os
import re
import socket
import struct
from typing import Any

import host_look
import node_io

_NET = "/sys/class/net"
# linux/sockios.h and linux/ethtool.h: the old calls, which need no library and which every driver answers.
_SIOCETHTOOL = 0x8946
_GET_DRIVER = 0x03
_GET_VALUE = {
    "receive_checksums": 0x14,
    "transmit_checksums": 0x16,
    "scatter_gather": 0x18,
    "tcp_segmentation": 0x1E,
    "generic_segmentation": 0x23,
    "generic_receive": 0x2B,
}
#: struct ethtool_drvinfo: u32 cmd, char driver[32], version[32], fw_version[32], bus_info[32], ...
_DRIVER_BYTES = 196
_NAME_BYTES = 32


def interface(address: str) -> dict[str, Any] | None:
    """The interface that has an address (or a host's name for it), else the one that leads there; None without either,
    and for a name that its host knows as its loopback.

    `speed_mbit_per_s` is what the driver says; a virtual one makes it up, or says nothing.
    """
    name = _name(address)
    if name is None:
        return None
    folder = f"{_NET}/{name}"
    speed = node_io.line(f"{folder}/speed") or ""
    return {
        "interface": name,
        "driver": _driver(name),
        "mtu_bytes": int(node_io.line(f"{folder}/mtu") or 0) or None,
        "speed_mbit_per_s": int(speed) if speed.isdecimal() else None,
        "duplex": node_io.line(f"{folder}/duplex"),
        "queues": sorted(os.listdir(f"{folder}/queues")) if os.path.isdir(f"{folder}/queues") else [],
        "receive_packet_steering": node_io.line(f"{folder}/queues/rx-0/rps_cpus"),
        "offloads": {word: _value(name, code) for word, code in _GET_VALUE.items()},
    }


def _name(address: str) -> str | None:
    number = host_look.number_of(address)
    if number is None or host_look.is_loopback_name(address):
        return None
    own = node_io.run(["ip", "-o", "address", "show", "to", number])
    if own.exit_code == 0 and own.output.strip():
        return own.output.split()[1].partition("@")[0]
    # Behind an address translation no interface has the address.
    route = re.search(r"\bdev (\S+)", node_io.run(["ip", "-o", "route", "get", number]).output)
    return route.group(1) if route else None


def _driver(name: str) -> str | None:
    answer = _ethtool(name, struct.pack("I", _GET_DRIVER).ljust(_DRIVER_BYTES, b"\0"))
    return answer[4 : 4 + _NAME_BYTES].rstrip(b"\0").decode("ascii", "replace") if answer else None


def _value(name: str, code: int) -> bool | None:
    answer = _ethtool(name, struct.pack("II", code, 0))
    return bool(struct.unpack("II", answer)[1]) if answer else None


def _ethtool(name: str, question: bytes) -> bytes | None:
    """The driver's answer to one of ethtool's questions; None where it has none to this."""
    buffer = array.array("B", question)
    # struct ifreq: the interface's name, then a pointer to the question.
    request = struct.pack("16sP", name.encode(), buffer.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        try:
            fcntl.ioctl(channel, _SIOCETHTOOL, request)
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM, errno.ENODEV):
                return None
            raise
    return buffer.tobytes()
