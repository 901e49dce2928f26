"""Inventories that cannot be meant: the error says what Ansible said, and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from wrklab.doors import inventory
from wrklab.errors import LabError

HOSTS = "server: {{hosts: {{a: {{{0}}}}}}}\nloadgen: {{hosts: {{b: }}}}\n"


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a lab called `own`."""
    monkeypatch.setattr(inventory, "inventory_path", lambda _: tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("server:\n  hosts: {a: \nloadgen: [\n", r"found 0 and 0\.\n(.*\n)*.*YAML parsing failed"),
        (HOSTS.format("ansible_port: ssh"), "a: ansible_port must be a number, found 'ssh'"),
        (HOSTS.format("lab_cpus: 3"), "a: lab_cpus must be a list of CPU numbers, found 3"),
        (HOSTS.format("ansible_host: '{{ none_such }}'"), "a: ansible_host: 'none_such' is undefined"),
    ],
)
def test_a_wrong_hosts_file_is_told(lab: Path, text: str, said: str) -> None:
    """The text names the host and the key, or is what Ansible's parser found."""
    (lab / "hosts.yml").write_text(text)

    with pytest.raises(LabError, match=said):
        inventory.read_hosts("own")


def test_a_wrong_file_of_variables_is_told(lab: Path) -> None:
    """It is no traceback of Ansible's."""
    (lab / "hosts.yml").write_text(HOSTS.format("ansible_port: 2222"))
    (lab / "group_vars").mkdir()
    (lab / "group_vars" / "all.yml").write_text("x: [1\ny: 2: 3\n")

    with pytest.raises(LabError, match=r"inventory/own: a: its variables .*: YAML parsing failed"):
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
