"""The URLs of a lab's backends, and the password in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from wrklab.errors import InventoryError, LabError, UnknownNameError
from wrklab.hosts import backend_urls
from wrklab.hosts.backend_urls import (
    BackendAccess,
    backend_access,
    backend_names,
    backend_values,
    lab_password,
    secrets_of,
)
from wrklab.hosts.inventory import LabHosts, read_hosts
from wrklab.protocol.backend import BackendName
from wrklab.protocol.blanking import blanked


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> LabHosts:
    """The example's hosts, with a password that is not this checkout's."""
    monkeypatch.setattr(backend_urls, "lab_password", lambda _: "p" * 32)
    return read_hosts("example_ssh")


def test_each_service_has_a_url_of_its_own_form(hosts: LabHosts) -> None:
    """At the address where measured traffic goes; Redis has no name of an account, and numbers its databases."""
    found = backend_access(hosts, ["redis", "postgres", "mariadb"])

    assert {name: access.url for name, access in found.items()} == {
        "postgres": f"postgresql://wrklab:{'p' * 32}@198.51.100.31:15432/wrklab",
        "redis": f"redis://:{'p' * 32}@198.51.100.31:16379/0",
        "mariadb": f"mysql://wrklab:{'p' * 32}@198.51.100.31:13306/wrklab",
    }
    assert backend_values(found)["backend.postgres.host"] == "198.51.100.31"
    assert backend_values(found)["backend.mariadb.port"] == "13306"
    assert secrets_of(found) == ("p" * 32,)


def test_no_backends_need_no_host(hosts: LabHosts) -> None:
    """A lab of two hosts is complete for a stack without backends; for others the error says how to get one."""
    without = replace(hosts, backend=None)

    assert backend_access(without, []) == {}
    with pytest.raises(
        InventoryError, match=r"lab example_ssh: no host for redis\. Name a host in the group `backend`"
    ):
        backend_access(without, ["redis"])
    with pytest.raises(InventoryError, match=r"invoke lab\.up --backends"):
        backend_access(replace(without, kind="container"), ["redis"])


def test_an_unknown_backend_is_refused_with_the_nearest() -> None:
    """The order is that of the services, whatever was asked for first."""
    assert backend_names(["redis", "postgres", "redis"]) == (BackendName.POSTGRES, BackendName.REDIS)
    with pytest.raises(UnknownNameError, match=r"unknown backend 'postgresql'\. Did you mean postgres\?"):
        backend_names(["postgresql"])


def test_a_password_is_made_once_and_for_this_user_alone(tmp_path: Path) -> None:
    """A second call reads it; another lab has another one."""
    folder = tmp_path / "backends"
    first = lab_password("one", folder)

    assert lab_password("one", folder) == first
    assert lab_password("two", folder) != first
    assert (folder / "one.password").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in folder.iterdir()) == ["one.password", "two.password"]


def test_a_password_that_others_may_read_or_that_is_none_is_refused(tmp_path: Path) -> None:
    """Somebody else may know it, or have put it there."""
    lab_password("one", tmp_path)
    (tmp_path / "one.password").chmod(0o644)
    with pytest.raises(LabError, match="other users may read it"):
        lab_password("one", tmp_path)

    (tmp_path / "two.password").write_text("secret")
    (tmp_path / "two.password").chmod(0o600)
    with pytest.raises(LabError, match="no password that was made here"):
        lab_password("two", tmp_path)


@pytest.mark.parametrize("name", list(BackendName))
def test_the_password_is_in_no_text_that_is_kept(name: BackendName) -> None:
    """URLs are blanked by their form; what a developer sees of the object has no password either."""
    access = BackendAccess(name, "10.0.0.1", 1, "x" * 32)

    assert "x" * 32 not in blanked(f"cannot connect to {access.url}")
    assert "x" * 32 not in repr(access)
