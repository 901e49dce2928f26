"""The errors in a server's log, counted by text: what says why a variant fell, also where its last lines do not."""

from __future__ import annotations

import os
import re
from typing import Any

#: A log is read up to here. A server that fails thousands of times says the same each time.
BYTES_MAX = 64 << 20
#: Different errors that are told, the most frequent first.
TEXTS_MAX = 5
_TEXT_LENGTH_MAX = 200

#: One alternative for each way of saying it; every one is anchored at a line break, so that a long log costs little.
_ERROR = re.compile(
    rb"\n(?:"
    # Python's last line of a traceback, also within a group of exceptions
    rb"[ |]*((?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:Error|Exception)(?::[^\n]*)?(?=\n|\Z))"
    rb"|((?:panic|fatal error|libgomp): [^\n]*)"
    # gunicorn and hypercorn: [time] [pid] [ERROR] text; uvicorn: ERROR:    text
    rb"|(?:\[[^\]\n]*\] \[\d+\] )?\[(?:ERROR|CRITICAL)\] ([^\n]*)"
    rb"|(?:ERROR|CRITICAL): +([^\n]*)"
    # nginx: date time [alert] pid#tid: *connection text
    rb"|\d{4}/\d\d/\d\d \S+ \[(?:emerg|alert|crit|error)\] \d+#\d+: (?:\*\d+ )?([^\n]*)"
    rb")"
)
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+")


def read_errors(path: str) -> dict[str, Any]:
    """Errors of a log: {"errors": [{"text", "count"}], "is_whole"}; no log has none.

    `is_whole` is False where the log was longer than BYTES_MAX: there may be more of each then.
    """
    try:
        with open(path, "rb") as stream:
            data = stream.read(BYTES_MAX)
            is_whole = os.fstat(stream.fileno()).st_size <= len(data)
    except FileNotFoundError:
        return {"errors": [], "is_whole": True}
    return {"errors": count_errors(data), "is_whole": is_whole}


def count_errors(data: bytes) -> list[dict[str, Any]]:
    """The most frequent errors of a log's text, numbers in them aside: [{"text": the first such, "count"}]."""
    first: dict[str, str] = {}
    counts: dict[str, int] = {}
    for found in _ERROR.finditer(b"\n" + data):
        raw = found.group(found.lastindex or 0)
        text = raw.decode("utf-8", "replace").strip()[:_TEXT_LENGTH_MAX]
        # Pids, addresses and identifiers differ from one to the next; the error is the same.
        kind = _NUMBER.sub("N", text)
        first.setdefault(kind, text)
        counts[kind] = counts.get(kind, 0) + 1
    ranked = sorted(counts, key=lambda kind: -counts[kind])[:TEXTS_MAX]
    return [{"text": first[kind], "count": counts[kind]} for kind in ranked]
