"""No secret enters a record, whichever way it is written; what is none stays."""

from __future__ import annotations

import base64
import html
import json
import time
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.unit.handmade_messages import handmade_complete_load, handmade_server_report
from wrklab.protocol.blanking import (
    blank_from_now_on,
    blanked,
    blanked_lines,
    blanked_message,
    blanked_words,
    forget_secrets,
    without_known_secrets,
)
from wrklab.protocol.codec import encode_json
from wrklab.protocol.server import LoggedError


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Environment=DB_PASSWORD=hunter2 WRKLAB_PORT=8080", "Environment=DB_PASSWORD=(blanked) WRKLAB_PORT=8080"),
        ('Environment="API_KEY=hunter2 3"', 'Environment="API_KEY=(blanked)"'),
        ('Environment=SENTRY_DSN="hunter2 3" A=1', "Environment=SENTRY_DSN=(blanked) A=1"),
        ("ExecStart=/opt/app --auth_token=hunter2 -w 4", "ExecStart=/opt/app --auth_token=(blanked) -w 4"),
        ("app --password hunter2 --workers 4", "app --password (blanked) --workers 4"),
        ("app --api-key=hunter2 -w 4", "app --api-key=(blanked) -w 4"),
        ("app --api-key hunter2", "app --api-key (blanked)"),
        ("app --password 'hunter 2' -w 4", "app --password (blanked) -w 4"),
        ("DATABASE_URL=postgres://me:hunter2@db:5432/x?a=1", "DATABASE_URL=postgres://me:(blanked)@db:5432/x?a=1"),
        ("redis://:hunter2@cache/0 is down", "redis://:(blanked)@cache/0 is down"),
        ("postgres://me:hunt/er@2@db/x", "postgres://me:(blanked)@db/x"),
        ('{"password": "hunter2", "port": 80}', '{"password": (blanked), "port": 80}'),
        ("password: hunter2", "password: (blanked)"),
        ("GET /x?access_token=hunter2 HTTP/1.1", "GET /x?access_token=(blanked) HTTP/1.1"),
        ("Authorization: Bearer hunter2hunter2hunter2", "Authorization: Bearer (blanked)"),
        ("sent Bearer hunter2hunter2hunter2 on", "sent Bearer (blanked) on"),
    ],
)
def test_secrets_are_blanked(text: str, kept: str) -> None:
    """By their names, in URLs, in headers; the rest of the line stays, and a second time changes nothing."""
    assert blanked(text) == kept
    assert "hunter" not in blanked(text)
    assert blanked(blanked(text)) == blanked(text)


@pytest.mark.parametrize(
    "text",
    [
        "PWD=/opt/wrklab OLDPWD=/tmp",
        "ExecStart=/opt/wrklab/stacks/flask/venv/bin/gunicorn -k gevent -b 0.0.0.0:8080 app:app",
        "http://127.0.0.1:8080/health?hold_ms=100",
        "connected to http://[::1]:8080/ as me@example.org",
        "[2026-11-28 09:00:00 +0000] [7] [INFO] Listening at: http://0.0.0.0:8080 (7)",
        "WRKLAB_HOLD_MS=100 LANG=C.UTF-8",
        "--keep-alive 5 --threads 4",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    """Units and logs of every day."""
    assert blanked(text) == text


def test_a_flags_value_is_the_next_word() -> None:
    """Also where it has blanks in it; another flag is none."""
    words = ["app", "--password", "hunter 2", "--api-key=hunter2", "--token", "--workers", "4"]
    assert blanked_words(words) == (
        "app",
        "--password",
        "(blanked)",
        "--api-key=(blanked)",
        "--token",
        "--workers",
        "4",
    )


def test_a_private_key_goes_over_lines() -> None:
    """To its end, or to that of the log."""
    lines = ["a", "-----BEGIN RSA PRIVATE KEY-----", "hunter2", "-----END RSA PRIVATE KEY-----", "b"]
    assert blanked_lines(lines) == ("a", "-----BEGIN RSA PRIVATE KEY-----(blanked)", "b")
    assert blanked_lines(lines[:3]) == ("a", "-----BEGIN RSA PRIVATE KEY-----(blanked)")
    assert blanked_lines([]) == ()


@pytest.mark.parametrize("text", ["a" * 200_000, "-" * 200_000, "TOKEN" * 40_000, "://" * 60_000, "a:b://" * 30_000])
def test_a_hostile_text_costs_no_time(text: str) -> None:
    """A log's tail is the application's, and hosts send what they like."""
    began_s = time.monotonic()
    blanked(text)
    assert time.monotonic() - began_s < 5


def test_every_text_of_a_message_is_blanked() -> None:
    """However deep it is; words of a command line one by one, a log as a whole, and samples are left alone."""
    report = handmade_server_report()
    told = report.replace(
        observed=report.observed.replace(argv=("app", "--password", "hunter 2")),
        log_tail=("-----BEGIN PRIVATE KEY-----", "hunter2"),
        log_errors=report.log_errors.replace(errors=(LoggedError(text="token: hunter2", count=3),)),
        sampler_stderr="PASSWORD=hunter2",
        stop_output="PASSWORD=hunter2",
        samples=("PASSWORD=kept",),
    )
    found = blanked_message(told)

    assert "hunter" not in encode_json(found)
    assert found.observed.argv == ("app", "--password", "(blanked)")
    assert found.log_tail == ("-----BEGIN PRIVATE KEY-----(blanked)",)
    assert found.samples == told.samples
    assert found.replace(
        **{name: getattr(told, name) for name in ("observed", "log_tail", "log_errors")}
    ) == told.replace(sampler_stderr="PASSWORD=(blanked)", stop_output="PASSWORD=(blanked)")


def test_a_message_without_secrets_is_as_it_was() -> None:
    """What is parsed and compared later is not touched."""
    assert blanked_message(handmade_complete_load()) == handmade_complete_load()
    assert blanked_message(handmade_server_report(log_tail=("a", "b"))) == handmade_server_report(log_tail=("a", "b"))


#: It looks like nothing: no name, no form gives it away.
KNOWN = 'tulip "säure" & <3/4>'


@pytest.fixture
def known_secret() -> Iterator[str]:
    """A secret whose value this process was given."""
    blank_from_now_on([KNOWN])
    yield KNOWN
    forget_secrets()


@pytest.mark.parametrize(
    "written",
    [
        KNOWN,
        json.dumps({"answer": KNOWN}),
        json.dumps({"answer": KNOWN}, ensure_ascii=False),
        json.dumps({"body": json.dumps({"answer": KNOWN})}),
        json.dumps({"found": repr(f'{{"key": "{KNOWN}"}}')}),
        json.dumps(KNOWN).replace("<", "\\u003c").replace("&", "\\u0026").replace(">", "\\u003e"),
        json.dumps(html.escape(KNOWN)),
        repr({"key": KNOWN}),
        html.escape(KNOWN),
        f"/login?key={quote(KNOWN)}",
        f"/login?key={quote(KNOWN, safe='')}",
        base64.b64encode(KNOWN.encode()).decode(),
        json.dumps({"body": base64.b64encode(KNOWN.encode()).decode()}),
    ],
)
def test_a_value_that_is_known_is_blanked_however_it_is_written(known_secret: str, written: str) -> None:
    """As JSON, HTML, a URL and base64 have it; nothing of the text around it is lost."""
    kept = without_known_secrets(f"before {written} after")

    assert "tulip" not in kept
    assert "säure" not in kept
    assert base64.b64encode(known_secret.encode()).decode() not in kept
    assert kept.startswith("before ")
    assert kept.endswith(" after")
    assert "(blanked)" in kept
    assert "tulip" not in blanked(written)


def test_json_with_a_known_value_stays_json(known_secret: str) -> None:
    """What is stored must be readable again."""
    text = json.dumps({"answer": f"the key is {known_secret}!", "count": 3})

    assert json.loads(without_known_secrets(text)) == {"answer": "the key is (blanked)!", "count": 3}
