"""The calls that a controller makes on hosts: one script each of wrklab/node, a spec in, a JSON object out."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from wrklab.errors import HostError, ParseError
from wrklab.hosts.remote import RemoteHost, failure_text
from wrklab.paths import SCRIPTS_DIR
from wrklab.results.records import UnitFile

NODE_DIR = "/opt/wrklab/node"
#: Isolated and without site: nothing of the host's environment decides what runs, and a call is 4 ms shorter.
_PYTHON = ("/usr/bin/python3", "-I", "-S")
#: What a call may take beside the time that its work takes by plan, on a host of usual speed: longer than a script
#: waits for a command of its own (node_io.COMMAND_LIMIT_S), so that it is the script that tells which one hung.
_CALL_LIMIT_S = 40.0
#: What tells how fast a host is must wait for any.
_ENVIRONMENT_LIMIT_S = 180.0
_ANSWERED_ERROR = range(3, 10)

Model = TypeVar("Model", bound=BaseModel)

#: Hears the name of each phase of a cell as the generator enters it.
OnPhase = Callable[[str], None]


def call_limit_s(host: RemoteHost) -> float:
    """What a call on a host may take beside the time that its work takes by plan."""
    return _CALL_LIMIT_S * host.timeout_scale


def call(host: RemoteHost, script: str, *words: str, limit_s: float | None = None) -> dict[str, Any]:
    """Run a script of wrklab/node that answers with one JSON object. Raises HostError with what the script says.

    It may take `limit_s`, else `call_limit_s(host)`.
    """
    limit_s = call_limit_s(host) if limit_s is None else limit_s
    result = host.run([*_PYTHON, f"{NODE_DIR}/{script}", *words], limit_s=limit_s, check=False)
    if result.exit_code in _ANSWERED_ERROR and result.stdout.lstrip().startswith("{"):
        raise HostError(f"{host.name}: {_object(host.name, script, result.stdout).get('error', result.stdout.strip())}")
    if result.exit_code != 0:
        raise HostError(failure_text(result))
    return _object(host.name, script, result.stdout)


def carried(script: str, *words: str) -> list[str]:
    """A script of wrklab/node as a command that brings its own text: a host to be provisioned has none of ours yet."""
    return [*_PYTHON, "-c", (SCRIPTS_DIR / script).read_text(encoding="utf-8"), *words]


def start_server(host: RemoteHost, spec: Mapping[str, object]) -> float:
    """Start a variant's unit, the sampler and the lease; the host's clock at the start, epoch seconds."""
    told = call(host, "server_ctl.py", "start", pack_spec(spec))
    try:
        return float(told["started_at"])
    except (KeyError, TypeError, ValueError) as error:
        raise ParseError(f"{host.name}: server_ctl.py start answered {told}: {error!r}") from error


def server_state(host: RemoteHost, unit: str) -> dict[str, Any]:
    """What systemd says of a unit: active_state, sub_state, result, exec_main_status, main_pid, ..."""
    told = call(host, "server_ctl.py", "state", unit)
    if not {"active_state", "result", "exec_main_status"} <= told.keys():
        raise ParseError(f"{host.name}: server_ctl.py state answered {told}")
    return told


def finish_server(host: RemoteHost, spec: Mapping[str, object]) -> dict[str, Any]:
    """Stop a variant's unit, sampler and lease; what was observed of it. Calling it again does no harm."""
    return call(host, "server_ctl.py", "finish", pack_spec(spec))


def run_load(host: RemoteHost, spec: Mapping[str, object], limit_s: float, on_phase: OnPhase) -> dict[str, Any]:
    """Run a cell's load on a generator to its end; its result, unpacked. Raises HostError, ConnectionLostError."""
    return _load(host, ("run", pack_spec(spec)), limit_s, on_phase)


def follow_load(host: RemoteHost, cell: str, limit_s: float, on_phase: OnPhase) -> dict[str, Any]:
    """As run_load, for a load that runs already: after a lost connection."""
    return _load(host, ("follow", cell), limit_s, on_phase)


def mark_load(host: RemoteHost, cell: str, at_s: float) -> None:
    """Tell an armed load when wrk begins: epoch seconds, by the host's own clock."""
    call(host, "load_ctl.py", "mark", cell, repr(at_s))


def cancel_load(host: RemoteHost) -> None:
    """Tell a running load to end now, with its report."""
    call(host, "load_ctl.py", "cancel")


class CleanedHost(BaseModel):
    """A host on which nothing of ours runs any more. Scripts of an older deploy tell less."""

    model_config = ConfigDict(frozen=True)

    #: Units that were ended, by name.
    ended: tuple[str, ...] = ()
    #: Files and folders of cells that nobody will ask for.
    removed: tuple[str, ...] = ()
    #: What concerns our units and no bench makes: drop-ins below /run.
    left_alone: tuple[str, ...] = ()
    #: Room in the folders that a cell needs, by folder; empty where the host did not say.
    free_bytes: Mapping[str, int] = {}


def clean_up(host: RemoteHost) -> CleanedHost:
    """End every unit of ours on a host, whoever started it, and remove what cells left there."""
    told = call(host, "server_ctl.py", "cleanup")
    return _checked(host, "server_ctl.py cleanup", CleanedHost, told)


class _Cpu(BaseModel):
    allowed: list[int]
    governors: list[str] = []
    siblings: dict[str, str | None] = {}


class _CgroupLimits(BaseModel):
    cpus_count: float | None = None


class _Moment(BaseModel):
    identity: str | None = None
    pace_s: float | None = None


class _Environment(BaseModel):
    """Of a host's environment what is computed with: reports show the rest as it stands."""

    cpu: _Cpu
    cgroup_limits: _CgroupLimits = _CgroupLimits()
    moment: _Moment = _Moment()


def environment(host: RemoteHost) -> dict[str, Any]:
    """The host's environment, as environment.py gives it. Raises HostError, ParseError."""
    told = call(host, "environment.py", host.host.load_address, limit_s=_ENVIRONMENT_LIMIT_S)
    _checked(host, "environment.py", _Environment, told)
    return told


def host_state(host: RemoteHost, look_s: float, paths: Sequence[str]) -> dict[str, Any]:
    """What goes on on the host for so many seconds, and what is left where `paths` lie, as host_state.py gives it."""
    spec = pack_spec({"look_s": look_s, "paths": list(paths)})
    return call(host, "host_state.py", spec, limit_s=look_s + call_limit_s(host))


class _UnitFiles(BaseModel):
    units: dict[str, list[UnitFile]]


def unit_files(host: RemoteHost, units: Sequence[str]) -> dict[str, list[UnitFile]]:
    """The text of units as it stands on the host, by unit: its own file first, then drop-ins."""
    return _checked(host, "unit_files.py", _UnitFiles, call(host, "unit_files.py", *units)).units


def pack_spec(spec: Mapping[str, object]) -> str:
    """A spec as one word for a command line."""
    return base64.b64encode(json.dumps(spec, separators=(",", ":")).encode()).decode()


def unpack_result(host: str, line: str) -> dict[str, Any]:
    """What load_ctl.py packed: base64 of zlib of JSON. Raises ParseError."""
    try:
        return dict(_loads(zlib.decompress(base64.b64decode(line, validate=True)).decode()))
    except (ValueError, TypeError, zlib.error, binascii.Error) as error:
        raise ParseError(f"{host}: load_ctl.py's result is not whole: {error}; it begins {line[:80]!r}") from error


def _load(host: RemoteHost, words: tuple[str, ...], limit_s: float, on_phase: OnPhase) -> dict[str, Any]:
    def hear(line: str) -> None:
        if line.startswith('{"phase"'):
            on_phase(str(_object(host.name, "load_ctl.py", line)["phase"]))

    command = [*_PYTHON, f"{NODE_DIR}/load_ctl.py", *words]
    result = host.run(command, limit_s=limit_s, check=False, on_line=hear)
    last = result.stdout.strip().rpartition("\n")[2]
    if result.exit_code in _ANSWERED_ERROR and last.startswith("{"):
        raise HostError(f"{host.name}: {_object(host.name, 'load_ctl.py', last).get('error', last)}")
    if result.exit_code != 0:
        raise HostError(failure_text(result))
    return unpack_result(host.name, last)


def _checked(host: RemoteHost, script: str, model: type[Model], told: Mapping[str, Any]) -> Model:
    """What a script told, with every value that is used of its type. Raises ParseError naming host and key."""
    try:
        return model.model_validate(told)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its answer"
        raise ParseError(
            f"{host.name}: {script}: {where}: {first['msg']}; it is {str(first['input'])[:100]!r}"
        ) from error


def _loads(text: str) -> Any:  # noqa: ANN401  whatever JSON can hold
    """JSON, with a question mark for each half of a character: JSON may have them, files and the store may not."""
    found = json.loads(text)
    if "\\ud" not in text:
        return found
    return json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))


def _object(host: str, script: str, text: str) -> dict[str, Any]:
    try:
        found = _loads(text)
    except ValueError as error:
        raise ParseError(f"{host}: {script} answered no JSON: {text[:200]!r}") from error
    if not isinstance(found, dict):
        raise ParseError(f"{host}: {script} answered {type(found).__name__}, an object was expected")
    return found
