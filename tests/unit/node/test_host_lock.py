"""The lease in a host's file: who may change it, and when."""

from __future__ import annotations

import fcntl
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wrklab.node import host_lock


def spec_of(folder: Path, token: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401  JSON
    """What a controller says of itself."""
    values = {"folder": str(folder), "token": token, "owner": token, "process": "", "run": "", "lease_s": 60.0}
    return values | changes


@contextmanager
def guarded(folder: Path) -> Iterator[None]:
    """What another controller's `take` holds while it looks and writes."""
    with (folder / "controller.lock").open("a") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        yield


def test_letting_go_removes_ones_own_lease_alone(tmp_path: Path) -> None:
    """The holder's word ends it, another's does not."""
    assert host_lock.take(spec_of(tmp_path, "me"))["held"]

    host_lock.release(str(tmp_path), "you")
    assert host_lock.read(str(tmp_path))["token"] == "me"
    host_lock.release(str(tmp_path), "me")
    assert host_lock.read(str(tmp_path)) == {}


def test_letting_go_waits_for_whoever_is_taking(tmp_path: Path) -> None:
    """Else it could look while the lease is its own, and remove it when it is another's already."""
    host_lock.take(spec_of(tmp_path, "me"))
    letting_go = threading.Thread(target=host_lock.release, args=(str(tmp_path), "me"), daemon=True)
    with guarded(tmp_path):
        letting_go.start()
        letting_go.join(0.3)
        assert letting_go.is_alive()
        anothers = {**json.loads((tmp_path / "controller.json").read_text()), "token": "you"}
        (tmp_path / "controller.json").write_text(json.dumps(anothers))
    letting_go.join(5)

    assert not letting_go.is_alive()
    assert host_lock.read(str(tmp_path))["token"] == "you"


def test_letting_go_where_the_folder_is_gone_is_nothing(tmp_path: Path) -> None:
    """The host was reset meanwhile: there is no lease, and no folder is made for one."""
    host_lock.release(str(tmp_path / "gone"), "me")

    assert not (tmp_path / "gone").exists()


def test_a_lease_that_ran_out_is_free(tmp_path: Path) -> None:
    """Until then nobody else gets it."""
    began_s = time.monotonic()
    host_lock.take(spec_of(tmp_path, "me", lease_s=1.0))
    while not host_lock.take(spec_of(tmp_path, "you"))["held"]:
        assert time.monotonic() - began_s < 20
        time.sleep(0.02)
    assert time.monotonic() - began_s >= 1.0
