"""Cards refuse what they do not understand, and say where, what was found and what is known."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from wrklab.catalogue.cards import parse_duration_s, read_yaml
from wrklab.catalogue.scenario import read_scenario
from wrklab.catalogue.stack import Stack, Variant, read_stack
from wrklab.catalogue.suite import read_suite
from wrklab.catalogue.unit import HostGrant, unit_text
from wrklab.errors import CardError

STACK = """---
description: A stack for tests
runtime: go
files: [main.go]
variants:
  one:
    description: The only variant
    command: "{app_dir}/server 0.0.0.0:{port}"
    hold_ms: 50
"""
SCENARIO = """---
description: A scenario for tests
threads: 4
connections: 2000
duration_s: 4s
"""


def stack_of(tmp_path: Path, text: str | bytes, files: tuple[str, ...] = ("main.go",)) -> Stack:
    """The stack that a folder with such a stack.yml and these files makes."""
    folder = tmp_path / "shop"
    folder.mkdir()
    for name in files:
        (folder / name).touch()
    (folder / "stack.yml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_stack(folder, {})


def complaint_about(tmp_path: Path, text: str | bytes, files: tuple[str, ...] = ("main.go",)) -> str:
    """What read_stack says about it, with the folder of the test left out."""
    with pytest.raises(CardError) as caught:
        stack_of(tmp_path, text, files)
    return str(caught.value).replace(f"{tmp_path}/", "")


def test_a_right_card_is_read(tmp_path: Path) -> None:
    """A variant knows its stack and its name by its place, and fills in its command."""
    variant = stack_of(tmp_path, STACK).variants["one"]

    assert (variant.name, variant.stack, variant.hold_ms) == ("one", "shop", 50)
    assert variant.argv(8080, 2) == ["/opt/wrklab/stacks/shop/app/server", "0.0.0.0:8080"]
    assert variant.unit == "wrklab-one.service"


BAD_STACKS = {
    "unknown_key": (
        STACK + "    comand: x\n",
        (
            "shop/stack.yml:10: variants.one.comand: unknown key 'comand'. Did you mean command? Known: arguments, "
            "benched, body, capacity_setting, command, description, descriptors_count, entry, environment, "
            "expect_failure, hold_ms, in_flight_limit, parameters, probe_requests_count, published, published_probe, "
            "queue_setting, recipe, start_limit_s, tasks_max."
        ),
    ),
    "unknown_key_at_the_top": (
        STACK + "prot: 8080\n",
        (
            "shop/stack.yml:10: prot: unknown key 'prot'. Did you mean port? Known: description, files, port, "
            "requirements, runtime, variants."
        ),
    ),
    "duplicate_key": (
        STACK + "    hold_ms: 60\n",
        "shop/stack.yml:10: duplicate key 'hold_ms'",
    ),
    "key_that_the_place_gives": (
        STACK + "    name: two\n",
        "shop/stack.yml:10: variants.one.name: its place gives this; remove the key",
    ),
    "not_yaml": (
        STACK + "  two: [\n",
        "shop/stack.yml:11: not YAML: expected the node content, but found '<stream end>'",
    ),
    "control_character": (
        STACK + "  two: \x01\n",
        "shop/stack.yml:10: not YAML: special characters are not allowed",
    ),
    "not_utf_8": (
        STACK.encode() + b"# \xff\n",
        "shop/stack.yml:10: not UTF-8: invalid start byte",
    ),
    "not_a_mapping": (
        "- one\n",
        "shop/stack.yml:1: a mapping was expected, found list",
    ),
    "unknown_placeholder": (
        STACK.replace("{app_dir}", "{appdir}"),
        (
            "shop/stack.yml:8: variants.one.command: unknown placeholder {appdir}; "
            "known: {app_dir}, {cpus}, {port}, {recipes_dir}, {venv}, and formulas of cpus"
        ),
    ),
    "command_without_a_path": (
        STACK.replace("{app_dir}/server", "server"),
        (
            "shop/stack.yml:8: variants.one.command: must start with an absolute path or a placeholder; "
            "found 'server 0.0.0.0:{port}'"
        ),
    ),
    "bad_duration": (
        STACK + "    start_limit_s: soon\n",
        "shop/stack.yml:10: variants.one.start_limit_s: 'soon' is not a duration: write 5, 2.5s, 500ms or 1m",
    ),
    "failure_that_is_no_expression": (
        STACK + "    benched: false\n    expect_failure: 'TypeError: (self'\n",
        (
            "shop/stack.yml:11: variants.one.expect_failure: not a regular expression: missing ), unterminated "
            "subpattern at position 11; found 'TypeError: (self'"
        ),
    ),
    "failure_that_is_benched": (
        STACK + "    expect_failure: TypeError\n",
        (
            "shop/stack.yml:6: variants.one: a variant with expect_failure needs `benched: false`: there is nothing to "
            "measure"
        ),
    ),
    "tasks_too_few_to_start": (
        STACK + "    tasks_max: 4\n",
        "shop/stack.yml:10: variants.one.tasks_max: Input should be greater than or equal to 8; found 4",
    ),
    "probe_too_large": (
        STACK + "    probe_requests_count: 1000000\n",
        (
            "shop/stack.yml:10: variants.one.probe_requests_count: Input should be less than or equal to 100000; "
            "found 1000000"
        ),
    ),
    "benched_is_neither_true_nor_false": (
        STACK + "    benched: later\n",
        (
            "shop/stack.yml:10: variants.one.benched: Input should be a valid boolean, unable to interpret input; "
            "found 'later'"
        ),
    ),
    "setting_without_words": (
        STACK + "    queue_setting: ''\n",
        "shop/stack.yml:10: variants.one.queue_setting: String should have at least 4 characters; found ''",
    ),
    "unknown_runtime": (
        STACK.replace("runtime: go", "runtime: ruby"),
        "shop/stack.yml:3: runtime: Input should be 'python', 'go' or 'openresty'; found 'ruby'",
    ),
    "python_without_requirements": (
        STACK.replace("runtime: go", "runtime: python"),
        "shop/stack.yml:2: requirements: a python stack needs this key: a locked file beside stack.yml",
    ),
    "requirements_of_another_runtime": (
        STACK + "requirements: main.go\n",
        "shop/stack.yml:10: requirements: only for python stacks; this one's runtime is go",
    ),
    "missing_key": (
        STACK.replace("files: [main.go]\n", ""),
        "shop/stack.yml:2: files: Field required",
    ),
}


@pytest.mark.parametrize(("text", "expected"), BAD_STACKS.values(), ids=BAD_STACKS)
def test_a_bad_stack_is_refused_with_file_line_and_key(tmp_path: Path, text: str | bytes, expected: str) -> None:
    """Each kind of mistake is answered where it stands, with what would be right."""
    assert complaint_about(tmp_path, text) == expected


def test_a_listed_file_must_be_there(tmp_path: Path) -> None:
    """A name under `files` without its file is answered with the line of the entry and the path looked for."""
    assert complaint_about(tmp_path, STACK, files=()) == "shop/stack.yml:4: files.0: shop/main.go does not exist"


def test_a_missing_card_is_an_error_of_its_own(tmp_path: Path) -> None:
    """A card that cannot be read is named, with the system's reason."""
    with pytest.raises(CardError, match=r"none\.yml: cannot be read: No such file or directory"):
        read_scenario(tmp_path / "none.yml")


def test_every_mistake_of_a_card_is_told_at_once(tmp_path: Path) -> None:
    """Two wrong values are two lines."""
    text = STACK.replace("hold_ms: 50", "hold_ms: long") + "port: 80\n"

    assert complaint_about(tmp_path, text).splitlines() == [
        "shop/stack.yml:10: port: Input should be greater than or equal to 1024; found 80",
        (
            "shop/stack.yml:9: variants.one.hold_ms: Input should be a valid integer, unable to parse string as an "
            "integer; found 'long'"
        ),
    ]


BAD_SCENARIOS = {
    "connections_not_a_multiple_of_threads": (
        SCENARIO.replace("2000", "2001"),
        (
            "rush.yml:4: connections: must be a multiple of threads (4), found 2001: wrk opens floor(c/t) a thread and "
            "never the rest; 2000 would do"
        ),
    ),
    "bad_duration": (
        SCENARIO.replace("4s", "4 lines"),
        "rush.yml:5: duration_s: '4 lines' is not a duration: write 5, 2.5s, 500ms or 1m",
    ),
    "too_long": (
        SCENARIO.replace("4s", "2h"),
        "rush.yml:5: duration_s: Input should be less than or equal to 3600; found 7200.0",
    ),
    "unknown_key": (
        SCENARIO + "conections: 4\n",
        (
            "rush.yml:6: conections: unknown key 'conections'. Did you mean connections? Known: arrivals, body, "
            "companions, compares_with, connection_mode, connections, description, duration_s, half_rate_window, "
            "hold_ms, login, path, rate_per_s, requests, rounds, sample_interval_s, threads, timeout_s, "
            "validate_bodies, warmup_connections, warmup_s."
        ),
    ),
}


@pytest.mark.parametrize(("text", "expected"), BAD_SCENARIOS.values(), ids=BAD_SCENARIOS)
def test_a_bad_scenario_is_refused_with_file_line_and_key(tmp_path: Path, text: str, expected: str) -> None:
    """A load that wrk would not run as written is not accepted."""
    path = tmp_path / "rush.yml"
    path.write_text(text)

    with pytest.raises(CardError) as caught:
        read_scenario(path)

    assert str(caught.value).replace(f"{tmp_path}/", "") == expected


def test_a_suite_names_the_row_that_is_wrong(tmp_path: Path) -> None:
    """A key within a list is found by the line of its entry."""
    path = tmp_path / "mine.yml"
    path.write_text(
        "---\ndescription: A suite for tests\nrows:\n"
        "  - {variant: a, scenario: b}\n"
        "  - {variant: a, scenario: b, publish: c}\n"
    )

    with pytest.raises(CardError) as caught:
        read_suite(path)

    assert str(caught.value).replace(f"{tmp_path}/", "") == (
        "mine.yml:5: rows.1.publish: unknown key 'publish'. Known: scenario, variant."
    )


def test_a_suite_of_nothing_is_refused(tmp_path: Path) -> None:
    """Rows may be empty where there are probes, and the other way round; not both."""
    path = tmp_path / "mine.yml"
    head = "---\ndescription: A suite for tests\n"
    path.write_text(head + "probes:\n  - {variant: a}\n")
    assert [probe.variant for probe in read_suite(path).probes] == ["a"]
    path.write_text(head + "rows: []\n")

    with pytest.raises(
        CardError, match=r"a suite needs `rows` \(variants to bench\) or `probes` \(variants to probe\)"
    ):
        read_suite(path)


def test_a_suite_may_ask_for_all_cpus(tmp_path: Path) -> None:
    """`all` is the only word, and only rows can have it."""
    path = tmp_path / "mine.yml"
    head, rows = "---\ndescription: A suite for tests\n", "rows:\n  - {variant: a, scenario: b}\n"
    path.write_text(head + rows)
    assert read_suite(path).server_cpus is None
    path.write_text(head + "server_cpus: all\n" + rows)
    assert read_suite(path).server_cpus == "all"
    path.write_text(head + "server_cpus: 2\n" + rows)
    with pytest.raises(CardError, match=r"mine\.yml:3: server_cpus: .*'all'.*; found 2"):
        read_suite(path)
    path.write_text(head + "server_cpus: all\nprobes:\n  - {variant: a}\n")
    with pytest.raises(CardError, match="`server_cpus` concerns `rows`"):
        read_suite(path)


def test_a_list_of_wrong_entries_is_not_called_empty(tmp_path: Path) -> None:
    """Only the entry is told, not what follows from it."""
    path = tmp_path / "mine.yml"
    path.write_text("---\ndescription: A suite for tests\nrows:\n  - {variant: on, scenario: b}\n")

    with pytest.raises(CardError) as caught:
        read_suite(path)

    assert str(caught.value).replace(f"{tmp_path}/", "") == (
        "mine.yml:4: rows.0.variant: Input should be a valid string; found True"
    )


@pytest.mark.parametrize(
    ("written", "seconds"),
    [(5, 5.0), (2.5, 2.5), ("5", 5.0), ("5s", 5.0), ("2.5s", 2.5), ("500ms", 0.5), ("1m", 60.0), (" 2h ", 7200.0)],
)
def test_durations_are_read_in_seconds(written: object, seconds: float) -> None:
    """A bare number is seconds; ms, s, m and h are units."""
    assert parse_duration_s(written) == seconds


@pytest.mark.parametrize("written", ["", "s", "5x", "5 minutes", "1m30s", True, None, [5]])
def test_what_is_no_duration_is_refused(written: object) -> None:
    """The answer repeats what was found and shows how to write one."""
    with pytest.raises(ValueError, match=r"is not a duration: write 5, 2\.5s, 500ms or 1m"):
        parse_duration_s(written)


@given(st.integers(min_value=0, max_value=10**7))
def test_milliseconds_and_seconds_agree(count: int) -> None:
    """`1500ms` and 1.5 are the same duration."""
    assert parse_duration_s(f"{count}ms") == pytest.approx(count / 1000)


BOMB = "---\na0: &a0 [1, 2, 3, 4, 5, 6, 7, 8]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 8)}]\n" for level in range(1, 9)
)
CHAIN = "---\na0: &a0 [1]\n" + "".join(f"a{level}: &a{level} [*a{level - 1}]\n" for level in range(1, 2000))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, r"mine\.yml:\d+: with its aliases written out it has more than 50,000 values"),
        ("---\na: &x\n  b: *x\n", r"mine\.yml:3: alias \*x stands within what it stands for"),
        ("---\na: &x [1, [*x]]\n", r"mine\.yml:2: alias \*x stands within what it stands for"),
        (CHAIN, r"mine\.yml:\d+: nested more than 50 levels deep"),
        ("---\na: " + "[" * 5000 + "]" * 5000 + "\n", r"mine\.yml:2: nested more than 50 levels deep"),
        ("---\na: " + "x" * (1 << 20) + "\n", r"mine\.yml: it has 1,048,584 characters"),
    ],
    ids=["bomb", "recursive mapping", "recursive list", "chain", "deep", "long"],
)
def test_a_card_that_grows_without_end_is_refused_at_once(tmp_path: Path, text: str, message: str) -> None:
    """By aliases within aliases, or by its own form: with file and line, in no time, and without a traceback."""
    path = tmp_path / "mine.yml"
    path.write_text(text)
    began_s = time.monotonic()
    with pytest.raises(CardError, match=message):
        read_yaml(path)
    assert time.monotonic() - began_s < 5


def test_aliases_of_plain_values_are_as_many_as_one_likes(tmp_path: Path) -> None:
    """As the cards of the stacks have them."""
    path = tmp_path / "mine.yml"
    path.write_text("---\na: &a what many say\nb: [" + ", ".join(["*a"] * 1000) + "]\n")
    assert read_yaml(path)[0]["b"] == ["what many say"] * 1000


@pytest.mark.parametrize("sign", ["\n", "\r", "\x0b", "\x1b", "\u2028", "\u202e", "\x85"])
def test_a_description_is_one_line(sign: str) -> None:
    """It stands in a unit file: a second line would be a directive of its own."""
    values = {"name": "x", "stack": "y", "command": "/bin/true", "description": f"a server{sign}[Service] here"}
    with pytest.raises(ValidationError, match="one line of plain text was expected; found"):
        Variant.model_validate(values)
    card = Variant.model_validate({**values, "description": "a server of one line"})
    grant = HostGrant(cpus_count=1, cpus=(), descriptors_count=100, user="me")
    stack = Stack.model_validate(
        {"name": "y", "description": "a stack for tests", "runtime": "openresty", "files": ["a"], "variants": {"x": {
            "description": "a server of one line", "command": "/bin/true"}}}
    )  # fmt: skip
    with pytest.raises(ValueError, match="a unit file cannot hold a line break"):
        unit_text(stack, card.model_copy(update={"description": "a\nb"}), grant)
