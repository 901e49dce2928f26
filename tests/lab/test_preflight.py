"""Hosts that are in use are refused, or measured by --force and said so; every run keeps what its hosts are."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from tests.lab.conftest import invoke
from wrklab.catalogue.catalogue import Catalogue
from wrklab.errors import BusyHostError
from wrklab.hosts.preflight import check_hosts
from wrklab.hosts.remote import RemoteHost
from wrklab.hosts.session import Session, open_session
from wrklab.paths import PROJECT_DIR, RESULTS_DIR
from wrklab.results.records import HostEnvironment, RunEnvironment, RunPlan
from wrklab.results.run_folder import Run

WORDS = ("bench", "--variant", "go_net_http", "--scenario", "smoke")
LIMIT_S = 10.0


@contextmanager
def unit(host: RemoteHost, name: str, *argv: str) -> Iterator[None]:
    """A command that runs on a host for the time of the block."""
    host.run(["systemd-run", "--quiet", "--collect", f"--unit={name}", *argv], limit_s=LIMIT_S)
    try:
        yield
    finally:
        host.run(["systemctl", "stop", name], limit_s=LIMIT_S, check=False)


@dataclass(frozen=True)
class BusyBenches:
    """A bench that was refused because the server was busy, and the same one with --force."""

    refused: subprocess.CompletedProcess[str]
    forced: subprocess.CompletedProcess[str]
    plan: RunPlan
    environment: RunEnvironment
    report: str

    def host(self, name: str) -> HostEnvironment:
        """What the forced run keeps of a host."""
        return next(host for host in self.environment.hosts if host.host == name)


@pytest.fixture(scope="module")
def busy(deployed_lab: str, catalogue: Catalogue) -> BusyBenches:
    """Both benches, while a loop a CPU runs on the server."""
    with open_session(catalogue, deployed_lab) as session:
        burn = "for cpu in $(seq $(nproc)); do while :; do :; done & done; wait"
        with unit(session.server, "burner", "sh", "-c", burn):
            refused = invoke(*WORDS)
            forced = invoke(*WORDS, "--force")
    with Run.open(RESULTS_DIR) as run:
        report = (run.path / "report.md").read_text(encoding="utf-8")
        return BusyBenches(refused, forced, run.plan, run.environment, report)


def test_a_busy_server_is_refused_with_host_figures_and_next_step(busy: BusyBenches) -> None:
    """Exit status 1, before any cell; the loop is named."""
    assert busy.refused.returncode == 1, busy.refused.stderr
    assert "server: others used" in busy.refused.stderr
    assert "at most 50 % was expected; most by sh (pid" in busy.refused.stderr
    assert "--force" in busy.refused.stderr
    assert "round 1" not in busy.refused.stderr


def test_force_measures_a_busy_server_and_the_report_says_so(busy: BusyBenches) -> None:
    """The reason is in the plan, in the report and on the terminal."""
    assert busy.plan.cells[0].variant == "go_net_http"
    assert "round 1" in busy.forced.stderr
    assert any(reason.startswith("server: others used") for reason in busy.plan.forced)
    assert "Measured by --force although server: others used" in busy.report
    assert "Measured by --force although server: others used" in busy.forced.stderr
    assert busy.host("server").facts["moment"]["cpu_busy_percent"] > 50


def test_both_hosts_tell_what_they_are(busy: BusyBenches) -> None:
    """Hardware, kernel, limits, network, versions: the same keys of both, with values where every Debian has some."""
    server, generator = busy.host("server").facts, busy.host("loadgen").facts
    assert set(server) == set(generator)
    for facts in (server, generator):
        assert facts["cpu"]["model"]
        assert facts["cpus_given"]
        assert set(facts["cpus_given"]) <= set(facts["cpu"]["allowed"])
        assert facts["memory_bytes"]["total"] > 1 << 28
        assert facts["network"]["interface"] not in (None, "lo")
        assert facts["network"]["driver"]
        assert facts["limits"]["unit_descriptors_max"] >= 1024
        assert facts["clock_source"]["current"]
        assert facts["packages"]["libc6"]
        assert facts["moment"]["disk_free_bytes"]["/var/lib/wrklab"] > 0
    assert server["stacks"]["flask"]["packages"]["flask"]
    assert server["stacks"]["go_net_http"]["go"].startswith("go")
    assert generator["versions"]["wrk"]
    assert generator["wrk_build"]["luajit"].startswith("2.")


def test_the_clocks_of_hosts_on_one_machine_agree(busy: BusyBenches) -> None:
    """They are one clock: the offset lies within the uncertainty of the round trip (and a scheduler's tick)."""
    for name in ("server", "loadgen"):
        clock = busy.host(name).facts["moment"]["clock"]
        assert abs(clock["ahead_s"]) <= clock["uncertainty_s"] + 0.004
        assert 0 < clock["uncertainty_s"] < 0.1


def test_what_provisioning_changed_is_told_with_what_it_was(busy: BusyBenches) -> None:
    """Before and after of the sysctls, in the record and in one line of the report."""
    facts = busy.host("server").facts
    before, now = facts["sysctls_before"], facts["sysctls"]
    assert now["net.core.somaxconn"] == "65535"
    assert before["net.core.somaxconn"] != "65535"
    assert f"{before['net.core.somaxconn']} -\\> 65535" in busy.report


def test_the_checkout_and_the_units_are_kept(busy: BusyBenches) -> None:
    """The commit (where this is a git checkout), and the unit as it stands on the server."""
    git = busy.environment.controller["git"]
    head = subprocess.run(
        ["git", "-c", f"safe.directory={PROJECT_DIR}", "rev-parse", "HEAD"],
        cwd=PROJECT_DIR, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert git["commit"] == (head.stdout.strip() if head.returncode == 0 else None)
    (file,) = busy.environment.units["go_net_http"]
    assert Path(file.path).name == "wrklab-go_net_http.service"
    assert "ExecStart=/opt/wrklab/stacks/go_net_http/app/server" in file.text
    assert "ExecStart=/opt/wrklab/stacks/go_net_http/app/server" in busy.report


def test_a_load_of_somebody_else_is_refused(session: Session) -> None:
    """A program called wrk on the generator, however little it does."""
    generator = session.generators[0]
    generator.run(["cp", "/usr/bin/sleep", "/tmp/wrk"], limit_s=LIMIT_S)
    with (
        unit(generator, "somebody", "/tmp/wrk", "60"),
        pytest.raises(BusyHostError, match=rf"{generator.name}: wrk \(pid \d+\) runs there: somebody else makes load"),
    ):
        check_hosts(session, Console(quiet=True))


def test_a_full_disk_is_refused_before_it_spoils_a_cell(session: Session) -> None:
    """A file system of 1 MiB where logs go."""
    session.server.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/var/log/wrklab"], limit_s=LIMIT_S)
    try:
        with pytest.raises(BusyHostError, match=r"server: /var/log/wrklab has only 1 MiB left; at least 256 MiB"):
            check_hosts(session, Console(quiet=True))
    finally:
        session.server.run(["umount", "/var/log/wrklab"], limit_s=LIMIT_S)
