"""The plan of a run: every cell, in the order in which it is measured."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from wrklab.bench.rates import Rate, refuse_unknown_maxima
from wrklab.catalogue.catalogue import Catalogue, split_words
from wrklab.catalogue.scenario import Scenario, override
from wrklab.catalogue.stack import Variant
from wrklab.catalogue.suite import Suite
from wrklab.errors import UsageError
from wrklab.results.records import RunPlan, Twin

#: What `bench` runs when nobody says otherwise.
DEFAULT_SCENARIO = "standard"

Pair = tuple[Variant, Scenario]

#: The scenario's key for a window at half rate, as the command line gives it.
HALF_RATE_KEY = "half_rate_window"
#: The word that means every variant.
_ALL = "all"


@dataclass(frozen=True)
class BenchRequest:
    """What was asked of `bench`, as it was typed."""

    variants: tuple[str, ...] = ()
    scenario: str | None = None
    suite: str | None = None
    lab: str = "container"
    overrides: Mapping[str, object] = field(default_factory=dict)
    #: Open loops; none: a closed one, unless the scenario says otherwise.
    rates: tuple[Rate, ...] = ()
    #: The same with each of these numbers of connections; none: as the scenario says.
    connections: tuple[int, ...] = ()
    seed: int | None = None
    #: Every variant is measured as two, for the noise floor.
    aa: bool = False
    #: Measured on hosts that are busy, too.
    is_forced: bool = False


@dataclass(frozen=True)
class Cell:
    """One variant under one scenario in one round: the unit that is measured, stored and resumed."""

    variant: Variant
    scenario: Scenario
    round_number: int
    twin: Twin = ""

    @property
    def cell_id(self) -> str:
        """Its name within the run, fit for a folder: `standard.flask_dev_sync.2`, of a twin `….2a`."""
        return f"{self.scenario.name}.{self.variant.file_name}.{self.round_number}{self.twin}"

    @property
    def hold_ms(self) -> int:
        """How long GET /health holds in this cell; other paths answer at once, and of a mix it is not known."""
        if self.scenario.mix or self.scenario.path != "/health":
            return 0
        return self.variant.hold_ms if self.scenario.hold_ms is None else self.scenario.hold_ms

    @property
    def body(self) -> str:
        """What every answer in this cell must be."""
        return self.scenario.body or self.variant.body

    @property
    def planned_s(self) -> float:
        """What it will take, about: a start, the warm-up, the window."""
        return 1.5 + self.scenario.warmup_s + self.scenario.duration_s


#: The closed-loop maximum of a variant for what a scenario asks for, requests/s; None where no run measured it.
MaximumOf = Callable[[Variant, str], float | None]


def resolve(
    catalogue: Catalogue, request: BenchRequest, maximum_of: MaximumOf = lambda _variant, _asks_for: None
) -> list[Pair]:
    """The variants and scenarios that a request means. Raises UsageError, UnknownNameError; nothing is touched."""
    if request.connections:
        return [
            (variant, _named_by_connections(scenario))
            for count in dict.fromkeys(request.connections)
            for one in [replace(request, connections=(), overrides={**request.overrides, "connections": count})]
            for variant, scenario in resolve(catalogue, one, maximum_of)
        ]
    if request.rates and request.suite is not None:
        raise UsageError(f"--rate is not for suites: their rows are closed loops. Leave --suite {request.suite} out.")
    if request.rates and "rate_per_s" in request.overrides:
        raise UsageError("--rate and --set rate_per_s say the same: leave one out")
    if request.suite is not None:
        suite = catalogue.suite(request.suite)
        if not suite.rows:
            raise UsageError(f"suite {suite.name} has probes only: invoke probe --suite {suite.name}")
        pairs = _pairs_of_suite(catalogue, suite, request)
    elif request.variants:
        scenario = catalogue.scenario(request.scenario or DEFAULT_SCENARIO)
        variants = catalogue.select_variants(request.variants)
        if request.rates:
            pairs = _pairs_of_rates(variants, scenario, request, maximum_of)
        else:
            pairs = _pairs_of_scenario(catalogue, variants, scenario, request.overrides)
    else:
        raise UsageError("nothing to bench: give --variant NAME (or all), or --suite NAME. `invoke list` shows them.")
    if not pairs:
        raise UsageError("nothing to bench: no variant is left of what was asked. `invoke list` shows all.")
    if _has_half_rates(request):
        return pairs
    return [(variant, scenario.model_copy(update={HALF_RATE_KEY: False})) for variant, scenario in pairs]


def _named_by_connections(scenario: Scenario) -> Scenario:
    """The scenario under a name that says its connections: `standard@c64`. Published rows are told by the first one."""
    sign = "-" if "@" in scenario.name else "@"
    name = f"{scenario.name}{sign}c{scenario.connections}"
    return scenario.model_copy(update={"name": name, "compares_with": scenario.published_scenario})


def _has_half_rates(request: BenchRequest) -> bool:
    """Whether the scenarios' own word on windows at half rate counts: it was given, or every variant is measured.

    A bench of some variants stays as short as it was asked for.
    """
    return HALF_RATE_KEY in request.overrides or (request.suite is None and _ALL in split_words(request.variants))


def _pairs_of_scenario(
    catalogue: Catalogue, variants: Sequence[Variant], scenario: Scenario, changes: Mapping[str, object]
) -> list[Pair]:
    """Each variant under the scenario, and under those companions where it has a published row to answer to."""
    chosen = override(scenario, dict(changes))
    others = {key: value for key, value in changes.items() if key != HALF_RATE_KEY}
    companions = [override(catalogue.scenario(name), others) for name in chosen.companions]
    return [(variant, chosen) for variant in variants] + [
        (variant, companion)
        for companion in companions
        for variant in variants
        if catalogue.published_key(variant, companion) is not None
    ]


def _pairs_of_rates(
    variants: Sequence[Variant], scenario: Scenario, request: BenchRequest, maximum_of: MaximumOf
) -> list[Pair]:
    """Each variant at each rate. Raises UsageError for shares of maxima that are not known."""
    asks_for = str(request.overrides.get("path", scenario.asks_for))
    maxima: dict[str, float | None] = {}
    if any(rate.is_percent for rate in request.rates):
        maxima = {variant.name: maximum_of(variant, asks_for) for variant in variants}
        refuse_unknown_maxima([name for name, found in maxima.items() if found is None])
    pairs = {}
    for rate in request.rates:
        for variant in variants:
            changes = {**request.overrides, "rate_per_s": rate.per_s(maxima.get(variant.name))}
            changed = override(scenario, changes)
            pairs[variant.name, changed.name] = (variant, changed)
    return list(pairs.values())


def _pairs_of_suite(catalogue: Catalogue, suite: Suite, request: BenchRequest) -> list[Pair]:
    """A suite's rows, under its own scenarios or the short ones that compare with them (`--scenario standard`)."""
    chosen = {variant.name for variant in catalogue.select_variants(request.variants)} if request.variants else None
    stand_ins: dict[str, Scenario] = {}
    if request.scenario is not None:
        first = catalogue.scenario(request.scenario)
        family = [first, *(catalogue.scenario(name) for name in first.companions)]
        stand_ins = {scenario.published_scenario: scenario for scenario in reversed(family)}
    pairs = []
    for row in suite.rows:
        scenario = catalogue.scenario(row.scenario)
        if stand_ins and scenario.published_scenario not in stand_ins:
            raise UsageError(
                f"suite {suite.name} has rows under {scenario.name}, and neither {request.scenario} nor its companions "
                "compare with that. Leave --scenario out to run the suite's own."
            )
        scenario = stand_ins.get(scenario.published_scenario, scenario)
        if chosen is None or row.variant in chosen:
            pairs.append((catalogue.variants[row.variant], override(scenario, dict(request.overrides))))
    return pairs


def order_cells(pairs: Iterable[Pair], seed: int, *, aa: bool = False) -> list[Cell]:
    """Rounds outside, variants inside, each round in an order of its own drawn from the seed (stored with the run).

    With `aa` every variant is there twice, as twins a and b: the same unit, in the order like two different variants.
    """
    chosen = list(pairs)
    twins: tuple[Twin, ...] = ("a", "b") if aa else ("",)
    last_round = max((scenario.rounds for _, scenario in chosen), default=0)
    cells: list[Cell] = []
    for round_number in range(1, last_round + 1):
        of_round = [Cell(v, s, round_number, twin) for v, s in chosen if round_number <= s.rounds for twin in twins]
        random.Random(f"{seed}.{round_number}").shuffle(of_round)  # noqa: S311  an order, not a secret
        cells += of_round
    return cells


def made_again(catalogue: Catalogue, plan: RunPlan) -> Catalogue:
    """The catalogue with the variants that a stored plan's command line made, by their names.

    Raises UsageError where today's cards cannot make them.
    """
    try:
        return catalogue.with_made(plan.variant_digests)
    except UsageError as error:
        raise UsageError(f"run {plan.run_id} cannot be resumed: {error}") from error


def cells_of_plan(catalogue: Catalogue, plan: RunPlan) -> list[Cell]:
    """The cells of a stored plan in its order: scenarios as they were, variants as the catalogue has them today.

    Made variants have to be in the catalogue (made_again). Raises UsageError where a variant is not there any more.
    """
    gone = sorted({cell.variant for cell in plan.cells} - set(catalogue.variants))
    if gone:
        raise UsageError(
            f"run {plan.run_id} cannot be resumed: {', '.join(gone)} is not among the variants of this checkout. "
            "Put it back, or begin a new run."
        )
    return [
        Cell(catalogue.variants[cell.variant], plan.scenarios[cell.scenario], cell.round_number, cell.twin)
        for cell in plan.cells
    ]
