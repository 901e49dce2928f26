"""systemd's own command: what it says about units, and what it said where it failed."""

from __future__ import annotations

import subprocess

#: Longer than any of our units may take to start or stop.
LIMIT_S = 180.0
#: Units a call: their names are words of a command line.
_BATCH_COUNT = 200


class SystemctlError(Exception):
    """systemctl failed; the text says what it said."""


def systemctl(*words: str) -> str:
    """What it writes. Raises SystemctlError."""
    try:
        done = subprocess.run(["systemctl", *words], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SystemctlError(f"systemctl {words[0]}: {error}") from error
    if done.returncode != 0:
        said = done.stderr.strip()[-1000:]
        raise SystemctlError(f"systemctl {' '.join(words)[:300]}: exit status {done.returncode}, said: {said}")
    return done.stdout


def show(names: list[str], properties: str) -> list[dict[str, str]]:
    """What systemd says about units, in their order: of each the properties, by name. Raises SystemctlError."""
    found = []
    for start in range(0, len(names), _BATCH_COUNT):
        asked = names[start : start + _BATCH_COUNT]
        shown = systemctl("show", f"--property={properties}", "--", *asked).strip()
        units = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in shown.split("\n\n")]
        if len(units) != len(asked):
            raise SystemctlError(f"systemctl show: {len(units)} units found, {len(asked)} expected: {shown[:300]!r}")
        found += units
    return found
