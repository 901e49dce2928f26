"""Stacks and their variants: what `servers/<stack>/stack.yml` may say, and what it comes to on a host."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from wrklab.catalogue.cards import Card, DurationS, Line, Name, place, read_card, read_yaml, refuse_given_by_place
from wrklab.errors import CardError

#: Where a stack lives on the server host; the roles install to just these places.
STACKS_DIR = "/opt/wrklab/stacks"
#: Values for one run (another hold, say), written before a start and read by every unit.
RUNTIME_ENVIRONMENT_FILE = "/run/wrklab/server.env"

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_KNOWN_PLACEHOLDERS = ("app_dir", "cpus", "port", "venv")

Runtime = Literal["python", "go", "openresty"]
#: Runtimes of which one process uses one CPU at most: Python by its GIL, nginx by its single event loop.
ONE_CPU_A_PROCESS: frozenset[Runtime] = frozenset({"python", "openresty"})


class Variant(Card):
    """One way to serve a stack: a data entry under `variants:` of its stack.yml.

    `command` is the argv, with `{venv}` (the stack's virtual environment), `{app_dir}` (where its files lie), `{port}`
    and `{cpus}` (the number of CPUs that the inventory gives to the server) filled in.
    """

    given_by_place: ClassVar[frozenset[str]] = frozenset({"name", "stack"})

    name: Name
    stack: Name
    description: Line = Field(min_length=10)
    command: str = Field(min_length=1)
    environment: dict[str, str] = Field(default_factory=dict)
    #: How long GET /health holds, in ms; given to the application as WRKLAB_HOLD_MS.
    hold_ms: int = Field(default=100, ge=0, le=60_000)
    #: Published rows that this variant answers to: scenario of the article's shape -> `row` of reference/wrk-*.csv.
    published: dict[Name, str] = Field(default_factory=dict)
    #: What GET /health must answer.
    body: str = "ok"
    #: A server that is not ready after this long has failed.
    start_limit_s: DurationS = Field(default=20.0, gt=0, le=300)
    #: Requests that can be handled at once, where the command line fixes it (4 workers: 4); None where it does not.
    in_flight_limit: int | None = Field(default=None, ge=1)
    #: RLIMIT_NOFILE of the unit; None takes the host's ceiling.
    descriptors_count: int | None = Field(default=None, ge=64)
    #: The most tasks (processes and threads together) that the unit may have; None: no limit.
    tasks_max: int | None = Field(default=None, ge=8)
    #: False: a collective word (`all`, a stack's name) leaves it out of a bench; its own name and globs still mean it.
    benched: bool = True
    #: The `row` of reference/probe-*.csv that this variant answers to.
    published_probe: str | None = None
    #: How many requests a probe of this variant sends; None: as many as it takes.
    probe_requests_count: int | None = Field(default=None, ge=1, le=100_000)
    #: A regular expression: the variant is there to fail, and this is found in its answer or in its log.
    expect_failure: str | None = Field(default=None, min_length=1)
    #: In plain words, for the probe's report: what changes the length of its queue, and how many it serves at once.
    queue_setting: str | None = Field(default=None, min_length=4)
    capacity_setting: str | None = Field(default=None, min_length=4)

    @field_validator("expect_failure")
    @classmethod
    def _failure_is_an_expression(cls, expression: str | None) -> str | None:
        try:
            re.compile(expression or "")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}; found {expression!r}") from None
        return expression

    @model_validator(mode="after")
    def _what_fails_is_not_benched(self) -> Variant:
        if self.expect_failure is not None and self.benched:
            raise ValueError("a variant with expect_failure needs `benched: false`: there is nothing to measure")
        return self

    @field_validator("command")
    @classmethod
    def _command_can_be_filled_in(cls, command: str) -> str:
        unknown = sorted(set(_PLACEHOLDER.findall(command)) - set(_KNOWN_PLACEHOLDERS))
        if unknown:
            known = ", ".join(f"{{{name}}}" for name in _KNOWN_PLACEHOLDERS)
            raise ValueError(f"unknown placeholder {{{unknown[0]}}}; known: {known}")
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise ValueError(f"not a line that a shell would split: {error}") from None
        if not words or not words[0].startswith(("/", "{")):
            raise ValueError(f"must start with an absolute path or a placeholder; found {command!r}")
        return command

    @property
    def unit(self) -> str:
        """The name of its systemd unit."""
        return f"wrklab-{self.name}.service"

    @property
    def venv(self) -> str:
        """The virtual environment of its stack on the server host."""
        return f"{STACKS_DIR}/{self.stack}/venv"

    @property
    def app_dir(self) -> str:
        """The folder of its stack's files on the server host."""
        return f"{STACKS_DIR}/{self.stack}/app"

    def argv(self, port: int, cpus_count: int) -> list[str]:
        """The exact command, every placeholder filled in."""
        values = {"venv": self.venv, "app_dir": self.app_dir, "port": str(port), "cpus": str(cpus_count)}
        filled = _PLACEHOLDER.sub(lambda match: values[match[1]], self.command)
        return shlex.split(filled)


class Stack(Card):
    """An application with its dependencies: `servers/<stack>/stack.yml`."""

    given_by_place: ClassVar[frozenset[str]] = frozenset({"name"})

    name: Name
    description: Line = Field(min_length=10)
    runtime: Runtime
    #: Files of the stack's folder that are put into `{app_dir}` on the server host.
    files: tuple[str, ...] = Field(min_length=1)
    #: Locked, hashed requirements of a python stack; a file beside stack.yml.
    requirements: str | None = Field(default=None, validate_default=True)
    #: TCP port that every variant of the stack listens on.
    port: int = Field(default=8080, ge=1024, le=65535)
    variants: dict[Name, Variant] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _tell_variants_their_names(cls, data: object) -> object:
        if not isinstance(data, dict) or not isinstance(data.get("variants"), dict):
            return data
        named = {
            key: {**value, "name": key, "stack": data.get("name")} if isinstance(value, dict) else value
            for key, value in data["variants"].items()
        }
        return {**data, "variants": named}

    @field_validator("requirements")
    @classmethod
    def _runtime_has_what_it_needs(cls, requirements: str | None, info: ValidationInfo) -> str | None:
        runtime = info.data.get("runtime")  # missing when it is wrong itself
        if runtime == "python" and requirements is None:
            raise ValueError("a python stack needs this key: a locked file beside stack.yml")
        if runtime not in ("python", None) and requirements is not None:
            raise ValueError(f"only for python stacks; this one's runtime is {runtime}")
        return requirements


def read_stack(folder: Path) -> Stack:
    """The stack in a folder of servers/. Raises CardError (file, line, key), also for files that are not there."""
    path = folder / "stack.yml"
    variants = read_yaml(path)[0].get("variants")
    for name, entry in variants.items() if isinstance(variants, dict) else []:
        refuse_given_by_place(path, entry, Variant, ("variants", name))
    stack = read_card(path, Stack, name=folder.name)
    listed: list[tuple[tuple[int | str, ...], str]] = [(("files", i), name) for i, name in enumerate(stack.files)]
    if stack.requirements is not None:
        listed.append((("requirements",), stack.requirements))
    for location, name in listed:
        if not (folder / name).is_file():
            raise CardError(f"{place(path, location)}: {folder / name} does not exist")
    return stack
