"""The Vagrantfile: checked by Vagrant itself with either provider, and for what Vagrant does not check."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.programs import needed
from wrklab.hosts.inventory import read_hosts
from wrklab.paths import PROJECT_DIR

#: VirtualBox refuses host-only addresses outside of it (VirtualBox manual, 6.7 Host-Only Networking).
VIRTUALBOX_RANGE = ipaddress.IPv4Network("192.168.56.0/21")
#: For what Vagrant asks VirtualBox before it looks at a machine's configuration.
VBOXMANAGE = '#!/bin/sh\ncase "$1" in --version) echo 7.0.20r163906 ;; esac\n'
#: Loads a Vagrantfile and prints what it sets.
RUBY = ("ruby", str(Path(__file__).with_name("vagrantfile_as_json.rb")))

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
    done = run([*RUBY, folder / "Vagrantfile"], folder, **variables)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def addresses(found: Settings) -> dict[str, str]:
    """The address of each machine."""
    paths = {re.fullmatch(r"vm/define (\w+)/vm/network", path): arguments for path, arguments in found.items()}
    return {path[1]: arguments[1]["ip"] for path, arguments in paths.items() if path}


def made_with(folder: Path, **variables: str) -> None:
    """Write down what a former `vagrant up` was told."""
    own = folder / ".vagrant" / "wrklab"
    own.mkdir(parents=True)
    (own / "lab.json").write_text(json.dumps(variables))


def make_machines(folder: Path, *names: str) -> None:
    """Leave what tells that there are such machines."""
    for name in names:
        place = folder / ".vagrant" / "machines" / name / "libvirt"
        place.mkdir(parents=True)
        (place / "id").touch()


def inventory_variables(folder: Path, **variables: str) -> dict[str, str]:
    """What the inventory says of all hosts."""
    done = run([folder / "inventory" / "vagrant" / "vagrantfile_settings.py"], folder, **variables)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)["all"]["vars"]
    return found


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

        assert [(host.name, host.address) for host in hosts.all] == [*addresses(settings(checkout, **wanted)).items()]
        assert (hosts.kind, hosts.server.user, hosts.server.group) == ("vagrant", "vagrant", "server")

    @pytest.mark.parametrize(
        "wrong", [{"LAB_NET": "8.8.8"}, {"LAB_NET": "192.168.256"}, {"LAB_LOADGENS": "0"}, {"LAB_CPUS": "two"}]
    )
    def test_what_cannot_be_meant_is_told(self, checkout: Path, wrong: dict[str, str]) -> None:
        """With the variable, what was found and what is expected."""
        done = run([*RUBY, "Vagrantfile"], checkout, **wrong)

        name, value = next(iter(wrong.items()))
        assert done.returncode == 1
        assert f"{name}={value}: " in done.stderr
        assert done.stderr.rstrip().endswith(("is expected", "such as 192.168.56"))

    def test_machines_keep_what_they_were_made_with(self, checkout: Path) -> None:
        """`vagrant destroy` in another shell still knows the third machine, its network and its box."""
        made_with(checkout, LAB_NET="10.9.8", LAB_LOADGENS="2", BOX="own/box")

        before = settings(checkout)
        make_machines(checkout, "server")

        assert addresses(before)["server"] == "192.168.56.11"
        assert addresses(settings(checkout)) == {
            "server": "10.9.8.11",
            "loadgen": "10.9.8.21",
            "loadgen_2": "10.9.8.22",
        }
        assert settings(checkout)["vm/box"] == ["own/box"]

    def test_machines_keep_their_network(self, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another LAB_NET is refused with the command that works, and Ansible goes to where they are."""
        made_with(checkout, LAB_NET="10.9.8")
        make_machines(checkout, "server", "loadgen")

        done = run([*RUBY, "Vagrantfile"], checkout, LAB_NET="10.9.7")

        assert done.returncode == 1
        assert done.stderr.startswith(
            "LAB_NET=10.9.7: loadgen, server were made with LAB_NET=10.9.8, and keep those add"
        )
        assert done.stderr.endswith("or destroy them first: LAB_NET=10.9.8 vagrant destroy -f\n")
        assert addresses(settings(checkout, LAB_NET="10.9.8"))["server"] == "10.9.8.11"
        monkeypatch.setenv("VAGRANT_DOTFILE_PATH", str(checkout / ".vagrant"))
        monkeypatch.setenv("LAB_NET", "10.9.7")
        assert read_hosts("vagrant").server.address == "10.9.8.11"

    def test_up_stores_settings_for_later_shells(self, checkout: Path) -> None:
        """Those of the environment, and beside them those of this machine; a file by its whole path."""
        (checkout / "inv").write_text("#!/bin/sh\n")
        (checkout / "inv").chmod(0o755)
        (checkout / ".venv" / "bin").mkdir(parents=True)
        (checkout / ".venv" / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        (checkout / ".venv" / "bin" / "python").chmod(0o755)
        shutil.copytree(PROJECT_DIR / "playbooks" / "module_utils", checkout / "playbooks" / "module_utils")
        given = {"LAB_CA_BUNDLE": "own.crt", "LAB_PIP_INDEX_URL": "https://given.example/simple"}
        machine = {"PIP_INDEX_URL": "https://index.example/simple", "http_proxy": "http://proxy.example:3128"}

        up = run([*RUBY, "Vagrantfile", "up"], checkout, **given, **machine)
        assert up.returncode == 0, up.stderr
        make_machines(checkout, "server")
        again = run([*RUBY, "Vagrantfile", "up"], checkout, **machine)
        assert again.returncode == 0, again.stderr
        found = inventory_variables(checkout)

        assert found["lab_ca_bundle"] == str(checkout / "own.crt")
        assert found["lab_pip_index_url"] == "https://given.example/simple"
        assert found["lab_http_proxy"] == "http://proxy.example:3128"
        assert inventory_variables(checkout, LAB_HTTP_PROXY="http://p:1")["lab_http_proxy"] == "http://p:1"
        assert (checkout / ".vagrant" / "wrklab").stat().st_mode & 0o777 == 0o700

    def test_a_machine_made_anew_is_provisioned_and_one_that_failed_again(self, checkout: Path) -> None:
        """For Vagrant what was begun once is done: `vagrant up` would leave it bare."""
        found = settings(checkout)

        hosts = [found[f"vm/define {name}/vm/provision"] for name in ("server", "loadgen")]
        playbook = found["vm/define loadgen/vm/provision ansible"]
        assert [arguments[0] for arguments in hosts] == ["host_key", "host_key"]
        assert [arguments[-1]["run"] for arguments in (*hosts, playbook)] == ["always"] * 3

    def test_the_key_of_every_box_is_looked_for_in_vagrants_home(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """For a box that keeps it."""
        (tmp_path / "insecure_private_key").touch()
        monkeypatch.setenv("VAGRANT_HOME", str(tmp_path))
        monkeypatch.setenv("VAGRANT_DOTFILE_PATH", str(tmp_path / "nothing"))

        assert read_hosts("vagrant").server.key_path == tmp_path / "insecure_private_key"

    def test_fewer_generators_forget_none_that_runs(self, checkout: Path) -> None:
        """The command that destroys those that are too many is told, and works."""
        make_machines(checkout, "server", "loadgen", "loadgen_2", "loadgen_10")

        done = run([*RUBY, "Vagrantfile"], checkout, LAB_LOADGENS="1")

        assert done.returncode == 1
        assert done.stderr.endswith("first: LAB_LOADGENS=10 vagrant destroy -f loadgen_2 loadgen_10\n")
        assert set(addresses(settings(checkout, LAB_LOADGENS="10"))) >= {"loadgen_2", "loadgen_10"}
