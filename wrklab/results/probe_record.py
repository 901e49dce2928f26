"""What is stored of a probe: the only thing that its reports read."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from wrklab.catalogue.cards import Name
from wrklab.catalogue.stack import VariantName
from wrklab.results.records import LogError, Record, ServedBy

ProbeState = Literal["measured", "void", "failed"]


class CapacityLimit(StrEnum):
    """What keeps a server from handling more requests at once."""

    #: It handled all that were sent.
    NO_LIMIT = "no limit"
    OWN = "the server's own limit"
    DESCRIPTORS = "descriptor-limited"
    TASKS = "task-limited"
    #: It handles none: each is answered with an error.
    FAILS = "fails"


class KernelQueue(StrEnum):
    """The queue of connections that wait to be accepted."""

    EMPTY = "empty"
    AT_LEAST = "at least"
    #: It held all that it can (its limit + 1), and the kernel counted overflows.
    FULL = "full"


class OverflowKind(StrEnum):
    """What becomes of a request that is neither handled nor queued on the server."""

    #: Linux drops the SYN; clients try again after 1, 3, 7 s.
    SYN_PENDING = "SYN pending"
    REFUSED = "refused"
    #: End of file or reset: which of them is chance.
    CLOSED = "closed"
    SERVER_ERROR = "5xx"
    #: Answered at once, with a status below 500.
    ANSWERED = "answered"


class OverflowCount(Record):
    """How many requests met one kind of overflow; `status` is None but for `ANSWERED`."""

    kind: OverflowKind
    status: int | None = None
    count: int


class ServingKind(StrEnum):
    """What runs the handlers."""

    PROCESS_PER_REQUEST = "process per request"
    THREAD_PER_REQUEST = "thread per request"
    POOL = "pool"
    #: One thread of a process serves many requests at once.
    EVENT_LOOP = "event loop"
    #: The runtime spreads requests over several threads, each of which serves many at once (Go's goroutines).
    RUNTIME_SCHEDULER = "runtime scheduler"
    SINGLE_THREAD = "single thread"
    #: Threads of which it is not known whether they are used again.
    THREADS = "threads"
    NOTHING = "nothing"


class ProbeRecord(Record):
    """One probe of one variant as it ended. Figures are None where they were not found; never 0 instead."""

    variant: VariantName
    stack: Name
    state: ProbeState
    #: catalogue.deployment.variant_digest of its server, and the CPUs that it had: a probe of another server says
    #: nothing of this one. Empty and 0 where the probe never came to its server.
    variant_digest: str = ""
    server_cpus_count: int = 0
    started_at_s: float
    seconds: float
    #: Waves that were sent completely, each on a freshly started server.
    tries: int
    requests_count: int | None = None
    rate_per_s: float | None = None
    #: Requests handled at once; equal to requests_count where no limit was met.
    capacity: int | None = None
    capacity_limited_by: CapacityLimit | None = None
    #: Accepted by a process, not started.
    queued_process: int | None = None
    queued_kernel: int | None = None
    kernel_queue: KernelQueue | None = None
    #: The listen backlog in force (Send-Q).
    kernel_limit: int | None = None
    #: What becomes of further requests, the most frequent first; what fewer than 1 % of them met is left out.
    overflow: tuple[OverflowKind, ...] = ()
    overflow_counts: tuple[OverflowCount, ...] = ()
    processes: int | None = None
    threads: int | None = None
    serving: ServingKind | None = None
    #: Processes that ran handlers at the snapshot, and how many threads did so in each.
    serving_processes: int | None = None
    threads_each: tuple[int, ...] = ()
    #: Whether what served the first wave serves the second one.
    reused: bool | None = None
    #: Mean distance between a request's place in the order of arrival and in the order of start.
    displacement_mean: float | None = None
    #: Of the process nearest to its limit: open descriptors, and that limit.
    descriptors_open: int | None = None
    descriptors_limit: int | None = None
    queue_setting: str | None = None
    capacity_setting: str | None = None
    #: What the failing variant says, or why there are no figures; that it did not fail although it should.
    error: str = ""
    #: A regular expression that the card expects the failure's text to match, and whether it failed so.
    expected_failure: str | None = None
    is_expected_failure: bool = False
    #: One text a void wave; the last one of a void probe says why it was given up.
    void_reasons: tuple[str, ...] = ()
    log_tail: tuple[str, ...] = ()
    #: What the server's log says of its errors, the most frequent first.
    log_errors: tuple[LogError, ...] = ()

    @property
    def is_unlimited(self) -> bool:
        """All requests that were sent were handled at once."""
        return self.capacity_limited_by is CapacityLimit.NO_LIMIT

    @property
    def is_failing(self) -> bool:
        """The server did not start, or answered with errors only."""
        return self.state == "failed" or self.capacity_limited_by is CapacityLimit.FAILS


def probed_limit(record: ProbeRecord | None) -> int | None:
    """How many requests a probe found to be handled at once; None where it found no limit, or there is no probe.

    Over a scenario's hold it is the most requests/s that the variant can answer (Little's law).
    """
    if record is None or record.state != "measured" or not record.capacity:
        return None
    return None if record.is_unlimited else record.capacity


class ProbePlan(Record):
    """plan.json of a folder of probes: what was requested."""

    probe_id: str
    lab: str
    created_at_s: float
    command: str
    variants: tuple[VariantName, ...]
    #: Of each variant that has a recipe: which, and with which parameters.
    served_by: dict[VariantName, ServedBy] = Field(default_factory=dict)
    suite: str | None = None
    #: Sentences on the hosts' state before the first probe, and why they should not have been probed where `--force`
    #: overrode it.
    notes: tuple[str, ...] = ()
    forced: tuple[str, ...] = ()
