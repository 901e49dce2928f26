"""`invoke bench`: what is wrong in the checkout is refused before any host is touched."""

from __future__ import annotations

import pytest

from wrklab.cli import benching, probing
from wrklab.errors import CardError


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
