"""Backends on a node of the container lab: reachable from the server alone, a database a run, kept and put back."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.conftest import LAB, invoke, on_host
from tests.lab.test_provision import ansible
from wrklab.catalogue.catalogue import Catalogue
from wrklab.hosts import container_lab, node_calls
from wrklab.hosts.backend_urls import BackendAccess, backend_access, lab_password
from wrklab.hosts.remote import RemoteHost
from wrklab.hosts.run_backends import RunBackends, missing_backends, run_backends
from wrklab.hosts.session import Session, open_session
from wrklab.protocol.backend import BackendAction, BackendName, BackendSampleSpec

#: A client of each service with the URL's account, as words; the last is the statement. None has the password on its
#: command line.
CLIENTS = {
    "postgres": "PGPASSWORD={password} PGCONNECT_TIMEOUT=5 psql -qtAX -h {host} -p {port} -U {user} -d {database} -c",
    "redis": "REDISCLI_AUTH={password} redis-cli -e -h {host} -p {port} --raw EVAL",
    "mariadb": "MYSQL_PWD={password} mariadb --no-defaults -BN --connect-timeout=5 -h {host} -P {port} -u {user} "
    "-D {database} -e",
}
#: Makes one row, adds one, counts them.
FILL = {
    "postgres": "CREATE TABLE pens (name text); INSERT INTO pens VALUES ('a')",
    "redis": "redis.call('RPUSH', 'pens', 'a') redis.call('SELECT', 3) redis.call('SET', 'other', 'b', 'EX', 1000)",
    "mariadb": "CREATE TABLE pens (name text); INSERT INTO pens VALUES ('a')",
}
ADD = {
    "postgres": "INSERT INTO pens VALUES ('b')",
    "redis": "redis.call('RPUSH', 'pens', 'b') redis.call('SELECT', 3) redis.call('DEL', 'other')",
    "mariadb": "INSERT INTO pens VALUES ('b')",
}
COUNT = {
    "postgres": "SELECT count(*) FROM pens",
    "redis": "return redis.call('LLEN', 'pens')",
    "mariadb": "SELECT count(*) FROM pens",
}

SAMPLE = Path(__file__).parent / "applications/sums"
CARD = """---
application: sums
entries: {{web: {{import: "sums:app", interface: wsgi}}}}
requirements: requirements.txt
environment: {{DATABASE_URL: "{{backend.postgres.url}}", POOL_SIZE: "{pool_size}", POOL_WAIT_S: "{pool_wait_s}"}}
backends: [postgres]
requests: [{{name: total, path: /, expect: {{contains: sum}}}}]
"""
LIGHT = ("--connections", "16", "--duration", "3s", "--rounds", "1", "--threads", "2", "--warmup", "500ms", "--force")


def say(host: RemoteHost, access: BackendAccess, statement: str, *, check: bool = True) -> str:
    """What a service answers to the application's account, asked from a host."""
    client = CLIENTS[access.name].format(
        password=access.password, host=access.host, port=access.port, user=access.user, database=access.database
    )
    words = f"{client} {shlex.quote(statement)}" + (" 0" if access.name is BackendName.REDIS else "")
    done = host.run(["sh", "-c", words], limit_s=30, check=check)
    return done.stdout.strip()


def connects(host: RemoteHost, access: BackendAccess) -> bool:
    """Whether a TCP connection opens from a host."""
    words = ["timeout", "5", "bash", "-c", f": </dev/tcp/{access.host}/{access.port}"]
    return host.run(words, limit_s=20, check=False).exit_code == 0


def changed_tasks(lab: str, *words: str) -> list[str]:
    """What a playbook changed, as `host: task`. It must succeed."""
    done = ansible("ansible-playbook", lab, *words)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    found, task = [], ""
    for line in done.stdout.splitlines():
        if named := re.match(r"TASK \[(.+)\]", line):
            task = named[1]
        elif changed := re.match(r"changed: \[(\w+)\]", line):
            found.append(f"{changed[1]}: {task}")
    return found


@pytest.fixture(scope="module", autouse=True)
def clients_for_one_lab(backend_lab: str) -> Iterator[None]:
    """Clients of each service on server and generator. The tests that follow are of a lab of two nodes."""
    clients = "postgresql-client-15 redis-tools mariadb-client"
    for host in ("server", "loadgen"):
        on_host(host, f"apt-get install -qq -y --no-install-recommends {clients}")
    yield
    container_lab.down()


@contextmanager
def opened(catalogue: Catalogue, lab: str) -> Iterator[Session]:
    """Open connections, with nothing of an earlier test left."""
    with open_session(catalogue, lab) as found:
        found.clean_up()
        yield found
        found.clean_up()


@pytest.fixture
def session(backend_lab: str, catalogue: Catalogue) -> Iterator[Session]:
    """Open connections to the lab with backends."""
    with opened(catalogue, backend_lab) as found:
        yield found


@pytest.fixture
def databases(session: Session) -> Iterator[RunBackends]:
    """A run's databases on all three services."""
    with run_backends(session, list(BackendName)) as found:
        yield found


def test_the_lab_says_which_cpus_its_backends_have(backend_lab: str) -> None:
    """lab.status knows the node, and on a machine of two cores says whose CPUs it shares."""
    done = invoke("lab.status", "--json")
    assert done.returncode == 0, done.stderr
    found = {host["host"]: host for host in json.loads(done.stdout)["hosts"]}

    assert set(found) == {"server", "loadgen", "backend"}
    assert found["backend"]["group"] == "backend"
    shared = set(found["backend"]["cpus"]) & set(found["loadgen"]["cpus"])
    assert set(found["backend"]["cpus"]).isdisjoint(found["server"]["cpus"]) or len(found["server"]["cpus"]) == 1
    assert any("shares" in note and "loadgen" in note for note in found["backend"]["notes"]) == bool(shared)


@pytest.mark.parametrize("name", list(BackendName))
def test_a_service_answers_the_server_and_nobody_else(
    session: Session, databases: RunBackends, name: BackendName
) -> None:
    """Neither the generator, nor the controller, nor the server without the password."""
    access = databases.access[name]
    say(session.server, access, FILL[name])
    assert say(session.server, access, COUNT[name]) == "1"
    assert databases.versions[name].startswith({"postgres": "15.", "redis": "7.", "mariadb": "10.11"}[name])

    assert connects(session.server, access)
    assert not connects(session.generators[0], access)
    with pytest.raises(OSError, match=r"refused|timed out"):
        socket.create_connection((access.host, access.port), timeout=5)
    wrong = BackendAccess(access.name, access.host, access.port, "x" * 32)
    assert say(session.server, wrong, COUNT[name], check=False) != "1"


@pytest.mark.parametrize("name", list(BackendName))
def test_what_was_prepared_is_put_back(session: Session, databases: RunBackends, name: BackendName) -> None:
    """The hook runs once for a key; what an application did since is gone, also in another of Redis's databases."""
    calls: list[str] = []
    access = databases.access[name]

    def fill() -> None:
        calls.append("fill")
        say(session.server, access, FILL[name])

    assert databases.prepare("one", fill)
    say(session.server, access, ADD[name])
    assert say(session.server, access, COUNT[name]) == "2"

    assert not databases.prepare("one", fill)
    assert say(session.server, access, COUNT[name]) == "1"
    if name is BackendName.REDIS:
        left = "redis.call('SELECT', 3) return redis.call('TTL', 'other')"
        assert 0 < int(say(session.server, access, left)) <= 1000
    assert databases.prepare("two", fill)
    assert say(session.server, access, COUNT[name]) == "1"
    assert calls == ["fill", "fill"]


def test_a_dead_run_leaves_no_database(session: Session) -> None:
    """The next cleanup of the host drops it, and says so; a database that is in no use is none."""
    access = backend_access(session.hosts, ["postgres"])["postgres"]
    assert session.backend is not None
    node_calls.backend_do(session.backend, BackendName.POSTGRES, BackendAction.CREATE, ())
    say(session.server, access, FILL["postgres"])

    cleaned = node_calls.clean_up(session.backend)

    assert "database wrklab of postgres" in cleaned.removed
    assert say(session.server, access, "SELECT 1", check=False) == ""
    assert "database wrklab of postgres" not in node_calls.clean_up(session.backend).removed


def test_the_backends_host_is_sampled(session: Session, databases: RunBackends) -> None:
    """What the services use is told from the rest of their host."""
    assert session.backend is not None
    spec = BackendSampleSpec(cell="test.backends", interval_s=0.2, lease_s=60.0)
    node_calls.sample_backends(session.backend, spec)
    say(session.server, databases.access["postgres"], "SELECT count(*) FROM generate_series(1, 3000000)")

    found = node_calls.report_backends(session.backend, spec)

    used = [json.loads(line)["raw"]["unit_cpu"] for line in found.samples]
    first, last = (int(text.split()[1]) for text in (used[0], used[-1]))
    assert last - first > 100_000
    assert set(found.connections) == {"postgres", "redis", "mariadb"}


@pytest.mark.parametrize(
    ("pool_size", "pool_wait_s", "expected"),
    [(8, 5.0, "backend_busy"), (1, 0.02, "pool_exhausted")],
    ids=["a busy database", "a small pool"],
)
def test_what_a_backend_sets_is_said(
    backend_lab: str, tmp_path: Path, pool_size: int, pool_wait_s: float, expected: str
) -> None:
    """Where each request has the database compute for 10 ms the row is backend-bound; a pool of one runs out."""
    folder = tmp_path / "sums"
    shutil.copytree(SAMPLE, folder)
    card = CARD.format(pool_size=pool_size, pool_wait_s=pool_wait_s)
    (folder / "wrklab.yml").write_text(card, encoding="utf-8")

    words = ("--recipe", "gunicorn_gthread", "--param", "workers=1", "--param", "threads=8", *LIGHT)
    done = invoke("bench", "--app", str(folder), *words, "--json", limit_s=600)

    assert done.stdout.strip(), done.stderr
    [row] = json.loads(done.stdout)["rows"]
    assert expected in row["note_names"].split(), row["note"]
    if expected == "backend_busy":
        assert (done.returncode, row["errors_status"]) == (0, 0), done.stderr
        assert row["verdict"] in {"backend-bound", "disturbed"}, row["note"]
        assert row["backend_cpu_percent"] > 2 * row["server_cpu_percent"]
    else:
        assert row["errors_status"] > 0
        assert "QueuePool limit of size 1 overflow 0 reached" in row["note"]


def test_provisioning_again_puts_back_a_lost_filter_and_changes_nothing_else(session: Session) -> None:
    """A reloaded firewall takes it away; the next bench provisions. Services run on, and need not be named."""
    assert session.backend is not None
    pids = "systemctl show --property=MainPID --value wrklab_postgres wrklab_redis wrklab_mariadb"
    before = on_host("backend", pids)
    session.backend.run(["nft", "delete", "table", "ip", "wrklab_backends"], limit_s=30)
    found = node_calls.installed_backends(session.backend)
    assert missing_backends(found, [BackendName.REDIS], LAB) == "the filter of its ports is gone"

    assert changed_tasks(LAB, "playbooks/provision.yml") == [
        "backend: backends : prepare | Let the filter hold, now and after a reboot"
    ]

    assert missing_backends(node_calls.installed_backends(session.backend), list(BackendName), LAB) == ""
    assert on_host("backend", pids) == before
    assert set(before.split()).isdisjoint({"0"})


def test_the_password_is_on_no_command_line_and_for_root_alone(backend_lab: str) -> None:
    """Not in the arguments of any process, and in no file that others may read."""
    password = lab_password(LAB)
    found = on_host(
        "backend",
        "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; stat --format=%a /var/lib/wrklab/backends/password",
    )
    assert password not in found
    assert found.endswith("600")
    folders = "/var/lib/wrklab/backends /etc/systemd/system"
    has_it = (
        f"find {folders} -type f -perm /007 -exec grep --files-with-matches --fixed-strings -- {password} {{}} +; true"
    )
    assert on_host("backend", has_it) == ""


def test_reset_undoes_them(backend_lab: str) -> None:
    """Neither instances, nor data, nor filter; the packages' own services came with us and do not run."""
    changed_tasks(backend_lab, "playbooks/reset.yml")

    left = (
        "ls -d /var/lib/wrklab /etc/systemd/system/wrklab_* /etc/systemd/system/*/wrklab_* 2>/dev/null; "
        "nft list tables; systemctl is-active postgresql redis-server mariadb; "
        "systemctl is-enabled postgresql redis-server mariadb; true"
    )
    assert on_host("backend", left).split() == ["inactive"] * 3 + ["disabled"] * 3
    assert changed_tasks(backend_lab, "playbooks/reset.yml") == []
