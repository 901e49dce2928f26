"""The role openresty_runtime trusts one key, and only where it is the one that is expected. Real keys, made by gpg."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from wrklab.hosts.ansible import tool_environment


@dataclass(frozen=True)
class Keys:
    """The text and the fingerprint of a publisher's key and of somebody else's, and both as one block."""

    publisher: str
    fingerprint: str
    other: str
    both_in_one_block: str


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keys]:
    """Made for these tests."""
    if shutil.which("gpg") is None or os.geteuid() != 0:
        pytest.skip("there is no gpg here, or this user is not root")
    # gpg's agent wants a short path for its socket.
    home = tmp_path_factory.mktemp("g")
    home.chmod(0o700)

    def gpg(*words: str) -> str:
        command = ["gpg", "--homedir", str(home), "--batch", "--passphrase", "", "--quiet", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout

    for name in ("publisher", "other"):
        gpg("--quick-generate-key", f"{name}@example.test", "ed25519", "sign")
    listed = gpg("--list-keys", "--with-colons", "publisher@example.test")
    fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))
    export = ("--armor", "--export")
    yield Keys(gpg(*export, "publisher@example.test"), fingerprint, gpg(*export, "other@example.test"), gpg(*export))
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)


def is_trusted(folder: Path, text: str, fingerprint: str) -> bool:
    """Whether the role takes a file with this text for the key of this fingerprint."""
    (folder / "published.asc").write_text(text)
    trusted = folder / "trusted.asc"
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}
    (folder / "hosts.json").write_text(json.dumps({"server": {"hosts": {"a": local}}}))
    tasks = [{"ansible.builtin.import_role": {"name": "openresty_runtime", "tasks_from": "key"}}]
    (folder / "play.yml").write_text(json.dumps([{"hosts": "server", "gather_facts": False, "tasks": tasks}]))
    given = {
        "openresty_runtime_key_url": (folder / "published.asc").as_uri(),
        "openresty_runtime_key_fingerprint": fingerprint,
        "__openresty_runtime_key": str(trusted),
    }
    program = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [program, "-i", folder / "hosts.json", folder / "play.yml", "-e", json.dumps(given)],
        env=tool_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert trusted.exists() == (done.returncode == 0), done.stdout + done.stderr
    refused = "is not one key with the fingerprint" in " ".join(done.stdout.split())
    assert refused == (done.returncode != 0), done.stdout + done.stderr
    return trusted.exists()


def test_the_publishers_key_alone_is_trusted(keys: Keys, tmp_path: Path) -> None:
    """By its fingerprint."""
    assert is_trusted(tmp_path, keys.publisher, keys.fingerprint)


@pytest.mark.parametrize("shape", ["other", "appended", "in one block", "before"])
def test_a_file_with_another_key_is_refused(keys: Keys, tmp_path: Path, shape: str) -> None:
    """Also where the expected one comes first: apt would trust both."""
    text = {
        "other": keys.other,
        "appended": keys.publisher + keys.other,
        "in one block": keys.both_in_one_block,
        "before": keys.other + keys.publisher,
    }[shape]
    assert not is_trusted(tmp_path, text, keys.fingerprint)
