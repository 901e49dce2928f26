"""Playbooks end with whoever started them, at a deadline at the latest, and the user's environment opens no hole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wrklab.errors import ProvisionError
from wrklab.hosts import ansible
from wrklab.paths import PROJECT_DIR

#: As ansible-playbook does it: a worker in a session of its own, and something that does not end by SIGTERM.
PROGRAM = """#!/bin/sh
echo $$ > "$FOLDER/main"
setsid sh -c 'trap "" TERM; echo $$ > "$FOLDER/worker"; while :; do sleep 0.1; done' &
while [ ! -s "$FOLDER/worker" ]; do sleep 0.02; done
echo "TASK [first] ****"
sleep 300
"""


@pytest.fixture
def playbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a program in place of ansible-playbook, with a file for each process id."""
    program = tmp_path / "ansible-playbook"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    monkeypatch.setenv("FOLDER", str(tmp_path))
    monkeypatch.setattr(ansible, "_program", lambda: str(program))
    monkeypatch.setattr(ansible, "CACHE_DIR", tmp_path)
    return tmp_path


def are_alive(folder: Path) -> list[str]:
    """The processes that still run, by the name of their file."""
    found = []
    for name in ("main", "worker"):
        stat = Path(f"/proc/{(folder / name).read_text().strip()}/stat")
        if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] not in "ZX":
            found.append(name)
    return found


def test_an_interrupted_playbook_has_ended_before_anyone_hears_of_it(playbook: Path) -> None:
    """With all that it started: whoever lets go of a host's lease next must leave nothing at work."""

    def interrupt(task: str) -> None:
        assert are_alive(playbook) == ["main", "worker"]
        raise KeyboardInterrupt(task)

    with pytest.raises(KeyboardInterrupt, match="first"):
        ansible.run_playbook("provision", "container", on_task=interrupt)
    assert are_alive(playbook) == []


def test_a_playbook_ends_with_a_controller_that_is_killed(playbook: Path) -> None:
    """SIGKILL leaves it no time to end anything."""
    program = (
        "from pathlib import Path; from wrklab.hosts import ansible; "
        f"ansible._program = lambda: {str(playbook / 'ansible-playbook')!r}; "
        f"ansible.CACHE_DIR = Path({str(playbook)!r}); "
        "ansible.run_playbook('provision', 'container')"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=PROJECT_DIR) as controller:
        _wait_until(lambda: (playbook / "worker").exists() and (playbook / "worker").read_text())
        controller.send_signal(signal.SIGKILL)
    _wait_until(lambda: are_alive(playbook) == [])


def test_a_playbook_has_a_deadline(playbook: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text says so, and what it was at."""
    monkeypatch.setattr(ansible, "PLAYBOOK_LIMIT_S", 1.2)
    with pytest.raises(
        ProvisionError, match=r"failed on lab container \(no end within 0\.02 minutes\)(?s:.*)TASK \[fi"
    ):
        ansible.run_playbook("provision", "container")
    assert are_alive(playbook) == []


def test_a_playbook_that_ends_leaves_its_daemons_alone(playbook: Path) -> None:
    """ssh's shared connection, and a container's supervisor: they were meant to stay."""
    (playbook / "ansible-playbook").write_text(
        "#!/bin/sh\n(setsid sh -c 'echo $$ > \"$FOLDER/daemon\"; exec sleep 300' >/dev/null 2>&1 </dev/null &)\n"
        'while [ ! -s "$FOLDER/daemon" ]; do sleep 0.02; done\n'
        "echo 'server : ok=3 changed=2 unreachable=0 failed=0'\n"
    )
    result = ansible.run_playbook("provision", "container", lease_token="abc")
    pid = int((playbook / "daemon").read_text())
    os.kill(pid, signal.SIGKILL)
    assert result.changed == {"server": 2}


@pytest.mark.parametrize("value", ["False", "no", "0"])
def test_the_environment_does_not_switch_the_checking_of_host_keys_off(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """Ansible counts its variables for more than ansible.cfg; what only says where files are is the user's."""
    monkeypatch.setenv("ANSIBLE_HOST_KEY_CHECKING", value)
    monkeypatch.setenv("ANSIBLE_SSH_HOST_KEY_CHECKING", value)
    monkeypatch.setenv("ANSIBLE_SSH_COMMON_ARGS", "-o StrictHostKeyChecking=no")
    monkeypatch.setenv("ANSIBLE_SSH_EXTRA_ARGS", "-o StrictHostKeyChecking=no")
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", "/dev/null")
    environment = ansible.tool_environment()

    dump = subprocess.run(
        [Path(sys.executable).parent / "ansible-config", "dump", "--type", "base"],
        env=environment,
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (checking,) = [line for line in dump.splitlines() if line.startswith("HOST_KEY_CHECKING")]
    assert checking.endswith("= True")
    assert not any("StrictHostKeyChecking=no" in text for text in environment.values())
    assert environment["ANSIBLE_VAULT_PASSWORD_FILE"] == "/dev/null"


def test_ssh_of_playbooks_goes_by_the_inventory_alone_and_notices_the_dead() -> None:
    """And marks what it starts on a host; the rest is ansible.cfg's."""
    words = ansible.tool_environment()["ANSIBLE_SSH_ARGS"]
    assert words.startswith("-F none -o ServerAliveInterval=15 ")
    assert words.endswith(f"-o SetEnv={ansible.PLAYBOOK_MARK}=1")
    assert "ControlMaster=auto" in words


def _wait_until(condition: object) -> None:
    assert callable(condition)
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)
