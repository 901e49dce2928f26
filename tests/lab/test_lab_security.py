"""What a node cannot do to the controller, what provisioning spares on a host, and what an odd umask spoils: nothing.

The lab is made from nothing under a narrow umask, and its hosts are put back at the end.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from container_lab import plan
from container_lab.commands import wait_until

from tests.lab.conftest import on_host, ssh
from tests.lab.test_provision import ansible, play
from tests.unit.ansible_parts import copy_of_checkout
from wrklab.catalogue.catalogue import Catalogue
from wrklab.errors import CellError
from wrklab.hosts import container_lab
from wrklab.hosts.ansible import run_playbook, tool_environment
from wrklab.hosts.host_lock import hold_hosts
from wrklab.hosts.session import open_session
from wrklab.paths import INVENTORY_DIR, PROJECT_DIR
from wrklab.probe.drive import running_server

LAB = "container"
BOOT_LIMIT_S = 60.0


@pytest.fixture(scope="module", autouse=True)
def lab_of_a_narrow_umask() -> Iterator[None]:
    """Nodes that were made by a user who keeps everything to themselves. They stay, put back."""
    container_lab.down()
    former = os.umask(0o077)
    try:
        container_lab.up(loadgens=1)
    finally:
        os.umask(former)
    yield
    for name in ("server", "loadgen"):
        on_host(name, "sed -i '/^umask 077$/d' /root/.bashrc")


@pytest.fixture(scope="module")
def provisioned(lab_of_a_narrow_umask: None) -> str:
    """The lab, deployed under a narrow umask on the hosts as well."""
    for name in ("server", "loadgen"):
        # What Ansible's connections begin with.
        ssh(name, "sed -i '1i umask 077' /root/.bashrc")
    former = os.umask(0o077)
    try:
        run_playbook("provision", LAB)
        run_playbook("deploy", LAB)
    finally:
        os.umask(former)
    return LAB


def test_nodes_boot_whatever_the_umask_is() -> None:
    """Their root can be entered by everybody in them, and their files are not the controller's users' to read."""
    assert ssh("server", "stat -c %a / /etc /etc/hostname").stdout.split() == ["755", "755", "644"]
    assert ssh("server", "systemctl is-system-running --wait").stdout.strip() == "running"
    assert plan.NODES.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("trap", ["ln -s {} /etc/.hostname.new", "rm /etc/hostname && ln -s {} /etc/hostname"])
def test_a_link_in_a_node_leads_to_no_file_of_the_controller(tmp_path: Path, trap: str) -> None:
    """The file that it names is not written when the node is repaired."""
    owned = tmp_path / "owned"
    assert ssh("server", f"{trap.format(owned)}; echo changed >> /etc/hosts").returncode == 0

    assert run_playbook("lab_up", LAB).changed_count > 0

    assert not owned.exists()
    assert ssh("server", "cat /etc/hostname").stdout == "server\n"
    ssh("server", "rm -f /etc/.hostname.new")


def test_a_node_with_a_link_in_a_folders_place_is_made_again(tmp_path: Path) -> None:
    """Nothing is written to where it leads."""
    assert ssh("loadgen", f"mv /etc/uv /etc/uv_before && ln -s {tmp_path} /etc/uv && touch /marker").returncode == 0

    assert run_playbook("lab_up", LAB).changed_count > 0

    assert list(tmp_path.iterdir()) == []
    assert ssh("loadgen", "test -e /marker").returncode == 1


def test_a_node_that_reboots_comes_back() -> None:
    """By itself, as the same node, with its network; nothing has to be repaired."""
    launcher = next(node for node in container_lab.status().nodes if node.name == "loadgen")
    assert ssh("loadgen", "touch /run/before_the_reboot && echo kept > /kept").returncode == 0
    ssh("loadgen", "systemctl reboot")

    def is_back() -> bool:
        return ssh("loadgen", "test ! -e /run/before_the_reboot").returncode == 0

    assert wait_until(is_back, BOOT_LIMIT_S, pause_s=0.2)
    assert ssh("loadgen", "cat /kept").stdout == "kept\n"
    assert ssh("loadgen", f"timeout 3 bash -c ': </dev/tcp/{plan_address('server')}/22'").returncode == 0
    assert launcher in container_lab.status().nodes
    assert run_playbook("lab_up", LAB).changed == {"controller": 0}


def plan_address(name: str) -> str:
    """The address of a node."""
    return next(node.address for node in container_lab.status().nodes if node.name == name)


def test_the_lab_says_which_limits_of_units_hold() -> None:
    """As the node itself sees it: a limit without its controller has no effect."""
    hosts = json.loads(container_lab.LAB_FILE.read_text())["hosts"]
    seen = ssh("server", "cat /sys/fs/cgroup/cgroup.controllers").stdout.split()
    assert hosts["server"]["cgroup_controllers"] == sorted(seen)


def test_an_account_of_the_hosts_own_is_refused_and_left_alone() -> None:
    """Before anything is changed on any host."""
    ssh("server", "useradd --create-home --shell /bin/bash keeper")
    before = ssh("server", "getent passwd keeper; ls /opt").stdout

    done = ansible("ansible-playbook", LAB, "playbooks/provision.yml", "-e", "lab_app_user=keeper")

    assert "has an account 'keeper' that wrklab did not make" in " ".join(done.stdout.split())
    assert ssh("server", "getent passwd keeper; ls /opt").stdout == before


def test_variants_users_can_reach_their_applications_whatever_the_umask_is(provisioned: str) -> None:
    """A variant of each kind starts as its unprivileged user."""
    for unit in ("wrklab-go_net_http", "wrklab-openresty_lua", "wrklab-flask_gunicorn_sync"):
        if ssh("server", f"test -e /etc/systemd/system/{unit}.service").returncode != 0:
            continue
        assert on_host("server", f"systemctl start {unit} && systemctl is-active {unit}") == "active"
        assert on_host("server", f"ps -o user= -p $(systemctl show -P MainPID {unit})") == "wrklab_app"
        on_host("server", f"systemctl stop {unit}")


def test_variants_are_reached_by_generators_alone_and_reach_nobody(provisioned: str, catalogue: Catalogue) -> None:
    """While one runs. The controller is a stranger there, and its ssh goes on; an inventory can switch it off.

    Where the rules cannot be loaded, no variant starts, and it is said why.
    """
    unit, server = "wrklab-go_net_http", plan_address("server")
    on_host("server", f"systemctl start {unit}")
    asked = f"timeout 2 bash -c ': </dev/tcp/{server}/8080'"

    assert ssh("loadgen", asked).returncode == 0
    assert subprocess.run(["bash", "-c", asked], check=False, capture_output=True).returncode != 0
    as_variant = (
        f"setpriv --reuid=wrklab_app --clear-groups timeout 2 bash -c ': </dev/tcp/{plan_address('loadgen')}/22'"
    )
    assert ssh("server", as_variant).returncode != 0
    on_host("server", f"systemctl stop {unit}")

    def rules() -> str:
        return ssh("server", "ip -4 rule; ip -6 rule").stdout

    assert wait_until(lambda: "uidrange" not in rules(), 10.0, pause_s=0.2)
    assert ssh("server", as_variant).returncode == 0

    ssh("server", "echo rule add nonsense >> /opt/wrklab/filter_4.rules")
    with (
        open_session(catalogue, provisioned) as session,
        pytest.raises(CellError, match=r"which says whom variants may reach, failed:\n(.*\n)*.*nonsense"),
        running_server(session, catalogue.variants["go_net_http"]),
    ):
        pass

    assert run_playbook("deploy", provisioned, {"lab_filter": False}).changed["server"] > 0
    on_host("server", f"systemctl start {unit}")
    assert "uidrange" not in rules()
    assert subprocess.run(["bash", "-c", asked], check=False, capture_output=True).returncode == 0
    on_host("server", f"systemctl stop {unit}")
    assert run_playbook("deploy", provisioned).changed["server"] > 0


def test_stacks_that_are_no_more_leave_nothing_and_break_no_deploy(provisioned: str, tmp_path: Path) -> None:
    """Whether their server runs or not; and a deploy that was cut off before systemd read the files is made up for."""
    checkout = copy_of_checkout(tmp_path)
    for name in ("gone", "gone_idle"):
        shutil.copytree(checkout / "servers/openresty", checkout / "servers" / name)
        card = checkout / "servers" / name / "stack.yml"
        card.write_text(card.read_text().replace("openresty_lua:", f"{name}_lua:"))
    play(provisioned, "playbooks/deploy.yml", "-e", f"stacks_project_dir={checkout}")
    on_host("server", "systemctl start wrklab-gone_lua")
    ssh("server", "sed -i 's/^Description=.*/Description=edited/' /etc/systemd/system/wrklab-openresty_lua.service")

    assert play(provisioned, "playbooks/deploy.yml")["server"] > 0

    left = "ls -d /opt/wrklab/stacks/gone* /etc/systemd/system/wrklab-gone*; true"
    assert ssh("server", left).stdout == ""
    assert ssh("server", "systemctl is-active wrklab-gone_lua").stdout == "inactive\n"
    assert ssh("server", "systemctl show -P LoadState wrklab-gone_lua wrklab-gone_idle_lua").stdout.split() == [
        "not-found",
        "not-found",
    ]
    assert ssh("server", "systemctl show -P NeedDaemonReload 'wrklab-*.service'").stdout.split() in ([], ["no"])
    assert set(play(provisioned, "playbooks/deploy.yml").values()) == {0}


def test_a_held_host_is_changed_by_no_playbook_of_another(provisioned: str, catalogue: Catalogue) -> None:
    """Nor does one of those that there are for it begin."""
    with open_session(catalogue, provisioned) as session, hold_hosts(session.all, "anna on desk"):
        for name in ("provision", "deploy", "reset"):
            environment = {key: value for key, value in tool_environment().items() if key != "WRKLAB_LEASE_TOKEN"}
            done = subprocess.run(
                [
                    Path(sys.executable).with_name("ansible-playbook"),
                    *("-i", INVENTORY_DIR / provisioned, f"playbooks/{name}.yml"),
                ],
                cwd=PROJECT_DIR,
                env=environment,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            assert done.returncode != 0
            assert "is held by another controller: anna on desk" in " ".join(done.stdout.split())
    assert ssh("server", "test -e /opt/wrklab/deployed.json").returncode == 0


def test_reset_puts_the_host_back_and_leaves_what_others_have_there(provisioned: str) -> None:
    """Former values hold and nothing of ours is left; a second time changes nothing.

    A host that is a controller as well keeps its lab; an account of the host's own stays. What comes next provisions
    these nodes again.
    """
    before = json.loads(on_host("loadgen", "cat /var/lib/wrklab/sysctl_before.json"))
    assert before
    ssh("server", "mkdir -p /var/lib/wrklab/container /opt/wrklab && touch /var/lib/wrklab/container/lab.json")
    ssh("server", "touch /opt/wrklab/inv; useradd keeper2; true")

    play(provisioned, "playbooks/reset.yml")

    kept = ssh("server", "ls -A /var/lib/wrklab /opt/wrklab /var/lib/wrklab/container").stdout.split()
    assert kept == ["/opt/wrklab:", "inv", "/var/lib/wrklab:", "container", "/var/lib/wrklab/container:", "lab.json"]
    assert ssh("server", "getent passwd keeper2").returncode == 0
    assert ssh("server", "getent passwd wrklab_app wrklab_load").stdout == ""
    assert ssh("loadgen", "ls -d /opt/wrklab /var/lib/wrklab /var/log/wrklab /run/wrklab").stdout == ""
    for name, value in before.items():
        assert on_host("loadgen", f"sysctl -n {name}").split() == value.split()
    for host in ("server", "loadgen"):
        left = "ls -d /var/log/wrklab /etc/sysctl.d/60-wrklab.conf /etc/systemd/system/wrklab-*; id wrklab_app; true"
        assert ssh(host, left).stdout == ""
        # The lab's base system masks it, so it was masked before us.
        assert on_host(host, "readlink /etc/systemd/system/apt-daily.timer") == "/dev/null"
    assert set(play(provisioned, "playbooks/reset.yml").values()) == {0}
    on_host("server", "rm -r /opt/wrklab /var/lib/wrklab")
