"""Claims: what an article says of its figures, as data to hold measurements against (`claims:` of suites/*.yml)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, field_validator, model_validator

from wrklab.catalogue.cards import Card, Name
from wrklab.catalogue.suite import Suite
from wrklab.errors import UnknownNameError

#: What a bench measures, by name; each name ends in its unit. `is_...` are answered yes or no.
LOAD_METRICS: Mapping[str, str] = {
    "requests_per_s": "median rate over rounds",
    "latency_mean_ms": "mean latency, median over rounds",
    "latency_p50_ms": "median latency, median over rounds",
    "latency_p99_ms": "99th percentile, median over rounds",
    "latency_max_ms": "the slowest answer of all rounds",
    "timeouts_ratio": "answers that wrk gave up on after 2 s (the articles' time-out) / answers",
    "errors_ratio": "failed connects, reads, writes, wrong status or body / answers",
    "server_cpu_percent": "CPU of the unit, of the CPUs given to the server",
    "server_cpu_us_per_request": "CPU time of the unit for one answer, in us",
    "is_down_after": "whether the server was ended, hung or broken after a window",
}
#: What a probe finds out.
PROBE_METRICS: Mapping[str, str] = {
    "capacity": "requests handled at once; infinite where no limit was met",
    "queued": "requests that wait, in the process and in the kernel",
    "processes": "processes of the unit while the requests were held",
    "threads": "threads of the unit while the requests were held",
    "is_unbounded": "whether every request that was sent was handled at once",
    "is_all_queued": "whether all requests that are not handled at once wait: none is refused, dropped or 5xx",
    "is_refused_beyond": "whether requests beyond the limit are closed or refused at once",
    "is_reused": "whether what served one request serves another",
    "is_failing": "whether no request was answered correctly",
}
METRICS: Mapping[str, str] = {**LOAD_METRICS, **PROBE_METRICS}

Limit: TypeAlias = Literal["at_least", "at_most", "more_than", "less_than", "about", "exactly", "is"]
#: The keys that a claim may have its limit under, in the order in which errors list them.
LIMITS: tuple[Limit, ...] = ("at_least", "at_most", "more_than", "less_than", "about", "exactly", "is")


def _as_list(value: object) -> object:
    """One name counts as a list of one."""
    return (value,) if isinstance(value, str) else value


#: A variant, or a list of several: then the claim is about each of them.
Variants = Annotated[tuple[Name, ...], BeforeValidator(_as_list), Field(min_length=1)]
Sentence = Annotated[str, StringConstraints(min_length=10, pattern=r"[.]$")]


def is_yes_or_no(metric: str) -> bool:
    """Whether a metric is answered yes or no."""
    return metric.startswith("is_")


class Operand(Card):
    """One figure of one variant: what a claim compares. `scenario` is None for what a probe finds."""

    metric: str
    variant: Name
    scenario: Name | None = None

    @property
    def is_probed(self) -> bool:
        """Whether a probe answers it, not a bench."""
        return self.metric in PROBE_METRICS


class Measure(Card):
    """A metric of one or several variants under one scenario."""

    metric: str
    of: Variants
    #: The scenario of the article; a shorter one that compares with it (`standard`) answers as well. None: probed.
    scenario: Name | None = None

    @field_validator("metric")
    @classmethod
    def _is_known(cls, metric: str) -> str:
        return _known_metric(metric)

    @model_validator(mode="after")
    def _has_scenario_where_benched(self) -> Measure:
        _check_scenario(self.metric, self.scenario)
        return self


class ValueOf(Measure):
    """`value_of`: the metric itself, of every variant in `of`."""


class RatioOf(Measure):
    """`ratio_of`: the metric of every variant in `of` divided by that of every variant in `to`.

    `to` is `of` unless given, `to_metric` the same metric, `to_scenario` the same scenario.
    """

    to: Variants | None = None
    to_metric: str | None = None
    to_scenario: Name | None = None

    @model_validator(mode="after")
    def _compares_two_figures(self) -> RatioOf:
        to_metric = _known_metric(self.to_metric or self.metric)
        if is_yes_or_no(self.metric) or is_yes_or_no(to_metric):
            raise ValueError(f"{self.metric} is answered yes or no and has no ratio: use value_of with `is: true`")
        if (self.metric in LOAD_METRICS) != (to_metric in LOAD_METRICS):
            raise ValueError(
                f"one of {self.metric} and {to_metric} is benched, the other probed: compare like with like"
            )
        _check_scenario(to_metric, self.to_scenario or self.scenario)
        if self.to is None and to_metric == self.metric and self.to_scenario in {None, self.scenario}:
            raise ValueError("a figure over itself is always 1: give `to`, `to_metric` or `to_scenario`")
        return self


#: One comparison: a figure, or a figure and the one that it is divided by.
Pair: TypeAlias = tuple[Operand, Operand | None]


class Claim(Card):
    """One thing that an article says: a figure or a ratio, and the limit that it keeps.

    Exactly one of `value_of` and `ratio_of`, and exactly one limit. With several variants the claim is about each.
    """

    # Claims are stored with runs as JSON, which has no infinite number.
    model_config = ConfigDict(allow_inf_nan=False)

    claim: Name
    #: What the article says, in one sentence of our own.
    says: Sentence
    #: The `article` of reference/articles.csv.
    source: Name
    value_of: ValueOf | None = None
    ratio_of: RatioOf | None = None
    at_least: float | None = None
    at_most: float | None = None
    more_than: float | None = None
    less_than: float | None = None
    #: Within `within_percent` of it, either way.
    about: float | None = None
    within_percent: float | None = Field(default=None, gt=0, lt=100)
    exactly: float | None = None
    is_: bool | None = Field(default=None, alias="is")
    #: CPUs that the server must have: processes against one process are another comparison on fewer.
    needs_cpus: int = Field(default=1, ge=1)
    #: What the article gives in words only; figures are looked up in reference/*.csv and never typed again here.
    published: str = ""
    #: How the sentence is read where it leaves room.
    note: str = ""

    @model_validator(mode="after")
    def _has_one_measure_and_one_limit(self) -> Claim:
        if (self.value_of is None) == (self.ratio_of is None):
            raise ValueError("give one of value_of and ratio_of")
        given = [name for name in LIMITS if self._given(name) is not None]
        if len(given) != 1:
            found = f"found {' and '.join(given)}" if given else "found none"
            raise ValueError(f"give one limit of {', '.join(LIMITS)}; {found}")
        if (self.within_percent is not None) != (given == ["about"]):
            raise ValueError("`about` needs `within_percent`, and nothing else does")
        if is_yes_or_no(self.measure.metric) != (given == ["is"]):
            raise ValueError(
                f"{self.measure.metric}: metrics that are answered yes or no need the limit `is`, no others do"
            )
        return self

    @property
    def measure(self) -> ValueOf | RatioOf:
        """What is measured. Raises ValueError where the claim has none, which no claim that was read has."""
        found = self.value_of or self.ratio_of
        if found is None:
            raise ValueError(f"{self.claim}: give one of value_of and ratio_of")
        return found

    @property
    def limit(self) -> tuple[Limit, float]:
        """The limit's kind and number; yes is 1 and no is 0."""
        for name in LIMITS:
            given = self._given(name)
            if given is not None:
                return name, float(given)
        raise ValueError(f"{self.claim}: no limit")

    @property
    def is_probed(self) -> bool:
        """Whether probes answer it, not a bench."""
        return self.measure.metric in PROBE_METRICS

    def bounds(self) -> tuple[float, float, bool]:
        """(lowest, highest, whether both are allowed themselves) of what keeps the limit."""
        kind, number = self.limit
        if kind == "about":
            reach = abs(number) * (self.within_percent or 0.0) / 100
            return number - reach, number + reach, True
        low = number if kind in {"at_least", "more_than", "exactly", "is"} else -math.inf
        high = number if kind in {"at_most", "less_than", "exactly", "is"} else math.inf
        return low, high, kind not in {"more_than", "less_than"}

    def pairs(self) -> Iterator[Pair]:
        """Every comparison that the claim makes."""
        measure = self.measure
        for variant in measure.of:
            of = Operand(metric=measure.metric, variant=variant, scenario=measure.scenario)
            if isinstance(measure, ValueOf):
                yield of, None
                continue
            for other in measure.to or (variant,):
                yield (
                    of,
                    Operand(
                        metric=measure.to_metric or measure.metric,
                        variant=other,
                        scenario=measure.to_scenario or measure.scenario,
                    ),
                )

    def operands(self) -> Iterator[Operand]:
        """Every figure that the claim needs; one that it needs twice comes twice."""
        for of, to in self.pairs():
            yield of
            if to is not None:
                yield to

    def names(self) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
        """(key in the file, noun, name) of everything that the claim refers to, for checking that it exists."""
        key = "value_of" if self.value_of is not None else "ratio_of"
        yield ("source",), "article", self.source
        for part in ("of", "to"):
            for variant in getattr(self.measure, part, None) or ():
                yield (key, part), "variant", variant
        for part in ("scenario", "to_scenario"):
            if (scenario := getattr(self.measure, part, None)) is not None:
                yield (key, part), "scenario", scenario

    def _given(self, limit: Limit) -> float | None:
        found: float | None = self.is_ if limit == "is" else getattr(self, limit)
        return found


class ArticleSuite(Suite):
    """A suite with its claims read and checked."""

    claims: tuple[Claim, ...] = ()


def _known_metric(metric: str) -> str:
    if metric not in METRICS:
        raise ValueError(str(UnknownNameError("metric", metric, METRICS)))
    return metric


def _check_scenario(metric: str, scenario: str | None) -> None:
    if metric in LOAD_METRICS and scenario is None:
        raise ValueError(f"{metric} is benched: give the `scenario` of the article")
    if metric in PROBE_METRICS and scenario is not None:
        raise ValueError(f"{metric} is probed, which has no scenario: remove it")
