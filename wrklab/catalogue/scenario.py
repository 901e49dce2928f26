"""Scenarios: how hard and how a variant is driven (`scenarios/*.yml`), and overriding their keys."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import Field, StringConstraints, ValidationError, ValidationInfo, field_validator, model_validator

from wrklab.catalogue.cards import Card, DurationS, Name, WholeSecondsS, explain, read_card
from wrklab.catalogue.request_mix import REQUESTS_MAX, Login, RequestMix, WeightedRequest, check_mix
from wrklab.errors import UsageError
from wrklab.protocol.load import Arrivals, ConnectionMode

#: Loads beyond these are refused: a typing error should not become a flood.
CONNECTIONS_MAX = 100_000
DURATION_MAX_S = 3600.0
#: More than wrk's timetable was found to send in time on one core is a typing error.
RATE_MAX_PER_S = 100_000.0
#: One request in 10 s: less is no load.
RATE_MIN_PER_S = 0.1
#: A share of a measured rate is rounded to so many digits: more would say what no run repeats.
RATE_DIGITS_COUNT = 3
#: A name of a card's, and of a load that the command line made of it: `standard@500`, `standard@500-constant`.
ScenarioName = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-z][a-z0-9_]{0,62}(@[0-9]{1,6}(_[0-9]{1,3})?(-[a-z]+){0,2}|@close)?([@-]c[0-9]{1,6})?$"
    ),
]

# An open loop's own sizes, where the command line gives a rate and nothing else.
#: An idle connection waits for so long at most: gunicorn closes one after 2 s.
_POOL_IDLE_S = 1.5
#: Spare connections cost wrk CPU at each request; of these there are enough for answers of 200 ms at 10,000 a second.
_POOL_SPARE_MAX = 2000
_POOL_ROOM = 1.2
#: p99 rests on so many answers (latencies of all rounds are added), with room for what a Poisson process varies.
_ANSWERS_WANTED = 10_500
_WINDOW_MAX_S = 30.0
#: A half-rate window is this long at most, so that those of 22 variants take a few minutes: of a variant below
#: 2,100 requests/s its p99 rests on fewer answers, and the report says so.
HALF_RATE_MAX_S = 10.0
#: CPU and connections are sampled twice a second: a shorter window would have too few samples to be judged by.
_HALF_RATE_MIN_S = 2.0
#: How long GET /health holds where neither card nor command says.
_USUAL_HOLD_MS = 100
_KEYS_OF_LOOP = frozenset({"rate_per_s", "arrivals", "connection_mode"})


class Scenario(Card):
    """One load shape: the file's name is the scenario's name."""

    given_by_place: ClassVar[frozenset[str]] = frozenset({"name"})

    name: ScenarioName
    description: str = Field(min_length=10)
    path: str = Field(default="/health", pattern=r"^/[!-~]*$")
    #: Instead of `path`: weighted requests, each with what it must be answered (docs/mixes.md).
    requests: tuple[WeightedRequest, ...] = Field(default=(), max_length=REQUESTS_MAX)
    #: Sent once before them; they carry its token or cookies.
    login: Login | None = None
    #: Open loop: requests are sent at this rate, whatever the server does. None: closed loop, where each connection
    #: sends when it has its answer.
    rate_per_s: float | None = Field(default=None, ge=RATE_MIN_PER_S, le=RATE_MAX_PER_S)
    #: How an open loop's gaps are drawn: poisson, or constant.
    arrivals: Arrivals = Arrivals.POISSON
    #: keep_alive, or close: each request has a connection of its own.
    connection_mode: ConnectionMode = ConnectionMode.KEEP_ALIVE
    #: Closed loop: `bench --variant all` adds a window at half of the rate that each variant reached (docs/loads.md).
    half_rate_window: bool = False
    #: What `path` must answer; None: what the variant's card says of GET /health.
    body: str | None = Field(default=None, min_length=1)
    #: wrk's -t, over all its processes.
    threads: int = Field(ge=1, le=256)
    #: wrk's -c, over all its processes; a multiple of `threads`.
    connections: int = Field(ge=1, le=CONNECTIONS_MAX)
    duration_s: DurationS = Field(ge=1, le=DURATION_MAX_S)
    #: Thrown away, but stored. 0: none.
    warmup_s: DurationS = Field(default=1.0, ge=0, le=600)
    #: Few, because what a warm-up leaves queued in a slow server would be served inside the window.
    warmup_connections: int = Field(default=16, ge=1)
    rounds: int = Field(default=3, ge=1, le=100)
    #: wrk's --timeout, whole seconds; None: longer than the window, so that no slow answer is dropped.
    timeout_s: WholeSecondsS | None = Field(default=None, ge=1, le=3600)
    #: Every answer's body is compared (costs the generator 12-16 % CPU a request); else only before and after.
    validate_bodies: bool = False
    #: Overrides the hold of every variant, in ms; None leaves each variant's own.
    hold_ms: int | None = Field(default=None, ge=0, le=60_000)
    sample_interval_s: DurationS = Field(default=0.5, ge=0.1, le=60)
    #: The scenario of an article whose published rows stand beside this one's results: None means its own name.
    compares_with: Name | None = None
    #: Scenarios that run too for those variants which have a published row there.
    companions: tuple[Name, ...] = ()

    @field_validator("connections")
    @classmethod
    def _connections_divide(cls, connections: int, info: ValidationInfo) -> int:
        threads = info.data.get("threads")  # missing when it is wrong itself
        if threads and connections % threads:
            lower = connections - connections % threads
            raise ValueError(
                f"must be a multiple of threads ({threads}), found {connections}: wrk opens floor(c/t) a thread and "
                f"never the rest; {max(lower, threads)} would do"
            )
        return connections

    @model_validator(mode="after")
    def _arrivals_need_a_rate(self) -> Self:
        if self.arrivals is not Arrivals.POISSON and self.rate_per_s is None:
            raise ValueError(f"arrivals {self.arrivals.value}: only a load with rate_per_s has arrivals; give one")
        return self

    @model_validator(mode="after")
    def _half_rate_needs_a_closed_loop(self) -> Self:
        if self.half_rate_window and self.rate_per_s is not None:
            raise ValueError(
                "half_rate_window: only a closed loop has a rate of its own to halve; leave it or rate_per_s out"
            )
        return self

    @model_validator(mode="after")
    def _requests_or_path(self) -> Self:
        check_mix(self.requests, self.login)
        single = [key for key in ("path", "body") if getattr(self, key) != type(self).model_fields[key].default]
        if self.requests and single:
            raise ValueError(f"requests: each has a path and an answer of its own; leave {' and '.join(single)} out")
        if self.requests and self.validate_bodies:
            raise ValueError("requests: their expectations say what is compared; leave validate_bodies out")
        return self

    @property
    def mix(self) -> RequestMix | None:
        """The weighted requests; None: all are the GET of `path`."""
        return RequestMix(requests=self.requests, login=self.login) if self.requests else None

    @property
    def asks_for(self) -> str:
        """What is sent, as a word: rates of two loads compare only where it is the same."""
        return f"mix:{self.mix.digest}" if self.mix else self.path

    @property
    def is_open_loop(self) -> bool:
        """Whether requests are sent at a rate, whatever the server does."""
        return self.rate_per_s is not None

    @property
    def published_scenario(self) -> str:
        """The scenario under which cards list the published rows that compare with this one."""
        return self.compares_with or self.name

    @property
    def wrk_timeout_s(self) -> int:
        """Wrk's --timeout in whole seconds; by default longer than the window."""
        return self.timeout_s if self.timeout_s is not None else int(self.duration_s) + 2


def read_scenario(path: Path) -> Scenario:
    """The scenario in a file of scenarios/. Raises CardError (file, line, key)."""
    return read_card(path, Scenario, name=path.stem)


def override(scenario: Scenario, changes: dict[str, object]) -> Scenario:
    """The scenario with some keys changed, checked as a whole. Raises UsageError naming the key and what is known.

    Threads are lowered where the connections asked for are fewer; companions are dropped when the shape changes.
    With a rate, an arrival process or a connection mode it is another load, of another name: `standard@500`.
    """
    if not changes:
        return scenario
    if _KEYS_OF_LOOP & set(changes):
        return _with_loop(scenario, changes)
    return _checked(scenario, changes)


def _with_loop(scenario: Scenario, changes: dict[str, object]) -> Scenario:
    """Another loop: its name says which, connections and window are sized for a rate, and no published row compares."""
    if changes.get("rate_per_s") is not None:
        changes = {"half_rate_window": False} | changes
    found = _checked(scenario, {"connections": scenario.connections} | changes)
    own: dict[str, object] = {"compares_with": None, "companions": (), "name": _loop_name(scenario.name, found)}
    if found.rate_per_s is not None:
        if "connections" not in changes:
            own["connections"] = _pool_size(found, found.rate_per_s)
        if "duration_s" not in changes:
            wanted_s = math.ceil(_ANSWERS_WANTED / (found.rate_per_s * found.rounds))
            own["duration_s"] = max(found.duration_s, min(wanted_s, _WINDOW_MAX_S))
    return _checked(scenario, changes | own)


def half_rate_scenario(scenario: Scenario, closed_loop_per_s: float) -> Scenario | None:
    """The open loop at half of the rate that a closed loop of this scenario reached: one window, as long as needed.

    It lasts as long as p99 needs answers, 10 s at most. None where half of the rate is below what a timetable can have.
    """
    rate_per_s = min(float(f"{closed_loop_per_s / 2:.{RATE_DIGITS_COUNT}g}"), RATE_MAX_PER_S)
    if rate_per_s < RATE_MIN_PER_S:
        return None
    wanted_s = float(math.ceil(_ANSWERS_WANTED / rate_per_s))
    duration_s = min(max(wanted_s, _HALF_RATE_MIN_S), HALF_RATE_MAX_S)
    return override(scenario, {"rate_per_s": rate_per_s, "duration_s": duration_s, "rounds": 1})


def _loop_name(name: str, scenario: Scenario) -> str:
    marks = [] if scenario.rate_per_s is None else [f"{scenario.rate_per_s:.3f}".rstrip("0").rstrip(".")]
    marks += [] if scenario.arrivals is Arrivals.POISSON else [scenario.arrivals.value]
    marks += [] if scenario.connection_mode is ConnectionMode.KEEP_ALIVE else [scenario.connection_mode.value]
    base = name.partition("@")[0]
    # A dot stands between the parts of a cell's name.
    return f"{base}@{'-'.join(marks).replace('.', '_')}" if marks else base


def _pool_size(scenario: Scenario, rate_per_s: float) -> int:
    """Enough connections for slow answers, and few enough that no server closes an idle one."""
    hold_ms = _USUAL_HOLD_MS if scenario.hold_ms is None else scenario.hold_ms
    spare = min(_POOL_IDLE_S * rate_per_s, _POOL_SPARE_MAX)
    wanted = math.ceil(_POOL_ROOM * rate_per_s * hold_ms / 1000 + spare)
    return min(max(1, math.ceil(wanted / scenario.threads)) * scenario.threads, CONNECTIONS_MAX)


def _checked(scenario: Scenario, changes: dict[str, object]) -> Scenario:
    values = scenario.model_dump() | changes
    if "threads" not in changes and "connections" in changes:
        values["threads"] = _threads_for(changes["connections"], scenario.threads)
    if {"connections", "path", "hold_ms"} & set(changes):
        values["companions"] = ()
    try:
        return Scenario.model_validate(values)
    except ValidationError as error:
        raise UsageError(explain(error, f"scenario {scenario.name} with your options", Scenario, None)) from error


def _threads_for(connections: object, threads: int) -> int:
    try:
        count = int(str(connections))
    except ValueError:
        return threads  # the model says what is wrong with it
    return next((candidate for candidate in range(threads, 0, -1) if count >= candidate and count % candidate == 0), 1)
