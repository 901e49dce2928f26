"""How long each test module takes: from the last run on this machine, else as committed.

`tests/lengths.json` is a copy of a complete run's `.cache/test_lengths.json`. Copy it again when tests have changed
a lot.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from wrklab.paths import PROJECT_DIR

LENGTHS = Path(__file__).with_name("lengths.json")
LAST_RUN = PROJECT_DIR / ".cache" / "test_lengths.json"
#: A test of a module that nothing is known about; lab modules are all in the committed file.
_UNKNOWN_S = 0.05


class Length(NamedTuple):
    """One module: its number of tests, and their seconds in sum, fixtures included."""

    tests_count: int
    seconds: float


def read_lengths(paths: tuple[Path, ...] = (LENGTHS, LAST_RUN)) -> dict[str, Length]:
    """Lengths by the module's path from the project's root. Later files count for more, a damaged one for nothing."""
    found: dict[str, Length] = {}
    for path in paths:
        try:
            found |= {name: Length(int(count), float(s)) for name, (count, s) in json.loads(path.read_text()).items()}
        except (OSError, ValueError, TypeError, AttributeError):
            continue
    return {name: length for name, length in found.items() if length.tests_count > 0}


def store_lengths(lengths: Mapping[str, Length], path: Path = LAST_RUN) -> None:
    """Keep what was measured, next to what is known of other modules."""
    known = read_lengths((path,)) | dict(lengths)
    lines = [f"  {json.dumps(name)}: [{count}, {s:.1f}]" for name, (count, s) in sorted(known.items())]
    path.parent.mkdir(exist_ok=True)
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def expected_s(lengths: Mapping[str, Length], module: str, tests_count: int) -> float:
    """Seconds that so many tests of a module take."""
    length = lengths.get(module, Length(1, _UNKNOWN_S))
    return length.seconds / length.tests_count * tests_count
