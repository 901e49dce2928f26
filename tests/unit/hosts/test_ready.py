"""When a server must be deployed again although it holds this checkout."""

from __future__ import annotations

import pytest

from tests.unit.handmade_hosts import handmade_host
from wrklab.hosts.ready import _lets_in

GENERATORS = [handmade_host(f"loadgen_{n}", f"192.0.2.{n}", load_address=f"198.51.100.{n}") for n in (1, 2)]
ALL = ["192.0.2.1", "192.0.2.2", "198.51.100.1", "198.51.100.2"]


@pytest.mark.parametrize(
    ("clients", "lets_in"),
    [(None, True), (ALL, True), ([*ALL, "192.0.2.9"], True), (ALL[1:], False), ([], False), ("192.0.2.1", False)],
)
def test_a_generator_that_the_filter_does_not_know_needs_a_deploy(clients: object, *, lets_in: bool) -> None:
    """One that was added to the inventory, or has another address now; without a filter everybody is let in."""
    assert _lets_in({"fingerprint": "x", "clients": clients}, GENERATORS) == lets_in
    assert _lets_in({"fingerprint": "x"}, GENERATORS)
