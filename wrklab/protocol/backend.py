"""Backends: services that an application needs, on a host of their own. What both sides know of them, and messages."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from wrklab.protocol.codec import Count, Limits, Message, Port, Seconds, Text, Word


class BackendName(StrEnum):
    """The services that a lab can have; roles of the same names install them."""

    POSTGRES = "postgres"
    REDIS = "redis"
    MARIADB = "mariadb"


#: The ports of our own instances: not the services' usual ones, which the host's own may have. The roles have the same.
PORTS = {BackendName.POSTGRES: 15432, BackendName.REDIS: 16379, BackendName.MARIADB: 13306}
#: The account that the application uses, and the database that is made for a run: a host serves one run at a time.
ACCOUNT = "wrklab"
DATABASE = "wrklab"
#: On the host: the password of the account, for root alone, and which instances there are.
BACKENDS_DIR = "/var/lib/wrklab/backends"
PASSWORD_FILE = f"{BACKENDS_DIR}/password"
#: No name of a unit begins with `wrklab-`: those are ended when a bench begins, and a backend is to stay.
SLICE = "wrklab_backends.slice"
#: The nft table that lets the server alone reach the ports.
FILTER_TABLE = "wrklab_backends"


def unit_of(backend: BackendName) -> str:
    """The unit of our own instance."""
    return f"wrklab_{backend}.service"


class BackendAction(StrEnum):
    """What backend_ctl.py does with a run's database."""

    #: An empty database and its account, whatever was there before.
    CREATE = "create"
    #: Keep what the database holds now, to begin from it again.
    SNAPSHOT = "snapshot"
    #: The database as the snapshot has it.
    RESTORE = "restore"
    #: Neither database nor snapshot nor account.
    DROP = "drop"


class BackendSpec(Message):
    """One action on one backend."""

    backend: BackendName
    action: BackendAction
    #: Where the application connects from.
    clients: Annotated[tuple[Word, ...], Limits(0, 100)]


class BackendDone(Message):
    """What became of it."""

    backend: BackendName
    action: BackendAction
    #: The service's own version.
    version: Word
    took_s: Seconds


class InstalledBackend(Message):
    """One of our instances on a host."""

    backend: BackendName
    #: systemd's ActiveState.
    active_state: Word
    port: Port
    #: Whether it listens on an address that is not the loopback's.
    is_listening: bool


class InstalledBackends(Message):
    """All of them, and the password's digest: it shows whose provisioning was the last, and gives nothing away."""

    installed: Annotated[tuple[InstalledBackend, ...], Limits(0, 100)]
    #: Hex SHA-256; empty where there is none.
    password_sha256: Word
    #: Whether the table is there that lets the server alone reach the ports: a reloaded firewall takes it away.
    is_filtered: bool


class BackendSampleSpec(Message):
    """The sampler of one cell on the backends' host."""

    #: The cell's folder there.
    cell: Word
    interval_s: Seconds
    #: Should nobody end it by then, the host does.
    lease_s: Seconds


class BackendReport(Message):
    """What was sampled on the backends' host through a cell."""

    #: The sampler's lines (sampler.py).
    samples: tuple[str, ...]
    sampler_stderr: Text
    #: Connections that each instance had when the load had ended, by name.
    connections: Annotated[Mapping[str, Count], Limits(0, 100)]
