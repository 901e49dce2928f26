"""Provisioning and deployment that a signal ends on its way: run again, they are as if nothing had happened."""

from __future__ import annotations

import signal
from collections.abc import Callable

from tests.lab.conftest import invoke
from tests.lab.interrupted_verbs import InterruptedVerb, tasks_begun
from wrklab.hosts.host_lock import holder_of
from wrklab.hosts.remote import RemoteHost
from wrklab.hosts.session import Session
from wrklab.paths import CACHE_DIR

SYSCTL_FILE = "/etc/sysctl.d/60-wrklab.conf"
UNIT = "wrklab-go_net_http.service"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
SIGNALS = ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL))


def said(host: RemoteHost, command: str) -> str:
    """What a shell's command on a host says."""
    return host.run(["sh", "-c", command], limit_s=20, check=False).stdout.strip()


def interrupt_each_way(session: Session, verb: str, take_away: Callable[[], object]) -> None:
    """The verb is ended by each signal in turn, later each time; its playbook ends, and the hosts are let go of."""
    tasks_count = tasks_begun(verb)  # of the complete run that made this lab
    assert tasks_count > len(SIGNALS)
    for part, (number, exit_status) in enumerate(SIGNALS, 1):
        take_away()
        (CACHE_DIR / f"ansible_{verb}.log").unlink()
        with InterruptedVerb(verb) as running:
            due_count = tasks_count * part // (len(SIGNALS) + 1)
            running.signal_when(lambda due=due_count: tasks_begun(verb) >= due, number)  # type: ignore[misc]
        assert running.exit_status == exit_status, running.output
        assert "Traceback" not in running.output
        running.assert_playbook_ended()
        if exit_status != -signal.SIGKILL:
            assert [holder_of(host) for host in session.all] == [None] * len(session.all)


def test_provisioning_interrupted_and_run_again_is_complete(session: Session) -> None:
    """A setting that was taken away is in force again, on both hosts."""
    name, value = said(session.server, f"grep -m1 = {SYSCTL_FILE}").replace(" ", "").split("=")
    was = [said(host, f"sysctl -n {name}") for host in session.all]

    def take_away() -> None:
        for host in session.all:
            host.run(["rm", "-f", SYSCTL_FILE], limit_s=10)

    interrupt_each_way(session, "provision", take_away)
    again = invoke("provision")

    assert again.returncode == 0, again.stderr
    assert [said(host, f"sysctl -n {name}") for host in session.all] == was
    assert all(value in said(host, f"cat {SYSCTL_FILE}") for host in session.all)


def test_deployment_interrupted_and_run_again_is_complete(session: Session) -> None:
    """A unit that was taken away is there again, and systemd knows it."""
    show = f"systemctl show --property=LoadState,NeedDaemonReload {UNIT}"

    def take_away() -> None:
        session.server.run(["sh", "-ec", f"rm -f {UNIT_FILE}; systemctl daemon-reload"], limit_s=20)

    take_away()
    assert "LoadState=not-found" in said(session.server, show)
    interrupt_each_way(session, "deploy", take_away)
    again = invoke("deploy")

    assert again.returncode == 0, again.stderr
    assert said(session.server, show).split() == ["LoadState=loaded", "NeedDaemonReload=no"]
