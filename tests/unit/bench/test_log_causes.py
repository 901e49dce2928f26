"""What a log or a wrong answer usually means is said next to it; nothing is said of what is not known."""

from __future__ import annotations

import pytest

from wrklab.bench.log_causes import cause_in_log, cause_of_answer, telling_lines
from wrklab.protocol.request_mix import AskedRequest


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("ModuleNotFoundError: No module named 'shop.views'", "the module shop.views is not there"),
        ("Failed to find attribute 'app' in 'wsgi'.", "the entry's attribute app is not in its module"),
        (
            'ERROR:    Error loading ASGI app. Attribute "application" not found in module "main".',
            "the entry's attribute application is not in its module",
        ),
        ("KeyError: 'SHOP_SECRET_KEY'", "a secret as {secret.SHOP_SECRET_KEY}"),
        ("sqlite3.OperationalError: no such table: item", "the commands under prepare"),
        ('psycopg.errors.UndefinedTable: relation "item" does not exist', "the commands under prepare"),
        ("connection to server at 127.0.0.1 failed: Connection refused", "name it under backends"),
        ("OSError: [Errno 101] Network is unreachable", "the inventory's lab_egress"),
        ("socket.gaierror: [Errno -3] Temporary failure in name resolution", "it may reach its backends alone"),
        ("OSError: [Errno 30] Read-only file system: '/srv/x'", "its own folder ({app_dir}) and /tmp"),
        ("Invalid HTTP_HOST header: '10.0.0.1:8080'. You may need to", "Django refuses the host's name 10.0.0.1"),
        ("SyntaxError: f-string: unmatched '('", "not for Python 3.11: f-string: unmatched '('"),
    ],
)
def test_a_line_of_a_log_is_explained(line: str, cause: str) -> None:
    """With what is to be done about it."""
    assert cause in cause_in_log(["Traceback (most recent call last):", line, "worker exits"])


def test_what_is_not_known_is_not_explained() -> None:
    """A wrong guess costs more than none."""
    assert not cause_in_log(["everything is fine", ""])
    assert not cause_in_log([])


def asked(status: int | None) -> AskedRequest:
    """A request that was answered so, and not as expected."""
    return AskedRequest(
        name="front",
        method="GET",
        path="/",
        found="status instead of 200",
        took_s=0.1,
        status=status,
        headers=(),
        body_start="",
        body_bytes=0,
    )


@pytest.mark.parametrize(
    ("status", "log", "cause"),
    [
        (404, (), "no such path"),
        (302, (), "it redirects"),
        (401, (), "say login:"),
        (500, ("KeyError: 'REGION'",), "the variable REGION is not in its environment"),
        (400, ("Invalid HTTP_HOST header: 'x:1'.",), "Django refuses the host's name x"),
        (400, (), "it does not take the request as it is"),
        (500, (), ""),
        (418, (), ""),
        (None, (), ""),
        (None, ("ModuleNotFoundError: No module named 'shop'",), "the module shop is not there"),
    ],
)
def test_a_wrong_answer_is_explained_by_its_status_and_the_log(
    status: int | None, log: tuple[str, ...], cause: str
) -> None:
    """An error of the server by its log alone."""
    found = cause_of_answer(asked(status), log)

    assert cause in found if cause else not found


def test_lines_about_a_servers_own_end_do_not_hide_the_cause() -> None:
    """Those that lead to it are shown; without a known cause, or with it among the last, the last ones."""
    error, after = ["a", "b", "ModuleNotFoundError: No module named 'shop'"], [f"HaltServer {n}" for n in range(9)]

    assert telling_lines([*error, *after], 2) == error[1:]
    assert telling_lines([*error, *after[:1]], 2) == [error[2], after[0]]
    assert telling_lines(after, 2) == after[-2:]
    assert telling_lines([], 2) == []
