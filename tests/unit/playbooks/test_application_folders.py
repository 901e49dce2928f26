"""The module application_folders, run as Ansible runs it."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.unit.ansible_parts import run_module
from wrklab.catalogue.application_files import archive, files_digest, find_files


def unpack(folder: Path, data: bytes, digest: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401
    """What the module answers to an archive of this content."""
    path = folder / "shop.tar"
    path.write_bytes(data)
    (folder / "stack").mkdir(exist_ok=True)
    wanted = {"archive": str(path), "stack_dir": str(folder / "stack"), "digest": digest}
    return run_module("application_folders", {"applications": [wanted]}, **options)


def test_a_users_folder_arrives_as_it_was_and_replaces_what_was_there(tmp_path: Path) -> None:
    """Files, their modes and links; a file that is no more is gone; the same digest changes nothing."""
    source = tmp_path / "source"
    (source / "shop").mkdir(parents=True)
    (source / "shop/app.py").write_bytes(b"\xff\x00")
    (source / "run.sh").write_text("#!/bin/sh\n", encoding="utf-8")
    (source / "run.sh").chmod(0o755)
    (source / "link.py").symlink_to("shop/app.py")
    files = find_files(source)

    first = unpack(tmp_path, archive(files, {"wrklab_entry_web.py": ""}), files_digest(files, {}))
    again = unpack(tmp_path, archive(files, {"wrklab_entry_web.py": ""}), files_digest(files, {}))

    there = tmp_path / "stack/app"
    assert (first["changed"], again["changed"]) == (True, False)
    assert sorted(path.relative_to(there).as_posix() for path in there.rglob("*")) == [
        "link.py",
        "run.sh",
        "shop",
        "shop/app.py",
        "wrklab_entry_web.py",
    ]
    assert (there / "link.py").read_bytes() == b"\xff\x00"
    assert (there / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (there / "shop/app.py").stat().st_mode & 0o777 == 0o644

    (source / "run.sh").unlink()
    fewer = find_files(source)
    assert unpack(tmp_path, archive(fewer, {}), files_digest(fewer, {}))["changed"]
    assert not (there / "run.sh").exists()
    assert not (there / "wrklab_entry_web.py").exists()


def test_a_look_changes_nothing(tmp_path: Path) -> None:
    """Check mode says what would change."""
    found = unpack(tmp_path, archive_of(("app.py", None)), "1", check=True)

    assert found["changed"]
    assert not (tmp_path / "stack/app").exists()


def archive_of(*members: tuple[str, str | None]) -> bytes:
    """An archive that nobody checked: path and, of a link, its target."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for path, target in members:
            member = tarfile.TarInfo(path)
            if target is not None:
                member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member, io.BytesIO())
    return stream.getvalue()


@pytest.mark.parametrize(
    "members",
    [
        [("/etc/passwd", None)],
        [("../outside.py", None)],
        [("shop/../../outside.py", None)],
        [("link", "/etc/passwd")],
        [("link", "../outside.py")],
        [("shop/link", "../../outside.py")],
    ],
)
def test_what_leads_out_of_the_folder_is_refused(tmp_path: Path, members: list[tuple[str, str | None]]) -> None:
    """A host does not trust the archive: what was there stays."""
    unpack(tmp_path, archive_of(("app.py", None)), "1")

    found = unpack(tmp_path, archive_of(*members), "2")

    assert "application_folders:" in found["msg"]
    assert [path.name for path in (tmp_path / "stack/app").iterdir()] == ["app.py"]
    assert not (tmp_path / "outside.py").exists()


def test_nothing_is_written_through_a_link_of_the_archive(tmp_path: Path) -> None:
    """Links are made last, so a folder that is one holds nothing."""
    found = unpack(tmp_path, archive_of(("a", "b"), ("a/app.py", None)), "1")

    assert "application_folders:" in found["msg"]
