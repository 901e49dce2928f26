"""`invoke bench`: what is wrong in the checkout is refused before any host is touched."""

from __future__ import annotations

import pytest

from tests.unit.handmade_records import handmade_cell, handmade_failure, handmade_measurement, handmade_plan
from wrklab.cli import benching, probing
from wrklab.errors import CardError, UsageError


def refuse(*_: object) -> None:
    """A library whose claims are wrong."""
    raise CardError("suites/mine.yml:12: claims.0.source: unknown article 'mind'")


def touch(*_: object, **__: object) -> None:
    """What must not happen."""
    pytest.fail("a host was touched")


def test_a_wrong_claim_is_refused_before_a_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    """The articles are read, and checked, before the bench begins."""
    monkeypatch.setattr(benching, "read_library", refuse)
    monkeypatch.setattr(benching, "run_bench", touch)

    with pytest.raises(CardError, match="unknown article"):
        benching.bench(
            ["go_net_http"], "", "", "container", "", {}, [], "", aa=False, is_forced=False, show=benching.Show()
        )


def test_a_wrong_claim_is_refused_before_a_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """So is it for a probe."""
    monkeypatch.setattr(probing, "read_library", refuse)
    monkeypatch.setattr(probing, "ready_hosts", touch)

    with pytest.raises(CardError, match="unknown article"):
        probing.probe(["go_net_http"], "", "container", is_forced=False, as_json=False)


@pytest.mark.parametrize(
    ("flags", "given"),
    [((True, False), {"half_rate_window": True}), ((False, True), {"half_rate_window": False}), ((False, False), {})],
)
def test_a_flag_gives_the_scenarios_key(flags: tuple[bool, bool], given: dict[str, object]) -> None:
    """Without one the scenario's own word is left as it is."""
    is_on, is_off = flags

    assert benching.with_half_rate({"rounds": "1"}, is_on=is_on, is_off=is_off) == {"rounds": "1", **given}


def test_both_flags_are_refused() -> None:
    """They say the opposite."""
    with pytest.raises(UsageError, match="leave one out"):
        benching.with_half_rate({}, is_on=True, is_off=True)


def test_a_round_is_sound_by_the_rules_of_rows() -> None:
    """One that failed, or of which a rule says not to believe its rate, has no rate to halve."""
    sound = handmade_cell()
    polluted = handmade_cell(measurement=handmade_measurement(connections_open=300))
    failed = handmade_cell(failure=handmade_failure())

    assert [benching.is_sound(handmade_plan([cell]), cell) for cell in (sound, polluted, failed)] == [
        True,
        False,
        False,
    ]
