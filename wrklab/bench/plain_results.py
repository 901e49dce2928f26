"""Messages of the hosts as the plain values that wrklab.extract reads until it reads messages itself."""

from __future__ import annotations

from typing import Any

from wrklab.protocol.codec import encode
from wrklab.protocol.load import AnswerKind, LoadResult, WrkResult
from wrklab.protocol.server import ServerReport


def plain_load(load: LoadResult) -> dict[str, Any]:
    """A generator's result."""
    found: dict[str, Any] = encode(load)
    threads, verified, silences = load.wrk_threads, load.verify_after, load.silences
    window, ready, settle = load.window, load.ready, load.settle
    return found | {
        "ready": {**found["ready"], "at": ready.at_s} if ready else None,
        "settle": {**found["settle"], "calm": settle.is_calm} if settle else None,
        "warmup": _wrk(load.warmup) if load.warmup else None,
        "wrk": [_wrk(process) for process in load.wrk],
        "window": {"mark": window.mark_at_s, "start": window.start_at_s, "end": window.end_at_s} if window else None,
        "open_connections": [
            {"at": each.at_s, **each.states, "reopening": each.reopening_count, "unread": each.unread_count}
            for each in load.open_connections
        ],
        "silences": {**found["silences"], "dripping": found["silences"]["trickling"]} if silences else None,
        "wrk_threads": {"elapsed_s": threads.elapsed_s, "threads": encode(threads.processes)} if threads else None,
        "held_up": found["paused"],
        "verify_after": {**found["verify_after"], "ok": verified.kind is AnswerKind.RIGHT} if verified else None,
        "phases": [{"name": phase.name, "start": phase.start_at_s, "end": phase.end_at_s} for phase in load.phases],
    }


def plain_server(server: ServerReport) -> dict[str, Any]:
    """A server's report."""
    found: dict[str, Any] = encode(server)
    return found | {"log_errors": {"errors": found["log_errors"]["errors"], "is_whole": server.log_errors.is_complete}}


def _wrk(process: WrkResult) -> dict[str, Any]:
    return dict(encode(process)) | {"exit": process.exit_code}
