"""What of a user's folder goes to the server host, and what never does."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from wrklab.catalogue import application_files
from wrklab.catalogue.application_files import archive, files_digest, find_files
from wrklab.errors import CardError


def make(folder: Path, *paths: str) -> None:
    """Empty files with their folders."""
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("", encoding="utf-8")


def test_what_tools_make_and_what_holds_secrets_is_left_out(tmp_path: Path) -> None:
    """By name, wherever it lies; a virtual environment of any name by its mark."""
    make(
        tmp_path,
        "app.py",
        "shop/views.py",
        "shop/static/site.css",
        ".git/config",
        ".venv/bin/python",
        "my_env/pyvenv.cfg",
        "my_env/lib/x.py",
        "shop/__pycache__/views.cpython-311.pyc",
        "web/node_modules/x/index.js",
        ".env",
        ".env.production",
        "wrklab.yml",
        "old.pyc",
    )
    found = find_files(tmp_path)

    assert [file.path for file in found.files] == ["app.py", "shop/static/site.css", "shop/views.py"]
    assert set(found.left_out) == {
        ".env",
        ".env.production",
        ".git/",
        ".venv/",
        "my_env/",
        "old.pyc",
        "shop/__pycache__/",
        "web/node_modules/",
        "wrklab.yml",
    }


def test_leave_out_takes_names_and_paths(tmp_path: Path) -> None:
    """A glob without a slash means a name anywhere, one with a slash a path from the folder."""
    make(tmp_path, "app.py", "media/a.jpg", "shop/media/b.jpg", "data/x.sqlite3", "data/x.csv")

    found = find_files(tmp_path, ["media", "data/*.csv"])

    assert [file.path for file in found.files] == ["app.py", "data/x.sqlite3"]


def test_a_link_within_the_folder_stays_a_link(tmp_path: Path) -> None:
    """Also one to nothing, which the application may make itself."""
    make(tmp_path, "config/base.py")
    (tmp_path / "settings.py").symlink_to("config/base.py")
    (tmp_path / "later.txt").symlink_to("not_there_yet.txt")

    links = {file.path: file.link for file in find_files(tmp_path).files if file.link}

    assert links == {"settings.py": "config/base.py", "later.txt": "not_there_yet.txt"}


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside.txt", "shop/../../outside.txt"])
def test_a_link_that_leads_out_is_refused(tmp_path: Path, target: str) -> None:
    """Whatever it leads to is not the application's."""
    folder = tmp_path / "app"
    make(tmp_path, "outside.txt", "app/shop/x.py")
    (folder / "link.txt").symlink_to(target)

    with pytest.raises(CardError, match=rf"link\.txt: the link leads to {target}, out of the application's folder"):
        find_files(folder)


def test_a_link_to_a_folder_is_not_followed(tmp_path: Path) -> None:
    """One that leads to its own parent would never end."""
    make(tmp_path, "shop/x.py")
    (tmp_path / "shop" / "again").symlink_to("..")

    assert [file.path for file in find_files(tmp_path).files] == ["shop/again", "shop/x.py"]


def test_too_much_is_refused_with_the_largest_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever included data by mistake sees which."""
    make(tmp_path, "app.py")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "big.bin").write_bytes(b"0" * (3 << 20))
    monkeypatch.setattr(application_files, "FILES_MAX_BYTES", 2 << 20)

    with pytest.raises(CardError, match=r"3 MiB; at most 2 go to the server.*the largest: data \(3\.0 MiB, 1 files\)"):
        find_files(tmp_path)

    monkeypatch.setattr(application_files, "FILES_MAX_COUNT", 1)
    with pytest.raises(CardError, match="it has more than 1 files"):
        find_files(tmp_path)


def test_the_archive_holds_contents_modes_and_links_and_nothing_of_their_owner(tmp_path: Path) -> None:
    """The same files make the same bytes, whenever they were written."""
    make(tmp_path, "app.py", "bin/run.sh")
    (tmp_path / "app.py").write_bytes(b"\xff\x00 not UTF-8")
    (tmp_path / "bin/run.sh").chmod(0o700)
    (tmp_path / "link.py").symlink_to("app.py")
    files = find_files(tmp_path)

    data = archive(files, {"wrklab_entry_web.py": "app = 1\n"})
    os.utime(tmp_path / "app.py", (1, 1))

    assert archive(find_files(tmp_path), {"wrklab_entry_web.py": "app = 1\n"}) == data
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = {member.name: (member.mode, member.linkname, member.uid, member.mtime) for member in tar}
        assert members == {
            "app.py": (0o644, "", 0, 0),
            "bin/run.sh": (0o755, "", 0, 0),
            "link.py": (0o644, "app.py", 0, 0),
            "wrklab_entry_web.py": (0o644, "", 0, 0),
        }
        content = tar.extractfile("app.py")
        assert content is not None
        assert content.read() == b"\xff\x00 not UTF-8"


def test_the_digest_follows_from_names_contents_and_modes_alone(tmp_path: Path) -> None:
    """Another mix in wrklab.yml is no other server; another line of code is one."""
    make(tmp_path, "app.py", "wrklab.yml")
    before = files_digest(find_files(tmp_path), {})

    (tmp_path / "wrklab.yml").write_text("requests: []", encoding="utf-8")
    assert files_digest(find_files(tmp_path), {}) == before

    (tmp_path / "app.py").chmod(0o755)
    executable = files_digest(find_files(tmp_path), {})
    assert executable != before

    (tmp_path / "app.py").write_text("x = 1", encoding="utf-8")
    assert files_digest(find_files(tmp_path), {}) not in {before, executable}
    assert files_digest(find_files(tmp_path), {}) != files_digest(find_files(tmp_path), {"a.py": ""})
