"""Applications whose capacity under each configuration is known by construction, and windows of them with noise."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from wrklab.bench.capacity import Keeping, Window, no_figures, parse_objectives
from wrklab.bench.contest import Look, Step
from wrklab.bench.tuning import Tuned, Tuner

CPUS = 4
#: Of a window's capacity, one standard deviation.
NOISE_RATIO = 0.03
#: Start, readiness, warm-up and what the harness adds.
_AROUND_S = 3.0
_CLOSED_S = 3.0


@dataclass(frozen=True)
class Configuration:
    """A way to serve: so many processes, each with so many requests at once."""

    workers: int
    threads: int
    #: CPU of a request next to that under gunicorn's sync workers.
    cost: float = 1.0


def grid() -> dict[str, Configuration]:
    """36 ways to serve a WSGI application on 4 CPUs, as the recipes' grid has them."""
    found = {f"sync_{w}": Configuration(w, 1) for w in (1, 4, 9, 16, 32)}
    pairs = list(itertools.product((1, 4, 9), (4, 16, 64)))
    found |= {f"gthread_{w}x{t}": Configuration(w, t, 1.15) for w, t in pairs}
    found |= {f"uwsgi_{w}x{t}": Configuration(w, t, 0.92) for w, t in itertools.product((4, 8, 16), (1, 4, 16))}
    found |= {f"granian_{w}x{t}": Configuration(w, t, 1.02) for w, t in itertools.product((1, 4), (1, 8, 32))}
    found |= {f"gevent_{w}": Configuration(w, 1000, 1.3) for w in (1, 4, 9)}
    return found | {f"waitress_{t}": Configuration(1, t, 1.1) for t in (4, 16, 32, 64)}


@dataclass(frozen=True)
class SimulatedApplication:
    """A request takes so much CPU, of which a process runs one thread at a time, and waits so long for others."""

    cpu_ms: float
    wait_ms: float

    def capacity_per_s(self, served: Configuration) -> float:
        """The rate at which the queue begins to grow."""
        # Threads of one process take turns, which costs more the more there are.
        cpu_ms = self.cpu_ms * served.cost * (1 + 0.02 * math.log2(max(1, min(served.threads, 64))))
        by_cpu = min(served.workers, CPUS) / cpu_ms
        by_slots = served.workers * served.threads / (cpu_ms + self.wait_ms)
        return 1000 * min(by_cpu, by_slots)

    def memory_bytes(self, served: Configuration) -> int:
        """Of all its processes."""
        return (20 + 40 * served.workers) * 1024 * 1024 + 8192 * served.workers * min(served.threads, 64)


Measure = Callable[[Step], Look]


def measuring(app: SimulatedApplication, ways: Mapping[str, Configuration], seed: int) -> Measure:
    """Windows of an application, each with its own noise; the same seed gives the same windows in the same order."""
    random = np.random.default_rng(seed)

    def measure(step: Step) -> Look:
        served = ways[step.candidate]
        capacity = app.capacity_per_s(served) * math.exp(NOISE_RATIO * random.standard_normal())
        memory = round(app.memory_bytes(served) * (1 + 0.01 * random.standard_normal()))
        if step.rate_per_s is None:
            return Look(step, Window(capacity, _figures(1.0, app), Keeping.KEPT), memory, _AROUND_S + _CLOSED_S)
        use = step.rate_per_s / capacity
        window_s = min(max(5000 / step.rate_per_s, 4.0), 10.0)
        window = (
            Window(step.rate_per_s, no_figures(), Keeping.BEHIND, "overloaded")
            if use >= 1
            else Window(step.rate_per_s, _figures(use, app), Keeping.KEPT)
        )
        return Look(step, window, memory, _AROUND_S + window_s)

    return measure


def _figures(use: float, app: SimulatedApplication) -> dict[str, float]:
    """Latencies that grow as a queue's do towards its limit."""
    hold_us = 1000 * (app.cpu_ms + app.wait_ms)
    p99 = hold_us * (1 + 0.05 / max(1e-3, 1 - use))
    return {"p50": hold_us, "p90": p99 / 2, "p99": p99, "p99.9": p99 * 1.5, "max": p99 * 2, "errors": 0, "status": 0}


OBJECTIVES = parse_objectives("p99<=250ms,errors<0.1%")
APPLICATIONS = {
    "cpu": SimulatedApplication(cpu_ms=8, wait_ms=0),
    "blocking": SimulatedApplication(cpu_ms=1, wait_ms=60),
    "mixed": SimulatedApplication(cpu_ms=5, wait_ms=15),
}
PLENTY_S = 1e6


def tuned(tuner: Tuner, measure: Measure) -> tuple[Tuned, list[Look]]:
    """A complete search."""
    looks: list[Look] = []
    while (step := tuner.next_step(looks)) is not None:
        looks.append(measure(step))
    return tuner.found(looks), looks
