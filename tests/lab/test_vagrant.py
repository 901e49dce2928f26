"""The Vagrantfile: checked by Vagrant itself with either provider, and for what Vagrant does not check."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.programs import needed
from wrklab.doors.inventory import read_hosts
from wrklab.paths import PROJECT_DIR

#: VirtualBox refuses host-only addresses outside of it (VirtualBox manual, 6.7 Host-Only Networking).
VIRTUALBOX_RANGE = ipaddress.IPv4Network("192.168.56.0/21")
#: For what Vagrant asks VirtualBox before it looks at a machine's configuration.
VBOXMANAGE = '#!/bin/sh\ncase "$1" in --version) echo 7.0.20r163906 ;; esac\n'

Settings = dict[str, list[Any]]


@pytest.fixture(scope="module")
def vagrant() -> str:
    """Vagrant with its libvirt provider, as Debian packages it; installed where it is missing and can be."""
    return needed("vagrant", "vagrant", "vagrant-libvirt", tests="the Vagrantfile")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The Vagrantfile and what it names, where nothing has been made yet."""
    for name in ("Vagrantfile", "provision.yml", "ansible.cfg"):
        shutil.copy2(PROJECT_DIR / name, tmp_path / name)
    shutil.copytree(PROJECT_DIR / "inventory", tmp_path / "inventory")
    return tmp_path


def run(words: Sequence[str | Path], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command in a checkout, with a home of Vagrant's there; variables of this shell about a lab are left out."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LAB_", "VAGRANT", "BOX"))}
    return subprocess.run(
        words,
        cwd=folder,
        env=kept | {"VAGRANT_HOME": str(folder / "home")} | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def settings(folder: Path, **variables: str) -> Settings:
    """What the Vagrantfile sets: arguments by path, such as `vm/define server/vm/hostname`."""
    done = run(
        ["ruby", Path(__file__).with_name("vagrantfile_as_json.rb"), folder / "Vagrantfile"], folder, **variables
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def addresses(found: Settings) -> dict[str, str]:
    """The address of each machine."""
    paths = {re.fullmatch(r"vm/define (\w+)/vm/network", path): arguments for path, arguments in found.items()}
    return {path[1]: arguments[1]["ip"] for path, arguments in paths.items() if path}


@pytest.mark.parametrize("provider", ["libvirt", "virtualbox"])
def test_vagrant_finds_the_file_valid(vagrant: str, checkout: Path, provider: str) -> None:
    """With the check of each provider's own settings, in a checkout where nothing was made before."""
    programs = checkout / "programs"
    programs.mkdir()
    (programs / "VBoxManage").write_text(VBOXMANAGE)
    (programs / "VBoxManage").chmod(0o755)

    done = run(
        [vagrant, "validate"],
        checkout,
        VAGRANT_DEFAULT_PROVIDER=provider,
        PATH=f"{programs}:{os.environ['PATH']}",
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "validated successfully" in done.stdout
    assert not (checkout / ".vagrant" / "wrklab").exists()


@pytest.mark.usefixtures("vagrant")
class TestSettings:
    """What the file sets, as Ruby reads it."""

    def test_addresses_are_such_as_virtualbox_allows(self, checkout: Path) -> None:
        """By default; LAB_NET gives others."""
        found = addresses(settings(checkout))

        assert found == {"server": "192.168.56.11", "loadgen": "192.168.56.21"}
        assert all(ipaddress.IPv4Address(address) in VIRTUALBOX_RANGE for address in found.values())
        assert addresses(settings(checkout, LAB_NET="10.9.8"))["server"] == "10.9.8.11"

    def test_a_provider_is_told_cpus_and_memory_only(self, checkout: Path) -> None:
        """No driver, no CPU mode, no graphics: a box may set those."""
        found = settings(checkout, LAB_CPUS="3", LAB_MEMORY_MIB="1024")

        for provider in ("virtualbox", "libvirt"):
            place = f"vm/provider {provider}/"
            told = {path.removeprefix(place): value for path, value in found.items() if path.startswith(place)}
            assert told == {"cpus": [3], "memory": [1024]}
        assert found["vm/synced_folder"][-1] == {"disabled": True}
        assert found["vm/box"] == ["debian/bookworm64"]
        assert settings(checkout, BOX="own/box")["vm/box"] == ["own/box"]

    def test_one_playbook_runs_once_for_all_from_the_last_machine(self, checkout: Path) -> None:
        """Machine after machine, with host keys checked; playbook, inventory and settings are there."""
        found = settings(checkout, LAB_LOADGENS="2")

        place = "vm/define loadgen_2/vm/provision ansible"
        assert [path for path in found if path.endswith("/provision ansible")] == [place]
        told = {name: found[f"{place}/{name}"][0] for name in ("playbook", "inventory_path", "config_file")}
        assert all((PROJECT_DIR / path).exists() for path in told.values())
        assert found[f"{place}/limit"] == ["all"]
        assert found[f"{place}/host_key_checking"] == [True]

    def test_the_inventory_has_the_machines(self, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The same names and addresses on both sides, whatever the environment asks for."""
        wanted = {"LAB_NET": "172.20.5", "LAB_LOADGENS": "3"}
        for name, value in wanted.items():
            monkeypatch.setenv(name, value)

        hosts = read_hosts("vagrant")

        assert {host.name: host.address for host in hosts.all} == addresses(settings(checkout, **wanted))
        assert (hosts.kind, hosts.server.user, hosts.server.group) == ("vagrant", "vagrant", "server")

    @pytest.mark.parametrize(
        "wrong", [{"LAB_NET": "8.8.8"}, {"LAB_NET": "192.168.256"}, {"LAB_LOADGENS": "0"}, {"LAB_CPUS": "two"}]
    )
    def test_what_cannot_be_meant_is_told(self, checkout: Path, wrong: dict[str, str]) -> None:
        """With the variable, what was found and what is expected."""
        done = run(["ruby", Path(__file__).with_name("vagrantfile_as_json.rb"), "Vagrantfile"], checkout, **wrong)

        name, value = next(iter(wrong.items()))
        assert done.returncode == 1
        assert f"{name}={value}: " in done.stderr
        assert done.stderr.rstrip().endswith(("is expected", "such as 192.168.56"))

    def test_machines_keep_what_they_were_made_with(self, checkout: Path) -> None:
        """`vagrant destroy` in another shell still knows the third machine and its network."""
        own = checkout / ".vagrant" / "wrklab"
        own.mkdir(parents=True)
        (own / "lab.json").write_text('{"LAB_NET": "10.9.8", "LAB_LOADGENS": "2"}')

        before = addresses(settings(checkout))
        (checkout / ".vagrant" / "machines" / "server" / "libvirt").mkdir(parents=True)
        (checkout / ".vagrant" / "machines" / "server" / "libvirt" / "id").touch()

        assert before["server"] == "192.168.56.11"
        assert addresses(settings(checkout)) == {
            "server": "10.9.8.11",
            "loadgen": "10.9.8.21",
            "loadgen_2": "10.9.8.22",
        }

    def test_fewer_generators_forget_none_that_runs(self, checkout: Path) -> None:
        """The command that destroys those that are too many is told, and works."""
        for name in ("server", "loadgen", "loadgen_2", "loadgen_10"):
            (checkout / ".vagrant" / "machines" / name / "libvirt").mkdir(parents=True)
            (checkout / ".vagrant" / "machines" / name / "libvirt" / "id").touch()

        program = Path(__file__).with_name("vagrantfile_as_json.rb")
        done = run(["ruby", program, "Vagrantfile"], checkout, LAB_LOADGENS="1")

        assert done.returncode == 1
        assert done.stderr.endswith("first: LAB_LOADGENS=10 vagrant destroy -f loadgen_2 loadgen_10\n")
        assert set(addresses(settings(checkout, LAB_LOADGENS="10"))) >= {"loadgen_2", "loadgen_10"}
