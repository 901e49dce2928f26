"""The lock on a host: one controller at a time, alive or dead, over connections that come and go."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from tests.unit.hosts.ssh_server import ssh_server
from tests.unit.node.conftest import PYTHON
from wrklab.errors import HostError
from wrklab.hosts import host_lock, remote
from wrklab.hosts.host_lock import hold_hosts, holder_of
from wrklab.hosts.remote import CommandResult, Lease, LeaseLostError, RemoteHost


class HereHost:
    """This machine in place of a host behind ssh: the same commands, on pipes. `cut` ends every conversation."""

    name = "server"
    timeout_scale = 1.0

    def __init__(self) -> None:
        self.talking: list[subprocess.Popen[str]] = []
        #: What happens instead of the next conversations, and of the next answers of one.
        self.gone: Exception | None = None
        self.broken: Exception | None = None
        self.lease: Lease | None = None

    @contextmanager
    def talk(self, argv: Sequence[str], *, limit_s: float) -> Iterator[Callable[[str], str]]:
        if self.gone:
            raise self.gone
        process = subprocess.Popen(
            [PYTHON, *argv[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.talking.append(process)
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def ask(line: str) -> str:
            if self.broken:
                raise self.broken
            stdin.write(f"{line}\n")
            answer = stdout.readline()
            if not answer:
                raise EOFError
            return answer

        try:
            yield ask
        except (OSError, EOFError) as error:
            raise HostError("server: cut") from error
        finally:
            process.kill()
            process.wait()
            stdout.close()

    def run(self, argv: Sequence[str], *, limit_s: float) -> CommandResult:
        done = subprocess.run([PYTHON, *argv[1:]], capture_output=True, text=True, check=True)
        return CommandResult("server", "", 0, done.stdout, "", 0.0)

    def cut(self) -> None:
        """As when sshd is killed."""
        for process in self.talking:
            process.kill()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HereHost:
    """A host whose leases last a second."""
    monkeypatch.setattr(host_lock, "FOLDER", str(tmp_path))
    monkeypatch.setattr(host_lock, "LEASE_S", 1.0)
    monkeypatch.setattr(host_lock, "RENEW_EVERY_S", 0.1)
    monkeypatch.setattr(host_lock, "_TRY_AGAIN_S", 0.1)
    return HereHost()


def hosts(host: HereHost) -> list[RemoteHost]:
    return [cast("RemoteHost", host)]


def wait_until(condition: Callable[[], object]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_second_controller_is_refused_with_who_holds_it(host: HereHost) -> None:
    """Owner, run, and what to do; afterwards the host is free at once."""
    with hold_hosts(hosts(host), "me@here, process 1") as held:
        held.note_run("20261121T003012Z_ab12")
        wait_until(lambda: (found := holder_of(hosts(host)[0])) and found.run)
        with (
            pytest.raises(
                HostError, match=r"taken by another controller: me@here, process 1, run 20261121T003012Z_ab12"
            ),
            hold_hosts(hosts(host), "you"),
        ):
            pass
        held.check()
    assert holder_of(hosts(host)[0]) is None
    with hold_hosts(hosts(host), "you"):
        pass


def test_a_cut_connection_keeps_the_lock(host: HereHost) -> None:
    """While it is cut nobody else gets it; it is renewed over the next one, long after the first lease ran out."""
    with hold_hosts(hosts(host), "me") as held:
        host.cut()
        with pytest.raises(HostError, match="taken by"), hold_hosts(hosts(host), "you"):
            pass
        time.sleep(1.5)
        held.check()
        holder = holder_of(hosts(host)[0])
        assert holder is not None
        assert holder.owner == "me"


def test_a_lease_that_nobody_renews_runs_out(host: HereHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first controller sees that it lost the host, and to whom."""
    with hold_hosts(hosts(host), "me") as held:
        monkeypatch.setattr(host_lock, "_TRY_AGAIN_S", 4.0)
        host.cut()
        wait_until(lambda: holder_of(hosts(host)[0]) is None)
        with hold_hosts(hosts(host), "you"):
            wait_until(lambda: not held.are_ours)
            with pytest.raises(HostError, match="lost to another controller: you"):
                held.check()


def test_a_dead_controller_of_this_machine_is_no_hindrance(host: HereHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process is not there any more: nobody waits for its lease."""
    with subprocess.Popen(["sleep", "60"]) as process:
        here, ticks = host_lock._this_machine(), host_lock._started_ticks(process.pid)
        monkeypatch.setattr(host_lock, "this_process", lambda: f"{here} {process.pid}@{ticks}")
        with hold_hosts(hosts(host), "dead") as held:
            process.kill()
            process.wait()
            with hold_hosts(hosts(host), "me"):
                wait_until(lambda: not held.are_ours)


def test_force_takes_a_host_from_the_living(host: HereHost) -> None:
    """And the one that it was taken from is told."""
    with hold_hosts(hosts(host), "me") as held, hold_hosts(hosts(host), "you", by_force=True):
        wait_until(lambda: not held.are_ours)


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_host_that_was_taken_and_let_go_between_two_renewals_is_lost(
    host: HereHost, monkeypatch: pytest.MonkeyPatch, is_cut: bool
) -> None:
    """The other may have ended what was measured: nobody has the host now, and it is not ours again either."""
    monkeypatch.setattr(host_lock, "RENEW_EVERY_S", 0.8)
    with hold_hosts(hosts(host), "me") as held:
        if is_cut:
            monkeypatch.setattr(host_lock, "_TRY_AGAIN_S", 0.8)
            host.cut()
        with hold_hosts(hosts(host), "you", by_force=True):
            pass
        assert held.are_ours  # it has not looked yet
        wait_until(lambda: not held.are_ours)
        with pytest.raises(HostError, match="server: lost to another controller: one that has let go of it again"):
            held.check()
    assert holder_of(hosts(host)[0]) is None


def test_a_check_asks_at_once(host: HereHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long before the next renewal: what was just measured is not stored, nothing of another's is ended."""
    monkeypatch.setattr(host_lock, "LEASE_S", 60.0)
    monkeypatch.setattr(host_lock, "RENEW_EVERY_S", 30.0)
    began_s = time.monotonic()
    with hold_hosts(hosts(host), "me") as held:
        held.check()
        with hold_hosts(hosts(host), "you", by_force=True):
            pass
        with pytest.raises(HostError, match="lost to another controller: one that has let go of it again"):
            held.check()
    assert time.monotonic() - began_s < 10


def test_a_check_waits_for_a_host_that_is_cut(host: HereHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not lost by that: the answer over the next connection says so."""
    monkeypatch.setattr(host_lock, "LEASE_S", 5.0)
    monkeypatch.setattr(host_lock, "_TRY_AGAIN_S", 0.5)
    with hold_hosts(hosts(host), "me") as held:
        host.cut()
        began_s = time.monotonic()
        held.check()
        assert 0.3 < time.monotonic() - began_s < 3
        assert held.are_ours


def test_a_check_waits_to_hear_of_a_host_that_was_taken_while_it_was_cut(
    host: HereHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not to be asked at once is no proof that it is ours: what was under way must not be stored."""
    monkeypatch.setattr(host_lock, "LEASE_S", 5.0)
    monkeypatch.setattr(host_lock, "_TRY_AGAIN_S", 0.5)
    with hold_hosts(hosts(host), "me") as held:
        host.cut()
        with (
            hold_hosts(hosts(host), "you", by_force=True),
            pytest.raises(HostError, match="server: lost to another controller: you"),
        ):
            held.check()


@pytest.mark.parametrize(("timeout_scale", "silent_s"), [(1.0, 1.0), (2.0, 2.0)])
def test_a_host_that_is_silent_for_a_lease_counts_as_lost(
    host: HereHost, timeout_scale: float, silent_s: float
) -> None:
    """Whose it is by now nobody knows: the reason is told. It is cleaned up all the same, if it can be reached."""
    host.timeout_scale = timeout_scale
    with hold_hosts(hosts(host), "me") as held:
        host.gone = HostError("server: no route")
        host.cut()
        began_s = time.monotonic()
        with pytest.raises(HostError, match=rf"server: silent for {silent_s:g} s.*\(server: no route\)"):
            held.check()
        assert silent_s <= time.monotonic() - began_s < silent_s + 0.9
        assert held.are_ours


def test_an_unexpected_error_while_a_lock_is_taken_is_told(host: HereHost) -> None:
    """To whoever waits for the lock: he would wait for ever."""
    host.gone = RuntimeError("no such channel")
    with pytest.raises(RuntimeError, match="no such channel"), hold_hosts(hosts(host), "me"):
        pass


def test_an_unexpected_error_while_a_lock_is_kept_loses_it(host: HereHost) -> None:
    """Nobody renews it from there on, so the check must not call it ours."""
    with hold_hosts(hosts(host), "me") as held:
        held.check()
        host.broken = RuntimeError("no such channel")
        with pytest.raises(HostError, match=r"server: our lock on it is not renewed any more: .*no such channel"):
            held.check()
        assert not held.are_ours


@pytest.mark.parametrize("damage", ["folder", "record"])
def test_a_folder_made_anew_or_a_damaged_record_is_nobodys_taking(
    host: HereHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    """A host that was started anew has an empty /run: the lock is taken there again."""
    with hold_hosts(hosts(host), "me") as held:
        if damage == "folder":
            shutil.rmtree(tmp_path)
        else:
            (tmp_path / "controller.json").write_text("{")
        wait_until(lambda: (found := holder_of(hosts(host)[0])) and found.owner == "me")
        held.check()


def record_with(**changes: object) -> str:
    """A record that holds a host off, but for these values."""
    now_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    values = {
        "token": "t", "owner": "you", "process": "", "run": "",
        "lease_s": 60.0, "since_at": time.time(), "expires_boot_s": now_s + 50,
    }  # fmt: skip
    return json.dumps(values | changes)


def test_a_record_that_is_whole_holds_off(host: HereHost, tmp_path: Path) -> None:
    """What the damaged ones below are made from."""
    (tmp_path / "controller.json").write_text(record_with())
    with pytest.raises(HostError, match="taken by another controller: you"), hold_hosts(hosts(host), "me"):
        pass


@pytest.mark.parametrize(
    "text",
    [
        "", "{", '{"token": 1}', '{"expires_boot_s": "soon"}', '{"expires_boot_s": 1e99}', "[]", "[" * 10_000,
        record_with(lease_s=None), record_with(since_at=1e300), record_with(since_at=-1), record_with(owner=5),
        record_with(expires_boot_s=float("nan")), record_with(lease_s=float("inf"), expires_boot_s=1e9),
        record_with(owner="x" * 5000), record_with(lease_s=True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("by_force", [False, True])
def test_a_damaged_record_holds_nobody_off(host: HereHost, tmp_path: Path, text: str, *, by_force: bool) -> None:
    """Not JSON, not ours, out of bounds, or of another boot: the host is free, and what was found is reported."""
    (tmp_path / "controller.json").write_text(text)
    look = host_lock.look_at_lock(hosts(host)[0])
    assert look.holder is None
    with hold_hosts(hosts(host), "me", by_force=by_force) as held:
        held.check()
        assert [f"server: the lease record found there is damaged ({look.damage}), and was taken for none"] == list(
            held.notes
        )


@pytest.mark.parametrize("name", ["controller.json", "controller.lock"])
@pytest.mark.parametrize("what", ["folder", "pipe", "link"])
def test_something_else_in_place_of_the_lease_holds_nobody_off(
    host: HereHost, tmp_path: Path, name: str, what: str
) -> None:
    """It makes room; a link is not followed."""
    place, elsewhere = tmp_path / name, tmp_path / "elsewhere"
    if what == "folder":
        place.mkdir()
        (place / "file").touch()
    elif what == "pipe":
        os.mkfifo(place)
    else:
        elsewhere.write_text("as it was")
        place.symlink_to(elsewhere)
    with hold_hosts(hosts(host), "me", by_force=True) as held:
        held.check()
        found = holder_of(hosts(host)[0])
        assert found is not None
        assert found.owner == "me"
    assert what != "link" or elsewhere.read_text() == "as it was"


def test_whoever_keeps_the_leases_file_locked_is_named(host: HereHost, tmp_path: Path) -> None:
    """The wait has an end: the host says which process it is."""
    lock = tmp_path / "controller.lock"
    with subprocess.Popen(["flock", str(lock), "sleep", "60"]) as process:
        wait_until(lock.exists)
        time.sleep(0.2)
        try:
            with (
                pytest.raises(HostError, match=r"controller\.lock is locked for 10 s by process \d+ \((flock|sleep)"),
                hold_hosts(hosts(host), "me"),
            ):
                pass
        finally:
            subprocess.run(["pkill", "-P", str(process.pid)], check=False)
            process.kill()
    with hold_hosts(hosts(host), "me"):
        # Another user, who may not open it, cannot do that again.
        assert lock.stat().st_mode & 0o777 == 0o600


def test_an_error_while_a_refusal_is_told_reaches_the_caller(host: HereHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong in the lease's thread: nobody waits for ever."""

    def fail(self: object) -> str:
        raise OverflowError("no such date")

    with hold_hosts(hosts(host), "you"):
        monkeypatch.setattr(host_lock.LockHolder, "__str__", fail)
        with pytest.raises(OverflowError, match="no such date"), hold_hosts(hosts(host), "me"):
            pass


class FencedHost:
    """A host whose commands run here, behind the check of the lease."""

    def __init__(self, folder: Path, lease: Lease) -> None:
        self.files, self.lease = str(folder / "controller"), lease

    def run(self) -> int:
        words = ["/bin/sh", "-c", remote._FENCE, self.files, self.lease.token, self.lease.held_in, "sh", "-c", "exit 7"]
        return subprocess.run(words, check=False, stderr=subprocess.DEVNULL).returncode


def test_a_host_refuses_what_is_asked_with_a_stale_lease(
    host: HereHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A controller that was stopped for longer than its lease, and goes on: nothing of its successor's is touched."""
    monkeypatch.setattr(host_lock, "RENEW_EVERY_S", 60.0)
    successor = HereHost()
    with hold_hosts(hosts(host), "me"):
        assert host.lease is not None
        stale = FencedHost(tmp_path, host.lease)
        assert stale.run() == 7
        time.sleep(1.1)
        assert stale.run() == 7  # it ran out, and nobody took it: nothing is disturbed
        with hold_hosts(hosts(successor), "you"):
            assert successor.lease is not None
            assert FencedHost(tmp_path, successor.lease).run() == 7
            assert stale.run() == 197
        assert stale.run() == 197  # also once the other has let go again
        (tmp_path / "controller.json").write_text("{")
        assert stale.run() == 7  # damaged: none
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        (tmp_path / "controller.lock").touch()
        assert stale.run() == 7  # the host was started again


def test_what_a_host_refuses_for_a_stale_lease_is_an_error_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over ssh: the command does not run, and the text says whose the host is."""
    monkeypatch.setattr(remote, "LEASE_FILES", str(tmp_path / "controller"))
    (tmp_path / "controller.json").write_text(record_with(token="b"))
    (tmp_path / "controller.lock").touch()
    with ssh_server(tmp_path) as host, RemoteHost(host) as opened:
        opened.lease = Lease("a", "1.2.3")
        with pytest.raises(LeaseLostError, match=r'server: `touch .*` was refused there: .*"owner": "you"'):
            opened.run(["touch", str(tmp_path / "done")], limit_s=10, check=False)
        assert not (tmp_path / "done").exists()
        opened.lease = Lease("b", "1.2.3")
        opened.run(["touch", str(tmp_path / "done's")], limit_s=10)
        assert (tmp_path / "done's").exists()
