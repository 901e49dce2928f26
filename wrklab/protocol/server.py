"""A variant's server on its host: how it is started, and what was seen of it until it was stopped."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from wrklab.protocol.codec import Count, Limits, Message, Port, Seconds, Text, Word

#: Loads the rules on who may reach variants, and whom they may reach. Not `wrklab-*`: such units are variants and what
#: belongs to one cell.
FILTER_UNIT = "wrklab_filter.service"

_Lines = Annotated[tuple[Text, ...], Limits(0, 1000)]


class ServerSpec(Message):
    """The server of one cell or probe, with its sampler and its lease."""

    unit: Word
    variant: Word
    #: The cell's folder on this host.
    cell: Word
    port: Port
    environment: Annotated[Mapping[str, Text], Limits(0, 100)]
    #: Should nobody finish the cell by then, the host stops the unit.
    lease_s: Seconds
    sample_interval_s: Seconds
    keep_log_lines: Annotated[int, Limits(0, 1000)]
    #: How long its unit may take until its server runs, with what it does before.
    start_limit_s: Seconds = 20.0


class ServerStarted(Message):
    """The host's clock when the unit was started."""

    started_at_s: float
    took_s: Seconds


class ActiveState(StrEnum):
    """systemd's ActiveState of a unit."""

    ACTIVE = "active"
    RELOADING = "reloading"
    INACTIVE = "inactive"
    FAILED = "failed"
    ACTIVATING = "activating"
    DEACTIVATING = "deactivating"
    MAINTENANCE = "maintenance"
    REFRESHING = "refreshing"


class UnitState(Message):
    """What systemd reports of a unit."""

    active_state: ActiveState
    sub_state: Word
    result: Word
    #: siginfo's si_code (sigaction(2)): 1 exited, 2 and 3 ended by a signal; 0: it has not ended.
    exec_main_code: Count
    exec_main_status: Count
    main_pid: Count

    @property
    def is_up(self) -> bool:
        """Whether it runs, or is on its way there."""
        return self.active_state in (ActiveState.ACTIVE, ActiveState.ACTIVATING, ActiveState.RELOADING)


class ServerProcess(Message):
    """One process of the unit."""

    pid: Count
    parent_pid: Count
    name: Word
    threads: Count
    rss_bytes: Count


class ListeningSocket(Message):
    """One listening socket at the variant's port."""

    family: Word
    queued_count: Count
    backlog: Count


class ObservedServer(Message):
    """The server as it was before it was stopped."""

    argv: Annotated[tuple[Text, ...], Limits(0, 10_000)]
    processes: Annotated[tuple[ServerProcess, ...], Limits(0, 100_000)]
    processes_count: Count
    threads_count: Count
    rss_bytes: Count
    listeners: Annotated[tuple[ListeningSocket, ...], Limits(0, 10_000)]
    port: Port
    #: Established connections by the address of their other end.
    peers: Annotated[Mapping[str, Count], Limits(0, 100_000)]


class LoggedError(Message):
    """One kind of error in a log: the first such text, and how often it came."""

    text: Text
    count: Count


class LoggedErrors(Message):
    """The most frequent errors of a log; `is_complete` is false where only its beginning was read."""

    errors: Annotated[tuple[LoggedError, ...], Limits(0, 100)]
    is_complete: bool


class ServerReport(Message):
    """What was seen of a server, handed out as it was stopped."""

    state: UnitState
    observed: ObservedServer
    stop_output: Text
    log_tail: _Lines
    log_errors: LoggedErrors
    sampler_stderr: Text
    #: The sampler's lines (sampler.py).
    samples: tuple[str, ...]
    took_s: Seconds


class CleanedHost(Message):
    """A host on which nothing of the project runs any more."""

    #: Units that were ended, by name.
    ended: Annotated[tuple[Word, ...], Limits(0, 10_000)]
    #: What systemctl said of it.
    output: Text
    #: Files and folders of cells that nobody will ask for.
    removed: Annotated[tuple[Word, ...], Limits(0, 100_000)]
    #: Drop-ins of the project's units below /run, which no bench makes.
    left_alone: Annotated[tuple[Word, ...], Limits(0, 10_000)]
    #: Room in the folders that a cell needs, by folder.
    free_bytes: Annotated[Mapping[str, Count], Limits(0, 100)]
    #: The kernel's name for this boot; empty where it has none. Another one than before: the host rebooted.
    boot_id: Word


class UnitText(Message):
    """One file of a unit, without secrets."""

    path: Word
    text: Annotated[str, Limits(0, 1 << 20)]


class UnitTexts(Message):
    """By unit its own file first, then drop-ins; units that systemd does not know are left out."""

    units: Annotated[Mapping[str, Annotated[tuple[UnitText, ...], Limits(0, 1000)]], Limits(0, 10_000)]


# --- Sampling ---


class SourceKind(StrEnum):
    """How a collector's source is read (collectors/base.py)."""

    FILE = "file"
    LINE_COUNT = "line_count"
    PER_PROCESS = "per_process"
    LISTENERS = "listeners"


class Source(Message):
    """What the sampler reads for one collector; `{cgroup}` in its path is the unit's cgroup."""

    name: Word
    kind: SourceKind
    path: Word
    prefixes: Annotated[tuple[Word, ...], Limits(0, 1000)]
    file: Word


class Sources(Message):
    """sources.json: the sources of all collectors."""

    sources: Annotated[tuple[Source, ...], Limits(0, 1000)]


class SamplerSpec(Message):
    """A sampler that runs until it is ended."""

    #: The file that takes its lines.
    out: Word
    interval_s: Seconds
    #: The file with the sources.
    sources: Word
    cgroup: Word


class SampleLine(Message):
    """One sample: the raw text of every source, with the host's wall clock and its monotonic one, seconds."""

    at: float
    mono: float
    #: CPU seconds of the sampler up to this line.
    cost_s: Seconds
    #: By collector; a source that is not there (yet) is left out.
    raw: Annotated[Mapping[str, str], Limits(0, 1000)]
    #: Why a source cannot be read, by collector.
    errors: Annotated[Mapping[str, Text], Limits(0, 1000)]
