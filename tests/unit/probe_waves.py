"""Waves of real probes (of small servers of each kind on two Debian hosts), as a probe stores them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from wrklab.probe.wave import Wave, decode_wave

_FOLDER = Path(__file__).parent / "captured/probe"


def raw_waves(kind: str) -> dict[str, Any]:
    """The first and the second wave of a kind (forking, single, pool, loop, capped), to be changed at will."""
    return dict(json.loads(gzip.decompress((_FOLDER / f"{kind}.json.gz").read_bytes())))


def first_wave(kind: str) -> Wave:
    """The first wave of a kind."""
    return decode_wave(raw_waves(kind)["first"])


def second_wave(kind: str) -> Wave:
    """The second one."""
    return decode_wave(raw_waves(kind)["second"])
