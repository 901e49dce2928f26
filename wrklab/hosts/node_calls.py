"""The calls that a controller makes on hosts: one script each of wrklab/node, a spec in, a typed message out.

Among them how far a host's clock is from the controller's.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wrklab.catalogue.deployment import NODE_ROOT
from wrklab.errors import HostError, ParseError
from wrklab.hosts.remote import CommandResult, RemoteHost, failure_text
from wrklab.paths import SCRIPTS_DIR
from wrklab.protocol.backend import (
    BackendAction,
    BackendDone,
    BackendName,
    BackendReport,
    BackendSampleSpec,
    BackendSpec,
    InstalledBackends,
)
from wrklab.protocol.blanking import blanked, blanked_message
from wrklab.protocol.codec import Message, MessageType, ProtocolError, decode, decode_json, to_word, unpack
from wrklab.protocol.host import (
    EXIT_NO_RESULT,
    EXIT_REFUSED,
    Done,
    Environment,
    EnvironmentFacts,
    HostStateReport,
    HostStateSpec,
    Refusal,
)
from wrklab.protocol.load import LoadLine, LoadPhase, LoadResult, LoadSpec
from wrklab.protocol.request_mix import AskedOnce, AskOnceSpec
from wrklab.protocol.server import CleanedHost, ServerReport, ServerSpec, ServerStarted, UnitState, UnitTexts
from wrklab.results.raw import Clock
from wrklab.results.records import UnitFile

NODE_DIR = f"{NODE_ROOT}/node"
#: Isolated and without site: nothing of the host's environment decides what runs, and a call is 4 ms shorter.
PYTHON = ("/usr/bin/python3", "-I", "-S")
#: What a call may take besides the time that its work takes by plan, on a host of usual speed: longer than a script
#: waits for a command of its own (node_io.COMMAND_LIMIT_S), so that it is the script that reports which one hung.
_CALL_LIMIT_S = 40.0
#: A large database takes its time to copy; longer than the script gives it (backend_ctl.py).
_BACKEND_LIMIT_S = 960.0
#: What shows how fast a host is must wait for any.
_ENVIRONMENT_LIMIT_S = 180.0
#: The exit status of timeout(1) when it had to end its command.
_TIMED_OUT = 124

#: Hears each phase of a cell as the generator enters it.
OnPhase = Callable[[LoadPhase], None]


def call_limit_s(host: RemoteHost) -> float:
    """What a call on a host may take besides the time that its work takes by plan."""
    return _CALL_LIMIT_S * host.timeout_scale


def call(
    host: RemoteHost,
    kind: type[MessageType],
    script: str,
    *words: str,
    limit_s: float | None = None,
    stdin_line: str = "",
) -> MessageType:
    """Run a script of wrklab/node that answers with one message.

    It may take `limit_s`, else `call_limit_s(host)`; `stdin_line` is what it reads first.

    Raises HostError with what the script says, ParseError naming the key where its answer is not the message.
    """
    limit_s = call_limit_s(host) if limit_s is None else limit_s
    command = [*PYTHON, f"{NODE_DIR}/{script}", *words]
    result = host.run(command, limit_s=limit_s, check=False, stdin_line=stdin_line)
    _require_success(host, result)
    return _read(host, f"{script} {words[0] if words else ''}".strip(), lambda: decode_json(kind, result.stdout))


def carried(script: str, *words: str) -> list[str]:
    """A script of wrklab/node as a command that brings its own text: a host to be provisioned has no scripts yet."""
    return [*PYTHON, "-c", (SCRIPTS_DIR / script).read_text(encoding="utf-8"), *words]


def pack_spec(spec: Mapping[str, object]) -> str:
    """The spec of a carried script as one word: base64 of its JSON, as such a script does not have the protocol."""
    return base64.b64encode(json.dumps(spec, separators=(",", ":")).encode()).decode()


def start_server(host: RemoteHost, spec: ServerSpec) -> float:
    """Start a variant's unit, the sampler and the lease; the host's clock at the start, epoch seconds."""
    limit_s = call_limit_s(host) + spec.start_limit_s
    return call(
        host, ServerStarted, "server_ctl.py", "start", "-", limit_s=limit_s, stdin_line=to_word(spec)
    ).started_at_s


def server_state(host: RemoteHost, unit: str) -> UnitState:
    """What systemd reports of a unit."""
    return call(host, UnitState, "server_ctl.py", "state", unit)


def finish_server(host: RemoteHost, spec: ServerSpec) -> ServerReport:
    """Stop a variant's unit, sampler and lease; what was seen of it. Calling it again does no harm."""
    # Its environment may have secrets, and is of no use at the end.
    return call(host, ServerReport, "server_ctl.py", "finish", to_word(spec.replace(environment={})))


def run_load(host: RemoteHost, spec: LoadSpec, limit_s: float, on_phase: OnPhase) -> LoadResult:
    """Run a cell's load on a generator to its end. Raises HostError, ConnectionLostError, ParseError."""
    word = to_word(spec)
    if spec.mix:
        return _load(host, ("run", "-"), limit_s, on_phase, stdin_line=word)
    return _load(host, ("run", word), limit_s, on_phase)


def follow_load(host: RemoteHost, cell: str, limit_s: float, on_phase: OnPhase) -> LoadResult:
    """The result of a load that runs already, after a lost connection. Raises as `run_load` does."""
    return _load(host, ("follow", cell), limit_s, on_phase)


def mark_load(host: RemoteHost, cell: str, at_s: float) -> None:
    """Set when wrk begins under an armed load: epoch seconds, by the host's own clock."""
    call(host, Done, "load_ctl.py", "mark", cell, repr(at_s))


def cancel_load(host: RemoteHost) -> None:
    """End a running load now, with its report."""
    call(host, Done, "load_ctl.py", "cancel")


def clean_up(host: RemoteHost) -> CleanedHost:
    """End every unit of wrklab's on a host, whoever started it, and remove what cells left there."""
    return call(host, CleanedHost, "server_ctl.py", "cleanup")


def ask_once(host: RemoteHost, spec: AskOnceSpec) -> AskedOnce:
    """What a server answers to each request of a mix, asked once from a generator."""
    requests_count = len(spec.mix.requests) + 1
    limit_s = call_limit_s(host) + spec.ready_limit_s + requests_count * spec.attempt_limit_s
    return call(host, AskedOnce, "ask_once.py", "-", limit_s=limit_s, stdin_line=to_word(spec))


def backend_do(host: RemoteHost, backend: BackendName, action: BackendAction, clients: Sequence[str]) -> BackendDone:
    """One action on a run's database. Raises HostError with what the service said."""
    spec = to_word(BackendSpec(backend=backend, action=action, clients=tuple(clients)))
    return call(host, BackendDone, "backend_ctl.py", "do", spec, limit_s=_BACKEND_LIMIT_S * host.timeout_scale)


def installed_backends(host: RemoteHost) -> InstalledBackends:
    """Our instances on a host."""
    return call(host, InstalledBackends, "backend_ctl.py", "installed")


def sample_backends(host: RemoteHost, spec: BackendSampleSpec) -> None:
    """Start the sampler of a cell on the backends' host. Calling it again does no harm."""
    call(host, Done, "backend_ctl.py", "sample", to_word(spec))


def report_backends(host: RemoteHost, spec: BackendSampleSpec) -> BackendReport:
    """End that sampler; what it saw. Calling it again does no harm."""
    return call(host, BackendReport, "backend_ctl.py", "report", to_word(spec))


def environment(host: RemoteHost) -> Mapping[str, Any]:
    """The host's environment, every part of it that is computed with checked. Raises HostError, ParseError."""
    address = host.host.load_address
    facts = call(host, Environment, "environment.py", address, limit_s=_ENVIRONMENT_LIMIT_S).facts
    _read(host, "environment.py", lambda: decode(EnvironmentFacts, facts, "facts"))
    return facts


def host_state(host: RemoteHost, look_s: float, paths: Sequence[str]) -> HostStateReport:
    """What goes on on the host for so many seconds, and what is left where `paths` lie."""
    spec = to_word(HostStateSpec(look_s=look_s, paths=tuple(paths)))
    return call(host, HostStateReport, "host_state.py", spec, limit_s=look_s + call_limit_s(host))


def unit_files(host: RemoteHost, units: Sequence[str]) -> dict[str, list[UnitFile]]:
    """The text of units as it stands on the host, by unit: its own file first, then drop-ins."""
    found = call(host, UnitTexts, "server_ctl.py", "texts", *units).units
    return {unit: [UnitFile(path=each.path, text=each.text) for each in texts] for unit, texts in found.items()}


def packed_call(
    host: RemoteHost, kind: type[MessageType], words: tuple[str, str], spec: Message, limits_s: tuple[float, float]
) -> MessageType:
    """Run a script (its name and its verb) whose answer is one packed line.

    The host ends it after the first of `limits_s`; the second one is how long to wait for that end. Raises HostError,
    ParseError.
    """
    script, verb = words
    planned_s, slack_s = limits_s
    ended_in_time = ("/usr/bin/timeout", "--kill-after=1", f"{planned_s:.1f}")
    command = [*ended_in_time, *PYTHON, f"{NODE_DIR}/{script}", verb, to_word(spec)]
    result = host.run(command, limit_s=planned_s + slack_s, check=False)
    if result.exit_code == _TIMED_OUT:
        raise HostError(f"{host.name}: {script} {verb} had not ended after {planned_s:.1f} s and was ended there")
    _require_success(host, result)
    return _read(host, f"{script} {verb}", lambda: decode_json(kind, unpack(result.stdout.strip())))


def _load(
    host: RemoteHost, words: tuple[str, ...], limit_s: float, on_phase: OnPhase, *, stdin_line: str = ""
) -> LoadResult:
    packed = ""

    def hear(line: str) -> None:
        nonlocal packed
        try:
            found = decode_json(LoadLine, line)
        except ProtocolError:
            return  # a Refusal, or a line that was cut off: how the script ends says what there was
        if found.phase:
            on_phase(found.phase.phase)
        packed = found.packed or packed

    command = [*PYTHON, f"{NODE_DIR}/load_ctl.py", *words]
    more = {"stdin_line": stdin_line} if stdin_line else {}
    result = host.run(command, limit_s=limit_s, check=False, on_line=hear, **more)
    _require_success(host, result)
    if not packed:
        end = result.stdout.strip()[-80:]
        raise ParseError(f"{host.name}: load_ctl.py: its answer is not complete: no result in it; it ends {end!r}")
    return _read(host, "load_ctl.py", lambda: decode_json(LoadResult, unpack(packed)))


def _require_success(host: RemoteHost, result: CommandResult) -> None:
    """Raises HostError with what the script said of why it failed."""
    if result.exit_code == 0:
        return
    if result.exit_code in (EXIT_REFUSED, EXIT_NO_RESULT):
        try:
            refusal = decode_json(Refusal, result.stdout.strip().rpartition("\n")[2])
        except ProtocolError:
            pass  # it is no refusal: the command's own output says more
        else:
            raise HostError(f"{host.name}: {blanked(refusal.error)}")
    raise HostError(blanked(failure_text(result)))


def _read(host: RemoteHost, script: str, read: Callable[[], MessageType]) -> MessageType:
    """What a script answered, without secrets: it is stored as it is. Raises ParseError naming host, script and key."""
    try:
        return blanked_message(read())
    except ProtocolError as error:
        raise ParseError(f"{host.name}: {script}: {error}. Do the host's scripts fit: `invoke deploy`?") from error


#: Answers each line with the host's clock. One interpreter for all questions: its start is in none of the round trips.
_TELL_TIME = "import sys, time\nfor _ in sys.stdin: print(repr(time.time()), flush=True)"
_QUESTIONS_COUNT = 8
_ANSWER_LIMIT_S = 20.0


def clock_of(host: RemoteHost) -> Clock:
    """A host's clock, asked over the open connection. Raises HostError."""
    with host.talk(["/usr/bin/python3", "-I", "-S", "-c", _TELL_TIME], limit_s=_ANSWER_LIMIT_S) as ask:
        try:
            return read_clock(lambda: float(ask("")))
        except ValueError as error:
            raise HostError(f"{host.name}: its clock gave no number: {error}") from error


def read_clock(ask: Callable[[], float], now: Callable[[], float] = time.time) -> Clock:
    """The clock behind `ask`, epoch seconds, against the controller's.

    The answer is taken for the middle of its round trip (Cristian, Probabilistic clock synchronization, 1989): of the
    quickest, since whatever delayed the others need not have been the same in both directions.
    """
    began_s = now()
    reads = []
    for _ in range(_QUESTIONS_COUNT):
        before_s = now()
        told_s = ask()
        after_s = now()
        reads.append((after_s - before_s, told_s - (before_s + after_s) / 2))
    round_trip_s, ahead_s = min(reads)
    return Clock(ahead_s, round_trip_s, now() - began_s)
