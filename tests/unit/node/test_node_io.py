"""What the hosts' scripts share: folders of cells that another script removes at the same time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wrklab.node import node_io


def test_what_another_removes_meanwhile_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two names of one machine clean up at once: after the look at a folder, its files and itself are gone."""
    cell = tmp_path / "cell"
    cell.mkdir()
    (cell / "spec.json").touch()

    scandir = os.scandir

    def looked_at_then_removed(path: str) -> list[os.DirEntry[str]]:
        with scandir(path) as found:
            entries = list(found)
        (cell / "spec.json").unlink()
        cell.rmdir()
        return entries

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", looked_at_then_removed)
        node_io.remove_folder(str(cell))

    node_io.remove_folder(str(cell))
    assert not cell.exists()


def test_a_folder_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    """Files, links and folders; not what a link leads to."""
    (tmp_path / "precious").touch()
    (tmp_path / "cell/raw").mkdir(parents=True)
    (tmp_path / "cell/raw/log").touch()
    (tmp_path / "cell/link").symlink_to(tmp_path / "precious")

    node_io.remove_folder(str(tmp_path / "cell"))

    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_removing_returns_whether_it_was_there(tmp_path: Path) -> None:
    """A second time it was not."""
    (tmp_path / "file").touch()

    assert node_io.remove(str(tmp_path / "file"))
    assert not node_io.remove(str(tmp_path / "file"))
