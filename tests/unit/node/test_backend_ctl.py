"""backend_ctl.py without a service: which statements go where, and what is refused before any does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from wrklab.node import backend_ctl, node_io, sock_diag
from wrklab.node.node_io import CommandResult
from wrklab.protocol.backend import BackendAction, BackendName, BackendSpec

PASSWORD = "Ab_-" * 8


class Host:
    """A host on which every service is installed and listens; what was run there, and with which text."""

    def __init__(self, folder: Path) -> None:
        """With a password."""
        self.folder = folder
        self.commands: list[list[str]] = []
        self.texts: list[str] = []
        self.answers = {"INFO": CommandResult(0, "# Server\r\nredis_version:7.0.15\r\n")}
        (folder / "password").write_text(f"{PASSWORD}\n")

    def run(self, argv: list[str], limit_s: float = 0.0, text: str = "") -> CommandResult:
        """What the test says that a program answers."""
        self.commands.append(argv)
        self.texts.append(text)
        return next((found for word, found in self.answers.items() if word in argv), CommandResult(0, "1.2\n"))

    def do(self, backend: BackendName, action: BackendAction, clients: Sequence[str] = ("10.0.0.11",)) -> str:
        """All that the services' programs were told, and the version that is reported."""
        done = backend_ctl.do(BackendSpec(backend=backend, action=action, clients=tuple(clients)))
        return done.version


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host of the test's own."""
    found = Host(tmp_path)
    monkeypatch.setattr(node_io, "run", found.run)
    monkeypatch.setattr(backend_ctl, "BACKENDS_DIR", str(tmp_path))
    monkeypatch.setattr(backend_ctl, "PASSWORD_FILE", str(tmp_path / "password"))
    monkeypatch.setattr(backend_ctl, "installed_unit", lambda _: True)
    monkeypatch.setattr(sock_diag, "listeners", lambda _: [object()])
    (tmp_path / "mariadb/kept").mkdir(parents=True)
    return found


@pytest.mark.parametrize("backend", list(BackendName))
@pytest.mark.parametrize("action", list(BackendAction))
def test_no_command_line_has_the_password(host: Host, backend: BackendName, action: BackendAction) -> None:
    """Each runs as the service's own user; the password goes through standard input or the environment."""
    (host.folder / "mariadb/kept/snapshot.sql").touch()
    (host.folder / "mariadb/kept/snapshot.sql.part").touch()

    assert host.do(backend, action)

    user = {"postgres": "postgres", "redis": "redis", "mariadb": "mysql"}[backend]
    assert {tuple(command[:4]) for command in host.commands} == {("runuser", "-u", user, "--")}
    assert not any(PASSWORD in word for command in host.commands for word in command)
    said = any(PASSWORD in text for text in host.texts)
    assert said == (action is BackendAction.CREATE and backend is not BackendName.REDIS)


def test_a_database_of_postgres_is_kept_as_a_template(host: Host) -> None:
    """With statistics, and with nobody connected."""
    host.do(BackendName.POSTGRES, BackendAction.SNAPSHOT)
    [kept] = host.texts
    host.do(BackendName.POSTGRES, BackendAction.RESTORE)

    assert kept.index("VACUUM (ANALYZE)") < kept.index("pg_terminate_backend")
    assert kept.index("pg_terminate_backend") < kept.index(
        "CREATE DATABASE wrklab_snapshot OWNER wrklab TEMPLATE wrklab;"
    )
    assert "CREATE DATABASE wrklab OWNER wrklab TEMPLATE wrklab_snapshot;" in host.texts[1]


def test_an_account_of_mariadb_is_for_each_address_of_the_server(host: Host) -> None:
    """Those of an earlier server are dropped."""
    host.answers["--batch"] = CommandResult(0, "10.0.0.9\n")
    host.do(BackendName.MARIADB, BackendAction.CREATE, ("10.0.0.11", "192.168.0.11"))
    said = "".join(host.texts)

    assert "DROP USER 'wrklab'@'10.0.0.9';" in said
    for address in ("10.0.0.11", "192.168.0.11"):
        assert f"CREATE USER 'wrklab'@'{address}' IDENTIFIED BY '{PASSWORD}';" in said


def refused(capsys: pytest.CaptureFixture[str], host: Host, backend: BackendName, *clients: str) -> str:
    """Why a database is not made."""
    with pytest.raises(SystemExit):
        host.do(backend, BackendAction.CREATE, clients)
    error: str = json.loads(capsys.readouterr().out)["error"]
    return error


def test_what_could_break_out_of_a_statement_is_refused(capsys: pytest.CaptureFixture[str], host: Host) -> None:
    """An address that is none, and a password that nobody here made."""
    assert "an IPv4 address" in refused(capsys, host, BackendName.MARIADB, "x'; DROP")
    (host.folder / "password").write_text("it's")
    assert "no password that provisioning wrote" in refused(capsys, host, BackendName.POSTGRES)


def test_what_the_service_says_is_the_reason(capsys: pytest.CaptureFixture[str], host: Host) -> None:
    """With the program; the mark stays, so that the next cleanup drops what was made."""
    host.answers["psql"] = CommandResult(3, "ERROR:  no room\n")

    assert refused(capsys, host, BackendName.POSTGRES) == "psql (exit status 3): ERROR:  no room"
    assert (host.folder / "postgres.in_use").exists()


def test_a_database_that_is_in_use_is_marked_until_it_is_dropped(host: Host) -> None:
    """By a file: a cleanup asks no service about databases that nobody made."""
    host.do(BackendName.REDIS, BackendAction.CREATE)
    assert (host.folder / "redis.in_use").exists()

    host.do(BackendName.REDIS, BackendAction.DROP)
    assert not (host.folder / "redis.in_use").exists()


def test_leftovers_are_dropped_and_what_cannot_be_is_told(host: Host) -> None:
    """One service that is broken keeps no other's from being dropped."""
    (host.folder / "postgres.in_use").touch()
    assert backend_ctl.drop_leftovers() == (["database wrklab of postgres"], [])

    host.answers["do"] = CommandResult(3, '{"error":"down"}\n')
    assert backend_ctl.drop_leftovers() == ([], ['database wrklab of postgres: {"error":"down"}'])
    (host.folder / "postgres.in_use").unlink()
    assert backend_ctl.drop_leftovers() == ([], [])


def test_nothing_kept_cannot_be_put_back(capsys: pytest.CaptureFixture[str], host: Host) -> None:
    """MariaDB's dump is a file; without it the database stays as it is."""
    with pytest.raises(SystemExit):
        host.do(BackendName.MARIADB, BackendAction.RESTORE)

    assert "nothing was kept" in json.loads(capsys.readouterr().out)["error"]
    assert host.commands == []


def test_a_command_reads_what_it_is_given() -> None:
    """And nothing where it is given nothing."""
    assert node_io.run(["cat"], text="SELECT 'ä';\n").output == "SELECT 'ä';\n"
    assert node_io.run(["cat"]).output == ""
