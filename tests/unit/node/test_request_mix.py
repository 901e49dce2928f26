"""A mix on a generator: answers compared, a login carried, and a complete cell with wrk against the toy server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.handmade_mixes import drawn_counts, handmade_mix, handmade_request
from tests.unit.node.conftest import cell_folder, handmade_timetable
from tests.unit.node.toy_server import ToyServer
from wrklab.extract.request_mix import add_requests
from wrklab.extract.wrk_report import add_latencies, read_wrk_report
from wrklab.node.http_get import HttpAnswer
from wrklab.node.request_mix import RequestMix, rendered, what_is_wrong
from wrklab.protocol.codec import encode
from wrklab.protocol.load import LoadPhase, LoadResult
from wrklab.protocol.request_mix import MixLogin, MixSpec, MixToken

LOGIN = MixLogin(
    request=handmade_request("log_in", "/login", method="POST", body_base64="YQ=="),
    token=MixToken(json_path="token", header="Authorization", prefix="Bearer "),
    takes_cookies=True,
)
#: Of different times, statuses and lengths; two are sent with as many bytes.
WEIGHTS = {"quick": 8, "slow": 2, "odd": 1, "late": 1}
MIX = handmade_mix(
    handmade_request("quick", "/ok", 8, contains="ok"),
    handmade_request("slow", "/hold", 2),
    handmade_request("odd", "/500", 1, status=500, contains="why"),
    handmade_request("late", "/late_body", 1, contains="ok"),
)


def mix_at(server: ToyServer, spec: MixSpec) -> RequestMix:
    """The mix against the toy server."""
    return RequestMix(spec, ("127.0.0.1", server.port), closes=False)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ""),
        ({"contains": '"items"', "json": {"items.0.name": "pen", "items.0.id": 7}}, ""),
        ({"status": 201}, 'status 200 instead of 201: \'{"items"'),
        ({"contains": "pencil"}, "status 200, but 'pencil' is not in the body: '{\"items\""),
        ({"json": {"items.0.name": "ink"}}, 'but at items.0.name there is \'"pen"\' instead of "ink"'),
        ({"json": {"items.1.name": "pen"}}, 'but at items.1.name there is nothing instead of "pen"'),
        ({"json": {"items.0.id": True}}, "but at items.0.id there is '7' instead of true"),
    ],
)
def test_what_is_wrong_with_an_answer_is_told(changes: dict[str, Any], expected: str) -> None:
    """What was expected, and what came, on one line."""
    request = handmade_request("list", "/items", **changes)
    answer = HttpAnswer(200, (), b'{"items": [{"id": 7, "name": "pen"}]}')

    found = what_is_wrong(answer, request.expect)

    assert (found == "") is (expected == "")
    assert expected in found
    assert "\n" not in found


def test_what_came_is_shown_escaped_and_bounded_and_without_secrets() -> None:
    """An error page may repeat what was sent, and be long."""
    request = handmade_request("list", "/", status=200)
    answer = HttpAnswer(500, (), b"\x1b[2J<b>hunter22</b> password=abc\n" + b"x" * 5000)

    found = what_is_wrong(answer, request.expect, ["hunter22"])

    assert found.startswith("status 500 instead of 200: '\\x1b[2J<b>(blanked)</b> password=(blanked)")
    assert len(found) < 300


def test_a_request_is_sent_byte_for_byte() -> None:
    """With the length of its body in bytes; a Host of its own stays, and cookies are put together."""
    request = handmade_request(
        "create", "/items", method="POST", headers={"Host": "shop", "Cookie": "a=b"}, body_base64="w6k="
    )

    assert rendered(request, "10.0.0.1:80", {"Cookie": "c=d", "X-Key": "k"}, closes=True) == (
        b"POST /items HTTP/1.1\r\nHost: shop\r\nCookie: a=b; c=d\r\nX-Key: k\r\nConnection: close\r\n"
        b"Content-Length: 2\r\n\r\n\xc3\xa9"
    )


def test_a_login_is_carried_by_all_others(server: ToyServer) -> None:
    """Its token and its cookies; without it the answer names the request and blanks the token."""
    private = handmade_mix(handmade_request("mine", "/private"))
    mix = mix_at(server, private.replace(login=LOGIN))

    assert mix.ask_first(1.0).is_right
    assert mix.ask_all(1.0)["mine"].is_right

    wrong = mix_at(server, private.replace(secrets=("tok-12345",))).ask_all(1.0)["mine"]
    assert wrong.found == "mine (GET /private): status 401 instead of 200: 'no token (blanked) here'"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"request": handmade_request("log_in", "/ok")}, "no Set-Cookie in its answer"),
        (
            {"request": handmade_request("log_in", "/ok"), "takes_cookies": False},
            "no token at token in its answer: 'ok'",
        ),
        ({"request": handmade_request("log_in", "/login", status=302)}, "status 200 instead of 302"),
    ],
)
def test_a_login_that_gives_nothing_is_told(server: ToyServer, changes: dict[str, object], expected: str) -> None:
    """Before all others: it is the first answer that a server must give."""
    found = mix_at(server, handmade_mix(handmade_request("mine", "/ok"), login=LOGIN.replace(**changes))).ask_first(1.0)

    assert found.found.startswith("log_in (GET /")
    assert expected in found.found


def run_mix(server: ToyServer, folder: Path, mix: MixSpec, **changes: object) -> LoadResult:
    """A cell of 1 s with 20 connections on two threads, which send the mix."""
    processes = [{"threads": 2, "connections": 20, "checks_answers": True, "mix_seeds": [5, 6]}]
    spec = {"mix": encode(mix), "processes": processes} | changes
    return cell_folder(folder, server.port, **spec).run()


@pytest.mark.parametrize("mode", ["keep_alive", "close"])
def test_each_answer_is_counted_for_its_own_request(server: ToyServer, tmp_path: Path, mode: str) -> None:
    """By status, text and time: an answer that went to another request would be wrong there, or too quick or slow."""
    warmup = {"duration_s": 0.3, "connections": 4, "threads": 1}
    result = run_mix(server, tmp_path, MIX, warmup=warmup, connection_mode=mode)

    assert result.failed is None
    assert result.verify_after is not None
    assert result.verify_after.found == ""
    for wrk in (result.warmup, *result.wrk):
        assert wrk is not None
        assert wrk.stderr == ""
        assert wrk.report is not None
        report = read_wrk_report(wrk.report, 20)
        found = {request.name: request for request in add_requests([report], add_latencies([report]))}
        assert list(found) == list(WEIGHTS)
        assert report.mix is not None
        assert report.mix.unknown == 0
        assert sum(request.answers for request in found.values()) == report.requests > 0
        assert all(request.wrong_status == request.wrong_body == 0 for request in found.values())
        assert (report.errors.status, report.errors.body) == (0, 0)
        assert found["slow"].observed.min_us >= 99_000
        assert found["late"].observed.min_us >= 29_000
        assert found["quick"].observed.percentile(50) < 29_000


def test_the_order_of_requests_follows_from_the_seed_alone(server: ToyServer, tmp_path: Path) -> None:
    """In a closed loop as in an open one, whose timetable draws gaps in between."""
    for number, loop in enumerate([{}, {"timetable": handmade_timetable(300.0)}]):
        process = {"threads": 1, "connections": 50, "checks_answers": False, "mix_seeds": [12345]} | loop
        (folder := tmp_path / str(number)).mkdir()
        result = run_mix(server, folder, MIX, processes=[process], drain_s=0.5, connection_mode="close")

        [wrk] = result.wrk
        assert result.failed is None
        assert wrk.report is not None
        assert wrk.report.mix is not None
        sent = {counts.name: counts.sent for counts in wrk.report.mix.requests}
        assert sum(sent.values()) > 100
        assert sent == drawn_counts(12345, WEIGHTS, sum(sent.values()))
        if wrk.report.slots is not None:
            # Nothing is drawn for a connection that is opened first.
            assert wrk.report.slots.opened > 0
            assert sum(sent.values()) == wrk.report.slots.sent


def test_wrong_answers_under_load_are_counted_by_request(server: ToyServer, tmp_path: Path) -> None:
    """Each tenth has another text; another request's status changes once it has been checked."""
    mix = handmade_mix(
        handmade_request("tenth", "/each_tenth_wrong", contains="ok"),
        handmade_request("list", "/items", json={"items.0.name": "pen"}),
    )
    result = run_mix(server, tmp_path, mix)

    [wrk] = result.wrk
    assert wrk.report is not None
    assert wrk.report.mix is not None
    tenth, items = wrk.report.mix.requests
    assert tenth.wrong_body == pytest.approx(tenth.answers / 10, abs=2)
    assert (items.wrong_body, items.wrong_status, tenth.wrong_status) == (0, 0, 0)
    assert wrk.report.errors.body == tenth.wrong_body


def test_a_wrong_answer_is_told_before_any_load(server: ToyServer, tmp_path: Path) -> None:
    """The request, what was expected, what came; wrk never ran."""
    mix = handmade_mix(handmade_request("fine", "/ok"), handmade_request("new", "/items", status=201))
    result = run_mix(server, tmp_path, mix)

    assert result.failed is not None
    assert result.failed.phase is LoadPhase.READY
    assert result.failed.text.startswith('before any load: new (GET /items): status 200 instead of 201: \'{"items"')
    assert result.wrk == ()


def test_tokens_are_left_nowhere(server: ToyServer, tmp_path: Path) -> None:
    """The file that wrk reads has gone, and no output has what the login answered."""
    request = handmade_request("mine", "/private", headers={"X-Key": "hunter22"})
    result = run_mix(server, tmp_path, handmade_mix(request, login=LOGIN, secrets=("hunter22",)))

    assert result.failed is None
    assert result.wrk[0].report is not None
    assert result.wrk[0].report.errors.status == 0
    for secret in (b"tok-12345", b"hunter22"):
        assert not [path.name for path in tmp_path.iterdir() if secret in path.read_bytes()]


def test_answers_after_the_time_out_are_no_latencies(server: ToyServer, tmp_path: Path) -> None:
    """As wrk has it for all requests together."""
    mix = handmade_mix(handmade_request("stalls", "/stalls"), handmade_request("quick", "/ok"))
    result = run_mix(server, tmp_path, mix, timeout_s=1, duration_s=4.0, attempt_limit_s=3.0)

    [wrk] = result.wrk
    assert wrk.report is not None
    report = read_wrk_report(wrk.report, 20)
    stalls, quick = add_requests([report], add_latencies([report]))
    assert stalls.timeouts + quick.timeouts == report.errors.timeout > 0
    assert stalls.observed.count == stalls.answers - stalls.timeouts
