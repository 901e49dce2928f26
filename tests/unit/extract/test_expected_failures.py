"""A variant that is there to fail: what counts as that failure, and what is another that must be told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.unit.handmade_raw import HOSTS, captured_load, captured_server, ended_server, handmade_raw, run_host
from tests.unit.handmade_records import handmade_cell, handmade_planned
from wrklab.errors import CellError, HostError, ParseError, WrklabError
from wrklab.extract.cell import cell_outcome
from wrklab.protocol.load import LoadResult
from wrklab.protocol.phases import Phase
from wrklab.protocol.server import ServerReport
from wrklab.results.raw import RawError
from wrklab.results.records import Failure

ACTIVE, ENDED = captured_server, ended_server
WRONG = CellError(Phase.READY, "http://10.0.0.2:8080/: 500 Internal Server Error (for 3.0 s)")
NOT_READY, READY = captured_load(ready=None), captured_load()
TWO = HOSTS.model_copy(update={"generators": (run_host("loadgen_1", 0), run_host("loadgen_2", 1))})


def wrapped(error: WrklabError) -> CellError:
    """A failure of the start that comes from another error."""
    found = CellError(Phase.START, str(error))
    found.__cause__ = error
    return found


def failure_of(
    error: WrklabError | None,
    server: Callable[..., ServerReport],
    *loads: LoadResult,
    log: str = "TypeError: missing send",
) -> Failure:
    """The failure of a cell whose card expects a TypeError; an error that says no phase came in the window."""
    raw = handmade_raw(
        *loads,
        server=server(log_tail=["Traceback:", log]),
        error=None if error is None else RawError.of(error, Phase.WINDOW),
        hosts=TWO,
    )
    planned = handmade_planned(handmade_cell()).model_copy(update={"expect_failure": "TypeError: .*send"})
    record = cell_outcome(raw, planned, 0).record
    assert record.failure is not None
    return record.failure


@pytest.mark.parametrize(
    ("error", "state", "load"),
    [
        (CellError(Phase.START, "wrklab-x.service ended before it answered: failed"), ENDED, NOT_READY),
        (WRONG, ACTIVE, NOT_READY),
        (CellError(Phase.WARMUP, "wrk: no report"), ENDED, READY),
        # The server ended under the load, and nothing else went wrong.
        (None, ENDED, READY),
    ],
)
def test_what_the_server_did_is_expected_where_its_log_says_so(
    error: CellError | None, state: Callable[..., ServerReport], load: LoadResult
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
        (CellError(Phase.WINDOW, "the sampler on server saw only 1.0 of 2.0 s"), ACTIVE, [READY]),
        (CellError(Phase.WINDOW, "wrk0: exit -9"), ACTIVE, [READY]),
        (CellError(Phase.SETTLE, "http://10.0.0.2:8080/: after the warm-up: timed out"), ACTIVE, [READY]),
        (CellError(Phase.VERIFY_AFTER, "OSError(28, 'No space left on device')"), ENDED, [READY]),
        (CellError(Phase.PULL, "what the hosts said cannot be read"), ENDED, [READY]),
        # The first generator had its answer: the second has no way to the server.
        (CellError(Phase.READY, "loadgen_2: http://10.0.0.2:8080/: no route to host"), ACTIVE, [READY, NOT_READY]),
    ],
)
def test_what_somebody_else_did_is_never_expected(
    error: WrklabError, state: Callable[..., ServerReport], loads: list[LoadResult]
) -> None:
    """Whatever the server's log holds: a lost host, a taken port, wrk or a sampler that ended."""
    assert not failure_of(error, state, *loads).expected


def test_a_host_that_rebooted_is_to_blame_and_not_its_server() -> None:
    """The server was gone at the end; the failure is no expected one whatever its log says, and no server's end."""
    raw = handmade_raw(READY, server=ENDED(log_tail=["TypeError: missing send"]), hosts=TWO)
    planned = handmade_planned(handmade_cell()).model_copy(update={"expect_failure": "TypeError: .*send"})
    of_server = cell_outcome(raw, planned, 0).record.failure
    assert of_server is not None
    assert (of_server.is_servers_end, of_server.expected) == (True, True)

    conditions = raw.conditions.model_copy(update={"rebooted": ("server",)})
    failure = cell_outcome(replace(raw, conditions=conditions), planned, 0).record.failure
    assert failure is not None
    assert failure.text == f"server rebooted: {of_server.text}"
    assert (failure.is_servers_end, failure.expected) == (False, False)
