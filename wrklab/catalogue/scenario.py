"""Scenarios: how hard and how a variant is driven (`scenarios/*.yml`), and overriding their keys."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from wrklab.catalogue.cards import Card, DurationS, Name, WholeSecondsS, explain, read_card
from wrklab.errors import UsageError

#: Loads beyond these are refused: a typing error should not become a flood.
CONNECTIONS_MAX = 100_000
DURATION_MAX_S = 3600.0


class Scenario(Card):
    """One load shape: the file's name is the scenario's name."""

    given_by_place: ClassVar[frozenset[str]] = frozenset({"name"})

    name: Name
    description: str = Field(min_length=10)
    path: str = Field(default="/health", pattern=r"^/[!-~]*$")
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
    """
    if not changes:
        return scenario
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
