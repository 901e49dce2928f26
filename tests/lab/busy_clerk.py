"""A user's application of known behaviour: each request takes so much CPU, and then waits so long."""

from __future__ import annotations

import shutil
from pathlib import Path

_SAMPLE = Path(__file__).parent / "applications/busy_clerk"
_CARD = """---
application: busy_clerk
entries: {{web: {{import: "clerk:app", interface: wsgi}}}}
requirements: requirements.txt
environment: {{CPU_MS: "{cpu_ms}", WAIT_MS: "{wait_ms}"}}
requests: [{{name: work, path: /, expect: {{contains: done}}}}]
current: gunicorn clerk:app -w 2
"""


def busy_clerk(parent: Path, *, cpu_ms: float, wait_ms: float) -> Path:
    """Its folder, with a card, below `parent`."""
    folder = parent / "busy_clerk"
    shutil.copytree(_SAMPLE, folder)
    (folder / "wrklab.yml").write_text(_CARD.format(cpu_ms=cpu_ms, wait_ms=wait_ms), encoding="utf-8")
    return folder
