"""Hosts that the container lab did not configure: user with sudo, ports and keys of their own; and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import bare_nodes
from tests.lab.bare_nodes import NETWORK, ROOT, TIMER, USER, BareNode
from tests.lab.conftest import invoke
from wrklab.hosts.ansible import run_playbook
from wrklab.paths import INVENTORY_DIR

LAB = "own_hosts_under_test"
#: As `ls` shows what provisioning would leave on a host; and what a lock on it would.
TRACES = "ls -d /opt/wrklab /var/lib/wrklab /etc/sysctl.d/60-wrklab.conf {} 2>/dev/null; true"
LOCK = "/run/wrklab"


class Hosts:
    """Bare nodes and the inventory that a user writes for them: a copy of the example."""

    def __init__(self, folder: Path, nodes: dict[str, BareNode]) -> None:
        """`folder` has keys."""
        self.folder = folder
        self.nodes = nodes
        self.inventory = INVENTORY_DIR / LAB

    def write(
        self, server: str, *loadgens: str, known_hosts: str = "", is_load_named: bool = False, **more: object
    ) -> None:
        """Hosts by the names of their nodes; `more` are variables of all hosts."""
        (self.folder / "known_hosts").write_text(
            known_hosts or bare_nodes.known_hosts([*self.nodes.values()], self.folder)
        )
        groups = {"server": (server,), "loadgen": loadgens}
        (self.inventory / "hosts.yml").write_text(
            json.dumps(
                {
                    group: {"hosts": {name: self._variables(name, is_load_named=is_load_named) for name in names}}
                    for group, names in groups.items()
                }
            )
        )
        variables = {
            "ansible_ssh_private_key_file": str(self.folder / "id_ed25519"),
            "lab_known_hosts": str(self.folder / "known_hosts"),
            **more,
        }
        for name in groups:
            (self.inventory / "group_vars" / f"{name}.yml").write_text(json.dumps(variables))

    def _variables(self, name: str, *, is_load_named: bool) -> dict[str, Any]:
        node = self.nodes[name]
        load_address = node.load_name if is_load_named else node.second
        load = {"lab_load_address": load_address} if load_address else {}
        return {"ansible_host": node.address, "ansible_port": node.port, "ansible_user": node.user, **load}

    def told(self, name: str, words: str) -> str:
        """What a command there says."""
        return bare_nodes.in_node(self.nodes[name], self.folder, words)

    def traces(self, name: str) -> str:
        """What is there of ours."""
        return self.told(name, TRACES.format(LOCK))

    def left(self, name: str) -> str:
        """The same after a reset, whose own lock may be renewed in the moment between the last removal and its end."""
        return self.told(name, TRACES.format(""))

    def timer(self, name: str) -> str:
        """Whether one of Debian's timers may run there, and whether it does."""
        return " ".join(self.told(name, f"systemctl is-enabled {TIMER}; systemctl is-active {TIMER}; true").split())


@pytest.fixture(scope="module")
def hosts(lab: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """A server with a load address and port of its own, generators of other users, and two hosts that will not do."""
    folder = tmp_path_factory.mktemp("bare")
    other = 'ID=debian\nVERSION_ID="13"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n'
    nodes = [
        BareNode("big", "", f"{NETWORK}.11", (0,), folder, port=2222, second=f"{NETWORK}.111"),
        BareNode("load", "", f"{NETWORK}.21", (1,), folder, user="carol"),
        BareNode("load_2", "", f"{NETWORK}.22", (1,), folder, user=ROOT, is_minimal=True),
        BareNode("other", "", f"{NETWORK}.31", (1,), folder, os_release=other),
        BareNode("nosudo", "", f"{NETWORK}.32", (1,), folder, has_sudo=False),
    ]
    shutil.copytree(INVENTORY_DIR / "example_ssh", INVENTORY_DIR / LAB)
    try:
        with pytest.MonkeyPatch.context() as monkeypatch, bare_nodes.running(nodes, folder, monkeypatch):
            yield Hosts(folder, {node.name: node for node in nodes})
    finally:
        shutil.rmtree(INVENTORY_DIR / LAB)


@pytest.mark.parametrize(
    ("server", "loadgen", "said"),
    [
        (
            "other",
            "load",
            "other: Debian GNU/Linux 13 (trixie) with systemd as PID 1; Debian 12 with systemd is needed",
        ),
        ("big", "nosudo", f"nosudo: {USER} may not become root there: sudo said"),
    ],
)
def test_a_host_that_will_not_do_is_told_and_nothing_is_changed(
    hosts: Hosts, server: str, loadgen: str, said: str
) -> None:
    """By every verb that would change it, neither there nor on the other host."""
    hosts.write(server, loadgen)

    for words in (["provision"], ["bench", "--variant", "go_net_http"]):
        done = invoke(*words, "--lab", LAB)
        assert done.returncode == 1
        assert said in done.stderr
    assert hosts.traces(server) + hosts.traces(loadgen) == ""


def test_an_unreachable_host_is_told_and_the_other_is_left_as_it_was(hosts: Hosts) -> None:
    """Whichever of the two it is, by every verb that would change them."""
    known = bare_nodes.known_hosts([hosts.nodes["big"]], hosts.folder)
    hosts.nodes["gone"] = BareNode("gone", "", f"{NETWORK}.99", (), hosts.folder)
    try:
        for server, loadgen, words in (("big", "gone", ["provision"]), ("gone", "big", ["bench", "--variant", "all"])):
            hosts.write(server, loadgen, known_hosts=known)
            done = invoke(*words, "--lab", LAB)
            assert done.returncode == 1
            assert f"gone ({USER}@{NETWORK}.99:22): not reachable" in done.stderr
    finally:
        del hosts.nodes["gone"]
    assert hosts.traces("big") == ""


def test_the_load_goes_by_number_or_by_name(hosts: Hosts) -> None:
    """A name is what each host knows it for: to its own it is its loopback, as Debian's installer has it."""
    hosts.write("big", "load")
    by_number = json.loads(invoke("doctor", "--lab", LAB, "--json").stdout)["findings"]
    hosts.write("big", "load", is_load_named=True)
    by_name = json.loads(invoke("doctor", "--lab", LAB, "--json").stdout)["findings"]

    assert [finding for finding in [*by_number, *by_name] if finding["level"] == "bad"] == []
    told = [finding["found"] for finding in [*by_number, *by_name] if finding["subject"] == "load address"]
    assert told[0] == f"{NETWORK}.111; ssh uses {NETWORK}.11"
    assert told[2] == f"big.bare.test; ssh uses {NETWORK}.11"


def test_doctor_tells_every_host_that_cannot_be_used(hosts: Hosts) -> None:
    """One without its host key, one that nobody answers at; with what to do."""
    hosts.write("big", "load", known_hosts=bare_nodes.known_hosts([hosts.nodes["big"]], hosts.folder))
    wrong_key = json.loads((done := invoke("doctor", "--lab", LAB, "--json")).stdout)["findings"]
    hosts.nodes["gone"] = BareNode("gone", "", f"{NETWORK}.99", (), hosts.folder)
    hosts.write("big", "gone", known_hosts=bare_nodes.known_hosts([hosts.nodes["big"]], hosts.folder))
    unreachable = json.loads(invoke("doctor", "--lab", LAB, "--json").stdout)["findings"]
    del hosts.nodes["gone"]

    assert done.returncode == 1
    bad = {finding["host"]: finding for finding in [*wrong_key, *unreachable] if finding["level"] == "bad"}
    assert sorted(bad) == ["gone", "load"]
    assert f"(carol@{NETWORK}.21:22): its host key is not in {hosts.folder}/known_hosts" in bad["load"]["found"]
    assert f"({USER}@{NETWORK}.99:22): not reachable" in bad["gone"]["found"]
    assert all(finding["remedy"] == f"mend it, then: invoke doctor --lab {LAB}" for finding in bad.values())


def test_a_host_with_the_key_of_another_is_refused_by_every_verb(hosts: Hosts) -> None:
    """It may be another machine: named, not trusted, and none of the three is changed."""
    own, others = ((hosts.folder / f"{name}_host_key.pub").read_text().split()[1] for name in ("load_2", "load"))
    known = bare_nodes.known_hosts([*hosts.nodes.values()], hosts.folder)
    hosts.write("big", "load", "load_2", known_hosts=known.replace(own, others))
    text = f"load_2 (root@{NETWORK}.22:22): its host key is not the one in {hosts.folder}/known_hosts"

    for words in (["doctor", "--json"], ["provision"], ["bench", "--variant", "go_net_http", "--force"]):
        done = invoke(*words, "--lab", LAB)
        assert done.returncode == 1
        assert text in done.stdout + done.stderr
    (hosts.folder / "known_hosts").write_text(known)
    assert hosts.traces("big") + hosts.traces("load") + hosts.traces("load_2") == ""


def test_hosts_behind_another_are_reached(hosts: Hosts) -> None:
    """By our own connections and by Ansible's: the one that may not become root is enough to go through."""
    hosts.write("big", "load", lab_jump_host=f"{USER}@{NETWORK}.32:22")

    done = invoke("doctor", "--lab", LAB, "--json")
    playbook = run_playbook("reset", LAB)  # nothing is there to be put back

    assert done.returncode == 0, done.stdout
    assert playbook.changed_count == 0


def test_one_machine_with_both_roles_is_told(hosts: Hosts) -> None:
    """It is allowed: a note."""
    hosts.nodes["twin"] = BareNode("big", "", f"{NETWORK}.11", (0,), hosts.folder, port=2222)
    known = bare_nodes.known_hosts([hosts.nodes["big"]], hosts.folder)
    hosts.write("big", "twin", known_hosts=known)

    done = invoke("doctor", "--lab", LAB, "--json")
    del hosts.nodes["twin"]

    findings = {finding["subject"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert done.returncode == 0
    assert findings["machines"]["level"] == "note"
    assert findings["machines"]["found"] == "both roles on one machine, and on the same CPUs"


def test_bare_hosts_are_looked_at_provisioned_measured_and_put_back(hosts: Hosts) -> None:
    """Three of them, each with its own user, one with its own port, one without certificates and python3-apt.

    The load goes over another address, by name.
    """
    hosts.write("big", "load", "load_2", is_load_named=True, lab_ca_bundle="/etc/ssl/certs/ca-certificates.crt")

    looked = invoke("doctor", "--lab", LAB, "--json")
    findings = json.loads(looked.stdout)["findings"]
    before = hosts.traces("big") + hosts.traces("load") + hosts.traces("load_2")
    bench = ["bench", "--variant", "go_net_http", "--connections", "50", "--duration", "2s", "--rounds", "1", "--force"]
    done = invoke(*bench, "--lab", LAB, "--json", limit_s=280)

    assert looked.returncode == 0, looked.stdout
    assert before == ""
    links = {finding["host"]: finding["found"] for finding in findings if finding["subject"] == "network"}
    assert sorted(links) == ["load - big", "load_2 - big"]
    assert all("Mbit/s" in found for found in links.values())
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert report["rows"][0]["requests"] > 100, done.stderr
    assert report["rows"][0]["errors_connect"] == 0
    assert [(part["host"], part["connections_open"]) for part in report["generators"]] == [("load", 25), ("load_2", 25)]

    assert {hosts.timer(name) for name in ("big", "load", "load_2")} == {"masked inactive"}
    bundle = "/usr/local/share/ca-certificates/wrklab.crt"
    assert hosts.told("load_2", f"ls {bundle} /usr/sbin/update-ca-certificates; python3 -c 'import apt'") == (
        f"{bundle}\n/usr/sbin/update-ca-certificates\n"
    )
    assert invoke("reset", "--lab", LAB).returncode == 0
    assert hosts.left("big") + hosts.left("load") + hosts.left("load_2") == ""
    assert {hosts.timer(name) for name in ("big", "load", "load_2")} == {"static active"}
    assert hosts.told("load_2", f"ls {bundle} 2>/dev/null; true") == ""
