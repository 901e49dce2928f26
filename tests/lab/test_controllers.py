"""Two controllers and one lab: neither ends the other's work unasked, and nothing of one that has gone works on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lab.benches import wait_until
from tests.lab.conftest import LAB, invoke
from tests.lab.interrupted_verbs import playbooks_running
from wrklab.catalogue.catalogue import Catalogue
from wrklab.errors import HostError
from wrklab.hosts.ansible import PLAYBOOK_MARK
from wrklab.hosts.host_lock import hold_hosts, holder_of
from wrklab.hosts.remote import LeaseLostError, RemoteHost
from wrklab.hosts.session import Session, open_session
from wrklab.paths import PROJECT_DIR

VARIANT = "flask_gunicorn_gevent"
UNIT = f"wrklab-{VARIANT}.service"
_MARKED = f"grep -lzs '^{PLAYBOOK_MARK}=' /proc/[0-9]*/environ | wc -l"


def of_playbooks(host: RemoteHost) -> int:
    """How many processes of playbooks run on a host."""
    return int(host.run(["sh", "-c", _MARKED], limit_s=20).stdout)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_playbook_ends_with_its_controller(session: Session, number: signal.Signals) -> None:
    """Interrupted while a task works on the server: nothing of it runs on, here or there, and the host is free."""
    program = Path(sys.executable).parent / "invoke"
    with subprocess.Popen([program, "provision"], cwd=PROJECT_DIR, stderr=subprocess.PIPE, text=True) as controller:
        wait_until(lambda: of_playbooks(session.server) > 0, 60, "a playbook on the server")
        assert holder_of(session.server) is not None
        os.kill(controller.pid, number)
        _, said = controller.communicate(timeout=60)
    wait_until(lambda: not playbooks_running(), 0.1 if number != signal.SIGKILL else 30, "the end of the playbook")
    if number == signal.SIGKILL:
        # Whoever takes the hosts next ends what is left there.
        assert invoke("deploy").returncode == 0
    else:
        assert controller.returncode == 128 + number
        assert f"interrupted by {number.name}" in said
    assert of_playbooks(session.server) == 0
    assert holder_of(session.server) is None


@pytest.mark.parametrize(
    "words", [["lab.down"], ["lab.up", "--loadgens", "2"], ["lab.up"], ["deploy"], ["bench", "--variant", VARIANT]]
)
def test_nobody_remakes_or_changes_hosts_that_are_held(session: Session, words: list[str]) -> None:
    """Also where another LAB_NET was asked for: the lab is the holder's, who is named."""
    before = session.server.run(["stat", "-c", "%y", "/proc/1"], limit_s=20).stdout
    with hold_hosts(session.all, "somebody@else, process 1") as held:
        held.note_run("20261128T090000Z_ab12")
        wait_until(lambda: (found := holder_of(session.server)) and found.run, 60, "the holder's run")
        done = subprocess.run(
            [Path(sys.executable).parent / "invoke", *words],
            cwd=PROJECT_DIR,
            env=os.environ | ({"LAB_NET": "10.86.99"} if words != ["lab.up", "--loadgens", "2"] else {}),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 1, done
        assert "taken by another controller: somebody@else, process 1, run 20261128T090000Z_ab12" in done.stderr
        held.check()
    assert session.server.run(["stat", "-c", "%y", "/proc/1"], limit_s=20).stdout == before


def test_a_controller_that_was_stopped_for_too_long_is_refused(
    session: Session, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on while its successor has a server running: that stays."""
    monkeypatch.setattr("wrklab.hosts.host_lock.RENEW_EVERY_S", 600.0)
    with open_session(catalogue, LAB) as stale, hold_hosts(stale.all, "stale") as held:
        with hold_hosts(session.all, "successor", by_force=True) as successor:
            session.server.run(["systemctl", "start", UNIT], limit_s=20)
            for work in (
                lambda: stale.server.run(["systemctl", "stop", UNIT], limit_s=20),
                stale.clean_up,
            ):
                with pytest.raises(HostError, match="was refused there: the host is another controller's by now"):
                    work()
            with pytest.raises(LeaseLostError):
                stale.server.run(["true"], limit_s=20, check=False)
            assert session.server.run(["systemctl", "is-active", UNIT], limit_s=20).stdout == "active\n"
            session.server.run(["systemctl", "stop", UNIT], limit_s=20)
            successor.check()
        with pytest.raises(HostError, match="lost to another controller"):
            held.check()


def test_output_without_end_from_a_host_meets_a_limit(session: Session) -> None:
    """`yes` on a real host: over the limit in time, and the connection is as good as before."""
    began_s = time.monotonic()
    with pytest.raises(HostError, match=r"(stdout has more than 67,108,864 bytes|no end of `yes` within 2 s)"):
        session.server.run(["yes"], limit_s=2)
    assert time.monotonic() - began_s < 4
    assert session.server.run(["echo", "well"], limit_s=20).stdout == "well\n"


def test_a_damaged_lease_keeps_nobody_out(session: Session) -> None:
    """A record that a bug or a hand has spoiled, and a folder in its place: reported, and replaced."""
    folder = "/run/wrklab"
    for spoil in (f"printf '{{\"lease_s\": null}}' > {folder}/controller.json", f"mkdir {folder}/controller.json"):
        session.server.run(["sh", "-c", f"mkdir -p {folder}; rm -rf {folder}/controller.json; {spoil}"], limit_s=20)
        shown = invoke("lab.status", "--json")
        assert shown.returncode == 0, shown
        (server,) = [host for host in json.loads(shown.stdout)["hosts"] if host["host"] == "server"]
        assert "its lease record is damaged" in server["notes"][0]
        cleaned = invoke("cleanup", "--force")
        assert cleaned.returncode == 0, cleaned
        assert holder_of(session.server) is None


def test_an_edited_unit_and_other_software_are_not_measured(session: Session) -> None:
    """They are shown; forced, the report says so; deploy puts the unit back."""
    words = ["bench", "--variant", VARIANT, "--duration", "1s", "--rounds", "1", "--warmup", "500ms", "--json"]
    path = f"/etc/systemd/system/{UNIT}"
    session.server.run(["sed", "-i", "s/^LimitCORE=0/LimitCORE=1/", path], limit_s=20)
    session.server.run(["systemctl", "daemon-reload"], limit_s=20)
    try:
        refused = invoke(*words)
        assert refused.returncode == 1
        assert "  -LimitCORE=0\n" in refused.stderr
        assert "  +LimitCORE=1\n" in refused.stderr
        forced = invoke(*words, "--force", "--connections", "50")
        assert f"Measured by --force although server: {path} was changed" in forced.stderr
        assert json.loads(forced.stdout)
    finally:
        assert invoke("deploy").returncode == 0
    again = invoke(*words, "--connections", "50")
    assert "was changed" not in again.stderr
    assert json.loads(again.stdout)
