"""The state of a checkout, as a run keeps it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from wrklab.hosts.controller import controller_environment, git_state, local_state

Git = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """A repository of one committed file in tmp_path/checkout, and git to work on it."""
    folder = tmp_path / "checkout"
    folder.mkdir()

    def run(*words: str) -> str:
        identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        return subprocess.run(
            ["git", *identity, "-C", folder, *words], check=True, capture_output=True, text=True
        ).stdout.strip()

    run("init", "--quiet", "--initial-branch=main")
    (folder / "a.py").write_text("one\n")
    run("add", ".")
    run("commit", "--quiet", "--message=first")
    return run


def test_a_clean_checkout_is_its_commit(tmp_path: Path, git: Git) -> None:
    """Commit and branch; nothing differs."""
    assert git_state(tmp_path / "checkout") == {
        "commit": git("rev-parse", "HEAD"),
        "branch": "main",
        "is_dirty": False,
        "changed_files": [],
        "changes_sha256": None,
    }


def test_changed_and_unknown_files_are_named_and_digested(tmp_path: Path, git: Git) -> None:
    """Two states that differ in an untracked file's content have two digests; the same state has the same one."""
    folder = tmp_path / "checkout"
    (folder / "a.py").write_text("two\n")
    (folder / "b.py").write_bytes(b"\xff\xfe new\n")
    first, again = git_state(folder), git_state(folder)
    (folder / "b.py").write_bytes(b"\xff\xfe newer\n")
    other = git_state(folder)

    assert first["is_dirty"]
    assert first["changed_files"] == ["a.py", "b.py"]
    assert first == again
    assert first["changes_sha256"] != other["changes_sha256"]


def test_a_checkout_without_git_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unpacked from an archive; and on a machine without git."""
    assert git_state(tmp_path) == {"commit": None, "reason": "no git work tree, or no git on this machine"}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path)["commit"] is None


def test_a_folder_within_another_repository_has_not_its_commit(tmp_path: Path, git: Git) -> None:
    """The commit of the repository around it says nothing of these files."""
    inner = tmp_path / "checkout" / "wrklab"
    inner.mkdir()

    assert git_state(inner)["commit"] is None
    assert "another project's" in git_state(inner)["reason"]


def test_a_repository_without_a_commit_says_so(tmp_path: Path) -> None:
    """Just after `git init`."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)

    assert git_state(tmp_path) == {"commit": None, "reason": "a git work tree without a commit"}


def test_the_controller_tells_versions_and_no_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """What drives a bench has a version each; secrets of the shell are nowhere."""
    monkeypatch.setenv("DEPLOY_TOKEN", "hunter2-hunter2")

    found = controller_environment()

    assert {"ansible-core", "fabric", "invoke", "numpy", "pandas", "paramiko", "pydantic", "scipy"} <= set(
        found["packages"]
    )
    assert found["python"].startswith("3.")
    assert len(found["fingerprint"]) == 64
    assert "hunter2" not in str(found)


def test_this_machine_is_looked_at_as_a_host_is() -> None:
    """Both ends of /proc/stat are there."""
    found = local_state(0.05)

    assert found is not None
    assert [text.startswith("cpu") for text in found.stat] == [True, True]
