"""Records within records as one level of dotted keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def flatten(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"memory": {"total_bytes": 1}} as {"memory.total_bytes": 1}; lists stay lists."""
    found: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            found |= flatten(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
