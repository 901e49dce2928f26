"""Claims in a suite's file: what is wrong is refused with file, line, key and the nearest known name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.handmade_checkout import CARDS, REFERENCES, SUITE, write_checkout
from wrklab.articles.library import ArticleLibrary, read_library
from wrklab.catalogue.catalogue import read_catalogue
from wrklab.errors import CardError

ARTICLES = "article,title,table,machine\nmine,An article,wrk-mine,unknown\n"
CLAIM = """claims:
  - claim: one_is_twice_two
    says: One serves twice what two does.
    source: mine
    ratio_of: {metric: requests_per_s, of: one, to: two, scenario: standard}
    at_least: 2
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """The suite's file of a small checkout that has one claim."""
    extra = {"suites/mine.yml": SUITE + CLAIM, "reference/articles.csv": ARTICLES}
    write_checkout(tmp_path, CARDS | REFERENCES | extra)
    return tmp_path / "suites/mine.yml"


def library_of(suite: Path) -> ArticleLibrary:
    """The library of the checkout that a suite's file is in."""
    project = suite.parents[1]
    return read_library(read_catalogue(project), project)


def test_a_claim_is_read(suite: Path) -> None:
    """One name counts as a list; the limit has its kind and number; both figures are named."""
    [claim] = library_of(suite).suites["mine"].claims

    assert claim.limit == ("at_least", 2.0)
    assert [(o.metric, o.variant, o.scenario) for o in claim.operands()] == [
        ("requests_per_s", "one", "standard"),
        ("requests_per_s", "two", "standard"),
    ]


@pytest.mark.parametrize(
    ("found", "wrong", "error"),
    [
        ("of: one", "of: ons", r"mine.yml:12: claims.0.ratio_of.of: unknown variant 'ons'. Did you mean one\?"),
        (
            "scenario: standard",
            "scenario: standart",
            r"ratio_of.scenario: unknown scenario 'standart'. Did you mean st",
        ),
        ("requests_per_s", "request_per_s", r"unknown metric 'request_per_s'. Did you mean requests_per_s\?"),
        ("source: mine", "source: mind", r":11: claims.0.source: unknown article 'mind'. Did you mean mine\?"),
        ("at_least: 2", "at_leest: 2", r":13: claims.0.at_leest: unknown key 'at_leest'. Did you mean at_least\?"),
        ("to: two, ", "", "a figure over itself is always 1"),
        (", scenario: standard", "", "requests_per_s is benched: give the `scenario`"),
        ("requests_per_s", "capacity", "capacity is probed, which has no scenario"),
        ("at_least: 2", "about: 2", "`about` needs `within_percent`"),
        ("at_least: 2", "is: yes", "need the limit `is`, no others do"),
        ("    at_least: 2\n", "", "give one limit of at_least, .*; found none"),
        ("at_least: 2", "at_least: 2\n    at_most: 3", "found at_least and at_most"),
        ("at_least: 2", "at_least: __import__('os')", "claims.0.at_least: .*valid number"),
        ("at_least: 2", "at_least: .inf", "claims.0.at_least: Input should be a finite number"),
        ("requests_per_s", "is_down_after", "is answered yes or no and has no ratio"),
        ("to: two,", "to: two, to_metric: capacity,", "is benched, the other probed"),
        ("One serves twice what two does.", "Twice", "claims.0.says"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(suite: Path, found: str, wrong: str, error: str) -> None:
    """File, line and key, and the nearest name that is known."""
    text = suite.read_text()
    assert found in CLAIM
    head, claim = text.split("claims:", 1)
    suite.write_text(head + "claims:" + claim.replace(found, wrong, 1))

    with pytest.raises(CardError, match=error):
        library_of(suite)


def test_no_two_claims_have_the_same_name(suite: Path) -> None:
    """Not in another suite either: results are told by it."""
    (suite.parent / "other.yml").write_text(suite.read_text())

    with pytest.raises(CardError, match=re.escape("the suite mine has a claim 'one_is_twice_two' already")):
        library_of(suite)
