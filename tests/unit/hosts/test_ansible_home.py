"""Where Ansible keeps its own files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from wrklab.errors import ProvisionError
from wrklab.hosts import ansible


@pytest.fixture
def read_only_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that nothing can be written to; the place for temporary files is the test's own, and is returned."""
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    access: Callable[[Path, int], bool] = os.access
    monkeypatch.delenv("ANSIBLE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(os, "access", lambda path, mode: home not in [path, *path.parents] and access(path, mode))
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(temporary))
    return temporary


def test_a_home_that_can_be_written_is_ansibles_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the user says otherwise."""
    monkeypatch.delenv("ANSIBLE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ansible.tool_environment()["ANSIBLE_HOME"] == str(tmp_path / ".ansible")

    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path / "mine"))
    assert ansible.tool_environment()["ANSIBLE_HOME"] == str(tmp_path / "mine")


def test_with_a_read_only_home_ansible_gets_a_folder_of_its_own(read_only_home: Path) -> None:
    """One that nobody else can look into, the next time as well."""
    for _ in range(2):
        place = Path(ansible.tool_environment()["ANSIBLE_HOME"]).parent
    assert place.parent == read_only_home
    assert place.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_somebody_prepared_is_refused(read_only_home: Path, tmp_path: Path) -> None:
    """Its link would lead anywhere; open connections to hosts lie there."""
    (read_only_home / f"wrklab-{os.geteuid()}").symlink_to(tmp_path)
    with pytest.raises(ProvisionError, match="set ANSIBLE_HOME"):
        ansible.tool_environment()
