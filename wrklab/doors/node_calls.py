"""The calls that a controller makes on hosts: one script each of wrklab/node, a spec in, a JSON object out."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from wrklab.doors.remote import RemoteHost, failure_text
from wrklab.errors import HostError, ParseError

NODE_DIR = "/opt/wrklab/node"
#: Isolated and without site: nothing of the host's environment decides what runs, and a call is 4 ms shorter.
_PYTHON = ("/usr/bin/python3", "-I", "-S")
#: What a call may take beside the time that its work takes by plan.
CALL_LIMIT_S = 20.0
_ANSWERED_ERROR = range(3, 10)

#: Hears the name of each phase of a cell as the generator enters it.
OnPhase = Callable[[str], None]


def call(host: RemoteHost, script: str, *words: str, limit_s: float = CALL_LIMIT_S) -> dict[str, Any]:
    """Run a script of wrklab/node that answers with one JSON object. Raises HostError with what the script says."""
    result = host.run([*_PYTHON, f"{NODE_DIR}/{script}", *words], limit_s=limit_s, check=False)
    if result.exit_code in _ANSWERED_ERROR and result.stdout.lstrip().startswith("{"):
        raise HostError(f"{host.name}: {_object(host.name, script, result.stdout).get('error', result.stdout.strip())}")
    if result.exit_code != 0:
        raise HostError(failure_text(result))
    return _object(host.name, script, result.stdout)


def start_server(host: RemoteHost, spec: Mapping[str, object]) -> float:
    """Start a variant's unit, the sampler and the lease; the host's clock at the start, epoch seconds."""
    return float(call(host, "server_ctl.py", "start", pack_spec(spec))["started_at"])


def server_state(host: RemoteHost, unit: str) -> dict[str, Any]:
    """What systemd says of a unit: active_state, sub_state, result, main_pid, ..."""
    return call(host, "server_ctl.py", "state", unit)


def finish_server(host: RemoteHost, spec: Mapping[str, object]) -> dict[str, Any]:
    """Stop a variant's unit, sampler and lease; what was observed of it. Calling it again does no harm."""
    return call(host, "server_ctl.py", "finish", pack_spec(spec))


def run_load(host: RemoteHost, spec: Mapping[str, object], limit_s: float, on_phase: OnPhase) -> dict[str, Any]:
    """Run a cell's load on a generator to its end; its result, unpacked. Raises HostError, ConnectionLostError."""
    return _load(host, ("run", pack_spec(spec)), limit_s, on_phase)


def follow_load(host: RemoteHost, cell: str, limit_s: float, on_phase: OnPhase) -> dict[str, Any]:
    """As run_load, for a load that runs already: after a lost connection."""
    return _load(host, ("follow", cell), limit_s, on_phase)


def cancel_load(host: RemoteHost) -> None:
    """Tell a running load to end now, with its report."""
    call(host, "load_ctl.py", "cancel")


def clean_up(host: RemoteHost) -> list[str]:
    """End every unit of ours on a host, whoever started it; what was ended."""
    server = call(host, "server_ctl.py", "cleanup")
    return [str(name) for name in server.get("ended", [])]


def environment(host: RemoteHost) -> dict[str, Any]:
    """The host's environment, as environment.py gives it."""
    return call(host, "environment.py")


def pack_spec(spec: Mapping[str, object]) -> str:
    """A spec as one word for a command line."""
    return base64.b64encode(json.dumps(spec, separators=(",", ":")).encode()).decode()


def unpack_result(host: str, line: str) -> dict[str, Any]:
    """What load_ctl.py packed: base64 of zlib of JSON. Raises ParseError."""
    try:
        return dict(json.loads(zlib.decompress(base64.b64decode(line, validate=True))))
    except (ValueError, TypeError, zlib.error, binascii.Error) as error:
        raise ParseError(f"{host}: load_ctl.py's result is not whole: {error}; it begins {line[:80]!r}") from error


def _load(host: RemoteHost, words: tuple[str, ...], limit_s: float, on_phase: OnPhase) -> dict[str, Any]:
    def hear(line: str) -> None:
        if line.startswith('{"phase"'):
            on_phase(str(json.loads(line)["phase"]))

    command = [*_PYTHON, f"{NODE_DIR}/load_ctl.py", *words]
    result = host.run(command, limit_s=limit_s, check=False, on_line=hear)
    last = result.stdout.strip().rpartition("\n")[2]
    if result.exit_code in _ANSWERED_ERROR and last.startswith("{"):
        raise HostError(f"{host.name}: {_object(host.name, 'load_ctl.py', last).get('error', last)}")
    if result.exit_code != 0:
        raise HostError(failure_text(result))
    return unpack_result(host.name, last)


def _object(host: str, script: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ParseError(f"{host}: {script} answered no JSON: {text[:200]!r}") from error
    if not isinstance(found, dict):
        raise ParseError(f"{host}: {script} answered {type(found).__name__}, an object was expected")
    return found
