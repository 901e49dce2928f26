"""A node whose wall clock is stepped: containers share one clock, so the programs of a node are lied to.

Whatever starts there has stepping_clock.c preloaded: real wrk and our own scripts then see a clock that jumps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from wrklab.hosts.remote import RemoteHost

_SOURCE = Path(__file__).with_name("stepping_clock.c")
_FOLDER = "/run/wrklab-stepping-clock"
_LIBRARY = f"{_FOLDER}/clock.so"
_OFFSET = f"{_FOLDER}/offset"
#: ld.so(8).
_PRELOADED = "/etc/ld.so.preload"
_COMPILE = (
    'mkdir -p "$1" && printf %s "$2" > "$1/clock.c" && '
    'tcc -shared -nostdlib -DOFFSET_PATH="\\"$1/offset\\"" -DCLOCK_GETTIME_NUMBER="$3" -o "$1/clock.so" "$1/clock.c"'
)
#: clock_gettime's, by machine (asm/unistd.h).
_NUMBERS = {"x86_64": "228", "aarch64": "113"}
_INSTALL_LIMIT_S = 180.0


@contextmanager
def stepping_clock(host: RemoteHost) -> Iterator[Callable[[int], None]]:
    """Gives what sets the clock of all that starts on a host from now on so many seconds off."""
    machine = host.run(["uname", "-m"], limit_s=10).stdout.strip()
    if machine not in _NUMBERS:
        pytest.skip(f"no stepping clock for {machine}: its number of clock_gettime is not known here")
    apt = ["apt-get", "--yes", "--quiet"]
    host.run([*apt, "install", "--no-install-recommends", "tcc"], limit_s=_INSTALL_LIMIT_S)
    host.run(["sh", "-ec", _COMPILE, "compile", _FOLDER, _SOURCE.read_text(), _NUMBERS[machine]], limit_s=20)

    def set_offset_s(offset_s: int) -> None:
        """In one go: a reader finds the old offset or the new one."""
        host.run(["sh", "-ec", f"echo {offset_s} > {_OFFSET}.new; mv {_OFFSET}.new {_OFFSET}"], limit_s=10)

    set_offset_s(0)
    host.run(["sh", "-ec", f"echo {_LIBRARY} > {_PRELOADED}"], limit_s=10)
    try:
        yield set_offset_s
    finally:
        host.run(["rm", "-rf", _PRELOADED, _FOLDER], limit_s=10)
        host.run([*apt, "purge", "tcc"], limit_s=_INSTALL_LIMIT_S)
