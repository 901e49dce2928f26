"""How the controller writes into a node's root, which the node's own root may have prepared."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from container_lab import folders


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A node's root; next to it lies the rest of the controller."""
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def narrow_umask() -> Iterator[None]:
    """A user who keeps everything to themselves."""
    former = os.umask(0o077)
    yield
    os.umask(former)


def mode(path: Path) -> int:
    """The permission bits."""
    return stat.S_IMODE(path.lstat().st_mode)


def names(folder: Path) -> list[str]:
    """What lies in it."""
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_once(root: Path) -> None:
    """A second time it is as it should be; another text or mode is written."""
    assert folders.write(root, "etc/hostname", "server\n")
    assert not folders.write(root, "etc/hostname", "server\n")
    assert folders.write(root, "etc/hostname", "server\n", mode=0o600)
    assert folders.write(root, "etc/hostname", "loadgen\n", mode=0o600)
    assert (root / "etc/hostname").read_text() == "loadgen\n"
    assert names(root / "etc") == ["hostname"]


def test_a_link_where_the_new_file_was_once_written_is_not_followed(root: Path, tmp_path: Path) -> None:
    """`/etc/.hostname.new` leads to a file of the controller's: it stays as it was."""
    (root / "etc").mkdir()
    (root / "etc/.hostname.new").symlink_to(tmp_path / "owned")

    folders.write(root, "etc/hostname", "server\n")

    assert not (tmp_path / "owned").exists()
    assert (root / "etc/hostname").read_text() == "server\n"


def test_a_link_in_the_files_place_is_replaced(root: Path, tmp_path: Path) -> None:
    """Also where what it leads to has just the text that is wanted."""
    (tmp_path / "owned").write_text("server\n")
    (root / "hostname").symlink_to(tmp_path / "owned")

    assert folders.write(root, "hostname", "server\n")
    assert not (root / "hostname").is_symlink()
    assert folders.write(root, "hostname", "other\n")
    assert (tmp_path / "owned").read_text() == "server\n"


@pytest.mark.parametrize("where", ["etc", "etc/ssh"])
def test_a_link_in_a_folders_place_is_refused(root: Path, tmp_path: Path, where: str) -> None:
    """Nothing is written to where it leads."""
    outside = tmp_path / "outside"
    (outside / "ssh").mkdir(parents=True)
    (root / where).parent.mkdir(exist_ok=True)
    (root / where).symlink_to(outside)

    with pytest.raises(folders.NotAPlainFileError, match=rf"{root / where}: a folder is expected there"):
        folders.write(root, "etc/ssh/key", "secret\n")
    assert [path.name for path in outside.rglob("*")] == ["ssh"]


def test_what_a_node_put_in_a_files_place_is_not_opened(root: Path) -> None:
    """A pipe would block its reader for ever; it is replaced. A folder is refused, and nothing stays behind."""
    os.mkfifo(root / "pipe", 0o644)
    assert folders.write(root, "pipe", "")
    assert (root / "pipe").is_file()

    (root / "folder/inner").mkdir(parents=True)
    with pytest.raises(folders.NotAPlainFileError, match="folder: cannot be replaced by a file"):
        folders.write(root, "folder", "text\n")
    assert names(root) == ["folder", "pipe"]


def test_links_are_made_without_following_links(root: Path, tmp_path: Path) -> None:
    """A link in the place of the new one's folder is refused; one in its own place is replaced."""
    folders.link(root, "etc/localtime", "/usr/share/zoneinfo/Etc/UTC")
    folders.link(root, "etc/localtime", "/elsewhere")
    assert str((root / "etc/localtime").readlink()) == "/elsewhere"

    (root / "usr").symlink_to(tmp_path)
    with pytest.raises(folders.NotAPlainFileError):
        folders.link(root, "usr/localtime", "/elsewhere")
    assert not os.path.lexists(tmp_path / "localtime")


@pytest.mark.usefixtures("narrow_umask")
def test_modes_do_not_depend_on_the_umask(root: Path) -> None:
    """A node whose folders only root could enter would not boot."""
    folders.write(root, "etc/uv/uv.toml", "\n")
    folders.write(root, "root/.ssh/authorized_keys", "\n", mode=0o600, folder_mode=0o700)

    assert [mode(root / name) for name in ("etc", "etc/uv", "etc/uv/uv.toml")] == [0o755, 0o755, 0o644]
    assert [mode(root / "root/.ssh"), mode(root / "root/.ssh/authorized_keys")] == [0o700, 0o600]


@pytest.mark.parametrize("name", ["/etc/hostname", "../hostname", "etc/../../hostname"])
def test_a_name_that_leads_out_is_refused(root: Path, name: str) -> None:
    """Names are the project's own, so this is an error of the project."""
    with pytest.raises(ValueError, match="is not a path below"):
        folders.write(root, name, "text\n")
