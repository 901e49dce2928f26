"""The module file_set, run as Ansible runs it, on a folder of the test."""

from __future__ import annotations

import json
import os
import pwd
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest

from tests.unit.ansible_parts import module_of_another_name, run_module

ME = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder below which the set lies."""
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def file_set(root: Path, *files: dict[str, str], check: bool = False, **options: object) -> dict[str, Any]:
    """What the module answers for these files."""
    arguments = {"root": str(root), "manifest": str(root.parent / "manifest.json"), "owner": ME}
    return run_module("file_set", {**arguments, "files": list(files), **options}, check=check)


def test_files_links_and_folders_are_put(root: Path) -> None:
    """A file has its text and mode, a link its target, a folder is there also when it is empty."""
    answer = file_set(
        root,
        {"path": "app/one.py", "content": "one = 1\n"},
        {"path": "app/run", "content": "#!/bin/sh\n", "mode": "0755"},
        {"path": "masked.timer", "link": "/dev/null"},
        folders=[{"path": "empty", "owner": ME, "mode": "0700"}],
    )

    assert answer["changed"] is True
    assert (root / "app/one.py").read_text() == "one = 1\n"
    assert (root / "app/one.py").stat().st_mode & 0o777 == 0o644
    assert (root / "app/run").stat().st_mode & 0o777 == 0o755
    assert str((root / "masked.timer").readlink()) == "/dev/null"
    assert (root / "empty").stat().st_mode & 0o777 == 0o700


def test_a_second_call_changes_nothing(root: Path) -> None:
    """What is in place is left alone, and said to be unchanged."""
    files = ({"path": "a", "content": "a\n"}, {"path": "b", "link": "a"})
    file_set(root, *files)
    written_at = (root / "a").stat().st_mtime_ns

    answer = file_set(root, *files)

    assert (answer["changed"], answer["written_paths"], answer["removed_paths"]) == (False, [], [])
    assert (root / "a").stat().st_mtime_ns == written_at


@pytest.mark.parametrize("spoil", ["text", "mode", "kind"])
def test_what_was_altered_is_put_right(root: Path, spoil: str) -> None:
    """Another text, another mode, or a link in a file's place: the file is as wanted again."""
    file_set(root, {"path": "a", "content": "a\n"})
    place = root / "a"
    if spoil == "text":
        place.write_text("b\n")
    elif spoil == "mode":
        place.chmod(0o600)
    else:
        place.unlink()
        place.symlink_to("/dev/null")

    answer = file_set(root, {"path": "a", "content": "a\n"})

    assert answer["written_paths"] == [str(place)]
    assert not place.is_symlink()
    assert (place.read_text(), place.stat().st_mode & 0o777) == ("a\n", 0o644)


def test_only_what_the_set_placed_is_removed(root: Path) -> None:
    """A file that is no longer wanted goes, with the folder it leaves empty; a stranger's file stays."""
    (root / "stranger").write_text("not ours\n")
    file_set(root, {"path": "old/a", "content": "a\n"}, {"path": "b", "content": "b\n"})

    answer = file_set(root, {"path": "b", "content": "b\n"})

    assert answer["removed_paths"] == [str(root / "old/a")]
    assert sorted(path.name for path in root.iterdir()) == ["b", "stranger"]


def test_whole_subfolders_go_with_what_others_put_there(root: Path) -> None:
    """Where the folders below root belong to the set, one that holds nothing wanted goes as a whole."""
    file_set(root, {"path": "gone/app/a", "content": "a\n"}, {"path": "kept/app/a", "content": "a\n"})
    for stack in ("gone", "kept"):
        (root / stack / "venv").mkdir()
        (root / stack / "venv/python").touch()

    answer = file_set(root, {"path": "kept/app/a", "content": "a\n"}, whole_subfolders=True)

    assert str(root / "gone") in answer["removed_paths"]
    assert not (root / "gone").exists()
    assert (root / "kept/venv/python").exists()


def test_check_mode_tells_and_touches_nothing(root: Path) -> None:
    """In check mode the answer holds the change and its diff, and the folder stays as it was."""
    file_set(root, {"path": "a", "content": "old\n"})

    answer = file_set(root, {"path": "b", "content": "new\n"}, check=True)

    assert answer["changed"] is True
    assert (answer["diff"][0]["before"], answer["diff"][0]["after"]) == ("", "new\n")
    assert [path.name for path in root.iterdir()] == ["a"]
    assert json.loads((root.parent / "manifest.json").read_text()) == [str(root / "a")]


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b", ""])
def test_a_path_that_leads_out_of_root_is_refused(root: Path, path: str) -> None:
    """Nothing is written anywhere when one path is not below root."""
    answer = file_set(root, {"path": "a", "content": "a\n"}, {"path": path, "content": "x"})

    assert answer["failed"] is True
    assert "is not a path below" in answer["msg"]
    assert list(root.iterdir()) == []


def test_a_manifest_cannot_make_it_remove_other_places(root: Path, tmp_path: Path) -> None:
    """A path in the manifest that does not lie below root is passed over."""
    (tmp_path / "precious").touch()
    (tmp_path / "manifest.json").write_text(json.dumps([str(tmp_path / "precious")]))

    assert file_set(root)["removed_paths"] == []
    assert (tmp_path / "precious").exists()


def test_two_names_of_one_machine_put_one_set_one_after_the_other(root: Path) -> None:
    """The second finds what the first has put, and changes nothing."""
    with ThreadPoolExecutor() as pool, module_of_another_name():
        pending = [pool.submit(file_set, root, {"path": "a", "content": "a\n"}) for _ in range(2)]
        assert not wait(pending, timeout=1).done

    assert sorted(future.result()["changed"] for future in pending) == [False, True]
    assert [path.name for path in root.iterdir()] == ["a"]


def test_what_stood_there_before_is_put_back(root: Path) -> None:
    """With its mode, through changes of mind; what the set made anew goes."""
    (root / "pip.conf").write_text("the host's own\n")
    (root / "pip.conf").chmod(0o600)
    (root / "masked.timer").symlink_to("/dev/null")
    link = {"path": "masked.timer", "link": "/dev/null"}

    for text in ("first\n", "second\n"):
        ours = ({"path": "pip.conf", "content": text}, {"path": "new", "content": text}, link)
        assert file_set(root, *ours, keep_former=True)["changed"] is True
    assert file_set(root, *ours, keep_former=True)["changed"] is False
    assert (root / "pip.conf").read_text() == "second\n"
    answer = file_set(root)

    assert answer["removed_paths"] == [str(root / "new")]
    assert sorted(path.name for path in root.iterdir()) == ["masked.timer", "pip.conf"]
    assert (root / "pip.conf").read_text() == "the host's own\n"
    assert (root / "pip.conf").stat().st_mode & 0o777 == 0o600
    assert str((root / "masked.timer").readlink()) == "/dev/null"
    assert file_set(root)["changed"] is False


@pytest.mark.parametrize("umask", [0o077, 0o027])
def test_everybody_can_enter_the_folders_whatever_the_umask_is(root: Path, umask: int) -> None:
    """A variant's user must reach its application; folders that a narrow umask once closed are opened again."""
    (root / "flask").mkdir(mode=0o700)
    former = os.umask(umask)
    try:
        assert file_set(root, {"path": "flask/app/templates/x.html", "content": "x"}, whole_subfolders=True)["changed"]
        assert file_set(root.parent / "flat", {"path": "modules/lua.conf", "content": "x"})["changed"]
    finally:
        os.umask(former)

    entered = [*(root / name for name in ("flask", "flask/app", "flask/app/templates")), root.parent / "flat/modules"]
    assert [path.stat().st_mode & 0o777 for path in entered] == [0o755] * 4
    assert (
        file_set(root, {"path": "flask/app/templates/x.html", "content": "x"}, whole_subfolders=True)["changed"]
        is False
    )
    assert file_set(root, whole_subfolders=True)["changed"] is True
    assert list(root.iterdir()) == []
