"""A variant that is there to fail: what counts as that failure, and what is another that must be told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.extract.test_damaged_answers import HOSTS
from tests.unit.handmade_records import handmade_cell, handmade_planned
from wrklab.bench.cell_run import CellRaw
from wrklab.errors import CellError, HostError, ParseError, WrklabError
from wrklab.extract.cell import cell_outcome
from wrklab.results.records import Failure

ACTIVE = {"active_state": "active", "sub_state": "running", "result": "success", "exec_main_status": 0}
ENDED = {"active_state": "failed", "sub_state": "failed", "result": "exit-code", "exec_main_status": 3}
WRONG = CellError("ready", "http://10.0.0.2:8080/: 500 Internal Server Error (for 3.0 s)")
NOT_READY: dict[str, Any] = {"ready": None}
READY: dict[str, Any] = {"ready": {"at": 1001.0}}


def wrapped(error: WrklabError) -> CellError:
    """As a call that starts the server fails (bench/cell_run.py)."""
    found = CellError("start", str(error))
    found.__cause__ = error
    return found


def failure_of(
    error: WrklabError | None, state: dict[str, Any], *loads: dict[str, Any], log: str = "TypeError: missing send"
) -> Failure:
    """The failure of a cell whose card expects a TypeError."""
    raw = CellRaw(
        1000.0,
        loads={f"loadgen_{number}": load for number, load in enumerate(loads, 1)},
        server={"state": state, "log_tail": ["Traceback:", log]},
        error=error,
    )
    planned = handmade_planned(handmade_cell()).model_copy(update={"expect_failure": "TypeError: .*send"})
    record = cell_outcome(raw, planned, 0, HOSTS).record
    assert record.failure is not None
    return record.failure


@pytest.mark.parametrize(
    ("error", "state", "load"),
    [
        (CellError("start", "wrklab-x.service ended before it answered: failed"), ENDED, NOT_READY),
        (WRONG, ACTIVE, NOT_READY),
        (CellError("warmup", "wrk: no report"), ENDED, READY),
        # The server ended under the load, and nothing else went wrong.
        (None, ENDED, READY),
    ],
)
def test_what_the_server_did_is_expected_where_its_log_says_so(
    error: CellError | None, state: dict[str, Any], load: dict[str, Any]
) -> None:
    """It did not come up, or ended under the load; with another text in its log it is a failure like any."""
    assert failure_of(error, state, load).expected
    assert not failure_of(error, state, load, log="MemoryError").expected


@pytest.mark.parametrize(
    ("error", "state", "loads"),
    [
        (HostError("loadgen: the connection ended"), ACTIVE, [READY]),
        (wrapped(HostError("server: the connection ended during `server_ctl.py start`")), ENDED, [NOT_READY]),
        (wrapped(HostError("server: port 8080 is taken on this host by pid 7")), ENDED, [NOT_READY]),
        (ParseError("loadgen: the generator's result says nothing of its failure"), ACTIVE, [READY]),
        (CellError("window", "the sampler on server saw only 1.0 of 2.0 s"), ACTIVE, [READY]),
        (CellError("window", "wrk0: exit -9"), ACTIVE, [READY]),
        (CellError("settle", "http://10.0.0.2:8080/: after the warm-up: timed out"), ACTIVE, [READY]),
        (CellError("verify_after", "OSError(28, 'No space left on device')"), ENDED, [READY]),
        (CellError("pull", "what the hosts said cannot be read"), ENDED, [READY]),
        # The first generator had its answer: the second has no way to the server.
        (CellError("ready", "loadgen_2: http://10.0.0.2:8080/: no route to host"), ACTIVE, [READY, NOT_READY]),
    ],
)
def test_what_somebody_else_did_is_never_expected(
    error: WrklabError, state: dict[str, Any], loads: list[dict[str, Any]]
) -> None:
    """Whatever the server's log holds: a lost host, a taken port, wrk or a sampler that ended."""
    assert not failure_of(error, state, *loads).expected
