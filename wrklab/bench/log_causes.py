"""Why a user's application does not start, or answers wrongly: what its log and its answers usually mean. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from wrklab.protocol.request_mix import AskedRequest

_MODULE = (
    "the module {0} is not there. A package of others: add it to the requirements. One of yours: its folder must be on "
    'the path; say PYTHONPATH: "{{app_dir}}/src", or where it lies, under environment'
)
#: What stands in a log, and what it means; `{0}` is the first group. What comes first says most.
_MEANINGS = {
    r"ModuleNotFoundError: No module named ['\"]([\w.]+)['\"]": _MODULE,
    r"(?:Failed to find attribute|Attribute|has no attribute) ['\"](\w+)['\"]": (
        "the entry's attribute {0} is not in its module: `import` of the entry must be module:attribute"
    ),
    r"(?:KeyError: |Set the |environment variable )['\"]?([A-Z][A-Z0-9_]{2,})": (
        "the variable {0} is not in its environment: give it under environment, a secret as {{secret.{0}}}"
    ),
    r"(?:Network is unreachable|Temporary failure in name resolution)": (
        "it may reach its backends alone, and asks for another machine: name the service under backends, or give its "
        "address in the inventory's lab_egress (docs/security.md)"
    ),
    r"(?:Connection refused|could not connect to server|Can't connect to|Name or service not known)": (
        "it does not reach a service that it needs: name it under backends, and give its address by environment"
    ),
    r"(?:no such table|relation \S+ does not exist|Table \S+ doesn't exist)": (
        "a table is missing: the commands under prepare must make the database before each start"
    ),
    r"(?:Read-only file system|PermissionError: \[Errno 13\])": (
        "it writes where it may not: its own folder ({{app_dir}}) and /tmp are there for that; move the path"
    ),
    r"Invalid HTTP_HOST header: ['\"]([^'\":]+)": (
        "Django refuses the host's name {0}: add it to ALLOWED_HOSTS by environment, or give each request your site's "
        "name in the header Host"
    ),
    r"Address already in use": "its port is taken: it must listen where the recipe says, and nothing else may",
    r"SyntaxError: ([^\n]*)": "its code is not for Python 3.11: {0}",
    r"ImproperlyConfigured: ([^\n]*)": "Django's settings are not complete: {0}",
    r"No module named (\S+)": _MODULE,
}
_IN_LOGS = tuple((re.compile(pattern), meaning) for pattern, meaning in _MEANINGS.items())
_REDIRECTS = (
    "it redirects: ask for the path that it redirects to, say login: where that is a login, or send the header "
    "X-Forwarded-Proto: https"
)
_STATUS_MEANS = {
    301: _REDIRECTS,
    302: _REDIRECTS,
    307: _REDIRECTS,
    308: _REDIRECTS,
    400: "it does not take the request as it is: look at the path, the body and the header Host",
    401: "it wants to know who asks: say login: in wrklab.yml, or give a header with {secret.NAME}",
    403: "it does not let this request in: a login, a CSRF token or a header is missing",
    404: "no such path: compare it with the application's routes",
    405: "the path does not take this method",
    415: "it wants another Content-Type: give the body as json:, or a header",
    422: "it does not take the body: compare it with what the view expects",
}
_SERVER_ERROR = 500


def cause_in_log(lines: Sequence[str]) -> str:
    """What a log's end most likely means; empty where nothing that is known stands there."""
    text = "\n".join(lines)
    for pattern, meaning in _IN_LOGS:
        # The last one: what came before it was tried and caught.
        if found := list(pattern.finditer(text)):
            groups = found[-1].groups()
            return meaning.format(*(groups or ("",)))
    return ""


def telling_lines(lines: Sequence[str], count: int) -> Sequence[str]:
    """The last `count` lines of a log; where these are about what came of a known cause, those that lead to it.

    A server program may write more about its own end than about the application's error.
    """
    for pattern, _ in _IN_LOGS:
        if places := [place for place, line in enumerate(lines) if pattern.search(line)]:
            end = len(lines) if places[-1] >= len(lines) - count else places[-1] + 1
            return lines[max(0, end - count) : end]
    return lines[-count:]


def cause_of_answer(asked: AskedRequest, log: Sequence[str]) -> str:
    """What a wrong answer most likely means; empty where it cannot be said."""
    if asked.status is None:
        return cause_in_log(log)
    if asked.status >= _SERVER_ERROR or asked.status not in _STATUS_MEANS:
        return cause_in_log(log) if asked.status >= _SERVER_ERROR else ""
    return (cause_in_log(log) if asked.status == 400 else "") or _STATUS_MEANS[asked.status]  # noqa: PLR2004  Django's
