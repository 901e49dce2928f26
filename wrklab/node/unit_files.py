"""Prints the text of systemd units as they stand on this host, drop-ins included, as one JSON object.

    unit_files.py <unit> [<unit> ...]      {unit: [{"path", "text"}, ...]}, the unit's own file first

Values of variables whose names tell of a secret are blanked: what a run keeps may be passed on.
"""

from __future__ import annotations

import re
import sys

sys.path.insert(0, __file__.rpartition("/")[0])

import node_io

_SECRET = re.compile(
    r"(?P<name>\b[A-Z0-9_]*(?:SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|API_?KEY|PRIVATE_?KEY|DSN)[A-Z0-9_]*=)"
    # In quotes of its own; within those of the whole assignment up to their end; else up to the next blank.
    r"(?:\"[^\"]*\"|'[^']*'|[^\"'\n]+(?=[\"'])|[^\s\"']+)",
    re.IGNORECASE,
)
_BLANK = "(blanked)"


def unit_files(units: list[str]) -> dict[str, list[dict[str, str]]]:
    """The files of each unit that systemd knows, in the order in which they count."""
    shown = node_io.run(["systemctl", "show", "--property=Id,FragmentPath,DropInPaths", *units])
    if shown.exit_code:
        node_io.refuse(f"systemctl show: {shown.output.strip()}")
    found = {}
    for block in shown.output.strip().split("\n\n"):
        values = dict(row.partition("=")[::2] for row in block.splitlines())
        paths = [values.get("FragmentPath", ""), *values.get("DropInPaths", "").split()]
        texts = [{"path": path, "text": blanked(node_io.read_text(path) or "")} for path in paths if path]
        if texts:
            found[values["Id"]] = texts
    return found


def blanked(text: str) -> str:
    """A unit's text without secrets."""
    return _SECRET.sub(rf"\g<name>{_BLANK}", text)


if __name__ == "__main__":
    if len(sys.argv) < 2:  # noqa: PLR2004  the script and a unit
        node_io.refuse("unit_files.py <unit> [<unit> ...]")
    node_io.answer({"units": unit_files(sys.argv[1:])})
