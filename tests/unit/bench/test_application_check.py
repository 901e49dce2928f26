"""A user's application is started once and asked once; whatever comes of it, its server is stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.unit.handmade_application import handmade_application, handmade_ready, handmade_recipes
from wrklab.bench import application_check
from wrklab.bench.application_check import CheckedVariant, check_variant
from wrklab.bench.mixes import mix_spec
from wrklab.catalogue.application_stack import application_stack, choose_recipes
from wrklab.errors import HostError
from wrklab.hosts.session import Session
from wrklab.protocol.request_mix import AskedOnce, AskedRequest
from wrklab.protocol.server import ActiveState, UnitState

Check = Callable[["Hosts"], CheckedVariant]
LOG = ("Traceback (most recent call last):", "ModuleNotFoundError: No module named 'shop.views'")


def unit_is(active_state: ActiveState) -> UnitState:
    """What systemd reports of a unit that is there, or that ended with 3."""
    has_ended = active_state is ActiveState.FAILED
    return UnitState(
        active_state=active_state,
        sub_state="x",
        result="exit-code" if has_ended else "success",
        exec_main_code=int(has_ended),
        exec_main_status=3 if has_ended else 0,
        main_pid=1,
    )


def answered(status: int | None, found: str = "") -> AskedOnce:
    """One request with this answer."""
    asked = AskedRequest(
        name="front",
        method="GET",
        path="/",
        found=found,
        took_s=0.1,
        status=status,
        headers=(),
        body_start="",
        body_bytes=0,
    )
    return AskedOnce(is_listening=True, asked=(asked,))


class Hosts:
    """What both hosts answer, and what they were asked."""

    def __init__(self, asked: Sequence[AskedOnce] = (), states: Sequence[UnitState] = ()) -> None:
        """Answers in turn; the last one stays."""
        self._asked, self._states = list(asked), list(states)
        self.refuses_start = ""
        self.calls: list[str] = []

    def start_server(self, *_: object) -> float:
        """The start, or why there is none."""
        self.calls.append("start")
        if self.refuses_start:
            raise HostError(self.refuses_start)
        return 0.0

    def ask_once(self, *_: object) -> AskedOnce:
        """What the server answers."""
        self.calls.append("ask")
        return self._asked.pop(0) if len(self._asked) > 1 else self._asked[0]

    def server_state(self, *_: object) -> UnitState:
        """What systemd reports."""
        return self._states.pop(0) if len(self._states) > 1 else self._states[0]

    def finish_server(self, *_: object) -> SimpleNamespace:
        """The end of its log."""
        self.calls.append("finish")
        return SimpleNamespace(log_tail=LOG)


@pytest.fixture(autouse=True)
def no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that moves when it is waited for."""
    clock = SimpleNamespace(now=0.0)

    def sleep(seconds: float) -> None:
        clock.now += seconds

    def monotonic() -> float:
        clock.now += 1.0
        return float(clock.now)

    monkeypatch.setattr(application_check, "time", SimpleNamespace(sleep=sleep, monotonic=monotonic))
    monkeypatch.setenv("SHOP_KEY", "a long secret")


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Checks an application on such hosts."""
    application = handmade_application(tmp_path / "shop")
    pairs = choose_recipes(handmade_recipes(), application, ["gunicorn_sync"])
    stack = application_stack(handmade_ready(application, tmp_path / "shop.tar"), pairs)
    (variant,) = stack.variants.values()
    server = SimpleNamespace(name="server", is_open=True)
    found = SimpleNamespace(
        catalogue=SimpleNamespace(stacks={"shop": stack}),
        cpus_count=2,
        timeout_scale=1.0,
        server=server,
        generators=(server,),
        backend=None,
        hosts=SimpleNamespace(server=SimpleNamespace(load_address="10.0.0.1"), backend=None),
        port_of=lambda _: 8080,
    )
    monkeypatch.setattr(application_check, "empty_backends", lambda *_: None)

    def run(hosts: Hosts) -> CheckedVariant:
        monkeypatch.setattr(application_check, "node_calls", hosts)
        spec = mix_spec(application.mix, {})
        return check_variant(cast("Session", found), variant, application.mix, spec, lambda _: None)

    return run


def test_right_answers_are_all_there_is_to_say(check: Check) -> None:
    """The server is stopped afterwards."""
    hosts = Hosts([answered(200)])

    assert check(hosts).is_right
    assert hosts.calls == ["start", "ask", "finish"]


def test_a_wrong_answer_is_explained_by_the_log(check: Check) -> None:
    """It answered, so its start was right."""
    found = check(Hosts([answered(500, "status 500 instead of 200")]))

    assert not found.is_right
    assert found.problem == ""
    assert "the module shop.views is not there" in found.answers[0].cause


def test_a_unit_that_cannot_be_started_says_why(check: Check) -> None:
    """Nothing is asked then."""
    hosts = Hosts()
    hosts.refuses_start = "server: wrklab-shop.service could not be started: prepare failed"

    found = check(hosts)

    assert "prepare failed" in found.problem
    assert "the module shop.views is not there" in found.cause
    assert hosts.calls == ["start", "finish"]


def test_a_server_that_takes_no_connection_is_asked_again_until_it_ends(check: Check) -> None:
    """How its unit ended is the reason."""
    nothing = AskedOnce(is_listening=False, asked=())
    hosts = Hosts([nothing], [unit_is(ActiveState.ACTIVE), unit_is(ActiveState.FAILED)])

    found = check(hosts)

    assert "ended before it answered: failed, result exit-code, exit status 3" in found.problem
    assert hosts.calls == ["start", "ask", "ask", "finish"]


def test_a_server_that_listens_and_then_ends_did_not_start(check: Check) -> None:
    """gunicorn's supervisor takes connections before its workers fail to import the application."""
    states = [unit_is(ActiveState.ACTIVE), unit_is(ActiveState.ACTIVE), unit_is(ActiveState.FAILED)]

    found = check(Hosts([answered(None, "the connection was reset")], states))

    assert "ended before it answered" in found.problem
    assert found.answers == ()


def test_a_server_that_listens_and_never_answers_is_shown_as_it_is(check: Check) -> None:
    """Its unit runs on, so there is no end to tell of."""
    found = check(Hosts([answered(None, "timed out")], [unit_is(ActiveState.ACTIVE)]))

    assert found.problem == ""
    assert [answer.is_right for answer in found.answers] == [False]


def test_a_server_that_never_listens_is_waited_for_as_long_as_its_card_says(check: Check) -> None:
    """start_limit, 60 s."""
    found = check(Hosts([AskedOnce(is_listening=False, asked=())], [unit_is(ActiveState.ACTIVE)]))

    assert "nothing listens on port 8080 within 60 s (start_limit)" in found.problem
