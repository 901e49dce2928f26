"""What `tune` says: what to run, all that ties with it, what it gains, and for what it holds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.handmade_records import handmade_scenario
from tests.unit.handmade_tuning import GEVENT, GTHREAD, SYNC, handmade_answer, handmade_tune_plan
from wrklab.bench.tune_run import TuneEstimate
from wrklab.cli.tune_text import answer_lines, as_values, left_out_notes, page, plan_lines


def test_a_configuration_far_ahead_is_named_with_its_gain_over_today() -> None:
    """The command stands alone on its line; the gain has an interval from what passed and failed on both sides."""
    answer = handmade_answer({SYNC: 200.0, GTHREAD: 400.0, GEVENT: 250.0})
    lines = answer_lines(answer)
    text = "\n".join(lines)

    assert lines[2] == f"    gunicorn shop:app  # {GTHREAD}"
    assert "No other one was within 10% of it" in text
    assert "What bounds it: server-bound (CPU full), at 480 requests/s." in text
    assert answer.gain is not None
    low, high = answer.gain
    assert low < 2.0 < high
    assert high / low < 1.2
    assert f"Against what runs today (gunicorn shop:app -w 4, measured as {SYNC}): " in text
    assert "It holds for 2 CPUs of the server (lab container)" in text


def test_what_a_command_needs_besides_the_application_is_said() -> None:
    """A module that calls a factory where the server does not, and a program of a recipe's own."""
    answer = handmade_answer({SYNC: 200.0, GTHREAD: 400.0, GEVENT: 250.0})
    files = {
        "wrklab_entry_web.py": '"""What it is."""\n\nfrom shop import make as factory\n\napplication = factory()\n'
    }
    commands = {**answer.commands, GTHREAD: "python recipes/gevent_serve.py wrklab_entry_web:application"}

    lines = answer_lines(replace(answer, commands=commands, factory_files=files))

    assert lines[4:10] == [
        "with this in wrklab_entry_web.py, as this server calls no factory:",
        "",
        "    from shop import make as factory",
        "    application = factory()",
        "",
        "recipes/ is a folder of wrklab's: copy the program from there.",
    ]
    assert not any("factory" in line for line in answer_lines(replace(answer, factory_files=files)))


def test_of_those_within_the_noise_none_is_called_the_winner() -> None:
    """All are listed with their commands, the least memory first, and today's being among them is said."""
    answer = handmade_answer({SYNC: 390.0, GTHREAD: 400.0, GEVENT: 200.0}, {SYNC: 90, GTHREAD: 210, GEVENT: 60})
    text = "\n".join(answer_lines(answer))

    assert answer.tuned.recommended == SYNC
    assert answer.gain is None
    assert "2 configurations tie" in text
    assert "None of them is the winner" in text
    assert text.index("90 MiB") < text.index("210 MiB")
    assert f"90 MiB    373.0-391.0/s  gunicorn shop:app  # {SYNC}" in text
    assert "What runs today (gunicorn shop:app -w 4, measured as shop_gunicorn_sync@workers=4) is among them" in text


def test_with_a_rate_the_cheapest_that_serves_it_is_named() -> None:
    """And what today's takes for it."""
    answer = handmade_answer(
        {SYNC: 390.0, GTHREAD: 400.0, GEVENT: 200.0}, {SYNC: 300, GTHREAD: 100, GEVENT: 60}, rate_per_s=300.0
    )
    text = "\n".join(answer_lines(answer))

    assert f"{GTHREAD} serves 300.0 requests/s within p99<=250ms; 100 MiB of memory at most." in text
    assert "serves the rate with more memory (300 MiB)" in text


def test_where_nothing_serves_the_reasons_are_counted() -> None:
    """Instead of a command."""
    answer = handmade_answer(dict.fromkeys((SYNC, GTHREAD, GEVENT), 100.0), rate_per_s=3000.0)

    assert answer_lines(answer) == [
        "No configuration is known to serve 3,000 requests/s within p99<=250ms:",
        "  3 x slower (it does not serve the rate within the objective)",
    ]


def test_what_the_budget_left_open_is_named() -> None:
    """With what settles it."""
    answer = handmade_answer({SYNC: 390.0, GTHREAD: 400.0, GEVENT: 385.0}, budget_s=90.0)
    text = "\n".join(answer_lines(answer))

    assert "known roughly: the budget ended first" in text
    assert "Not ruled out" in text
    assert "Settle them with more time: invoke tune --resume 20261121T003012Z_ab12 --budget 3m" in text


def test_the_plan_says_what_comes_and_how_long_it_takes() -> None:
    """The budget's end too, where it comes before."""
    expected = TuneEstimate(candidates_count=30, closed_s=5.0, open_s=9.0, windows_count=70.0, windows_of_one=11)

    assert plan_lines(handmade_tune_plan(notes=("Not tried: uwsgi: why",)), expected) == [
        "30 configurations: a look at each (2 min 30 s), then the best of them against each other",
        "about 13 min 00 s (the complete grid: 52 min 00 s); budget 30 min 00 s",
        "Not tried: uwsgi: why",
    ]
    assert "the budget may end before" in plan_lines(handmade_tune_plan(budget_s=600.0), expected)[2]


def test_what_it_holds_for_names_the_mix() -> None:
    """With its weights."""
    requests = ({"name": "list", "weight": 8, "path": "/items"}, {"name": "front", "path": "/"})
    load = handmade_scenario(requests=requests, compares_with=None)

    answer = handmade_answer({SYNC: 200.0, GTHREAD: 400.0, GEVENT: 250.0}, scenario=load)

    assert "the mix list x 8, front x 1; for keep-alive connections with poisson arrivals" in answer_lines(answer)[-1]


def test_values_for_programs_have_every_candidate() -> None:
    """tune.json."""
    found = as_values(handmade_answer({SYNC: 200.0, GTHREAD: 400.0, GEVENT: 250.0}))

    assert found["recommended"] == GTHREAD
    assert found["ties"] == found["cheapest"] == [GTHREAD]
    assert found["command"] == f"gunicorn shop:app  # {GTHREAD}"
    assert [(one["candidate"], one["fate"]) for one in found["candidates"]] == [
        (SYNC, "slower"),
        (GTHREAD, "tied"),
        (GEVENT, "slower"),
    ]
    assert found["gain_over_current"]["low"] == pytest.approx(1.95, rel=0.05)


def test_a_page_has_the_answer_and_a_row_for_each_configuration() -> None:
    """The best first; nothing in a reason is taken for Markdown."""
    answer = handmade_answer({SYNC: 200.0, GTHREAD: 400.0, GEVENT: 250.0})
    odd = replace(answer.tuned.standings[0], reason="a | b *c*")
    lines = page(
        replace(answer, tuned=replace(answer.tuned, standings=(odd, *answer.tuned.standings[1:])))
    ).splitlines()

    rows = [line for line in lines if line.startswith("| shop")]
    assert f"        gunicorn shop:app  # {GTHREAD}" in lines
    assert [row.split(" | ")[1] for row in rows] == ["tied", "slower", "slower"]
    assert "a \\| b \\*c\\*" in "".join(rows)


def test_what_is_left_out_is_said() -> None:
    """A recipe that the application's packages exclude, and flags of what runs today."""
    assert left_out_notes({"gunicorn_sync": "it wants gunicorn 20"}, "", ["--preload"]) == (
        "Not tried: gunicorn_sync: it wants gunicorn 20",
        "What runs today is measured without --preload, which no recipe has.",
    )
    assert left_out_notes({}, "its settings are in a file", []) == (
        "What runs today is not compared: its settings are in a file.",
    )
