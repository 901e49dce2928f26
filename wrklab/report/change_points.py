"""Where a series of figures took a step, by Apache Otava (E-divisive with t-tests), which runs in its own environment.

Otava wants numpy and scipy of its own and brings clients of services along that a bench has no use for. So it is not
among wrklab's requirements: `tools/otava.txt` locks it, the first call installs that into .cache/otava, and
`tools/otava_bridge.py` talks to it in JSON.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from wrklab.errors import WrklabError
from wrklab.paths import CACHE_DIR, PROJECT_DIR

LOCK = PROJECT_DIR / "tools" / "otava.txt"
BRIDGE = PROJECT_DIR / "tools" / "otava_bridge.py"
ENVIRONMENT = CACHE_DIR / "otava"
#: The chance that a step which is none passes Otava's test. Chosen on synthetic histories with noise of 3 %, with
#: SIDE_MIN: docs/trend.md has the table.
MAX_P = 0.002
#: Smaller steps are not worth a name.
MIN_MAGNITUDE_RATIO = 0.02
#: Runs on either side of a step below which it may as well be an outlier.
SIDE_MIN = 3
_WINDOW_RUNS = 50
#: Making the environment, and finding the steps of all series.
_INSTALL_LIMIT_S = 900
_ANSWER_LIMIT_S = 300


class ChangePointError(WrklabError):
    """Otava cannot be had, or gives no answer."""


@dataclass(frozen=True)
class ChangePoint:
    """A step in a series."""

    #: The first place after the step.
    index: int
    #: The means of the stretches on both sides.
    before: float
    after: float
    pvalue: float

    @property
    def ratio(self) -> float:
        """After / before."""
        return self.after / self.before


_ANSWER = TypeAdapter(dict[str, list[ChangePoint]])


def change_points(
    series: Mapping[str, Sequence[float]], environment: Path = ENVIRONMENT
) -> dict[str, tuple[ChangePoint, ...]]:
    """The steps of each series, those that enough values on both sides stand for. Raises ChangePointError."""
    asked = {
        "max_pvalue": MAX_P,
        "min_magnitude": MIN_MAGNITUDE_RATIO,
        "window_len": _WINDOW_RUNS,
        "series": {name: list(values) for name, values in series.items() if len(values) >= 2 * SIDE_MIN},
    }
    answer = _run([str(_python(environment)), str(BRIDGE)], json.dumps(asked), _ANSWER_LIMIT_S)
    try:
        found = _ANSWER.validate_json(answer)
    except ValidationError as error:
        raise ChangePointError(f"{BRIDGE} answered what cannot be read: {error}; remove {environment}") from error
    return {name: tuple(_lasting(found.get(name, []), len(values))) for name, values in series.items()}


def _lasting(points: Sequence[ChangePoint], count: int) -> list[ChangePoint]:
    edges = [0, *(point.index for point in points), count]
    return [
        point
        for place, point in enumerate(points, 1)
        if point.index - edges[place - 1] >= SIDE_MIN and edges[place + 1] - point.index >= SIDE_MIN
    ]


def _python(environment: Path) -> Path:
    """The interpreter of Otava's environment, which is made again where it is not of the lock's packages."""
    stamp, python = environment / "locked.txt", environment / "bin" / "python"
    if python.exists() and stamp.is_file() and stamp.read_bytes() == LOCK.read_bytes():
        return python
    shutil.rmtree(environment, ignore_errors=True)
    environment.parent.mkdir(parents=True, exist_ok=True)
    _run([sys.executable, "-m", "venv", str(environment)], "", _INSTALL_LIMIT_S)
    pip = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--require-hashes", "--no-deps"]
    _run([*pip, "-r", str(LOCK)], "", _INSTALL_LIMIT_S)
    shutil.copyfile(LOCK, stamp)
    return python


def _run(words: Sequence[str], text: str, limit_s: float) -> str:
    try:
        ended = subprocess.run(words, input=text, capture_output=True, text=True, timeout=limit_s, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ChangePointError(f"{' '.join(words[:4])}: {error}; is there a network for the first call?") from error
    if ended.returncode:
        said = ended.stderr.strip()[-600:] or "nothing"
        raise ChangePointError(
            f"{' '.join(words[:4])} ended with {ended.returncode} and said: {said}\nOtava is installed from "
            f"{LOCK.name} on the first call; see that there is a network, then run the command again"
        )
    return ended.stdout
