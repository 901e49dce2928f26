"""Hostile text from hosts is harmless in the terminal, in Markdown and in HTML, and a reader sees that it was there."""

from __future__ import annotations

import io
import json
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from wrklab.report.escaping import (
    html,
    html_json,
    markdown,
    markdown_block,
    markdown_code,
    terminal,
    terminal_markup,
    visible,
)

HOSTILE = [
    "<script>alert(1)</script>",
    "\x1b[2J\x1b]0;owned\x07",
    "a | b\n| c | d |",
    "``` not a fence ```",
    "[red]markup[/red] [link=https://evil.example]x[/link]",
    "\u202egnp.exe\u202c \u200b\ufeff",
    "![x](https://evil.example/x.png) <img src=x onerror=alert(1)>",
    "# heading",
    "- item",
    "1. item",
    "---",
    "&lt;b&gt; www.evil.example https://evil.example @someone $x$",
    "\x9b31m \x7f \x00",
    "\\| \\` \\",
    '" onmouseover="alert(1)',
    "\ud800 alone",
]


def printed(console_input: object) -> str:
    stream = io.StringIO()
    Console(file=stream, force_terminal=True, color_system="truecolor", width=200, highlight=False).print(console_input)
    return stream.getvalue()


@pytest.mark.parametrize("text", HOSTILE)
def test_no_escape_of_a_host_reaches_the_terminal(text: str) -> None:
    """What rich prints of it has no control character but the line's end, and markup stands as it was written."""
    for shown in (printed(terminal(text)), printed(f"{terminal_markup(text)}")):
        assert not any(ord(character) < 32 and character != "\n" for character in shown)
        assert not any(character in shown for character in "\x7f\x9b\u202e\u200b")
        assert "alert(1)" not in text or "alert(1)" in shown
    assert "[red]markup[/red]" in printed(terminal_markup(HOSTILE[4]))


@pytest.mark.parametrize("text", HOSTILE)
def test_html_shows_the_text_and_has_no_element_of_it(text: str) -> None:
    """A parser finds the visible text, no element, and one attribute where it stood in an attribute."""
    found = _Found()
    found.feed(f'<p title="{html(text)}">{html(text)}</p>')

    assert found.tags == ["p"]
    assert found.attributes == [("title", visible(text, keep="\n\t"))]
    assert found.text == visible(text, keep="\n\t")


def test_json_in_a_script_element_cannot_end_it() -> None:
    """No character that could end the element or begin a comment is in it, and it reads back as it was."""
    text = html_json({"log": "</script><script>alert(1)</script><!-- &amp; \u2028"})

    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"log": "</script><script>alert(1)</script><!-- &amp; \u2028"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        html_json(float("nan"))


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_stays_one_cell_of_a_table(text: str) -> None:
    """Every character that means something is escaped, on one line."""
    found = markdown(text)

    assert "\n" not in found
    assert "\x1b" not in found
    plain = found.replace("\\\\", "")
    for character in "`*_[]<>|~&$@":
        assert plain.count(character) == plain.count(f"\\{character}")
    assert "http://" not in found
    assert "https://" not in found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# heading", "\\# heading"),
        ("- item", "\\- item"),
        ("1. item", "1\\. item"),
        ("---", "\\---"),
        ("-", "-"),
        ("-1.5 %", "-1.5 %"),
        ("15.00x", "15.00x"),
        ("a_b", "a\\_b"),
        ("www.x", "www\\.x"),
    ],
)
def test_what_begins_a_block_of_markdown_is_escaped_and_a_number_is_not(text: str, found: str) -> None:
    """A heading, a list, a rule; a dash and a number stand as they are."""
    assert markdown(text) == found


@given(st.text(alphabet="`ab |\n\\", max_size=12))
def test_a_span_of_code_ends_where_it_should(text: str) -> None:
    """Its fence is longer than any run of backticks within, and it is one line."""
    found = markdown_code(text)
    fence = found[: len(found) - len(found.lstrip("`"))]

    assert "\n" not in found
    assert found.endswith(fence)
    assert fence not in found[len(fence) : -len(fence)]


def test_a_block_of_code_is_indented_to_its_last_line() -> None:
    """A line within a line is indented too, and a terminal's escape is a picture."""
    found = markdown_block(["```", "# a\nb", "\x1b[1m\r", "tab\there"])

    assert found.splitlines() == ["    ```", "    # a", "    b", "    ␛[1m␍", "    tab\there"]


@given(st.text())
def test_every_text_can_be_written_to_a_file(text: str) -> None:
    """Lone surrogates among them."""
    for found in (visible(text), markdown(text), str(html(text)), str(html_json(text))):
        found.encode()


class _Found(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data
