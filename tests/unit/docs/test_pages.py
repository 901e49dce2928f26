"""The project's pages: links lead somewhere, tables can be read in a terminal, and what they name exists."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tasks import ns
from wrklab.paths import PROJECT_DIR
from wrklab.verdicts.rules import RULES

#: A longer row of a table wraps in an editor and on GitHub, and its columns can no longer be compared.
_ROW_WIDTH_MAX = 160
#: Written by the reports' own code; test_metrics_page has their limit.
_GENERATED = re.compile(r"<!-- metrics: .*?<!-- /metrics -->", re.DOTALL)
_FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
#: `wrklab/bench/plan.py`, also as the beginning of a test's name
_FILE = re.compile(r"`((?:wrklab|collectors|playbooks|servers|scenarios|suites|tests)/[\w/]+\.(?:py|yml|lua|txt|c))`")
#: `invoke lab.up --loadgens 2`, up to what ends a command in a text or a block
_COMMAND = re.compile(r"(?:invoke|\./inv) (?P<verb>[a-z][\w.]*)(?P<words>[^`\n|&;#]*)")
_FLAG = re.compile(r"(?<=\s)--[a-z][\w-]*")
#: | 4 | `wrklab/bench/plan.py` | `resolve` |
_STEP = re.compile(r"^\| (\d+) \| `([\w/.]+)` \| `(\w+)` \|", re.MULTILINE)


def _pages() -> list[Path]:
    """Every page that is part of the project."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.splitlines()
    names = listed or [
        str(path.relative_to(PROJECT_DIR))
        for folder in ("docs", "servers", "collectors", "playbooks")
        for path in (PROJECT_DIR / folder).rglob("*.md")
    ]
    return [PROJECT_DIR / name for name in sorted({"README.md", *names}) if (PROJECT_DIR / name).exists()]


PAGES = _pages()
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT_DIR)))


@cache
def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@cache
def _anchors(page: Path) -> frozenset[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = (re.sub(r"[`*]", "", heading) for heading in _HEADING.findall(_FENCED.sub("", _text(page))))
    return frozenset(re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings)


def test_there_are_pages() -> None:
    """Those of docs/ and the one that a visitor sees first."""
    names = {str(page.relative_to(PROJECT_DIR)) for page in PAGES}

    assert {"README.md", "docs/architecture.md", "docs/metrics.md", "servers/README.md"} <= names
    assert len(names) > 15


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    """To a file of the project, and to a heading in it."""
    broken = []
    for target in _LINK.findall(_FENCED.sub("", _text(page))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in _anchors(there)):
            broken.append(target)

    assert broken == []


@each_page
def test_no_row_of_a_table_is_too_long(page: Path) -> None:
    """What does not fit stands in the text below the table."""
    rows = _FENCED.sub("", _GENERATED.sub("", _text(page))).splitlines()

    assert [row for row in rows if row.startswith("|") and len(row) > _ROW_WIDTH_MAX] == []


@each_page
def test_files_that_a_page_names_exist(page: Path) -> None:
    """From the project's folder on."""
    assert [name for name in _FILE.findall(_text(page)) if not (PROJECT_DIR / name).exists()] == []


@each_page
def test_commands_exist(page: Path) -> None:
    """Every verb after `invoke` or `./inv` with its flags, as the command line has them."""
    flags = {name: set(context.flags) for context in ns.to_contexts() for name in (context.name, *context.aliases)}
    wrong = [
        match[0].strip()
        for match in _COMMAND.finditer("\n".join(_code(_text(page))))
        if match["verb"] not in flags or not set(_FLAG.findall(match["words"])) <= flags[match["verb"]]
    ]

    assert wrong == []


def _code(text: str) -> list[str]:
    """The parts of a page that are code: blocks, and spans within a line or over its end."""
    blocks = _FENCED.findall(text)
    return [*blocks, *(span.replace("\n", " ") for span in re.findall(r"`([^`]+)`", _FENCED.sub("", text)))]


def test_the_path_of_one_number_is_that_of_the_code() -> None:
    """Every step names a function of its module, and there are at most thirty."""
    steps = _STEP.findall(_text(PROJECT_DIR / "docs/architecture.md"))

    assert [int(number) for number, _, _ in steps] == list(range(1, len(steps) + 1))
    assert 20 <= len(steps) <= 30
    for number, module, name in steps:
        code = (PROJECT_DIR / module).read_text(encoding="utf-8")
        assert re.search(rf"\b(?:def|function) {name}\b", code), f"step {number}: {module} has no {name}"


def test_the_layers_are_those_that_lint_checks() -> None:
    """docs/architecture.md describes every package of wrklab."""
    page = _text(PROJECT_DIR / "docs/architecture.md")
    packages = {path.parent.name for path in (PROJECT_DIR / "wrklab").glob("*/__init__.py")}
    described = set(re.findall(r"^\| `(\w+)` \| [A-Z]", page, re.MULTILINE))

    assert described == packages | {"collectors"}


def test_each_rule_moves_a_figure_as_its_row_says() -> None:
    """The fourth column of the table of rules in docs/metrics.md."""
    notes = _text(PROJECT_DIR / "docs/metrics.md").split("## Notes")[1].split("### Bounds")[0]
    listed = dict(re.findall(r"^\| `(\w+)` \| \w* ?\| [\w-]* ?\| ([^|]*?) ?\|", notes, re.MULTILINE))

    for rule in RULES:
        where = " (a server at ease)" if rule.direction_where else ""
        assert listed[rule.name] == ("" if rule.doubt == "none" else f"{rule.direction}{where}"), rule.name


def test_the_readme_is_read_to_its_end() -> None:
    """It fits into 120 lines and ends in links to the other pages."""
    readme = _text(PROJECT_DIR / "README.md")

    assert len(readme.splitlines()) <= 120
    linked = set(_LINK.findall(readme))
    assert {f"docs/{page.name}" for page in (PROJECT_DIR / "docs").glob("*.md")} - {
        target.partition("#")[0] for target in linked
    } == set()
