"""The systemd unit of a variant, as text."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2

from wrklab.catalogue.application import filled_in
from wrklab.catalogue.stack import RUNTIME_ENVIRONMENT_FILE, Stack, Variant
from wrklab.paths import PLAYBOOKS_DIR

_TEMPLATE = PLAYBOOKS_DIR / "roles/stacks/templates/variant.service.j2"
LOG_DIR = "/var/log/wrklab"
#: Neither owner nor group, which the unit's user could not give.
_COPY = "/bin/cp -R --preserve=mode,timestamps,links -T {source} {target}"


@dataclass(frozen=True)
class HostGrant:
    """What a host gives to the variant that runs on it."""

    #: How many CPUs a variant may count on.
    cpus_count: int
    #: The CPUs that the unit is bound to; empty leaves the host's own choice.
    cpus: tuple[int, ...]
    #: The highest RLIMIT_NOFILE that the host lets a unit have.
    descriptors_count: int
    #: The unprivileged user that variants run as.
    user: str


def unit_text(stack: Stack, variant: Variant, grant: HostGrant) -> str:
    """The text of the variant's unit file."""
    descriptors = min(variant.descriptors_count or grant.descriptors_count, grant.descriptors_count)
    environment = {
        "WRKLAB_HOLD_MS": str(variant.hold_ms),
        "WRKLAB_PORT": str(stack.port),
        "WRKLAB_CPUS": str(grant.cpus_count),
        **variant.environment,
    }
    preparation: list[str] = []
    if variant.own_copy:
        environment = _own_environment(stack, variant, grant)
        preparation = [_COPY.format(source=variant.deployed_dir, target=variant.app_dir)]
        preparation += [
            command_line(shlex.split(variant.filled_in(command, stack.port, grant.cpus_count)))
            for command in variant.own_copy.prepare
        ]
    return _template().render(
        variant=variant,
        preparation=preparation,
        command=command_line(variant.argv(stack.port, grant.cpus_count)),
        environment=[quoted(f"{name}={value}") for name, value in environment.items()],
        environment_file=RUNTIME_ENVIRONMENT_FILE,
        log_path=variant_log(variant),
        description=_one_line(variant.description).replace("%", "%%"),
        grant=grant,
        descriptors_count=descriptors,
    )


def _own_environment(stack: Stack, variant: Variant, grant: HostGrant) -> dict[str, str]:
    """What a user's application finds: its own variables alone, with the places in them filled in."""
    return {
        name: filled_in(value, lambda place: variant.filled_in(f"{{{place}}}", stack.port, grant.cpus_count))
        for name, value in variant.environment.items()
    }


def variant_log(variant: Variant) -> str:
    """The file on the server host that a variant's output goes to."""
    return f"{LOG_DIR}/{variant.file_name}.log"


def command_line(argv: Sequence[str]) -> str:
    """An ExecStart value that systemd splits into just these words (systemd.service(5), COMMAND LINES)."""
    return " ".join(quoted(word).replace("$", "$$") for word in argv)


def quoted(word: str) -> str:
    """A word as a unit file has it: quoted where it must be, `%` doubled. Raises ValueError on a line break."""
    text = _one_line(word).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"' if not word or any(sign in word for sign in " \t'\"\\;") else text


def _one_line(text: str) -> str:
    """Raises ValueError where a text would begin a line of its own in the unit file."""
    if any(sign in text for sign in "\n\r\0"):
        raise ValueError(f"a unit file cannot hold a line break in {text!r}")
    return text


@cache
def _template() -> jinja2.Template:
    return _read_template(_TEMPLATE)


def _read_template(path: Path) -> jinja2.Template:
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  a unit file is not HTML
    )
    return environment.from_string(path.read_text(encoding="utf-8"))
