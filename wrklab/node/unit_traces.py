"""What a unit leaves to read: the text of its files, without secrets, and the errors in its log, counted.

Imported only by the calls that need it: its patterns take 2 ms to compile.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from wrklab.node import node_io
from wrklab.protocol.server import LoggedError, LoggedErrors, UnitText, UnitTexts

#: A log is read up to here. A server that fails thousands of times says the same each time.
LOG_MAX_BYTES = 64 << 20
#: Different errors that are reported, the most frequent first.
TEXTS_MAX = 5
_TEXT_LENGTH_MAX = 200

#: One alternative for each way of saying it; every one is anchored at a line break, so that a long log costs little.
_ERROR = re.compile(
    rb"\n(?:"
    # Python's last line of a traceback, also within a group of exceptions
    rb"[ |]*((?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:Error|Exception|Timeout|Exceeded|TooManyRequests)(?::[^\n]*)?(?=\n|\Z))"
    rb"|((?:panic|fatal error|libgomp): [^\n]*)"
    # gunicorn and hypercorn: [time] [pid] [ERROR] text; uvicorn: ERROR:    text
    rb"|(?:\[[^\]\n]*\] \[\d+\] )?\[(?:ERROR|CRITICAL)\] ([^\n]*)"
    rb"|(?:ERROR|CRITICAL): +([^\n]*)"
    # nginx: date time [alert] pid#tid: *connection text
    rb"|\d{4}/\d\d/\d\d \S+ \[(?:emerg|alert|crit|error)\] \d+#\d+: (?:\*\d+ )?([^\n]*)"
    rb")"
)
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+")
#: Variables whose names tell of a secret: what a run keeps may be passed on.
_SECRET = re.compile(
    r"(?P<name>\b[A-Z0-9_]*(?:SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|API_?KEY|PRIVATE_?KEY|DSN)[A-Z0-9_]*=)"
    # In quotes of its own; within those of the whole assignment up to their end; else up to the next blank.
    r"(?:\"[^\"]*\"|'[^']*'|[^\"'\n]+(?=[\"'])|[^\s\"']+)",
    re.IGNORECASE,
)
_BLANK = "(blanked)"


def read_errors(path: str) -> LoggedErrors:
    """The errors of a log; no log has none."""
    try:
        with open(path, "rb") as stream:
            data = stream.read(LOG_MAX_BYTES)
            is_complete = os.fstat(stream.fileno()).st_size <= len(data)
    except FileNotFoundError:
        return LoggedErrors(errors=(), is_complete=True)
    return LoggedErrors(errors=count_errors(data), is_complete=is_complete)


def count_errors(data: bytes) -> tuple[LoggedError, ...]:
    """The most frequent errors of a log's text. Texts that differ only in numbers count as one."""
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
    return tuple(LoggedError(text=first[kind], count=counts[kind]) for kind in ranked)


def unit_texts(units: Sequence[str]) -> UnitTexts:
    """The files of each unit that systemd knows, in the order in which they count."""
    shown = node_io.run(["systemctl", "show", "--property=Id,FragmentPath,DropInPaths", *units])
    if shown.exit_code:
        node_io.refuse(f"systemctl show: {shown.output.strip()}")
    found = {}
    for block in shown.output.strip().split("\n\n"):
        values = dict(row.partition("=")[::2] for row in block.splitlines())
        paths = [values.get("FragmentPath", ""), *values.get("DropInPaths", "").split()]
        texts = tuple(UnitText(path=path, text=blanked(node_io.read_text(path) or "")) for path in paths if path)
        if texts:
            found[values["Id"]] = texts
    return UnitTexts(units=found)


def blanked(text: str) -> str:
    """A unit's text without secrets."""
    return _SECRET.sub(rf"\g<name>{_BLANK}", text)
