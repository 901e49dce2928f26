"""After a failure every host must prove that it can go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from tests.unit.handmade_messages import handmade_cleaned_host
from wrklab.bench import retry as reviving
from wrklab.bench.retry import ROOM_MIN_BYTES, revive
from wrklab.errors import HostError
from wrklab.hosts import node_calls
from wrklab.hosts.remote import RemoteHost
from wrklab.hosts.session import Session
from wrklab.protocol.server import CleanedHost

ROOMY = {folder: 10 * needed for folder, needed in ROOM_MIN_BYTES.items()}


class OneHost:
    """A session of one host whose connection opens or not."""

    name = "server"
    timeout_scale = 1.0
    boot_id = ""

    def __init__(self, fails_count: int = 0) -> None:
        self.fails_count = fails_count

    def open(self) -> None:
        if self.fails_count:
            self.fails_count -= 1
            raise HostError("server: not reachable")

    def on_all(self, work: Callable[[RemoteHost], bool]) -> dict[str, bool]:
        return {self.name: work(cast("RemoteHost", self))}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviving, "_LOOK_AGAIN_S", 0.01)


def cleaned(monkeypatch: pytest.MonkeyPatch, free_bytes: dict[str, int], boot_id: str = "") -> None:
    found = handmade_cleaned_host(free_bytes=free_bytes, boot_id=boot_id)
    monkeypatch.setattr(node_calls, "clean_up", lambda _: found)


def test_a_host_that_comes_back_in_time_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was away for some looks; now it is clean and has room."""
    cleaned(monkeypatch, ROOMY)
    host = OneHost(fails_count=5)
    revive(cast("Session", host), limit_s=5)

    assert host.fails_count == 0


def test_a_host_in_another_boot_than_before_has_rebooted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once; and it is not known of one that was never asked."""
    host = OneHost()
    cleaned(monkeypatch, ROOMY, boot_id="one")
    assert revive(cast("Session", host), limit_s=5) == ()
    assert revive(cast("Session", host), limit_s=5) == ()
    cleaned(monkeypatch, ROOMY, boot_id="two")
    assert revive(cast("Session", host), limit_s=5) == ("server",)
    assert revive(cast("Session", host), limit_s=5) == ()


def test_a_host_that_stays_away_is_told_with_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """And with why."""
    cleaned(monkeypatch, ROOMY)
    with pytest.raises(HostError, match=r"of no use for 0\.1 s after a failed cell: server: not reachable"):
        revive(cast("Session", OneHost(fails_count=1000)), limit_s=0.1)


def test_a_host_that_cannot_be_cleaned_up_is_of_no_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reachable, but sudo or Python is gone."""

    def refuse(_: RemoteHost) -> CleanedHost:
        raise HostError("server: `sudo -n` ended with 127")

    monkeypatch.setattr(node_calls, "clean_up", refuse)
    with pytest.raises(HostError, match="ended with 127"):
        revive(cast("Session", OneHost()), limit_s=0.1)


@pytest.mark.parametrize("folder", ROOM_MIN_BYTES)
def test_a_host_without_room_is_told_at_once(monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    """Which folder, what is free, what is needed."""
    cleaned(monkeypatch, ROOMY | {folder: 4096})
    with pytest.raises(HostError, match=f"4,096 bytes are free in {folder}"):
        revive(cast("Session", OneHost()), limit_s=60)
