"""The metrics of the hosts: what the server and the generators had left, and what the harness itself cost."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import ClassVar

from wrklab import formats
from wrklab.results.records import BackendRecord, Measurement, ServerRecord
from wrklab.summary.metrics import (
    Better,
    DoubtedBy,
    Over,
    Source,
    Unit,
    largest,
    median,
    median_known,
    of_row,
    of_worst_generator,
    ratio,
    smallest,
)
from wrklab.summary.metrics_answers import AnswerMetrics


def _cpu_us_per_request(window: Measurement) -> float | None:
    """CPU time of the unit for one answer, µs."""
    server = window.server
    if server.cpu_percent is None or not window.requests:
        return None
    return server.cpu_percent / 100 * server.cpus_count * window.duration_s * 1e6 / window.requests


def of_backend(read: Callable[[BackendRecord], float | None]) -> Callable[[Measurement], float | None]:
    """A value of the backends' host; None where the application uses none."""

    def read_window(window: Measurement) -> float | None:
        return None if window.backend is None else read(window.backend)

    return read_window


def _throttled_percent(server: ServerRecord) -> float | None:
    """How long the unit stalled beyond what others that ran on its CPUs explain, percent of the window. Never below 0.

    A CPU that is free takes whoever is runnable, unless something forbids it. Others, and idle time, may all have been
    on the one CPU that the unit uses. An interrupt's work mostly stalls nobody, since the task that it interrupts stays
    on the CPU; a kernel thread's does (ksoftirqd), and the CPU is not idle then.
    """
    if server.unit_stalled_percent is None or server.cpus_busy_percent is None or server.cpu_percent is None:
        return None
    foreign_percent = max(0.0, server.cpus_busy_percent - server.cpu_percent - (server.softirq_cpu_percent or 0.0))
    idle_percent = max(0.0, 100.0 - server.cpus_busy_percent - (server.steal_percent or 0.0))
    unexplained_percent = server.unit_stalled_percent - server.cpus_count * foreign_percent
    return max(0.0, min(unexplained_percent, server.cpus_count * idle_percent))


def _taken_from_server_percent(window: Measurement, *, is_one_host: bool) -> float:
    """CPU that the generators took, percent of the server's CPUs: wrk, and where it has a host of its own all on that.

    On the server's own host, what is not wrk's is the server's.
    """
    of_one = sum(
        max(part.wrk_cpu_percent_of_one, 0.0 if is_one_host else (part.host_cpu_percent or 0.0) * part.cpus_count)
        for part in window.generators
    )
    return of_one / window.server.cpus_count


class ServerMetrics(AnswerMetrics):
    """The server host and the variant's unit. CPU shares are of the CPUs given to the host: 100 % is all of them."""

    THEME: ClassVar[str] = "Server"

    server_cpu_percent = median(
        lambda window: window.server.cpu_percent,
        Unit.PERCENT,
        "CPU of the variant's unit alone, from its cgroup",
        source=Source.SAMPLES,
        better=Better.LOWER,
    ).shown("server CPU %", "rate", formats.percent_number)
    server_host_cpu_percent = median(
        lambda window: window.server.host_cpu_percent,
        Unit.PERCENT,
        "everything on the server host",
        source=Source.SAMPLES,
        better=Better.LOWER,
    )
    server_cpus_busy_percent = median(
        lambda window: window.server.cpus_busy_percent,
        Unit.PERCENT,
        "how full the server's CPUs were, whoever used them, the kernel's own work included",
        source=Source.SAMPLES,
        better=Better.LOWER,
    )
    server_cpu_us_per_request = median(
        _cpu_us_per_request,
        Unit.MICROSECONDS,
        "CPU time of the unit / answers",
        source=Source.SAMPLES_AND_WRK,
        better=Better.LOWER,
        compared="CPU x",
    )
    busiest_process_cpu_percent = median(
        lambda window: window.server.busiest_process_cpu_percent,
        Unit.PERCENT,
        "the unit's busiest process, of **one** CPU",
        source=Source.SAMPLES,
    )
    serving_processes_count = largest(
        lambda window: window.server.serving_processes_count,
        Unit.PROCESSES,
        "processes with at least a tenth of the busiest's CPU time: supervisors have less",
        source=Source.SAMPLES,
    )
    full_processes_count = smallest(
        lambda window: window.server.full_processes_count,
        Unit.PROCESSES,
        "of `serving_processes_count`, those at 90 % of one CPU or more",
        source=Source.SAMPLES,
    )
    unit_waiting_percent = largest(
        lambda window: window.server.unit_waiting_percent,
        Unit.PERCENT,
        "time in which some task of the unit was runnable and had no CPU (PSI); its own other tasks count too",
        source=Source.SAMPLES,
        better=Better.LOWER,
    )
    unit_held_back_percent = largest(
        lambda window: _throttled_percent(window.server),
        Unit.PERCENT,
        "time in which the unit was throttled: runnable, on a CPU that nobody used ([how](#a-throttled-unit))",
        source=Source.SAMPLES,
        better=Better.LOWER,
    )
    others_cpu_percent = largest(
        lambda window: window.server.others_cpu_percent,
        Unit.PERCENT,
        "everything on the server host but the unit and softirq",
        source=Source.SAMPLES,
        better=Better.LOWER,
    )
    neighbours_cpu_percent = largest(
        lambda window: window.server.neighbours_cpu_percent,
        Unit.PERCENT,
        "CPU that others than the lab's hosts took on the server's CPUs",
        source=Source.SAMPLES,
        better=Better.LOWER,
    )
    steal_percent = largest(
        lambda window: window.server.steal_percent,
        Unit.PERCENT,
        "CPU time that a hypervisor kept from the server host",
        source=Source.SAMPLES,
        better=Better.LOWER,
    )
    processes_max = largest(
        lambda window: window.server.processes_max,
        Unit.PROCESSES,
        "most processes in the unit",
        source=Source.SAMPLES,
        better=Better.LOWER,
        doubt="none",
    ).shown("procs", "latency", formats.count)
    threads_max = largest(
        lambda window: window.server.threads_max,
        Unit.THREADS,
        "most threads in the unit",
        source=Source.SAMPLES,
        better=Better.LOWER,
        doubt="none",
    ).shown("threads", "latency", formats.count)
    memory_max_bytes = largest(
        lambda window: window.server.memory_max_bytes,
        Unit.BYTES,
        "most memory of the unit",
        source=Source.SAMPLES,
        better=Better.LOWER,
        doubt="none",
    ).shown("memory MiB", "latency", formats.mib)


class GeneratorMetrics(ServerMetrics):
    """The generators; where there are several, the one with the least to spare."""

    THEME: ClassVar[str] = "Generators"

    generator_cpu_percent = median(
        lambda window: window.generator_cpu_percent,
        Unit.PERCENT,
        "CPU of wrk alone, with wrk of the generators that are given the same CPUs",
        source=Source.WRK_PROCESSES,
        generators=Over.LARGEST,
        better=Better.LOWER,
        share="cpu_percent",
    ).shown("wrk CPU %", "rate", formats.percent_number)
    generator_host_cpu_percent = median(
        of_worst_generator(lambda part: part.host_cpu_percent),
        Unit.PERCENT,
        "everything on the generator",
        source=Source.SAMPLES,
        generators=Over.LARGEST,
        better=Better.LOWER,
        share="host_cpu_percent",
    )
    generator_thread_percent = largest(
        of_worst_generator(lambda part: part.busiest_thread_percent),
        Unit.PERCENT,
        "the thread with the least time to spare: on a CPU or runnable without one",
        source=Source.WRK_THREADS,
        generators=Over.LARGEST,
        better=Better.LOWER,
        share="thread_percent",
    )
    generator_thread_waiting_percent = largest(
        of_worst_generator(lambda part: part.busiest_thread_waiting_percent),
        Unit.PERCENT,
        "the thread that waited most for a CPU; quotas from outside show here too",
        source=Source.WRK_THREADS,
        generators=Over.LARGEST,
        better=Better.LOWER,
        share="thread_waiting_percent",
    )
    generator_unread_ratio = largest(
        of_worst_generator(lambda part: ratio(part.connections_unread, part.connections_asked)),
        Unit.RATIO,
        "connections with an answer that wrk had not read yet / all; the median of three counts",
        source=Source.SAMPLES,
        generators=Over.LARGEST,
        better=Better.LOWER,
        share="unread_ratio",
    )
    generator_neighbours_cpu_percent = largest(
        of_worst_generator(lambda part: part.neighbours_cpu_percent),
        Unit.PERCENT,
        "CPU that others than the lab's hosts took on the generator's CPUs",
        source=Source.SAMPLES,
        generators=Over.LARGEST,
        better=Better.LOWER,
        share="neighbours_cpu_percent",
    )
    generator_others_cpu_percent = largest(
        of_worst_generator(lambda part: part.others_cpu_percent),
        Unit.PERCENT,
        "everything on the generator but wrk and softirq",
        source=Source.SAMPLES,
        generators=Over.LARGEST,
        better=Better.LOWER,
        share="others_cpu_percent",
    )
    generator_steal_percent = largest(
        of_worst_generator(lambda part: part.steal_percent),
        Unit.PERCENT,
        "CPU time that a hypervisor kept from the generator",
        source=Source.SAMPLES,
        generators=Over.LARGEST,
        better=Better.LOWER,
        share="steal_percent",
    )
    generator_held_up_s = largest(
        of_worst_generator(lambda part: part.held_up_s),
        Unit.SECONDS,
        "time of a window in which wrk was paused: stopped, or its whole host was",
        source=Source.SAMPLES,
        generators=Over.LARGEST,
        better=Better.LOWER,
        share="held_up_s",
    )

    @cached_property
    def shared_cpus_taken_percent(self) -> float | None:
        """What the generators took of the server's CPUs in the worst round; None where they share none."""
        if not self.cpus_shared:
            return None
        taken = (_taken_from_server_percent(window, is_one_host=self.one_machine) for window in self.windows)
        return max(taken, default=None)


class BackendMetrics(GeneratorMetrics):
    """The host of the services that the application uses; no values where it uses none."""

    THEME: ClassVar[str] = "Backends"

    backend_cpu_percent = median(
        of_backend(lambda backend: backend.cpu_percent),
        Unit.PERCENT,
        "CPU of the services alone, all together, of the CPUs given to their host",
        source=Source.SAMPLES,
        better=Better.LOWER,
    )
    backend_host_cpu_percent = median(
        of_backend(lambda backend: backend.host_cpu_percent),
        Unit.PERCENT,
        "everything on that host",
        source=Source.SAMPLES,
        better=Better.LOWER,
    )
    backend_cpus_busy_percent = median(
        of_backend(lambda backend: backend.cpus_busy_percent),
        Unit.PERCENT,
        "how full its CPUs were, whoever used them, the kernel's own work included",
        source=Source.SAMPLES,
        better=Better.LOWER,
    )
    backend_shared_percent = largest(
        of_backend(lambda backend: backend.shared_cpu_percent),
        Unit.PERCENT,
        "what other hosts of the lab that are given the same CPUs took of them",
        source=Source.SAMPLES,
        better=Better.LOWER,
    )
    backend_neighbours_cpu_percent = largest(
        of_backend(lambda backend: backend.neighbours_cpu_percent),
        Unit.PERCENT,
        "CPU that others than the lab's hosts took on its CPUs",
        source=Source.SAMPLES,
        better=Better.LOWER,
    )
    backend_steal_percent = largest(
        of_backend(lambda backend: backend.steal_percent),
        Unit.PERCENT,
        "CPU time that a hypervisor kept from it",
        source=Source.SAMPLES,
        better=Better.LOWER,
    )

    @cached_property
    def backend_shared_with(self) -> tuple[str, ...]:
        """The lab's other hosts that are given a CPU of the backends' host."""
        found = (window.backend for window in self.windows if window.backend)
        return tuple(dict.fromkeys(name for backend in found for name in backend.shared_with))


class HarnessMetrics(BackendMetrics):
    """What a cell cost besides its window."""

    THEME: ClassVar[str] = "Harness"
    DOUBT: ClassVar[DoubtedBy] = "none"

    startup_s = of_row(
        lambda row: median_known(cell.startup_s for cell in row.measured),
        Unit.SECONDS,
        "from the start of the unit to the first right answer seen from the generator",
        source=Source.HARNESS,
        rounds=Over.MEDIAN,
        better=Better.LOWER,
    ).shown("start s", "rate", formats.seconds)
    harness_s = of_row(
        lambda row: median_known(cell.harness_s for cell in row.measured),
        Unit.SECONDS,
        "a cell's wall clock less start-up, warm-up, settling and window: what wrklab itself cost",
        source=Source.HARNESS,
        rounds=Over.MEDIAN,
        better=Better.LOWER,
    ).shown("harness s", "latency", formats.seconds)
