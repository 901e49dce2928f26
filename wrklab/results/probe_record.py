"""What is stored of a probe: the only thing that its reports read."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from wrklab.catalogue.cards import Name
from wrklab.results.records import LogError, Record

ProbeState = Literal["measured", "void", "failed"]


class ProbeRecord(Record):
    """One probe of one variant as it ended. Figures are None where they were not found; never 0 instead."""

    variant: Name
    stack: Name
    state: ProbeState
    #: model.deployment.variant_digest of its server, and the CPUs that it had: a probe of another server says nothing
    #: of this one. Empty and 0 where the probe never came to its server.
    variant_digest: str = ""
    server_cpus_count: int = 0
    started_at_s: float
    seconds: float
    #: Waves that were sent in whole, each on a freshly started server.
    tries: int
    requests_count: int | None = None
    rate_per_s: float | None = None
    #: Requests handled at once; equal to requests_count where no limit was met.
    capacity: int | None = None
    #: `no limit up to N`, `the server's own limit`, `descriptor-limited`, `task-limited`, `fails`.
    capacity_limited_by: str = ""
    #: Accepted by a process, not started.
    queued_process: int | None = None
    queued_kernel: int | None = None
    #: `full`: it held all that it can (its limit + 1) and the kernel counted overflows. Else `at least`, `empty`.
    kernel_queue: Literal["empty", "at least", "full"] | None = None
    #: The listen backlog in force (Send-Q).
    kernel_limit: int | None = None
    #: What becomes of further requests: SYN pending, refused, closed, 5xx, none seen.
    overflow: str = ""
    overflow_counts: dict[str, int] = Field(default_factory=dict)
    processes: int | None = None
    threads: int | None = None
    serving: str = ""
    serving_detail: str = ""
    #: Whether what served the first wave serves the second one.
    reused: bool | None = None
    #: Mean distance between a request's place in the order of arrival and in the order of start.
    displacement_mean: float | None = None
    #: The process nearest to its limit: `1019 of 20000`.
    descriptors: str = ""
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


class ProbePlan(Record):
    """plan.json of a folder of probes: what was asked."""

    probe_id: str
    lab: str
    created_at_s: float
    command: str
    variants: tuple[Name, ...]
    suite: str | None = None
    #: Sentences on the hosts' state before the first probe, and why they should not have been probed where `--force`
    #: overrode it.
    notes: tuple[str, ...] = ()
    forced: tuple[str, ...] = ()
