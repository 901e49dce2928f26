"""Raw files of store format 1 with today's keys: what a generator and the server's host said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from wrklab.errors import UNREADABLE, ParseError
from wrklab.protocol.load import AnswerKind, FailureKind, LoadPhase

#: The number of this format, in a store and in cell.json.
FORMAT = 1

#: Absent where no answer was timed.
_LATENCY_KEYS = ("min_us", "max_us", "mean_us", "stdev_us", "p50_us", "p90_us", "p99_us", "p999_us")

#: A value of JSON as it was read.
_Object: TypeAlias = Mapping[str, Any]


def upgraded_load(value: object) -> dict[str, Any]:
    """A generator's result. Raises ParseError."""
    try:
        load = _object(value)
        return {
            **_renamed(load, held_up="paused"),
            "ready": _if_any(load["ready"], at="at_s"),
            "warmup": _wrk(load["warmup"]) if load["warmup"] else None,
            "settle": _if_any(load["settle"], calm="is_calm"),
            "window": _if_any(load["window"], mark="mark_at_s", start="start_at_s", end="end_at_s"),
            "wrk": [_wrk(wrk) for wrk in load["wrk"]],
            "open_connections": [_counts(counts) for counts in load["open_connections"]],
            "silences": _if_any(load["silences"], dripping="trickling"),
            "wrk_threads": _if_any(load["wrk_threads"], threads="processes"),
            "verify_after": _answer(load["verify_after"]),
            "samples": [_sample(line) for line in load["samples"]],
            "phases": [_renamed(phase, start="start_at_s", end="end_at_s") for phase in load["phases"]],
            "failed": _failure(load["failed"]),
        }
    except UNREADABLE as error:
        raise ParseError(f"no generator's result of format {FORMAT}: {error!r}") from error


def upgraded_server(value: object) -> dict[str, Any]:
    """What was seen of a server. Raises ParseError."""
    try:
        server = _object(value)
        return {
            **server,
            "log_errors": _renamed(server["log_errors"], is_whole="is_complete"),
            "samples": [_sample(line) for line in server["samples"]],
        }
    except UNREADABLE as error:
        raise ParseError(f"nothing that was seen of a server, in format {FORMAT}: {error!r}") from error


def _object(value: object) -> _Object:
    if not isinstance(value, dict):
        raise ParseError(f"{type(value).__name__}; an object was expected")
    return value


def _renamed(value: _Object, **names: str) -> dict[str, Any]:
    """An object with some of its keys renamed."""
    return {names.get(key, key): item for key, item in value.items()}


def _if_any(value: _Object | None, **names: str) -> dict[str, Any] | None:
    """As _renamed; None where there is no object."""
    return None if value is None else _renamed(value, **names)


def _wrk(wrk: _Object) -> dict[str, Any]:
    report = wrk["report"]
    problem = "" if report else "it left no complete report"
    if report:
        report = {"started_at": None, **report, "latency": {**dict.fromkeys(_LATENCY_KEYS), **report["latency"]}}
    return {**_renamed(wrk, exit="exit_code"), "report": report, "report_problem": problem}


def _counts(counts: _Object) -> dict[str, Any]:
    return {
        "at_s": counts["at"],
        "states": {key: count for key, count in counts.items() if key.isupper()},
        "reopening_count": counts["reopening"],
        "unread_count": counts["unread"],
    }


def _answer(answer: _Object | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    # Format 1 has a sentence alone, and this is how it begins.
    wrong = AnswerKind.TIMED_OUT if answer["found"].startswith("timed out") else AnswerKind.WRONG
    kind = AnswerKind.RIGHT if answer["ok"] else wrong
    return {"kind": kind, "found": answer["found"], "took_s": answer["took_s"]}


def _failure(failure: _Object | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    is_of_answers = failure["phase"] in {LoadPhase.READY, LoadPhase.SETTLE}
    return {**failure, "kind": FailureKind.ANSWERS if is_of_answers else FailureKind.GENERATOR}


def _sample(line: str) -> str:
    """A sampler's line; one that was cut off stays as it is."""
    try:
        found = json.loads(line)
    except ValueError:
        return line
    return json.dumps({"errors": {}, **found}, separators=(",", ":"))
