"""One thing looked at: what it was, how it is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: `bad`: a bench is refused, or fails, or its figures are worth nothing; `note` is worth knowing before one.
Level = Literal["good", "note", "bad"]


@dataclass(frozen=True)
class Finding:
    """`host` is empty for this machine; `remedy` is a command or an action, empty when nothing is to be done."""

    subject: str
    level: Level
    found: str
    remedy: str = ""
    host: str = ""
