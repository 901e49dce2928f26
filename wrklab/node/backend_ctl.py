"""A run's database on the backends' host, made and dropped, kept and put back; and that host sampled through a cell.

    backend_ctl.py do <BackendSpec>             prints BackendDone
    backend_ctl.py installed                    prints InstalledBackends
    backend_ctl.py sample <BackendSampleSpec>   starts the sampler, prints Done
    backend_ctl.py report <BackendSampleSpec>   ends it, prints BackendReport; calling it again does no harm

Specs are words (wrklab/protocol/codec.py). Exit 3 with a Refusal: the service said no, and what it said.
Statements go to each service as its own user, over its socket and through standard input: no password is on a command
line.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from hashlib import sha256

sys.path.append(__file__.rsplit("/", 3)[0])

from wrklab.node import node_io, sock_diag
from wrklab.node.sampler import unified_root
from wrklab.protocol.backend import (
    ACCOUNT,
    BACKENDS_DIR,
    DATABASE,
    FILTER_TABLE,
    PASSWORD_FILE,
    PORTS,
    SLICE,
    BackendAction,
    BackendDone,
    BackendName,
    BackendReport,
    BackendSampleSpec,
    BackendSpec,
    InstalledBackend,
    InstalledBackends,
    unit_of,
)
from wrklab.protocol.codec import to_word
from wrklab.protocol.host import Done
from wrklab.protocol.server import SamplerSpec

SAMPLER = "wrklab-backend-sampler.service"
SNAPSHOT = f"{DATABASE}_snapshot"
#: Redis numbers its databases: those of the application come first, and as many behind them hold the snapshot.
REDIS_DATABASES_COUNT = 16
#: A large database takes its time to copy.
_ACTION_LIMIT_S = 900.0
_READY_LIMIT_S = 60.0
_LOOK_EVERY_S = 0.1
_PASSWORD_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_ADDRESS_LETTERS = frozenset("0123456789.")

# An error would be logged with its statement, and a statement has the password.
_POSTGRES = {
    BackendAction.CREATE: """\
SET log_min_error_statement = panic;
SET client_min_messages = warning;
DROP DATABASE IF EXISTS {database} WITH (FORCE);
DROP DATABASE IF EXISTS {snapshot} WITH (FORCE);
DROP ROLE IF EXISTS {account};
CREATE ROLE {account} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '{password}';
CREATE DATABASE {database} OWNER {account} TEMPLATE template0 ENCODING 'UTF8';
""",
    # Statistics are part of what is kept: without them plans would differ from round to round.
    BackendAction.SNAPSHOT: """\
SET client_min_messages = warning;
DROP DATABASE IF EXISTS {snapshot} WITH (FORCE);
\\connect {database}
VACUUM (ANALYZE);
\\connect postgres
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}' \\g /dev/null
CREATE DATABASE {snapshot} OWNER {account} TEMPLATE {database};
""",
    BackendAction.RESTORE: """\
SET client_min_messages = warning;
DROP DATABASE IF EXISTS {database} WITH (FORCE);
CREATE DATABASE {database} OWNER {account} TEMPLATE {snapshot};
CHECKPOINT;
""",
    BackendAction.DROP: """\
SET client_min_messages = warning;
DROP DATABASE IF EXISTS {database} WITH (FORCE);
DROP DATABASE IF EXISTS {snapshot} WITH (FORCE);
DROP ROLE IF EXISTS {account};
""",
}

# COPY keeps types and times to live. Each script is one call: no client sees half of it.
_REDIS_COPY = (
    "for n = {first}, {last} do redis.call('SELECT', n) "
    "for _, key in ipairs(redis.call('KEYS', '*')) do redis.call('COPY', key, key, 'DB', n + {offset}, 'REPLACE') end "
    "end"
)
_REDIS_EMPTY = "for n = {first}, {last} do redis.call('SELECT', n) redis.call('FLUSHDB') end"


def do(spec: BackendSpec) -> BackendDone:
    """Carry out one action. Ends the script with what the service said where it refuses."""
    began = time.monotonic()
    if not installed_unit(spec.backend):
        node_io.refuse(
            f"{spec.backend} is not installed on this host: `invoke provision` with it in lab_backends does that"
        )
    _make_ready(spec.backend)
    mark = in_use_path(spec.backend)
    if spec.action is BackendAction.CREATE:
        # Before anything is made: should this be cut off, the next cleanup drops it.
        node_io.write_file(mark, f"{DATABASE}\n")
    version = {
        BackendName.POSTGRES: _do_postgres,
        BackendName.REDIS: _do_redis,
        BackendName.MARIADB: _do_mariadb,
    }[spec.backend](spec.action, spec.clients)
    if spec.action is BackendAction.DROP:
        node_io.remove(mark)
    return BackendDone(
        backend=spec.backend, action=spec.action, version=version.strip(), took_s=time.monotonic() - began
    )


def in_use_path(backend: BackendName) -> str:
    """There as long as a run's database may be."""
    return f"{BACKENDS_DIR}/{backend}.in_use"


def drop_leftovers() -> tuple[list[str], list[str]]:
    """Drop the databases that a dead bench left: which those were, and what could not be dropped and why."""
    dropped, left = [], []
    for backend in BackendName:
        if not os.path.exists(in_use_path(backend)):
            continue
        words = ["/usr/bin/python3", "-I", "-S", f"{node_io.NODE_DIR}/backend_ctl.py", "do"]
        spec = BackendSpec(backend=backend, action=BackendAction.DROP, clients=())
        done = node_io.run([*words, to_word(spec)], _ACTION_LIMIT_S)
        if done.exit_code:
            left.append(f"database {DATABASE} of {backend}: {done.output.strip()}")
        else:
            dropped.append(f"database {DATABASE} of {backend}")
    return dropped, left


def installed_unit(backend: BackendName) -> bool:
    """Whether our own instance is on this host."""
    return os.path.exists(f"/etc/systemd/system/{unit_of(backend)}")


def installed() -> InstalledBackends:
    """Our instances, and the digest of the password that they were provisioned with."""
    password = node_io.read_text(PASSWORD_FILE)
    return InstalledBackends(
        installed=tuple(
            InstalledBackend(
                backend=backend,
                active_state=_active_state(backend),
                port=PORTS[backend],
                is_listening=bool(sock_diag.listeners(PORTS[backend])),
            )
            for backend in BackendName
            if installed_unit(backend)
        ),
        password_sha256=sha256(password.strip().encode()).hexdigest() if password else "",
        is_filtered=not node_io.run(["nft", "list", "table", "ip", FILTER_TABLE]).exit_code,
    )


def _active_state(backend: BackendName) -> str:
    shown = node_io.run(["systemctl", "show", "--value", "--property=ActiveState", unit_of(backend)])
    return shown.output.strip()


def _make_ready(backend: BackendName) -> None:
    """Start the instance where it does not listen, and wait until it does: a host may just have booted."""
    if sock_diag.listeners(PORTS[backend]):
        return
    started = node_io.run(["systemctl", "restart", unit_of(backend)], _READY_LIMIT_S)
    deadline_s = time.monotonic() + _READY_LIMIT_S
    while not started.exit_code and not sock_diag.listeners(PORTS[backend]):
        if time.monotonic() > deadline_s:
            break
        time.sleep(_LOOK_EVERY_S)
    else:
        if not started.exit_code:
            return
    said = node_io.run(["journalctl", "--no-pager", "--lines=15", "--output=cat", f"--unit={unit_of(backend)}"]).output
    node_io.refuse(
        f"{unit_of(backend)} does not listen on port {PORTS[backend]}: {started.output.strip()}\n{said.strip()}"
    )


def _password() -> str:
    """Ends the script where there is none, or one that would need escapes in a statement."""
    found = (node_io.read_text(PASSWORD_FILE) or "").strip()
    if not found or not _PASSWORD_LETTERS.issuperset(found):
        node_io.refuse(f"{PASSWORD_FILE}: no password that provisioning wrote: `invoke provision` writes it")
    return found


def _as(user: str, words: Sequence[str], text: str = "") -> str:
    """What a service's own program says, run as the service's user. Ends the script where it fails."""
    done = node_io.run(["runuser", "-u", user, "--", *words], _ACTION_LIMIT_S, text)
    if done.exit_code:
        node_io.refuse(f"{words[0]} (exit status {done.exit_code}): {done.output.strip()}")
    return done.output


def _do_postgres(action: BackendAction, _clients: Sequence[str]) -> str:
    names = {"database": DATABASE, "snapshot": SNAPSHOT, "account": ACCOUNT}
    statements = _POSTGRES[action].format(**names, password=_password() if action is BackendAction.CREATE else "")
    psql = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]
    psql += ["--host=/run/wrklab_postgres", f"--port={PORTS[BackendName.POSTGRES]}", "--dbname=postgres"]
    return _as("postgres", psql, f"{statements}SHOW server_version;\n")


def _do_redis(action: BackendAction, _clients: Sequence[str]) -> str:
    # Only root and this user can read another process's environment.
    os.environ["REDISCLI_AUTH"] = _password()
    client = ["redis-cli", "-e", "-s", "/run/wrklab_redis/redis.sock"]
    count = REDIS_DATABASES_COUNT
    first, kept = {"first": 0, "last": count - 1}, {"first": count, "last": 2 * count - 1}
    scripts = {
        BackendAction.CREATE: [_REDIS_EMPTY.format(first=0, last=2 * count - 1)],
        BackendAction.SNAPSHOT: [_REDIS_EMPTY.format(**kept), _REDIS_COPY.format(**first, offset=count)],
        BackendAction.RESTORE: [_REDIS_EMPTY.format(**first), _REDIS_COPY.format(**kept, offset=-count)],
        BackendAction.DROP: [_REDIS_EMPTY.format(first=0, last=2 * count - 1)],
    }
    for script in scripts[action]:
        _as("redis", [*client, "EVAL", script, "0"])
    told = _as("redis", [*client, "INFO", "server"])
    lines = dict(line.partition(":")[::2] for line in told.splitlines())
    return lines.get("redis_version", "")


def _do_mariadb(action: BackendAction, clients: Sequence[str]) -> str:
    dump = f"{BACKENDS_DIR}/mariadb/kept/snapshot.sql"
    if action is BackendAction.SNAPSHOT:
        options = "--single-transaction --routines --triggers --events"
        # As the service's user, whose folder it is; whole or not at all.
        _as(
            "mysql",
            ["sh", "-c", f"umask 077 && mariadb-dump {_MARIADB_SOCKET} {options} {DATABASE} >{dump}.part"],
        )
        os.rename(f"{dump}.part", dump)
    if action is BackendAction.RESTORE:
        if not os.path.exists(dump):
            node_io.refuse(f"{dump} is not there: nothing was kept of this run's database")
        _mariadb(_MARIADB_EMPTY)
        _as("mysql", ["sh", "-c", f"mariadb {_MARIADB_SOCKET} {DATABASE} <{dump}"])
    if action in (BackendAction.CREATE, BackendAction.DROP):
        node_io.remove(dump)
        _drop_mariadb_accounts()
        _mariadb(f"DROP DATABASE IF EXISTS {DATABASE};")
    if action is BackendAction.CREATE:
        _mariadb(_MARIADB_EMPTY + "".join(_mariadb_account(client) for client in clients))
    return _mariadb("SELECT VERSION();")


_MARIADB_SOCKET = "--no-defaults --user=mysql --socket=/run/wrklab_mariadb/mariadb.sock"
_MARIADB_EMPTY = (
    f"DROP DATABASE IF EXISTS {DATABASE}; "
    f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;\n"
)


def _mariadb(statements: str) -> str:
    return _as("mysql", ["mariadb", *_MARIADB_SOCKET.split(), "--batch", "--skip-column-names"], statements)


def _drop_mariadb_accounts() -> None:
    """An account is one for each address that it may come from: those of an earlier server too."""
    listed = _mariadb(f"SELECT Host FROM mysql.global_priv WHERE User = '{ACCOUNT}';\n")  # noqa: S608  a constant
    _mariadb("".join(f"DROP USER '{ACCOUNT}'@'{_address(host)}';\n" for host in listed.split()))


def _mariadb_account(client: str) -> str:
    account = f"'{ACCOUNT}'@'{_address(client)}'"
    return f"CREATE USER {account} IDENTIFIED BY '{_password()}'; GRANT ALL ON {DATABASE}.* TO {account};\n"


def _address(text: str) -> str:
    """An IPv4 address, as it is put into a statement. Ends the script where it is none."""
    if not text or not _ADDRESS_LETTERS.issuperset(text):
        node_io.refuse(f"{text!r}: an IPv4 address of the server was expected")
    return text


def sample(spec: BackendSampleSpec) -> Done:
    """Start the sampler of a cell; one that is left of an earlier cell ends first."""
    folder = node_io.cell_dir(spec.cell)
    node_io.run(["systemctl", "stop", SAMPLER])
    node_io.drop_other_cells(folder)
    os.makedirs(folder, exist_ok=True)
    sampler = SamplerSpec(
        out=f"{folder}/backend_samples.jsonl",
        interval_s=spec.interval_s,
        sources=f"{node_io.NODE_DIR}/sources.json",
        cgroup=f"{unified_root()}/{SLICE}",
    )
    node_io.remove(sampler.out)
    started = node_io.run(
        [
            "systemd-run", "--quiet", "--no-block", "--collect",
            f"--unit={SAMPLER}",
            f"--property=RuntimeMaxSec={spec.lease_s:g}",
            "--property=KillSignal=SIGKILL",
            "--property=SuccessExitStatus=SIGKILL",
            f"--property=StandardError=truncate:{folder}/backend_sampler_stderr",
            "/usr/bin/python3", "-I", "-S", f"{node_io.NODE_DIR}/sampler.py", to_word(sampler),
        ]
    )  # fmt: skip
    if started.exit_code:
        node_io.refuse(f"systemd-run {SAMPLER}: {started.output.strip()}")
    return Done(is_done=True)


def report(spec: BackendSampleSpec) -> BackendReport:
    """What was sampled; the cell's folder goes with the next cell."""
    folder = node_io.cell_dir(spec.cell)
    services = filter(installed_unit, BackendName)
    connections = {str(backend): sum(sock_diag.peers(PORTS[backend]).values()) for backend in services}
    node_io.run(["systemctl", "stop", SAMPLER])
    return BackendReport(
        samples=tuple((node_io.read_text(f"{folder}/backend_samples.jsonl") or "").splitlines()),
        sampler_stderr=node_io.cut(node_io.read_text(f"{folder}/backend_sampler_stderr") or ""),
        connections=connections,
    )


def main() -> None:
    """The verb is the first word."""
    # The services' users may not be let into the folder that a login begins in.
    os.chdir("/")
    verb, *words = sys.argv[1:] or [""]
    if verb == "do" and len(words) == 1:
        node_io.answer(do(node_io.read_spec(BackendSpec, words[0])))
    elif verb == "installed" and not words:
        node_io.answer(installed())
    elif verb == "sample" and len(words) == 1:
        node_io.answer(sample(node_io.read_spec(BackendSampleSpec, words[0])))
    elif verb == "report" and len(words) == 1:
        node_io.answer(report(node_io.read_spec(BackendSampleSpec, words[0])))
    else:
        node_io.refuse("backend_ctl.py do <spec> | installed | sample <spec> | report <spec>")


if __name__ == "__main__":
    node_io.guarded(main)
