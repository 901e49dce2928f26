"""A search for a configuration of a small application, with windows that were never measured."""

from __future__ import annotations

from collections.abc import Mapping

from tests.unit.handmade_records import handmade_scenario
from wrklab.bench.capacity import Keeping, Window
from wrklab.bench.contest import Look, Step
from wrklab.bench.tune_run import TunePlan
from wrklab.cli.tune_text import TuneAnswer

MIB = 1024 * 1024
SYNC, GTHREAD, GEVENT = "shop_gunicorn_sync@workers=4", "shop_gunicorn_gthread@workers=2", "shop_gunicorn_gevent"


def handmade_tune_plan(**changes: object) -> TunePlan:
    """Three candidates, of which the sync workers run today."""
    values: dict[str, object] = {
        "candidates": (SYNC, GTHREAD, GEVENT),
        "current": SYNC,
        "objectives": "p99<=250ms",
        "budget_s": 1800.0,
        "rate_per_s": None,
        "memory_limit_bytes": None,
        "scenario": handmade_scenario(),
        "given": (),
    }
    return TunePlan.model_validate(values | changes)


def handmade_look(candidate: str, rate_per_s: float | None, *, passes: bool = True, **changes: object) -> Look:
    """A window that passes the objective, or not; `served_per_s` of a closed loop, `mib` of memory."""
    p99_us = 100_000.0 if passes else 900_000.0
    figures = {"p50": p99_us / 4, "p90": p99_us / 2, "p99": p99_us, "p99.9": p99_us, "max": p99_us}
    served = rate_per_s if rate_per_s is not None else changes.get("served_per_s", 100.0)
    mib = changes.get("mib", 200)
    assert isinstance(served, float)
    assert isinstance(mib, int)
    return Look(
        Step(candidate, rate_per_s),
        Window(served, figures | {"errors": 0.0, "status": 0.0}, Keeping.KEPT),
        mib * MIB,
        8.0,
    )


def handmade_windows(capacities: Mapping[str, float], plan: TunePlan, mib: Mapping[str, int]) -> list[Look]:
    """All windows of a complete search among candidates of these capacities, without any noise."""
    looks: list[Look] = []
    while (step := plan.tuner.next_step(looks)) is not None:
        capacity, rate = capacities[step.candidate], step.rate_per_s
        looks.append(
            handmade_look(
                step.candidate,
                rate,
                passes=rate is None or rate <= capacity,
                served_per_s=capacity,
                mib=mib[step.candidate],
            )
        )
    return looks


def handmade_answer(
    capacities: Mapping[str, float], mib: Mapping[str, int] | None = None, **changes: object
) -> TuneAnswer:
    """What a search among candidates of these capacities comes to."""
    plan = handmade_tune_plan(**changes)
    sizes = mib or dict.fromkeys(plan.candidates, 200)
    return TuneAnswer(
        run_id="20261121T003012Z_ab12",
        plan=plan,
        tuned=plan.tuner.found(handmade_windows(capacities, plan, sizes)),
        commands={name: f"gunicorn shop:app  # {name}" for name in plan.candidates},
        bound="server-bound (CPU full), at 480 requests/s",
        current_command="gunicorn shop:app -w 4",
        server_cpus_count=2,
        lab="container",
    )
