"""Mixes of requests in cards: what is read, and what is refused with file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from wrklab.catalogue.request_mix import BODY_MAX_BYTES, RequestMix
from wrklab.catalogue.scenario import Scenario, override, read_scenario
from wrklab.errors import CardError

CARD = """---
description: A mix for tests
threads: 2
connections: 20
duration_s: 4s
"""
MIX = """requests:
  - {name: list, weight: 8, path: "/items?page=1", expect: {contains: '"items"', json: {items.0.name: pen}}}
  - {name: create, weight: 2, method: POST, path: /items, json: {name: "{secret.PEN}"}, expect: {status: 201}}
  - {name: replace, method: PUT, path: /items/1, file: bodies/pen.json, headers: {X-Key: "{secret.KEY}"}}
login: {name: log_in, method: POST, path: /login, body: "a=b", token: {json: token}, cookies: true}
"""


def scenario_of(folder: Path, text: str) -> Scenario:
    """The scenario of a card with this text, beside a file bodies/pen.json."""
    (folder / "bodies").mkdir(exist_ok=True)
    (folder / "bodies" / "pen.json").write_bytes(b'{"name": "pen\xc3\xa9"}')
    (folder / "shop.yml").write_text(CARD + text)
    return read_scenario(folder / "shop.yml")


def mix_of(folder: Path, text: str = MIX) -> RequestMix:
    """Its mix."""
    mix = scenario_of(folder, text).mix
    assert mix is not None
    return mix


def test_a_mix_is_read_with_what_its_files_hold(tmp_path: Path) -> None:
    """Weights become shares, JSON and files become bodies."""
    mix = mix_of(tmp_path)

    assert [round(mix.share_of(request), 3) for request in mix.requests] == [0.727, 0.182, 0.091]
    assert [request.body_bytes() for request in mix.requests] == [
        None,
        b'{"name":"{secret.PEN}"}',
        b'{"name": "pen\xc3\xa9"}',
    ]
    assert mix.requests[1].all_headers() == {"Content-Type": "application/json"}
    assert [request.name for request in mix.all_requests] == ["log_in", "list", "create", "replace"]


def test_a_stored_mix_needs_no_file(tmp_path: Path) -> None:
    """A run that is resumed sends what it began with, whatever became of the file."""
    scenario = scenario_of(tmp_path, MIX)
    (tmp_path / "bodies" / "pen.json").unlink()

    assert Scenario.model_validate_json(scenario.model_dump_json()) == scenario
    changed = override(scenario, {"connections": 40, "hold_ms": 20, "rate_per_s": 50.0})
    assert (changed.requests, changed.hold_ms, changed.name) == (scenario.requests, 20, "shop@50")


def test_secrets_are_filled_in_for_the_generator_alone(tmp_path: Path) -> None:
    """In headers and bodies, within a text of JSON as JSON has it; the card keeps their names."""
    mix = mix_of(tmp_path)
    assert mix.secret_names() == {"PEN", "KEY"}

    filled = mix.filled({"PEN": 'a "pen"', "KEY": "k1"})

    assert filled.requests[1].body_bytes() == b'{"name":"a \\"pen\\""}'
    assert filled.requests[2].headers == {"X-Key": "k1"}
    with pytest.raises(ValueError, match="one line of plain text"):
        mix.filled({"PEN": "x", "KEY": "k1\r\nHost: other"})


def test_loads_that_ask_for_other_things_do_not_compare(tmp_path: Path) -> None:
    """What a mix sends decides its maximum, not the path that no request has."""
    first = scenario_of(tmp_path, MIX)
    second = scenario_of(tmp_path, MIX.replace("weight: 8", "weight: 7"))

    assert first.asks_for.startswith("mix:")
    assert first.asks_for != second.asks_for
    assert scenario_of(tmp_path, "path: /cpu\n").asks_for == "/cpu"


REFUSED = {
    "blank_in_path": ('path: "/a b"', "requests.0.path: String should match pattern"),
    "line_break_in_path": ('path: "/a\\r\\nHost: x"', "requests.0.path: String should match pattern"),
    "line_break_in_header": ('path: /, headers: {A: "x\\r\\nB: y"}', "requests.0.headers.A: one line of plain text"),
    "line_break_in_name": ('path: /, headers: {"A\\r\\nB": x}', "requests.0.headers.'A\\r\\nB': String should match"),
    "length": ("path: /, headers: {content-length: '3'}", "content-length: the generator gives this header itself"),
    "header_twice": ("path: /, headers: {A: x, a: y}", "requests.0.headers: a stands there twice"),
    "two_bodies": ("path: /, body: x, json: 3", "requests.0: a: body and json both give the body"),
    "large_body": (f"path: /, body: {'x' * (BODY_MAX_BYTES + 1)}", "the body has 65,537 bytes; at most 65,536"),
    "no_json": ("path: /, json: 2020-01-01", "requests.0.json: input was not a valid JSON value"),
    "other_folder": ("path: /, file: ../x", "requests.0: a path within the card's folder was expected"),
    "no_file": ("path: /, file: nope", "cannot be read: No such file"),
    "given_by_file": ("path: /, file_base64: eA==", "requests.0: file_base64: the file gives this; remove the key"),
    "unknown_key": ("path: /, bdy: x", "requests.0.bdy: unknown key 'bdy'. Did you mean body? Known: body, expect,"),
    "unknown_expectation": ("path: /, expect: {statu: 3}", "unknown key 'statu'. Did you mean status?"),
    "head": ("path: /, method: HEAD", "requests.0.method: Input should be 'GET', 'POST'"),
    "no_weight": ("path: /, weight: 0", "requests.0.weight: Input should be greater than or equal to 1"),
    "empty_json_path": ("path: /, expect: {json: {a..b: 1}}", "keys and places with dots between were expected"),
    "same": ("path: /}, {name: b, path: /", "a and b send the same; make them one"),
    "name_twice": ("path: /}, {name: a, path: /x", "the name a stands there twice"),
}


@pytest.mark.parametrize(("request_text", "expected"), REFUSED.values(), ids=REFUSED)
def test_a_bad_request_is_refused_with_file_line_and_key(tmp_path: Path, request_text: str, expected: str) -> None:
    """Nothing that would end a header, begin another request, or read another folder."""
    with pytest.raises(CardError) as caught:
        scenario_of(tmp_path, f"requests: [{{name: a, {request_text}}}]\n")

    assert f"{tmp_path}/shop.yml:" in str(caught.value)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("path: /x\nrequests: [{name: a, path: /}]\n", "each has a path and an answer of its own; leave path out"),
        ("requests: [{name: a, path: /}]\nvalidate_bodies: true\n", "leave validate_bodies out"),
        ("login: {name: a, path: /, cookies: true}\n", "there are no requests that would carry what it answers"),
        ("requests: [{name: a, path: /}]\nlogin: {name: b, path: /}\n", "b: nothing of its answer is used"),
    ],
)
def test_what_contradicts_a_mix_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    """The card says one thing only."""
    with pytest.raises(CardError, match=r"shop\.yml:\d+: ") as caught:
        scenario_of(tmp_path, text)
    assert expected in str(caught.value)


def test_a_link_out_of_the_folder_is_no_body(tmp_path: Path) -> None:
    """A card from somebody else reads no key of yours."""
    folder = tmp_path / "card"
    folder.mkdir()
    (tmp_path / "key").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "key")

    with pytest.raises(CardError, match="leads out of"):
        scenario_of(folder, "requests: [{name: a, path: /, file: link}]\n")
