"""Inventories that cannot be meant: the error says what Ansible said, and where."""

from __future__ import annotations

import configparser
import re
import shutil
from pathlib import Path

import pytest
import yaml
from ansible.constants import COMMON_CONNECTION_VARS
from ansible.plugins.become import sudo
from ansible.plugins.connection import ssh

from wrklab.errors import InventoryError
from wrklab.hosts import inventory
from wrklab.hosts.inventory_files import ANSIBLE_KEYS, LAB_KEYS
from wrklab.paths import PLAYBOOKS_DIR, PROJECT_DIR

HOSTS = "server: {{hosts: {{a: {{{0}}}}}}}\nloadgen: {{hosts: {{b: }}}}\n"
INI = (
    "[server]\na ansible_ssh_host=192.0.2.1 ansible_ssh_port=2222 ansible_ssh_user=me\n[loadgen]\nb\n"
    "[all:vars]\nansible_private_key_file=/k\nansible_become_pass=x\n"
)
TWO_GENERATORS = (
    "server: {hosts: {a: }}\nloadgen: {hosts: {b: {ansible_host: 192.0.2.9}, c: {ansible_host: 192.0.2.9}}}\n"
)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a lab called `own`."""
    monkeypatch.setattr(inventory, "inventory_path", lambda _: tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("server:\n  hosts: {a: \nloadgen: [\n", r"^inventory/own/hosts\.yml:3: not YAML: "),
        ("server: {hosts: {a: }}\nlodgen: {hosts: {b: }}\n", r"hosts\.yml:2: lodgen: .* Did you mean loadgen\?$"),
        ("server: {hosts: {a: }}\nloadgen: {hosts: {b: }}\nbackends: {hosts: {c: }}\n", r"Did you mean backend\?$"),
        (
            "server: {hosts: {a: }}\nloadgen: {hosts: {b: }}\nbackend: {hosts: {c: , d: }}\n",
            "own: at most one host in group backend; found c, d$",
        ),
        (
            "server: {hosts: {a: }}\nloadgen: {hosts: {b: }}\nbackend: {hosts: {b: }}\n",
            "own: b stands in backend and in",
        ),
        ("server: {hosts: {a: }}\n", r"at least one in loadgen are needed; found 1 and 0\.$"),
        (
            HOSTS.format("lab_cpu: [1]"),
            r"^inventory/own/hosts\.yml:1: lab_cpu: .* Did you mean lab_cpus\? Known: lab_app",
        ),
        (
            HOSTS.format("ansible_hots: x"),
            r"^inventory/own/hosts\.yml:1: ansible_hots: .* Did you mean ansible_host\?$",
        ),
        (HOSTS.format("lab_cpus: [1], lab_cpus: [2]"), r"hosts\.yml:1: duplicate key 'lab_cpus'$"),
        ("server: {hosts: {a: }}\nloadgen: {hosts: {a: }}\n", "own: a stands in both groups"),
        (TWO_GENERATORS, "own: b and c: both have ansible_host 192.0.2.9"),
        (HOSTS.format("ansible_port: ssh"), r"hosts\.yml:1: a: ansible_port must be a number, found 'ssh'"),
        (HOSTS.format("lab_cpus: 3"), r"hosts\.yml:1: a: lab_cpus must be a list of CPU numbers, found 3"),
        (
            HOSTS.format("ansible_connection: local"),
            r"hosts\.yml:1: a: ansible_connection is 'local': hosts are reached by ssh; leave it out$",
        ),
        (
            HOSTS.format("ansible_port: 22, ansible_ssh_port: 23"),
            r"hosts\.yml:1: a: ansible_port is 22 and ansible_ssh_port is 23: they mean the same; leave one out$",
        ),
        (
            HOSTS.format("ansible_ssh_common_args: -o ProxyJump=gate"),
            r"hosts\.yml:1: a: ansible_ssh_common_args has ProxyJump, which only Ansible would go by: name that host",
        ),
        (HOSTS.format("ansible_ssh_extra_args: -C -J gate"), r"a: ansible_ssh_extra_args has -J, which only Ansible"),
        (HOSTS.format("ansible_host: '{{ none_such }}'"), "a: ansible_host: 'none_such' is undefined"),
    ],
)
def test_a_wrong_hosts_file_is_told(lab: Path, text: str, said: str) -> None:
    """The text names file, line and key, or host and key. It is wrong usage: nothing was touched."""
    (lab / "hosts.yml").write_text(text)

    with pytest.raises(InventoryError, match=said) as caught:
        inventory.read_hosts("own")

    assert caught.value.exit_status == 2


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("hosts", "[server]\na ansible_hots=x\n[loadgen]\nb\n", r"^inventory/own/hosts:2: ansible_hots: no such key"),
        ("hosts.ini", "[server]\na\n\n[lodgen]\nb\n", r"^inventory/own/hosts\.ini:4: lodgen: .* Did you mean loadgen"),
        ("group_vars/all/net.yml", "lab_cpu: [1]\n", r"^inventory/own/group_vars/all/net\.yml:1: lab_cpu: "),
        ("host_vars/a/net.json", '{"lab_cpu": [1]}', r"^inventory/own/host_vars/a/net\.json:1: lab_cpu: "),
        (
            "more.py",
            '#!/bin/sh\necho \'{"server": {"hosts": ["a"]}, "_meta": {"hostvars": {"a": {"lab_cpu": [1]}}}}\'\n',
            r"^inventory/own: a: lab_cpu: .* Did you mean lab_cpus",
        ),
    ],
)
def test_every_form_of_an_inventory_is_looked_at(lab: Path, name: str, text: str, said: str) -> None:
    """INI, folders of variables, and what a script says."""
    if not name.startswith("hosts"):
        (lab / "hosts.yml").write_text(HOSTS.format(""))
    (lab / name).parent.mkdir(parents=True, exist_ok=True)
    (lab / name).write_text(text)
    (lab / name).chmod(0o755 if name.endswith(".py") else 0o644)

    with pytest.raises(InventoryError, match=said):
        inventory.read_hosts("own")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "hosts",
            INI,
        ),
        (
            "hosts.yml",
            HOSTS.format("ansible_host: 192.0.2.1, ansible_port: 2222, ansible_user: me, ansible_private_key_file: /k"),
        ),
    ],
)
def test_ansibles_names_mean_the_same_here(lab: Path, name: str, text: str) -> None:
    """Former ones too. Without a user it is root, as for Ansible (ansible.cfg)."""
    (lab / name).write_text(text)

    hosts = inventory.read_hosts("own")

    server = hosts.server
    assert (server.user, server.address, server.port, server.key_path) == ("me", "192.0.2.1", 2222, Path("/k"))
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(PROJECT_DIR / "ansible.cfg")
    assert hosts.generators[0].user == settings["defaults"]["remote_user"]


def test_every_variable_of_ansibles_plugins_is_known() -> None:
    """Of those that reach a host over ssh and make us root there."""
    texts = [yaml.safe_load(plugin.DOCUMENTATION)["options"] for plugin in (ssh, sudo)]
    names = {entry["name"] for options in texts for option in options.values() for entry in option.get("vars", [])}

    assert {name for name in names | COMMON_CONNECTION_VARS if name.startswith("ansible_")} <= ANSIBLE_KEYS


def test_ssh_options_that_are_no_way_are_fine(lab: Path) -> None:
    """Nor is one that says to go straight, nor the one that stands for lab_jump_host itself."""
    options = "ansible_ssh_common_args: -o ProxyCommand=none -o ServerAliveInterval=5 -o IdentityFile=/keys/-J"
    (lab / "hosts.yml").write_text(HOSTS.format(options))
    assert inventory.read_hosts("own").server.jump_host is None

    (lab / "hosts.yml").write_text(HOSTS.format("lab_jump_host: gate, ansible_ssh_common_args: -J gate"))
    assert inventory.read_hosts("own").server.jump_host == "gate"


def test_the_example_needs_no_key(lab: Path) -> None:
    """Without one an agent has it, also for a host to go through."""
    shutil.copytree(PROJECT_DIR / "inventory" / "example_ssh", lab, dirs_exist_ok=True)
    variables = lab / "group_vars" / "all.yml"
    lines = [line for line in variables.read_text().splitlines() if not line.startswith("ansible_ssh_private_key_file")]

    for jump_host in ("", "me@192.0.2.9"):
        variables.write_text("\n".join(lines).replace('lab_jump_host: ""', f'lab_jump_host: "{jump_host}"') + "\n")
        server = inventory.read_hosts("own").server
        assert (server.key_path, server.jump_key_path, server.jump_host) == (None, None, jump_host or None)


def test_an_older_copy_of_the_example_needs_no_key_for_a_host_that_there_is_not(lab: Path) -> None:
    """Its `lab_jump_key` is the key's own variable, which may have been removed."""
    (lab / "hosts.yml").write_text(
        HOSTS.format("lab_jump_host: '', lab_jump_key: '{{ ansible_ssh_private_key_file }}'")
    )

    assert inventory.read_hosts("own").server.jump_key_path is None


def test_a_script_that_fails_is_told_with_its_own_words(lab: Path) -> None:
    """Ansible would go on without its hosts."""
    (lab / "hosts.yml").write_text(HOSTS.format(""))
    (lab / "more.py").write_text("#!/bin/sh\necho 'the cloud did not answer' >&2\nexit 1\n")
    (lab / "more.py").chmod(0o755)

    with pytest.raises(
        InventoryError, match=r"^inventory/own: Completely failed to parse inventory source .*/more\.py"
    ):
        inventory.read_hosts("own")


def test_one_machine_may_have_both_roles(lab: Path) -> None:
    """Under two names, with the same address."""
    (lab / "hosts.yml").write_text(
        HOSTS.format("ansible_host: 192.0.2.9").replace("b: ", "b: {ansible_host: 192.0.2.9}")
    )

    hosts = inventory.read_hosts("own")

    assert [host.address for host in hosts.all] == ["192.0.2.9", "192.0.2.9"]


def test_a_key_of_the_users_own_is_fine_where_another_value_uses_it(lab: Path) -> None:
    """Nothing would read it otherwise."""
    (lab / "hosts.yml").write_text(HOSTS.format("ansible_host: '{{ lab_prefix }}.9'"))
    (lab / "group_vars").mkdir()
    (lab / "group_vars" / "all.yml").write_text("lab_prefix: 192.0.2\n")
    (lab / "group_vars" / "server.yml").write_text("---\n")

    assert inventory.read_hosts("own").server.address == "192.0.2.9"


def test_every_key_that_a_role_reads_is_known() -> None:
    """A role takes it from the inventory by its defaults; one that is not known would be refused there."""
    texts = [path.read_text(encoding="utf-8") for path in PLAYBOOKS_DIR.glob("roles/*/defaults/main.yml")]
    read = {name for text in texts for name in re.findall(r"\b(lab_[a-z_]+) \| default", text)}

    assert {"lab_filter", "lab_egress", "lab_backends"} <= read
    # That one is for a command line (-e) alone.
    assert read - {"lab_lease_ignored"} <= LAB_KEYS


def test_a_wrong_file_of_variables_is_told(lab: Path) -> None:
    """It is no traceback of Ansible's."""
    (lab / "hosts.yml").write_text(HOSTS.format("ansible_port: 2222"))
    (lab / "group_vars").mkdir()
    (lab / "group_vars" / "all.yml").write_text("x: [1\ny: 2: 3\n")

    with pytest.raises(InventoryError, match=r"^inventory/own/group_vars/all\.yml:2: not YAML: "):
        inventory.read_hosts("own")


@pytest.mark.parametrize(
    ("kind", "words"),
    [("container", "`invoke lab.up`"), ("vagrant", "`vagrant up`"), ("ssh", "inventory/own")],
)
def test_the_remedy_fits_the_kind_of_lab(lab: Path, kind: str, words: str) -> None:
    """Only the container lab is brought up by lab.up."""
    (lab / "hosts.yml").write_text(HOSTS.format(f"lab_kind: {kind}, ansible_port: 2222"))

    hosts = inventory.read_hosts("own")

    assert (hosts.kind, hosts.server.lab_kind, hosts.server.port) == (kind, kind, 2222)
    assert words in inventory.remedy(hosts.lab, hosts.kind)
