"""docs/metrics.md: its tables are those of the registry."""

from __future__ import annotations

import re

import pytest

from wrklab.errors import WrklabError
from wrklab.report.metrics_page import COMMAND, PAGE, rendered, tables

#: Longer lines cannot be read next to each other.
_WIDTH_MAX = 170


def test_the_page_is_that_of_the_registry() -> None:
    """Every table, as it would be written now."""
    page = PAGE.read_text(encoding="utf-8")

    assert rendered(page) == page, f"{PAGE.name} is stale: run `{COMMAND}` and commit what it writes"


def test_a_changed_table_is_written_again() -> None:
    """Between its markers alone."""
    page = PAGE.read_text(encoding="utf-8")
    spoilt = page.replace("| `steal_percent` |", "| `stolen_percent` |")

    assert spoilt != page
    assert rendered(spoilt) == page


def test_a_table_that_is_unknown_or_absent_is_an_error() -> None:
    """With its name, and what the page should have."""
    page = PAGE.read_text(encoding="utf-8")
    with pytest.raises(WrklabError, match="differ in the tables Laziness, Rate"):
        rendered(page.replace("<!-- metrics: Rate -->", "<!-- metrics: Laziness -->"))


def test_no_line_of_a_table_is_too_long() -> None:
    """Details stand in the text below the tables."""
    assert [line for table in tables().values() for line in table.splitlines() if len(line) > _WIDTH_MAX] == []


def test_links_within_the_page_lead_somewhere() -> None:
    """Each to a heading."""
    page = PAGE.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}

    assert set(re.findall(r"\]\(#([a-z0-9-]+)\)", page)) <= anchors
