"""What hosts answer is checked before anything is made of it: damage is an error with host, script and key."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.handmade_messages import handmade_complete_load, handmade_failure, handmade_server_report
from tests.unit.handmade_mixes import handmade_mix, handmade_request
from tests.unit.node.conftest import cell_folder
from wrklab.errors import HostError, ParseError, WrklabError
from wrklab.hosts import node_calls
from wrklab.hosts.inventory import LabHost
from wrklab.hosts.remote import CommandResult, RemoteHost
from wrklab.protocol.codec import ProtocolError, decode, decode_json, encode, encode_json, from_word, pack
from wrklab.protocol.host import EXIT_NO_RESULT, EXIT_REFUSED, Refusal
from wrklab.protocol.load import LoadLine, LoadPhase, LoadResult, LoadSpec, PhaseStarted
from wrklab.protocol.server import ActiveState, LoggedError, ServerReport, ServerSpec

JUNK: list[Any] = [None, "", "junk", -1, 0, 10**400, float("inf"), True, [], {}, [[]], [{}], {"a": 1}]
COMPLETE: dict[str, Any] = {
    "load": encode(handmade_complete_load()),
    "server": encode(handmade_server_report(log_tail=("a line",), samples=("{}",))),
}
SPEC = ServerSpec(
    unit="wrklab-x.service",
    variant="x",
    cell="c1",
    port=8080,
    environment={},
    lease_s=60.0,
    sample_interval_s=0.5,
    keep_log_lines=40,
)
FACTS: dict[str, Any] = {
    "cpu": {"allowed": [0], "governors": [], "siblings": {"0": "0-1"}, "model": "any"},
    "cgroup_limits": {"cpus_count": None},
    "limits": {"unit_descriptors_max": 1000, "local_ports_count": 28232},
    "moment": {"identity": "abc", "pace_s": 0.004},
}


class SayingHost:
    """A host whose commands say what they are told to."""

    name = "server"
    host = LabHost("server", "server", "192.0.2.1", "192.0.2.1", "root", 22, None, None, None, (), "own", "ssh")
    timeout_scale = 1.0

    def __init__(self, said: str, exit_code: int = 0) -> None:
        self.said = said
        self.exit_code = exit_code

    def run(self, *_: Any, on_line: Any = None, **__: Any) -> CommandResult:  # noqa: ANN401  as RemoteHost.run takes
        for line in self.said.splitlines() if on_line else []:
            on_line(line)
        return CommandResult("server", "x", self.exit_code, self.said, "", 0.0)


def saying(said: str, exit_code: int = 0) -> RemoteHost:
    """A host that says this."""
    host: RemoteHost = SayingHost(said, exit_code)  # type: ignore[assignment]
    return host


@pytest.fixture
def load_spec(tmp_path_factory: pytest.TempPathFactory) -> LoadSpec:
    """Any load."""
    folder = tmp_path_factory.mktemp("cell")
    cell_folder(folder, 8080)
    return decode_json(LoadSpec, (folder / "spec.json").read_text())


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:  # noqa: ANN401  JSON
    """The path of every value within a JSON value."""
    found = [path] if path else []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        found += places(item, (*path, key))
    return found


@settings(max_examples=400, deadline=None)
@given(st.sampled_from([path for path in places(COMPLETE) if len(path) > 1]), st.sampled_from(JUNK))
def test_damage_is_an_error_with_its_key_or_a_value_of_the_right_type(path: tuple[Any, ...], junk: Any) -> None:  # noqa: ANN401  JSON
    """One value anywhere replaced by junk: what is decoded encodes to the same again."""
    damaged = copy.deepcopy(COMPLETE)
    inner = damaged
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = junk
    kind: type[LoadResult | ServerReport] = LoadResult if path[0] == "load" else ServerReport
    try:
        found = decode(kind, damaged[path[0]])
    except ProtocolError as error:
        key = error.path.partition(".")[0].partition("[")[0]
    else:
        key = path[1]
        assert encode(found) == damaged[path[0]]
    assert key == path[1]


@pytest.mark.parametrize(
    "said", ["", "null", "[]", "{}", '{"started_at_s": "soon"}', '{"phase"', '{"phase": 1}\n!', "\x00\xff"]
)
@pytest.mark.parametrize("call", ["start", "state", "finish", "load", "environment", "units", "cleanup"])
def test_an_answer_that_is_none_is_an_error_of_wrklabs(said: str, call: str, load_spec: LoadSpec) -> None:
    """With the host's name and the script's in it; no traceback of a parser."""
    host = saying(said)
    calls: dict[str, Callable[[], object]] = {
        "start": lambda: node_calls.start_server(host, SPEC),
        "state": lambda: node_calls.server_state(host, "x"),
        "finish": lambda: node_calls.finish_server(host, SPEC),
        "load": lambda: node_calls.run_load(host, load_spec, 1.0, lambda _: None),
        "environment": lambda: node_calls.environment(host),
        "units": lambda: node_calls.unit_files(host, ["x"]),
        "cleanup": lambda: node_calls.clean_up(host),
    }
    with pytest.raises(WrklabError, match=r"server: \w+\.py") as caught:
        calls[call]()
    assert isinstance(caught.value, ParseError)


def test_phases_are_heard_and_the_result_is_the_last_line(load_spec: LoadSpec) -> None:
    """Each line is a message; a line that is none is no phase."""
    phases = (LoadPhase.READY, LoadPhase.WINDOW)
    lines = [LoadLine(phase=PhaseStarted(phase=phase, at_s=1.0, expected_end_mono_s=2.0)) for phase in phases]
    result = handmade_complete_load()
    said = [*map(encode_json, lines), "noise", encode_json(LoadLine(packed=pack(encode_json(result).encode())))]
    heard: list[LoadPhase] = []

    assert node_calls.run_load(saying("\n".join(said)), load_spec, 1.0, heard.append) == result
    assert heard == list(phases)


def test_a_load_with_a_mix_is_no_word_of_a_command_line(load_spec: LoadSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every user of a host reads those, and they have a limit; all others are, which costs nothing."""
    said = encode_json(LoadLine(packed=pack(encode_json(handmade_complete_load()).encode())))
    mixed = load_spec.replace(mix=handmade_mix(handmade_request("one", "/"), secrets=("hunter22",)))
    for spec in (load_spec, mixed):
        host = saying(said)
        called: list[Any] = []
        run = host.run

        def note(
            argv: Any,  # noqa: ANN401  as RemoteHost.run takes
            *,
            run: Any = run,  # noqa: ANN401
            called: list[Any] = called,
            **more: Any,  # noqa: ANN401
        ) -> CommandResult:
            called.append((argv, more))
            found: CommandResult = run(argv, **more)
            return found

        monkeypatch.setattr(host, "run", note)

        node_calls.run_load(host, spec, 1.0, lambda _: None)

        [(argv, more)] = called
        word = more["stdin_line"] if spec is mixed else argv[-1]
        assert (argv[-1] == "-") is (spec is mixed)
        assert from_word(LoadSpec, word) == spec


def test_a_failure_comes_with_its_phase(load_spec: LoadSpec) -> None:
    """And with its kind."""
    result = handmade_failure(LoadPhase.SETTLE, "no answer")
    said = encode_json(LoadLine(packed=pack(encode_json(result).encode())))

    assert node_calls.follow_load(saying(said), "c1", 1.0, lambda _: None).failed == result.failed


@pytest.mark.parametrize("exit_code", [EXIT_REFUSED, EXIT_NO_RESULT])
def test_a_refusal_is_an_error_in_the_hosts_words(exit_code: int) -> None:
    """The script has said why; one that only ended so has not, and its output is shown."""
    said = encode_json(Refusal(error="port 8080 is taken on this host by pid 7"))
    with pytest.raises(HostError, match=r"^server: port 8080 is taken on this host by pid 7$"):
        node_calls.start_server(saying(said, exit_code), SPEC)
    with pytest.raises(HostError, match=rf"`x` ended with {exit_code}:\n  a traceback"):
        node_calls.start_server(saying("a traceback", exit_code), SPEC)


def test_a_servers_secrets_are_blanked_before_its_report_is_stored() -> None:
    """On its command line, in its log, and among the errors of its log; everything else stays as it came."""
    told = handmade_server_report()
    secret = "postgresql://shop:hunter2@db/shop"
    told = told.replace(
        observed=told.observed.replace(argv=("gunicorn", "--password", "hunter2", "app:app")),
        log_tail=("starting", f"cannot connect to {secret}"),
        log_errors=told.log_errors.replace(errors=(LoggedError(text=f"OperationalError: {secret}", count=3),)),
    )
    found = node_calls.finish_server(saying(encode_json(told)), SPEC)

    assert "hunter2" not in encode_json(found)
    assert found.observed.argv == ("gunicorn", "--password", "(blanked)", "app:app")
    assert found.log_tail[0] == "starting"
    assert (found.log_errors.errors[0].count, found.samples, found.state) == (3, told.samples, told.state)


def test_half_a_character_is_read_as_a_question_mark() -> None:
    """A lone surrogate is valid JSON and no text: no file and no store would take it."""
    state = (
        r'{"active_state": "failed", "sub_state": "\ud800", "result": "\ud83d\ude00", "exec_main_code": 1, '
        r'"exec_main_status": 3, "main_pid": 0}'
    )
    found = node_calls.server_state(saying(state), "x")

    assert (found.active_state, found.sub_state, found.result) == (ActiveState.FAILED, "?", "\U0001f600")


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"cpu": {"allowed": "junk", "governors": [], "siblings": {}}}, "cpu.allowed"),
        ({"cpu": {"allowed": [], "governors": [], "siblings": {}}}, "cpu.allowed"),
        ({"cpu": {"allowed": [0], "governors": 5, "siblings": {}}}, "cpu.governors"),
        ({"cpu": {"allowed": [0], "governors": [], "siblings": []}}, "cpu.siblings"),
        ({"moment": []}, "moment"),
        ({"moment": {"identity": "", "pace_s": "fast"}}, "moment.pace_s"),
        ({"cgroup_limits": {"cpus_count": []}}, "cgroup_limits.cpus_count"),
        ({"limits": {"local_ports_count": 1}}, "limits.unit_descriptors_max"),
    ],
)
def test_an_environment_that_cannot_be_computed_with_is_reported_with_its_key(
    change: dict[str, object], where: str
) -> None:
    """Before a run begins; what is only shown may be anything."""
    assert node_calls.environment(saying(json.dumps({"facts": FACTS}))) == FACTS
    with pytest.raises(ParseError, match=rf"server: environment\.py: facts\.{re.escape(where)}: "):
        node_calls.environment(saying(json.dumps({"facts": FACTS | change})))


@pytest.mark.parametrize(
    "change", [{"ended": None}, {"removed": 5}, {"free_bytes": {"/run/wrklab": "some"}}, {"free_bytes": {"/run": None}}]
)
def test_a_clean_up_that_cannot_be_read_is_reported(change: dict[str, object]) -> None:
    """With its key."""
    said: dict[str, object] = {"ended": [], "output": "", "removed": [], "left_alone": [], "free_bytes": {}}
    assert node_calls.clean_up(saying(json.dumps(said))).free_bytes == {}
    with pytest.raises(ParseError, match=rf"server: server_ctl\.py cleanup: {next(iter(change))}"):
        node_calls.clean_up(saying(json.dumps(said | change)))
