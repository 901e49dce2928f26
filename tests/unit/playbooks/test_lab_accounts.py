"""The module lab_accounts, run as Ansible runs it, on a copy of this machine's accounts that nobody else sees."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.ansible_parts import run_module

#: What programs that change accounts read and write.
_FILES = ("passwd", "shadow", "group", "gshadow", "login.defs", "nsswitch.conf")
FOREIGN = "keeper:x:1500:1500:The keeper:/home/keeper:/bin/bash"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[list[str]]:
    """A command that enters a mount namespace whose /etc is a copy of the test's own, with an account of a user."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets us make no mount namespace (root and unshare are needed)")
    etc = tmp_path / "etc"
    etc.mkdir()
    for name in _FILES:
        shutil.copy2(f"/etc/{name}", etc / name)
    # None of ours, whatever this machine has.
    (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/bash\n" + FOREIGN + "\n")
    (etc / "group").write_text("root:x:0:\nkeeper:x:1500:\nlonely:x:1501:\n")
    (etc / "shadow").write_text("root:*:19000:0:99999:7:::\nkeeper:*:19000:0:99999:7:::\n")
    (etc / "gshadow").write_text("root:*::\nkeeper:!::\nlonely:!::\n")
    hold = f"mount --bind {etc} /etc && echo ready && exec sleep 60"
    with subprocess.Popen([unshare, "--mount", "sh", "-c", hold], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"ready\n"
        yield ["nsenter", f"--mount=/proc/{holder.pid}/ns/mnt", f"--wdns={Path.cwd()}"]
        holder.kill()


def accounts(host: list[str], *names: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401
    """What the module answers."""
    return run_module("lab_accounts", {"names": list(names)}, within=host, **options)


def passwd(host: list[str]) -> dict[str, str]:
    """The lines of /etc/passwd, by name."""
    text = subprocess.run([*host, "cat", "/etc/passwd"], capture_output=True, text=True, check=True).stdout
    return {line.partition(":")[0]: line for line in text.splitlines()}


def test_an_account_is_made_once_and_cannot_log_in(host: list[str]) -> None:
    """A second time changes nothing; check mode only says what would be."""
    assert accounts(host, "wrklab_app", check=True)["made"] == ["wrklab_app"]
    assert "wrklab_app" not in passwd(host)

    assert accounts(host, "wrklab_app", "wrklab_load")["made"] == ["wrklab_app", "wrklab_load"]
    assert accounts(host, "wrklab_app", "wrklab_load")["changed"] is False
    assert passwd(host)["wrklab_app"].split(":")[4:] == ["made by wrklab", "/nonexistent", "/usr/sbin/nologin"]


@pytest.mark.parametrize("check", [True, False])
def test_an_account_of_somebody_else_is_refused_and_left_alone(host: list[str], *, check: bool) -> None:
    """Its shell and home stay as they were, and nothing else is made in the same call."""
    answer = accounts(host, "wrklab_load", "keeper", check=check)

    assert "has an account 'keeper' that wrklab did not make" in answer["msg"]
    assert passwd(host)["keeper"] == FOREIGN
    assert "wrklab_load" not in passwd(host)


def test_a_group_of_somebody_else_is_refused(host: list[str]) -> None:
    """An account of that name would join it."""
    assert "has a group 'lonely'" in accounts(host, "lonely")["msg"]


def test_only_what_was_made_is_removed(host: list[str]) -> None:
    """Whatever the name in the inventory is now; an account of somebody else stays."""
    accounts(host, "wrklab_app", "wrklab_load")

    assert accounts(host, "other_app")["removed"] == ["wrklab_app", "wrklab_load"]
    assert accounts(host)["removed"] == ["other_app"]
    assert accounts(host)["changed"] is False
    assert passwd(host).keys() == {"root", "keeper"}


def test_a_name_that_is_none_is_refused(host: list[str]) -> None:
    """It would be an option, or a second field of /etc/passwd."""
    assert "is no name of an account" in accounts(host, "a:b")["msg"]
