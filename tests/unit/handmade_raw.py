"""What hosts said of a cell, for tests: a captured cell, and small ones made by hand."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wrklab.protocol.codec import decode
from wrklab.protocol.load import LoadResult
from wrklab.protocol.server import ActiveState, ServerReport
from wrklab.results.raw import CellConditions, CellRaw, Clock, RawError, RunHost, RunHosts

_CAPTURED = Path(__file__).parent / "captured" / "cell" / "go_net_http.json.gz"
SAME_CLOCK = Clock(0.0, 0.0, 0.0)


def run_host(name: str, *cpus: int, address: str = "127.0.0.1") -> RunHost:
    """A host that is given these CPUs."""
    return RunHost(name=name, address=address, load_address=address, cpus=cpus)


#: The hosts that the captured cell ran on.
HOSTS = RunHosts(kind="container", server=run_host("server", 0), generators=(run_host("loadgen", 0),))


def captured() -> dict[str, Any]:
    """A real cell of go_net_http, `load` and `server`, as JSON: 3 s, 20 connections from another address."""
    found: dict[str, Any] = json.loads(gzip.decompress(_CAPTURED.read_bytes()))
    return found


_WHOLE = captured()


def captured_load(**changes: Any) -> LoadResult:  # noqa: ANN401  JSON
    """The captured generator's result with these keys changed."""
    return decode(LoadResult, copy.deepcopy(_WHOLE["load"]) | changes)


def captured_server(**changes: Any) -> ServerReport:  # noqa: ANN401  JSON
    """What was seen of the captured server; `state` changes keys of its unit's state."""
    server = copy.deepcopy(_WHOLE["server"])
    return decode(ServerReport, server | changes | {"state": server["state"] | changes.get("state", {})})


def ended_server(**changes: Any) -> ServerReport:  # noqa: ANN401  JSON
    """A server whose unit had failed when the cell ended."""
    state = {"active_state": ActiveState.FAILED, "sub_state": "failed", "result": "exit-code", "exec_main_status": 3}
    return captured_server(**changes, state=state)


def handmade_conditions(hosts: RunHosts = HOSTS, **changes: Any) -> CellConditions:  # noqa: ANN401
    """A cell from 1000 to 1005 s whose server was started at once."""
    values: dict[str, Any] = {
        "hosts": hosts,
        "started_at_s": 1000.0,
        "finished_at_s": 1005.0,
        "took_s": 5.0,
        "sample_interval_s": 0.5,
        "server_started_s": 1000.0,
        "error": None,
    }
    return CellConditions.model_validate(values | changes)


def handmade_raw(
    *loads: LoadResult,
    server: ServerReport | None = None,
    error: RawError | None = None,
    hosts: RunHosts = HOSTS,
    clocks: Mapping[str, Clock] | None = None,
) -> CellRaw:
    """A cell whose generators, in the order of the hosts, said this. Without a server its host could not be asked."""
    names = [host.name for host in hosts.generators]
    return CellRaw(
        handmade_conditions(hosts, error=error),
        dict(zip(names, loads, strict=False)),
        server,
        clocks or {host.name: SAME_CLOCK for host in hosts.all},
    )
