"""An application's packages are locked together with a server program's, by the real uv, from wheels of the test."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.unit.handmade_application import CARD, handmade_application
from wrklab.catalogue.application import Application
from wrklab.errors import CardError
from wrklab.hosts import application_lock
from wrklab.hosts.application_lock import ServerPackages, locked_together, read_server_packages

SERVER = ServerPackages("server.txt", "tulip-server\n", "tulip-server==2.0\ntulip-shared==1.0\n")


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of wheels instead of an index."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    wheel(wheels, "tulip-server", "1.0", "tulip-shared")
    wheel(wheels, "tulip-server", "2.0", "tulip-shared")
    wheel(wheels, "tulip-shared", "1.0")
    wheel(wheels, "tulip-shared", "1.5")
    wheel(wheels, "tulip-web", "3.0")
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv_cache"))


def wheel(folder: Path, name: str, version: str, needs: str = "") -> None:
    """A package without content."""
    stem = f"{name.replace('-', '_')}-{version}"
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as archive:
        more = f"Requires-Dist: {needs}\n" if needs else ""
        archive.writestr(
            f"{stem}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}"
        )
        archive.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{stem}.dist-info/RECORD", "")


def application_with(tmp_path: Path, requirements: str) -> Application:
    """An application that needs these packages."""
    application = handmade_application(tmp_path / "shop", CARD)
    (application.folder / "requirements.txt").write_text(requirements, encoding="utf-8")
    return application


def packages_of(lock: str) -> list[str]:
    """The locked packages, without hashes."""
    return [line.split(" ")[0] for line in lock.splitlines() if line and not line.startswith(" ")]


def test_both_are_in_one_lock_with_hashes(tmp_path: Path) -> None:
    """The server's packages stay at the versions of its own lock where the application wants no others."""
    lock = locked_together(application_with(tmp_path, "tulip-web\n"), SERVER, tmp_path / "locks")

    assert packages_of(lock) == ["tulip-server==2.0", "tulip-shared==1.0", "tulip-web==3.0"]
    assert lock.count("--hash=sha256:") == 3


def test_what_both_need_has_the_version_that_the_application_wants(tmp_path: Path) -> None:
    """Only the server program itself is fixed: its recipe is written for that version."""
    lock = locked_together(application_with(tmp_path, "tulip-shared>=1.5\n"), SERVER, tmp_path / "locks")

    assert packages_of(lock) == ["tulip-server==2.0", "tulip-shared==1.5"]


def test_a_conflict_with_the_server_says_who_wants_what(tmp_path: Path) -> None:
    """With what uv found, and the next step."""
    with pytest.raises(CardError) as caught:
        locked_together(application_with(tmp_path, "tulip-server==1.0\n"), SERVER, tmp_path / "locks")

    text = str(caught.value)
    assert "shop/requirements.txt does not go together with the server program's tulip-server==2.0" in text
    assert "(recipes/server.txt)" in text
    assert "tulip-server==1.0" in text


def test_a_package_that_is_nowhere_is_the_applications_own_trouble(tmp_path: Path) -> None:
    """No server is blamed for it."""
    with pytest.raises(CardError, match=r"requirements\.txt cannot be locked for Python 3\.11 on Linux") as caught:
        locked_together(application_with(tmp_path, "tulip-nowhere\n"), SERVER, tmp_path / "locks")

    assert "tulip-nowhere" in str(caught.value)


def test_the_application_itself_is_left_out_and_other_folders_are_refused(tmp_path: Path) -> None:
    """It is copied, not installed; a folder has no hash that a host could check."""
    application = application_with(tmp_path, "tulip-web\n-e .\n")
    project = '[project]\nname = "shop"\nversion = "1"\ndependencies = ["tulip-shared"]\n'
    (application.folder / "pyproject.toml").write_text(project, encoding="utf-8")
    lock = locked_together(application, SERVER, tmp_path / "locks")
    assert packages_of(lock) == ["tulip-server==2.0", "tulip-shared==1.0", "tulip-web==3.0"]

    other = tmp_path / "wheels" / "tulip_web-3.0-py3-none-any.whl"
    with pytest.raises(CardError, match="cannot be checked by a hash"):
        locked_together(application_with(tmp_path, f"tulip-web @ {other.as_uri()}\n"), SERVER, tmp_path / "locks")


def test_a_lock_is_made_once_for_the_same_wishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is resumed has the packages that it began with, whatever the index has by then."""
    application = application_with(tmp_path, "-r more.txt\n")
    (application.folder / "more.txt").write_text("tulip-shared\n", encoding="utf-8")
    first = locked_together(application, SERVER, tmp_path / "locks")
    monkeypatch.setattr(application_lock, "_uv", lambda *_: pytest.fail("it was locked again"))
    assert locked_together(application, SERVER, tmp_path / "locks") == first

    monkeypatch.undo()
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "wheels"))
    (application.folder / "more.txt").write_text("tulip-shared\ntulip-web\n", encoding="utf-8")
    assert "tulip-web==3.0" in packages_of(locked_together(application, SERVER, tmp_path / "locks"))


def test_nothing_is_written_into_the_users_folder(tmp_path: Path) -> None:
    """It may be a checkout with other people's changes in it."""
    application = application_with(tmp_path, "tulip-web\n")
    before = {path: path.stat().st_mtime_ns for path in application.folder.rglob("*")}

    locked_together(application, SERVER, tmp_path / "locks")

    assert {path: path.stat().st_mtime_ns for path in application.folder.rglob("*")} == before


def test_a_server_programs_packages_are_pinned_with_their_extras(tmp_path: Path) -> None:
    """Comments and empty lines of the list are none."""
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/many.in").write_text("# why\nTulip_Server[fast]  # both\n\ntulip-web\n", encoding="utf-8")
    (tmp_path / "recipes/many.txt").write_text("tulip-server[fast]==2.0\ntulip-web==3.0\n", encoding="utf-8")

    assert read_server_packages(tmp_path, ["many.txt"])[0].pins == ("Tulip_Server[fast]==2.0", "tulip-web==3.0")

    (tmp_path / "recipes/many.txt").write_text("tulip-web==3.0\n", encoding="utf-8")
    with pytest.raises(CardError, match=r"many\.in: .*`invoke lock` makes the lock of it again"):
        read_server_packages(tmp_path, ["many.txt"])
