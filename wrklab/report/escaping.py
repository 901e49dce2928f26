"""Text made harmless for an output: one function a terminal, Markdown and HTML. Everything that a host sent goes here.

Argument vectors, log lines and error texts come from hosts, and a host may send anything: terminal escapes that rewrite
the screen, Markdown that ends a table, HTML that runs. What cannot be seen is shown as a picture (U+2400 and following)
or by its code point, so that a reader sees that it was there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final

from markupsafe import Markup
from markupsafe import escape as escape_html
from rich.markup import escape as escape_markup
from rich.text import Text

#: C0, DEL and C1; what reorders or hides text (bidirectional controls, zero-width characters, line and paragraph
#: separators, the byte order mark, tags); lone surrogates, which no file can hold.
_UNSEEN: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
_PICTURES: Final = 0x2400
_SPACE: Final = 0x20
_DELETE: Final = 0x7F
_DELETE_PICTURE: Final = "\u2421"
_SURROGATES: Final = range(0xD800, 0xE000)
#: What Markdown reads as more than text, anywhere in a line: emphasis, code, links, HTML, tables, strikethrough,
#: entities, formulas, mentions.
_MARKDOWN: Final = re.compile(r"([\\`*_\[\]<>|~&$@])")
#: What it reads as a heading or a list at the start of a line, or as a rule or an underline where it is all of one.
_MARKDOWN_START: Final = re.compile(r"^([#+\-](?=#* )|[-=:](?=[-=: ]+$))|^(\d{1,9})([.)])(?= )")
#: What GitHub makes a link of without any mark.
_MARKDOWN_LINK: Final = re.compile(r"(https?|ftp)(://)|\b(www)(\.)", re.IGNORECASE)
_BACKTICKS: Final = re.compile("`+")
#: Of a JSON document, what could end the script element around it.
_SCRIPT: Final = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})


def visible(text: str, keep: str = "") -> str:
    """The text with each unseen character shown: ESC as ␛, U+202E as ⟨202E⟩. Those in `keep` stay as they are."""
    return _UNSEEN.sub(lambda match: match[0] if match[0] in keep else _shown(match[0]), text)


def _shown(character: str) -> str:
    code = ord(character)
    if code < _SPACE:
        return chr(_PICTURES + code)
    if code == _DELETE:
        return _DELETE_PICTURE
    return "\ufffd" if code in _SURROGATES else f"\u27e8{code:04X}\u27e9"


def terminal(text: str, style: str = "") -> Text:
    """For a console of rich: no escape reaches the terminal, and no markup is read. Lines stay lines."""
    return Text(visible(text, keep="\n"), style=style)


def terminal_markup(text: str) -> str:
    """For a place in rich markup, for instance in f"[red]{...}[/red]"."""
    return escape_markup(visible(text, keep="\n"))


def markdown(text: str) -> str:
    """For a place in a line of Markdown, a table's cell among them: what is shown is the text and nothing else."""
    line = visible(text.replace("\n", " "))
    found = _MARKDOWN.sub(r"\\\1", line.strip(" "))
    found = _MARKDOWN_LINK.sub(lambda match: f"{match[1]}\\://" if match[1] else f"{match[3]}\\.", found)
    return _MARKDOWN_START.sub(lambda match: f"\\{match[1]}" if match[1] else f"{match[2]}\\{match[3]}", found)


def markdown_code(text: str) -> str:
    """A span of code, outside of tables: fenced by more backticks than any run within."""
    line = visible(text.replace("\n", " "))
    fence = "`" * (1 + max((len(run) for run in _BACKTICKS.findall(line)), default=0))
    pad = " " if line.startswith(("`", " ")) or line.endswith(("`", " ")) or not line else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def markdown_block(lines: Iterable[str]) -> str:
    """A block of code. Indented, not fenced: no line within can end it."""
    parts = (part for line in lines for part in (line.split("\n") or [""]))
    return "\n".join(f"    {visible(part, keep=chr(9))}" for part in parts)


def html(text: object) -> Markup:
    """For a place in an HTML page, in an element or in a quoted attribute; what is marked as HTML already stays."""
    return text if isinstance(text, Markup) else escape_html(visible(str(text), keep="\n\t"))


def html_json(data: object) -> Markup:
    """A JSON document for a script element of type application/json. inf and nan raise ValueError."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # A lone surrogate cannot be encoded; any other unseen character is harmless within JSON, and shown by who shows it.
    return Markup(text.encode("utf-8", "replace").decode().translate(_SCRIPT))  # noqa: S704  translated just here
