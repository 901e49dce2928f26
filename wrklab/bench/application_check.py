"""A user's application started once, and each request of its mix sent once from the generator: before any load."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from wrklab.bench.log_causes import cause_in_log, cause_of_answer
from wrklab.catalogue.request_mix import RequestMix
from wrklab.catalogue.stack import Variant
from wrklab.errors import HostError
from wrklab.hosts import node_calls
from wrklab.hosts.application import empty_backends, start_environment
from wrklab.hosts.remote import retry_on_disconnect
from wrklab.hosts.session import Session
from wrklab.protocol.request_mix import AskedRequest, AskOnceSpec, MixSpec
from wrklab.protocol.server import ServerReport, ServerSpec

#: All of these are for hosts of usual speed.
_ATTEMPT_LIMIT_S = 15.0
#: A server that takes connections and answers none of them is on its way to its end, or will not answer at all.
_END_LIMIT_S = 5.0
_END_POLL_S = 0.5
#: Between two looks at the server's unit while nothing takes connections.
_READY_STEP_S = 2.0
_LEASE_SLACK_S = 90.0
_LOG_LINES = 40


@dataclass(frozen=True)
class CheckedAnswer:
    """One request and what came of it."""

    asked: AskedRequest
    #: What a wrong answer most likely means; empty where it is right, or that cannot be said.
    cause: str

    @property
    def is_right(self) -> bool:
        """Whether it is as wrklab.yml expects it."""
        return not self.asked.found


@dataclass(frozen=True)
class CheckedVariant:
    """What checking one variant came to."""

    variant: str
    answers: tuple[CheckedAnswer, ...]
    #: Why it did not start; empty where it did.
    problem: str
    #: What the log most likely means.
    cause: str
    log_tail: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        """Whether it can be measured."""
        return not self.problem and all(answer.is_right for answer in self.answers)


def check_variant(
    session: Session, variant: Variant, mix: RequestMix, spec: MixSpec, on_step: Callable[[str], None]
) -> CheckedVariant:
    """Start a variant, ask once, stop it. Raises HostError where a host cannot be used, ParseError."""
    server = ServerSpec(
        unit=variant.unit,
        variant=variant.file_name,
        cell=f"check.{variant.file_name}.{secrets.token_hex(4)}",
        port=session.port_of(variant),
        environment=start_environment(session, variant),
        lease_s=variant.start_limit_s + _LEASE_SLACK_S * session.timeout_scale + len(mix.requests) * _ATTEMPT_LIMIT_S,
        sample_interval_s=1.0,
        keep_log_lines=_LOG_LINES,
        start_limit_s=variant.start_limit_s,
    )
    asked: tuple[AskedRequest, ...] = ()

    def finish() -> ServerReport:
        return node_calls.finish_server(session.server, server)

    try:
        on_step("start")
        empty_backends(session, variant)
        problem = _start(session, server)
        if not problem:
            asked, problem = _ask(session, variant, spec, on_step)
    finally:
        report = retry_on_disconnect(session.server, finish, finish, lambda _: None)
    log = report.log_tail
    return CheckedVariant(
        variant=variant.name,
        answers=tuple(CheckedAnswer(one, cause_of_answer(one, log) if one.found else "") for one in asked),
        problem=problem,
        cause=cause_in_log(log) if problem else "",
        log_tail=tuple(log),
    )


def _start(session: Session, spec: ServerSpec) -> str:
    """Why the unit did not start; empty where it did. Raises HostError where the connection is the reason."""
    try:
        node_calls.start_server(session.server, spec)
    except HostError as error:
        if not session.server.is_open:
            raise
        return str(error)
    return ""


def _ask(
    session: Session, variant: Variant, mix: MixSpec, on_step: Callable[[str], None]
) -> tuple[tuple[AskedRequest, ...], str]:
    """What it answered, and why it never took a connection."""
    until = time.monotonic() + variant.start_limit_s
    spec = AskOnceSpec(
        host=session.hosts.server.load_address,
        port=session.port_of(variant),
        mix=mix,
        ready_limit_s=_READY_STEP_S,
        attempt_limit_s=_ATTEMPT_LIMIT_S * session.timeout_scale,
    )
    on_step("ask")
    while True:
        found = node_calls.ask_once(session.generators[0], spec)
        if any(one.status is not None for one in found.asked):
            return found.asked, ""
        # A supervisor may listen before its workers fail, and ends a moment later.
        if end := _end_of(session, variant, _END_LIMIT_S * session.timeout_scale if found.is_listening else 0.0):
            return (), end
        if found.is_listening:
            return found.asked, ""
        if time.monotonic() >= until:
            return (), f"nothing listens on port {spec.port} within {variant.start_limit_s:g} s (start_limit)"


def _end_of(session: Session, variant: Variant, limit_s: float) -> str:
    """How the unit ended within this time; empty where it runs on."""
    until = time.monotonic() + limit_s
    while True:
        state = node_calls.server_state(session.server, variant.unit)
        if not state.is_up:
            return (
                f"{variant.unit} ended before it answered: {state.active_state}, result {state.result}, exit status "
                f"{state.exec_main_status}"
            )
        if time.monotonic() >= until:
            return ""
        time.sleep(_END_POLL_S)
