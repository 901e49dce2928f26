"""Secrets are blanked in every text that is stored: command lines, environments, unit files, logs, errors.

What a run keeps may be passed on. Whatever looks like a secret by its name or its form is blanked, rather too much than
too little; the name stays, so that a reader sees what was there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import get_args

from wrklab.protocol.codec import Message, MessageType, Text, hints_of

BLANK = "(blanked)"

_WORDS = r"(?:SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|PWD|CREDENTIAL|API[_-]?KEY|PRIVATE[_-]?KEY|ACCESS[_-]?KEY|DSN)"
#: A complete word with one of those in it; PWD alone is the working directory. No pattern here is tried at every length
#: at every place: what a host sends is of any form, and long.
_NAME = rf"(?<![A-Z0-9_.-])(?!(?:OLD)?PWD\b)(?=[A-Z0-9_.-]*?{_WORDS})[A-Z0-9_.-]++"
#: A value in quotes of its own; within those of the whole assignment up to their end; else up to the next blank.
_VALUE = r"(?:\"[^\"]{0,4096}\"|'[^']{0,4096}'|[^\"'\n]{1,4096}(?=[\"'])|[^\s\"']+)"
_AUTHORIZATION = r"Authorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:(?:Basic|Bearer|Digest|Token)\s{1,3})?+"
_PATTERNS = (
    # NAME=value, --name=value, name: value, "name": "value"
    re.compile(rf"(?P<kept>{_NAME}[\"']?(?:=|:\s{{1,3}}|:(?=[\"'])))(?!\(blanked\)){_VALUE}", re.IGNORECASE),
    # --name value
    re.compile(rf"(?P<kept>(?<!\S)(?=-){_NAME}\s{{1,3}})(?!-){_VALUE}", re.IGNORECASE),
    # scheme://user:password@host, also where the password has an @ or a / of its own
    re.compile(r"(?P<kept>\b[a-z][a-z0-9+.-]{0,20}://[^\s/:@\"']{0,256}:)[^\s\"']{1,1024}(?=@)", re.IGNORECASE),
    re.compile(rf"(?P<kept>{_AUTHORIZATION})(?!\(blanked\))[^\s\"']+", re.IGNORECASE),
    re.compile(r"(?P<kept>\b(?:Basic|Bearer)\s{1,3})[A-Za-z0-9+/=._~-]{16,}"),
)
_PRIVATE_KEY = re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_IS_SECRET_FLAG = re.compile(rf"(?=-){_NAME}", re.IGNORECASE)


#: Secrets whose values this process was given: each with every form in which a text may have it. They are kept nowhere
#: else.
_known: dict[str, frozenset[str]] = {}


def blank_from_now_on(values: Iterable[str]) -> None:
    """From now on these values are blanked in every text that this process stores or shows, whatever stands around."""
    _known.update({value: _forms_of(value) for value in values if value not in _known})


def known_secrets() -> tuple[str, ...]:
    """The values themselves, for a script on a host that blanks them before it cuts a text."""
    return tuple(sorted(_known))


def forget_secrets() -> None:
    """Blank no value any more that this process was given: for tests, which are many in one process."""
    _known.clear()


def _forms_of(value: str) -> frozenset[str]:
    """A value as it is, and as JSON, Python, HTML, a URL and base64 write it; any of them once more within JSON."""
    # Only the controller gives values; the hosts' scripts, which import this module in each cell, need none of these.
    import base64
    import html
    import json
    from urllib.parse import quote, quote_plus

    def in_json(text: str) -> set[str]:
        # Many frameworks write < > & ' in JSON by their numbers, so that it may stand in HTML.
        plain = json.dumps(text)[1:-1]
        numbered = plain
        for sign in "<>&'":
            numbered = numbered.replace(sign, f"\\u{ord(sign):04x}")
        return {plain, numbered, json.dumps(text, ensure_ascii=False)[1:-1]}

    forms = {value, repr(value)[1:-1], html.escape(value), quote(value), quote(value, safe=""), quote_plus(value)}
    forms.add(base64.b64encode(value.encode()).decode())
    for _ in range(2):
        forms |= {form for text in forms for form in in_json(text)}
    return frozenset(forms)


def without_known_secrets(text: str) -> str:
    """A text without the values that this process was given, and otherwise as it is."""
    # The longest first: one form may be a part of another.
    for form in sorted({form for forms in _known.values() for form in forms}, key=len, reverse=True):
        text = text.replace(form, BLANK)
    return text


def blanked(text: str) -> str:
    """A text without secrets."""
    text = without_known_secrets(text)
    text = _PRIVATE_KEY.sub(rf"\1{BLANK}", text)
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\g<kept>{BLANK}", text)
    return text


def blanked_words(words: Sequence[str]) -> tuple[str, ...]:
    """A command line's words without secrets; a flag's value is the word after it."""
    kept: list[str] = []
    for before, word in zip(("", *words), words, strict=False):
        is_value = _IS_SECRET_FLAG.fullmatch(before) is not None and not word.startswith("-")
        kept.append(BLANK if is_value else blanked(word))
    return tuple(kept)


def blanked_lines(lines: Sequence[str]) -> tuple[str, ...]:
    """Lines of a log without secrets; a private key may go over several."""
    return tuple(blanked("\n".join(lines)).split("\n")) if lines else ()


def blanked_message(message: MessageType) -> MessageType:
    """A message whose every `Text` is without secrets: what hosts said may then be stored as it is."""
    hints = hints_of(type(message))
    texts = {name: _blanked_value(name, getattr(message, name)) for name, hint in hints.items() if _holds_text(hint)}
    return message.replace(**texts) if texts else message


def _blanked_value(name: str, value: object) -> object:
    """What a field holds, without secrets; of several texts one after another those of `argv` are words, else lines."""
    if isinstance(value, str):
        return blanked(value)
    if isinstance(value, Message):
        return blanked_message(value)
    if isinstance(value, Mapping):
        return {key: _blanked_value(name, item) for key, item in value.items()}
    if not isinstance(value, tuple):
        return value
    texts = tuple(item for item in value if isinstance(item, str))
    if texts and len(texts) == len(value):
        return blanked_words(texts) if name == "argv" else blanked_lines(texts)
    return tuple(_blanked_value(name, item) for item in value)


@cache
def _holds_text(hint: object) -> bool:
    """Whether a field of this type has a `Text` anywhere: thousands of samples and counts need no look."""
    if hint == Text:
        return True
    if isinstance(hint, type) and issubclass(hint, Message):
        return any(_holds_text(each) for each in hints_of(hint).values())
    return any(_holds_text(each) for each in get_args(hint))
