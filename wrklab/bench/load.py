"""One cell's load on all its generators: made ready one after the other, begun at one mark, followed to every end."""

from __future__ import annotations

import os
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from wrklab.bench.answer_checks import wrk_specs
from wrklab.bench.deadlines import ATTEMPT_LIMIT_S, SETTLE_LIMIT_S, deadline_s
from wrklab.bench.mixes import mix_spec, with_mix_seeds
from wrklab.bench.plan import Cell
from wrklab.catalogue.scenario import Scenario
from wrklab.errors import CellError, HostError, WrklabError
from wrklab.hosts import node_calls
from wrklab.hosts.limits import LoadShares
from wrklab.hosts.remote import RemoteHost, retry_on_disconnect
from wrklab.hosts.session import Session
from wrklab.protocol.load import (
    Arrivals,
    ExpectedAnswer,
    LoadPhase,
    LoadResult,
    LoadSpec,
    Target,
    Timetable,
    WarmupSpec,
    WrkSpec,
)
from wrklab.protocol.phases import Phase
from wrklab.results.raw import Clock

#: The server answers the first generator already: one that gets no answer for this long has no way to it.
_ROUTE_LIMIT_S = 3 * ATTEMPT_LIMIT_S
#: From the calls that tell the mark to the mark itself: a fixed part, and so many times what a call takes.
_LEAD_S = 0.1
_LEAD_CALLS = 4
_CANCEL_AGAIN_S = 0.1
#: From the mark to an open loop's first slot: wrk starts, and opens its connections.
_OPEN_LEAD_S = 0.25
_OPEN_LEAD_PER_CONNECTION_S = 0.00025
#: From an open loop's last slot to wrk's end: answers on their way come in.
DRAIN_S = 1.0
#: Of an open loop's rate: the server is warm and has no queue after it.
_WARMUP_RATE_RATIO = 0.5


@dataclass(frozen=True)
class LoadOrder:
    """Whose load it is: a cell on the hosts of a session; `name` is its folder on them."""

    session: Session
    cell: Cell
    name: str
    shares: LoadShares

    @property
    def generators(self) -> tuple[RemoteHost, ...]:
        """The generators that take part; the first warms the server up."""
        return tuple(host for host in self.session.generators if host.name in self.shares)


class CellLoad:
    """The load of one cell under way. What the generators report comes into `results`, whatever happens."""

    def __init__(self, order: LoadOrder, on_phase: Callable[[str], None], on_event: Callable[[str, str], None]) -> None:
        """`on_phase` hears the first generator's phases; `on_event` (phase, text) what happened outside the plan."""
        self._order = order
        self._on_phase = on_phase
        self._on_event = on_event
        #: By the generator's name.
        self.results: dict[str, LoadResult] = {}
        #: Set once the server has answered the first generator, or never will.
        self.is_past_ready = threading.Event()
        self._changed = threading.Condition()
        self._armed: set[str] = set()
        self._running: set[str] = set()
        self._is_ending = False
        #: The first generator's.
        self.phase = Phase.READY

    def run(self, clocks: Mapping[str, Clock]) -> None:
        """Follow the load to its end on every generator.

        Raises CellError or HostError naming the generator that failed; the load on the others has ended then.
        """
        first, *others = self._order.generators
        with ThreadPoolExecutor(max_workers=1 + len(others), thread_name_prefix="load") as pool:
            try:
                running = [self._begin(pool, first)]
                if others and self._comes(self.is_past_ready.is_set, len(running)):
                    running += [self._begin(pool, host) for host in others]
                    if self._comes(lambda: len(self._armed) == len(running), len(running)):
                        self._mark(clocks)
                for ended in as_completed(running):
                    ended.result()
            except WrklabError:
                self.cancel()
                raise
            finally:
                self.is_past_ready.set()

    def cancel(self) -> None:
        """End the load on every generator, and wait for the ends; where one does not answer its deadline ends it."""
        with self._changed:
            self._is_ending = True
            self._changed.notify_all()
        generators = self._order.generators
        with ThreadPoolExecutor(max_workers=len(generators), thread_name_prefix="cancel") as pool:
            list(pool.map(self._cancel_on, generators))

    def _cancel_on(self, host: RemoteHost) -> None:
        until = time.monotonic() + node_calls.call_limit_s(host)
        while host.name in self._running and time.monotonic() < until:
            try:
                node_calls.cancel_load(host)
            except WrklabError:
                host.close()  # whoever still listens there hears no more
                return
            time.sleep(_CANCEL_AGAIN_S)

    def _begin(self, pool: ThreadPoolExecutor, host: RemoteHost) -> Future[None]:
        with self._changed:
            if self._is_ending:
                raise CellError(Phase.START, "the cell was ended before its load began")
            self._running.add(host.name)
        return pool.submit(self._follow, host)

    def _comes(self, condition: Callable[[], bool], begun_count: int) -> bool:
        """Wait until it holds; False where the load ends before on one of those where it has begun."""
        with self._changed:
            self._changed.wait_for(lambda: condition() or self._is_ending or len(self._running) < begun_count)
            return condition() and not self._is_ending

    def _mark(self, clocks: Mapping[str, Clock]) -> None:
        """Tell every generator the same moment, each by its own clock. Raises HostError."""
        generators = self._order.generators
        mark_s = time.time() + _LEAD_S + _LEAD_CALLS * max(clocks[host.name].call_s for host in generators)

        def tell(host: RemoteHost) -> None:
            node_calls.mark_load(host, self._order.name, clocks[host.name].on_host(mark_s))

        with ThreadPoolExecutor(max_workers=len(generators), thread_name_prefix="mark") as pool:
            list(pool.map(tell, generators))

    def _follow(self, host: RemoteHost) -> None:
        try:
            result = self._result_of(host)
            self.results[host.name] = result
        finally:
            with self._changed:
                self._running.discard(host.name)
                self._changed.notify_all()
        if failed := result.failed:
            text = f"{host.name}: {failed.text}" if len(self._order.shares) > 1 else failed.text
            raise CellError(Phase(failed.phase), text)

    def _result_of(self, host: RemoteHost) -> LoadResult:
        """The generator's complete part; a lost connection is made again and the load followed from there."""
        limit_s = deadline_s(self._order.cell, host.timeout_scale) + node_calls.call_limit_s(host)

        def enter(phase: LoadPhase) -> None:
            self._enter(host, phase)

        def lost(text: str) -> None:
            if self._is_ending:
                raise HostError(text)
            self._on_event("followed", f"{host.name}: {text}")

        spec, name = load_spec(self._order, host), self._order.name
        return retry_on_disconnect(
            host,
            lambda: node_calls.run_load(host, spec, limit_s, enter),
            lambda: node_calls.follow_load(host, name, limit_s, enter),
            lost,
        )

    def _enter(self, host: RemoteHost, phase: LoadPhase) -> None:
        is_first = host is self._order.generators[0]
        if is_first:
            self._on_phase(phase)
            self.phase = Phase(phase)
        with self._changed:
            if phase is LoadPhase.ARMED:
                self._armed.add(host.name)
            if is_first and phase is not LoadPhase.READY:
                self.is_past_ready.set()
            self._changed.notify_all()


def load_spec(order: LoadOrder, host: RemoteHost) -> LoadSpec:
    """A cell's load on one generator. The first of several waits for the server and warms it up."""
    cell, scenario, timeout_scale = order.cell, order.cell.scenario, order.session.timeout_scale
    is_first = host is order.generators[0]
    # The warm-up of the first may delay the answers that the others wait for.
    route_limit_s = _ROUTE_LIMIT_S * timeout_scale + scenario.warmup_s
    warmup = None
    if scenario.warmup_s > 0 and is_first:
        warmup = WarmupSpec(
            duration_s=scenario.warmup_s,
            connections=scenario.warmup_connections,
            threads=1,
            timetable=_warmup_timetable(scenario, timeout_scale),
        )
    return LoadSpec(
        cell=order.name,
        target=Target(
            host=order.session.hosts.server.load_address,
            port=order.session.port_of(cell.variant),
            path=scenario.path,
        ),
        expect=ExpectedAnswer(status=200, body=cell.body),
        ready_limit_s=cell.variant.start_limit_s if is_first else route_limit_s,
        attempt_limit_s=ATTEMPT_LIMIT_S * timeout_scale,
        warmup=warmup,
        settle_limit_s=SETTLE_LIMIT_S * timeout_scale,
        processes=_processes(order, timeout_scale)[host.name],
        duration_s=scenario.duration_s,
        timeout_s=scenario.wrk_timeout_s,
        sample_interval_s=scenario.sample_interval_s,
        waits_for_mark=len(order.shares) > 1,
        deadline_s=deadline_s(cell, timeout_scale),
        # Only what the inventory says: where it says nothing, systemd decides as for any unit.
        cpus=tuple(host.host.cpus),
        timeout_scale=timeout_scale,
        connection_mode=scenario.connection_mode,
        drain_s=DRAIN_S * timeout_scale if scenario.is_open_loop else 0.0,
        mix=mix_spec(scenario.mix, os.environ) if scenario.mix else None,
    )


def _processes(order: LoadOrder, timeout_scale: float) -> dict[str, tuple[WrkSpec, ...]]:
    """The wrk processes of each generator; in an open loop each with its part of the one timetable."""
    scenario = order.cell.scenario
    # Constant gaps come from threads that take turns, so each needs an equal share: none is put aside for checks.
    are_all_checked = scenario.validate_bodies or scenario.arrivals is Arrivals.CONSTANT
    if scenario.mix:
        # Each of its answers is looked at anyway, as its request must be found: only reading JSON costs much.
        are_all_checked |= not scenario.mix.looks_at_json
    specs = {name: wrk_specs(loads, are_all_checked=are_all_checked) for name, loads in order.shares.items()}
    if scenario.mix:
        # The same for all variants of a round: they are asked the same in the same order.
        specs = with_mix_seeds(specs, f"{scenario.name}.{order.cell.round_number}")
    return share_timetable(scenario, specs, order.name, timeout_scale) if scenario.is_open_loop else specs


def share_timetable(
    scenario: Scenario, specs: Mapping[str, tuple[WrkSpec, ...]], name: str, timeout_scale: float = 1.0
) -> dict[str, tuple[WrkSpec, ...]]:
    """The processes of all generators, each with its part of one timetable. `name` seeds the gaps.

    A Poisson process splits into independent ones whose rates add up: each thread has the share of its connections.
    Constant gaps are dealt to the threads in turn.
    """
    rate_per_s = scenario.rate_per_s or 0.0
    every = [spec for parts in specs.values() for spec in parts]
    connections_count, threads_count = sum(s.connections for s in every), sum(s.threads for s in every)
    is_constant = scenario.arrivals is Arrivals.CONSTANT
    seed, before = zlib.crc32(name.encode()), 0
    found: dict[str, tuple[WrkSpec, ...]] = {}
    for host, parts in specs.items():
        shared = []
        for spec in parts:
            share = 1 / threads_count if is_constant else spec.connections / spec.threads / connections_count
            timetable = Timetable(
                arrivals=scenario.arrivals,
                rate_per_s=rate_per_s * share,
                offset_s=before / rate_per_s if is_constant else 0.0,
                thread_offset_s=1 / rate_per_s if is_constant else 0.0,
                seed=seed + before,
                lead_s=_lead_s(scenario, timeout_scale),
                duration_s=scenario.duration_s,
            )
            shared.append(spec.replace(timetable=timetable))
            before += spec.threads
        found[host] = tuple(shared)
    return found


def _lead_s(scenario: Scenario, timeout_scale: float) -> float:
    return timeout_scale * (_OPEN_LEAD_S + _OPEN_LEAD_PER_CONNECTION_S * scenario.connections)


def _warmup_timetable(scenario: Scenario, timeout_scale: float) -> Timetable | None:
    """A part of the rate, in Poisson gaps: what a warm-up leaves queued would be served in the window."""
    if scenario.rate_per_s is None:
        return None
    return Timetable(
        arrivals=Arrivals.POISSON,
        rate_per_s=_WARMUP_RATE_RATIO * scenario.rate_per_s,
        offset_s=0.0,
        thread_offset_s=0.0,
        seed=0,
        lead_s=_OPEN_LEAD_S * timeout_scale,
        duration_s=scenario.warmup_s,
    )
