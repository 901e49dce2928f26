"""How an application reaches the backends of its lab: a URL each, and its parts.

    access = backend_access(session.hosts, ["postgres", "redis"])
    access["postgres"].url          # postgresql://wrklab:...@10.86.77.31:15432/wrklab
    filled_in = backend_values(access)["backend.postgres.url"]

`backend_values` has every name that may stand in braces in an environment: `backend.NAME.url`, `.host`, `.port`,
`.user`, `.password` and `.database`. The names do not depend on the run: a host serves one run at a time, and each run
begins with an empty database of the same name (hosts/run_backends.py).

The password is the lab's own, made here at first need, in a file for this user alone. It must not be printed: every URL
is blanked by wrklab.protocol.blanking, which knows the form; the password by itself is not, so `secrets_of` names it.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from wrklab.errors import InventoryError, LabError, UnknownNameError
from wrklab.hosts.inventory import BACKEND_GROUP, LabHosts
from wrklab.paths import CACHE_DIR
from wrklab.protocol.backend import ACCOUNT, DATABASE, PORTS, BackendName

#: 192 bits; letters that need no escape in a URL, a configuration file or a statement of SQL.
_PASSWORD_BYTES = 24
_PASSWORD = re.compile(r"[A-Za-z0-9_-]{32}")


@dataclass(frozen=True)
class BackendAccess:
    """How an application reaches one backend."""

    name: BackendName
    host: str
    port: int
    password: str = field(repr=False)

    @property
    def user(self) -> str:
        """Empty for Redis, whose one account has no name."""
        return "" if self.name is BackendName.REDIS else ACCOUNT

    @property
    def database(self) -> str:
        """The run's database; Redis numbers them."""
        return "0" if self.name is BackendName.REDIS else DATABASE

    @property
    def url(self) -> str:
        """As drivers take it; one that wants its own scheme (mysql+pymysql) takes the parts."""
        scheme = {BackendName.POSTGRES: "postgresql", BackendName.REDIS: "redis", BackendName.MARIADB: "mysql"}
        return f"{scheme[self.name]}://{self.user}:{self.password}@{self.host}:{self.port}/{self.database}"

    @property
    def values(self) -> dict[str, str]:
        """What an environment may name, by the part's name."""
        return {
            "url": self.url,
            "host": self.host,
            "port": str(self.port),
            "user": self.user,
            "password": self.password,
            "database": self.database,
        }


def backend_names(names: Iterable[str]) -> tuple[BackendName, ...]:
    """Backends by their names, each once, in the order of the services. Raises UnknownNameError."""
    wanted = set(names)
    for name in sorted(wanted):
        if name not in set(BackendName):
            raise UnknownNameError("backend", name, [str(known) for known in BackendName])
    return tuple(known for known in BackendName if known in wanted)


def backend_access(hosts: LabHosts, names: Iterable[str]) -> dict[str, BackendAccess]:
    """How the application on a lab's server reaches these backends, by name; no names need no host.

    Raises UnknownNameError, and InventoryError where the lab has no host for backends.
    """
    wanted = backend_names(names)
    if not wanted:
        return {}
    if hosts.backend is None:
        raise InventoryError(no_backend_host(hosts.lab, hosts.kind, wanted))
    address, password = hosts.backend.load_address, lab_password(hosts.lab)
    return {str(name): BackendAccess(name, address, PORTS[name], password) for name in wanted}


def backend_values(access: Mapping[str, BackendAccess]) -> dict[str, str]:
    """Every name that may stand in braces in an application's environment, with its value."""
    return {f"backend.{name}.{part}": value for name, found in access.items() for part, value in found.values.items()}


def secrets_of(access: Mapping[str, BackendAccess]) -> tuple[str, ...]:
    """The texts that no record may have."""
    return tuple(sorted({found.password for found in access.values()}))


def no_backend_host(lab: str, kind: str, wanted: Iterable[BackendName]) -> str:
    """What to do about a lab without a host for backends."""
    remedy = {
        "container": "`invoke lab.up --backends` makes one.",
        "vagrant": "`LAB_BACKENDS=1 vagrant up` makes one.",
    }.get(kind, f"Name a host in the group `{BACKEND_GROUP}` of inventory/{lab}/hosts.yml.")
    return f"lab {lab}: no host for {', '.join(wanted)}. {remedy}"


def lab_password(lab: str, folder: Path = CACHE_DIR / "backends") -> str:
    """The password of a lab's backends; made at first need. Raises LabError for a file that is not as it was made."""
    path = folder / f"{lab}.password"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_once(path)
        if path.stat().st_mode & 0o077:
            raise LabError(f"{path}: other users may read it. Remove it: a new one is made, and provisioned by itself")
        found = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"{path}: the password of the lab's backends cannot be kept there: {error}") from error
    if not _PASSWORD.fullmatch(found):
        raise LabError(f"{path}: this is no password that was made here. Remove it: a new one is made")
    return found


def _make_once(path: Path) -> None:
    """Whole or not at all, and the first of two processes at the same time makes it."""
    if path.exists():
        return
    part = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(secrets.token_urlsafe(_PASSWORD_BYTES))
    try:
        os.link(part, path)
    except FileExistsError:
        pass  # another process was quicker: its password is the lab's
    finally:
        part.unlink()


def password_digest(password: str) -> str:
    """Hex SHA-256: what a host may show of the password that it was provisioned with."""
    return sha256(password.encode()).hexdigest()
