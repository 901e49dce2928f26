"""The roles of backends: what they write is what both sides of wrklab know, rendered as Ansible does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from wrklab.hosts.ansible import tool_environment
from wrklab.node import backend_ctl
from wrklab.paths import PLAYBOOKS_DIR
from wrklab.protocol.backend import BACKENDS_DIR, FILTER_TABLE, PORTS, SLICE, BackendName, unit_of

ROLES = PLAYBOOKS_DIR / "roles"
#: A server with a name for ssh and two addresses, and the backends' host.
INVENTORY: dict[str, Any] = {
    "server": {"hosts": {"a": {"ansible_host": "big.example.test", "lab_load_address": "198.51.100.10"}}},
    "backend": {"hosts": {"s": {"ansible_host": "192.0.2.31", "lab_load_address": "198.51.100.31"}}},
}


def variables(role: str) -> dict[str, Any]:
    """The internal variables of a role, as they are written."""
    found: dict[str, Any] = yaml.safe_load((ROLES / role / "vars/main.yml").read_text(encoding="utf-8"))
    return found


def rendered(folder: Path, *names: str, **given: Any) -> dict[str, str]:  # noqa: ANN401
    """Variables of the roles as Ansible fills them in on the backends' host, by name."""
    inventory = json.loads(json.dumps(INVENTORY))
    inventory["backend"]["hosts"]["s"] |= {"ansible_connection": "local"}
    (folder / "hosts.json").write_text(json.dumps(inventory))
    parts = ("defaults/main.yml", "vars/main.yml")
    read = [str(ROLES / role / part) for role in ("backends", *BackendName) for part in parts]
    tasks = [
        {
            "ansible.builtin.copy": {
                "content": "{{ lookup('ansible.builtin.vars', item) }}",
                "dest": f"{folder}/{{{{ item }}}}",
            },
            "loop": list(names),
        }
    ]
    play = {"hosts": "backend", "gather_facts": False, "vars_files": read, "tasks": tasks}
    extra = {"backends_password": "p" * 32, "ansible_python_interpreter": sys.executable, **given}
    (folder / "play.yml").write_text(json.dumps([play]))
    program = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [program, "-i", folder / "hosts.json", folder / "play.yml", "-e", json.dumps(extra)],
        env=tool_environment() | {"ANSIBLE_FILTER_PLUGINS": str(PLAYBOOKS_DIR / "filter_plugins")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: (folder / name).read_text() for name in names}


def test_both_sides_know_the_same_ports_units_and_places() -> None:
    """The roles' and the protocol's."""
    found = variables("backends")

    assert found["__backends_ports"] == {str(name): port for name, port in PORTS.items()}
    assert found["__backends_dir"] == BACKENDS_DIR
    assert sorted(found["__backends_units"]) == sorted(map(unit_of, BackendName))
    assert f"table ip {FILTER_TABLE} " in found["__backends_filter"]
    for name in BackendName:
        assert f"Slice={SLICE}\n" in variables(name)[f"__{name}_unit"]
        assert f"RuntimeDirectory=wrklab_{name}\n" in variables(name)[f"__{name}_unit"]


def test_redis_has_a_second_database_for_each_of_the_applications() -> None:
    """Those behind hold what is kept."""
    assert f"databases {2 * backend_ctl.REDIS_DATABASES_COUNT}\n" in variables("redis")["__redis_config"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What is written for the inventory above."""
    names = ("__backends_filter", "__postgres_hba", "__postgres_config", "__redis_config", "__mariadb_config")
    units = ("__postgres_unit", "__redis_unit", "__mariadb_unit", "__backends_filter_service")
    return rendered(tmp_path_factory.mktemp("roles"), *names, *units)


def test_only_the_servers_addresses_pass_the_filter(files: dict[str, str]) -> None:
    """What is a name is left out; every other address is refused at once, on all three ports."""
    text = " ".join(files["__backends_filter"].split())

    assert "tcp dport { 13306, 15432, 16379 } ip saddr != { 198.51.100.10 } reject with tcp reset" in text
    assert "add table ip wrklab_backends delete table ip wrklab_backends" in text


def test_postgres_lets_one_account_into_one_database(files: dict[str, str]) -> None:
    """From the server, with a password; and its own user over the socket."""
    lines = [line for line in files["__postgres_hba"].splitlines() if line and not line.startswith("#")]

    assert lines == ["local all postgres peer", "host wrklab wrklab 198.51.100.10/32 scram-sha-256"]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("__postgres_config", "listen_addresses = '198.51.100.31'"),
        ("__redis_config", "bind 198.51.100.31"),
        ("__mariadb_config", "bind-address = 198.51.100.31"),
    ],
)
def test_each_service_listens_on_the_load_address_alone(files: dict[str, str], name: str, line: str) -> None:
    """And on its socket."""
    assert line in files[name].splitlines()


def test_only_redis_has_the_password_in_its_configuration(files: dict[str, str]) -> None:
    """Accounts of the others are made for a run; no unit has it, as everybody may read units."""
    assert [name for name, text in files.items() if "p" * 32 in text] == ["__redis_config"]


@pytest.mark.parametrize("name", list(BackendName))
def test_a_changed_configuration_changes_the_unit(files: dict[str, str], tmp_path: Path, name: BackendName) -> None:
    """Its digest stands in the unit, so that a process of an older one is known."""
    option = f"{name}_max_{'clients' if name is BackendName.REDIS else 'connections'}"
    unit = f"__{name}_unit"

    changed = rendered(tmp_path, unit, **{option: 77})[unit]

    digests = [re.findall(r"WRKLAB_CONFIG=([0-9a-f]{64})$", text, re.MULTILINE) for text in (files[unit], changed)]
    assert [len(found) for found in digests] == [1, 1]
    assert digests[0] != digests[1]


def test_the_filter_is_there_before_a_service_listens(files: dict[str, str]) -> None:
    """Also when the host boots."""
    for name in BackendName:
        assert "Requires=wrklab_backends_filter.service\n" in files[f"__{name}_unit"]
        assert re.search(r"^After=.* wrklab_backends_filter.service$", files[f"__{name}_unit"], re.MULTILINE)


def test_no_unit_is_taken_for_a_variants(files: dict[str, str]) -> None:
    """Whatever is called `wrklab-…` ends when a bench begins."""
    assert not any(unit_of(name).startswith("wrklab-") for name in BackendName)
    assert not SLICE.startswith("wrklab-")


def test_what_has_the_password_is_not_logged() -> None:
    """Every task that names it, or a file that has it in it."""
    secret = ("backends_password", "__redis_config ")
    tasks = [
        task
        for path in ROLES.glob("*/tasks/*.yml")
        for task in yaml.safe_load(path.read_text(encoding="utf-8")) or []
        if any(word in json.dumps({key: value for key, value in task.items() if key != "name"}) for word in secret)
    ]

    assert len(tasks) == 2
    assert all(task.get("no_log") for task in tasks)


def test_what_is_there_stays_without_being_named(tmp_path: Path) -> None:
    """The expression of the task itself: services of the inventory, of a bench, and those found, each once."""
    tasks = yaml.safe_load((ROLES / "backends/tasks/choose.yml").read_text(encoding="utf-8"))
    [chosen] = [task["ansible.builtin.set_fact"] for task in tasks if "ansible.builtin.set_fact" in task]
    found = {
        "files": [{"path": f"/etc/systemd/system/{unit_of(name)}"} for name in (BackendName.REDIS, BackendName.MARIADB)]
    }
    given = {"backends_names": ["redis"], "backends_also": ["postgres"], "__backends_found": found, **chosen}
    play = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": given,
            "tasks": [
                {
                    "ansible.builtin.copy": {
                        "content": "{{ __backends_chosen | to_json }}",
                        "dest": str(tmp_path / "found"),
                    }
                }
            ],
        }
    ]
    (tmp_path / "play.yml").write_text(json.dumps(play))
    words = ["-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]
    program = Path(sys.executable).with_name("ansible-playbook")
    subprocess.run([program, *words, tmp_path / "play.yml"], env=tool_environment(), capture_output=True, check=True)

    assert json.loads((tmp_path / "found").read_text()) == ["mariadb", "postgres", "redis"]
