"""What serves an application today (`current` of wrklab.yml), as a recipe with parameters, to be measured too."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

#: Words that only start another program.
_STARTERS = {"exec", "env", "poetry", "pipenv", "pdm", "uv", "run", "--", "python", "python3", "-m"}
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*")
_PROGRAMS = ("gunicorn", "granian", "hypercorn", "uvicorn", "uwsgi", "waitress-serve")
#: Where it listens and what it serves are wrklab's to say.
_PLACE_FLAGS = frozenset(
    {"-b", "--bind", "--host", "--port", "--listen", "--http", "--http-socket", "--socket", "-s", "--chdir"}
    | {"--app-dir", "--module", "-w", "--wsgi-file", "--interface", "--factory", "--http-keepalive", "--master"}
    | {"--need-app", "--working-dir", "--reload", "--enable-threads", "-k", "--worker-class"}
)
#: Flags of each program, and the parameter of its recipes that each sets.
_FLAGS: Mapping[str, Mapping[str, str]] = {
    "gunicorn": {
        "-w": "workers",
        "--workers": "workers",
        "--threads": "threads",
        "--backlog": "backlog",
        "--worker-connections": "worker_connections",
        "--asgi-loop": "loop",
    },
    "granian": {
        "--workers": "workers",
        "--blocking-threads": "threads",
        "--backlog": "backlog",
        "--loop": "loop",
        "--runtime-threads": "runtime_threads",
    },
    "hypercorn": {"-w": "workers", "--workers": "workers", "--backlog": "backlog"},
    "uvicorn": {"--workers": "workers", "--loop": "loop", "--http": "http", "--backlog": "backlog"},
    "uwsgi": {
        "-p": "workers",
        "--processes": "workers",
        "--workers": "workers",
        "--threads": "threads",
        "--listen": "backlog",
    },
    "waitress-serve": {"--threads": "threads", "--connection-limit": "connections", "--backlog": "backlog"},
}
#: What a program does where its command line does not say: recipes have other defaults.
_OWN_DEFAULTS: Mapping[str, Mapping[str, str]] = {
    "gunicorn": {"workers": "1"},
    "granian": {"workers": "1"},
    "hypercorn": {"workers": "1"},
    "uvicorn": {"workers": "1"},
    "uwsgi": {"workers": "1", "threads": "1"},
    "waitress-serve": {"threads": "4"},
}
_GUNICORN_RECIPES = {
    "sync": "gunicorn_sync",
    "gthread": "gunicorn_gthread",
    "gevent": "gunicorn_gevent",
    "asgi": "gunicorn_asgi",
    "uvicorn.workers.UvicornWorker": "gunicorn_uvicorn",
    "uvicorn_worker.UvicornWorker": "gunicorn_uvicorn",
}


@dataclass(frozen=True)
class CurrentServing:
    """How an application is served today, or why that cannot be measured here."""

    recipe: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    #: Flags that have no parameter, and so are left out.
    left_out: tuple[str, ...] = ()
    #: Why it has no recipe; empty where it has one.
    problem: str = ""


def read_current(command: str) -> CurrentServing:
    """The recipe and parameters that a command line comes to."""
    words = _without_starters(shlex.split(command))
    program = PurePosixPath(words[0]).name if words else ""
    if program not in _PROGRAMS:
        return CurrentServing(problem=f"no recipe has the program {program!r}; known: {', '.join(_PROGRAMS)}")
    options = list(_options(words[1:]))
    if strange := [flag for flag, _ in options if flag in {"-c", "--config", "--ini", "--yaml"}] or [
        word for word in words[1:] if word.endswith((".ini", ".toml", ".xml"))
    ]:
        return CurrentServing(problem=f"its settings are in a file ({strange[0]}), which is not read: write them out")
    flags = _FLAGS[program]
    given = {flags[flag]: value for flag, value in options if flag in flags}
    recipe, problem = _recipe(program, options, given)
    parameters = {**_OWN_DEFAULTS[program], **given}
    if recipe in {"gunicorn_sync", "gunicorn_uvicorn", "gunicorn_asgi", "gunicorn_gevent"}:
        parameters.pop("threads", None)
    if recipe != "gunicorn_gevent":
        parameters.pop("worker_connections", None)
    unread = [value for value in parameters.values() if not re.fullmatch(r"[a-z0-9_]+", value)]
    if unread and not problem:
        problem = f"{unread[0]!r} in it is no plain value: write the number that it has today"
    known = {*flags, *_PLACE_FLAGS}
    left_out = tuple(dict.fromkeys(flag for flag, _ in options if flag not in known))
    return CurrentServing(problem=problem) if problem else CurrentServing(recipe, parameters, left_out)


def _without_starters(words: list[str]) -> list[str]:
    while words and (words[0] in _STARTERS or _ASSIGNMENT.fullmatch(words[0]) or words[0].endswith(("/python3",))):
        words = words[1:]
    return words


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    """Each flag with the word that follows it, or is in it; whether a flag takes a value is not known of all."""
    for number, word in enumerate(words):
        if word.startswith("--"):
            flag, sign, value = word.partition("=")
            yield flag, value if sign else words[number + 1] if number + 1 < len(words) else ""
        elif word.startswith("-") and len(word) > 1:
            value = word[2:].lstrip("=")
            yield word[:2], value or (words[number + 1] if number + 1 < len(words) else "")


def _recipe(program: str, options: list[tuple[str, str]], given: Mapping[str, str]) -> tuple[str, str]:
    """The recipe of a program with such options, and why there is none."""
    kinds = dict(options)
    kind = kinds.get("-k", kinds.get("--worker-class", ""))
    match program:
        case "gunicorn":
            return _gunicorn_recipe(kind, is_threaded=given.get("threads", "1") != "1")
        case "hypercorn":
            return f"hypercorn_{kind or 'asyncio'}", ""
        case "granian":
            return ("granian_wsgi" if kinds.get("--interface") == "wsgi" else "granian_asgi"), ""
        case "uwsgi":
            return ("uwsgi_http_socket" if "--http-socket" in kinds else "uwsgi"), ""
        case _:
            return ("waitress" if program == "waitress-serve" else program), ""


def _gunicorn_recipe(kind: str, *, is_threaded: bool) -> tuple[str, str]:
    kind = "gthread" if kind in {"", "sync"} and is_threaded else kind or "sync"
    if kind not in _GUNICORN_RECIPES:
        return "", f"no recipe has gunicorn's worker class {kind}; known: {', '.join(_GUNICORN_RECIPES)}"
    if kind == "gthread" and not is_threaded:
        return "", "gunicorn's gthread workers with one thread each have no recipe: give --threads"
    return _GUNICORN_RECIPES[kind], ""
