"""What a metric is: one entry that says how it is computed and combined, what it means, and where it is shown.

To add a metric to what is sampled already, write one entry in the class of its theme (metrics_load, metrics_latency,
metrics_answers, metrics_hosts):

    steal_percent = largest(
        lambda window: window.server.steal_percent, Unit.PERCENT, "CPU time that a hypervisor kept from the server.",
        source=Source.SAMPLES, better=Better.LOWER,
    )

It is then an attribute of SummaryRow with its own type, a column of report.csv and of the JSON rows, and a line of
docs/metrics.md (`python -m wrklab.report.metrics_page` rewrites that page).
"""

from __future__ import annotations

import inspect
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, ClassVar, Generic, Literal, Self, TypeAlias, TypedDict, TypeVar, Unpack, overload

from wrklab.catalogue.scenario import Scenario
from wrklab.results.records import CellRecord, GeneratorRecord, Measurement, PlannedCell

T = TypeVar("T")
Number = TypeVar("Number", int, float)

#: What a column of report.csv holds; None: there is no such value.
Scalar: TypeAlias = str | int | float | None
#: What makes a metric doubtful: a doubtful rate, doubtful latencies, any doubt about the window at half rate, or
#: nothing.
DoubtedBy: TypeAlias = Literal["rate", "latency", "half_rate", "none"]
#: The two halves of a report's main table: the load and its answers; the latencies and the server's size.
Half: TypeAlias = Literal["rate", "latency"]
#: A cell's histograms by kind, from its id: `observed`, `wrk`, and `observed@HOST` of each of several generators.
HistogramsOf: TypeAlias = Callable[[str], Mapping[str, bytes]]


class Unit(StrEnum):
    """The unit of a metric's value."""

    NONE = ""
    ANSWERS = "answers"
    BYTES = "bytes"
    CONNECTIONS = "connections"
    ERRORS = "errors"
    MICROSECONDS = "µs"
    MILLISECONDS = "ms"
    PERCENT = "%"
    PER_SECOND = "requests/s"
    PROCESSES = "processes"
    RATIO = "ratio"
    REQUESTS = "requests"
    ROUNDS = "rounds"
    SECONDS = "s"
    SEGMENTS = "segments"
    THREADS = "threads"
    TIMES = "times"


class Source(StrEnum):
    """Where a metric's value comes from."""

    #: Computed from other metrics.
    NONE = ""
    PLAN = "plan"
    CARD = "card"
    PROBE_OR_CARD = "newest probe, else card"
    WRK = "wrk"
    WRK_LUA = "wrk's Lua"
    WRK_HISTOGRAM = "wrk's histogram"
    OBSERVED = "observed histogram"
    SAMPLES = "samples"
    SAMPLES_AND_WRK = "samples, wrk"
    WRK_PROCESSES = "wrk's processes"
    WRK_THREADS = "wrk's threads"
    SERVER = "server"
    SERVER_LOG = "server's log"
    HARNESS = "harness"


class Over(StrEnum):
    """How the values of several rounds, or of several generators, become one."""

    #: There is only one, or they must not be combined.
    NONE = ""
    MEDIAN = "median"
    LARGEST = "largest"
    SMALLEST = "smallest"
    SUM = "sum"
    #: Histograms are added; percentiles are taken from the total.
    ADDED = "added"
    #: The value of the round that is worst by another measure, which the definition names.
    WORST = "worst"


class Better(StrEnum):
    """Which direction of a metric's value speaks for a variant."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = ""


class About(TypedDict, total=False):
    """What an entry may say of itself besides its unit and definition."""

    source: Source
    #: How the values of several generators became one within a round.
    generators: Over
    better: Better
    #: By default what the theme says.
    doubt: DoubtedBy
    #: Its key among the values of one generator (report.generators); by default it has no value of one generator.
    share: str
    #: Its column in the table of `invoke compare`; by default it is not compared.
    compared: str
    #: False: it only stands in the main table, for people; report.csv has its parts.
    is_column: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class RowSource:
    """What a row's metrics are computed from: one variant under one scenario, all rounds."""

    THEME: ClassVar[str] = ""
    DOUBT: ClassVar[DoubtedBy] = "none"

    planned: tuple[PlannedCell | CellRecord, ...]
    #: Those of them that ended, in the order in which they did.
    cells: tuple[CellRecord, ...]
    load: Scenario
    #: None: the latencies are those of the cell's own record. Only a row of one cell can do so.
    histograms_of: HistogramsOf | None
    server_cpus_count: int
    #: Server and generator were one machine.
    one_machine: bool
    #: Server and generators are given a CPU in common.
    cpus_shared: bool
    #: The rate of the run's baseline under the same scenario, requests/s.
    baseline_per_s: float | None = None
    #: Its window at half rate, as a row of its own; None: none is planned.
    half_rate_window: RowSource | None = None

    @cached_property
    def is_open_loop(self) -> bool:
        """Whether requests were sent at a rate, whatever the server did."""
        return self.load.is_open_loop

    @cached_property
    def measured(self) -> tuple[CellRecord, ...]:
        """The cells with a measurement."""
        return tuple(cell for cell in self.cells if cell.measurement is not None)

    @cached_property
    def failed(self) -> tuple[CellRecord, ...]:
        """The cells that ended without one."""
        return tuple(cell for cell in self.cells if cell.measurement is None)

    @cached_property
    def windows(self) -> tuple[Measurement, ...]:
        """One measurement a measured round."""
        return tuple(cell.measurement for cell in self.cells if cell.measurement is not None)


@dataclass(frozen=True)
class Header(Generic[T]):
    """A metric's column in the main table for people."""

    title: str
    half: Half
    text: Callable[[T], str]
    #: Shown in report.md alone, and only where some row has a value.
    is_optional: bool


class Metric(Generic[T]):
    """One entry of the registry. On a row it is the value, computed once; on the class it is the entry itself."""

    name: str
    theme: str

    def __init__(
        self,
        compute: Callable[[Any], T],
        unit: Unit,
        definition: str,
        *,
        rounds: Over = Over.NONE,
        **about: Unpack[About],
    ) -> None:
        self._compute = compute
        self.unit = unit
        self.definition = definition
        self.rounds = rounds
        self.source = about.get("source", Source.NONE)
        self.generators = about.get("generators", Over.NONE)
        self.better = about.get("better", Better.NEITHER)
        self.share = about.get("share")
        self.compared = about.get("compared")
        self.is_column = about.get("is_column", True)
        self.header: Header[T] | None = None
        self._doubt = about.get("doubt")
        self._to_scalar: Callable[[T], Scalar] | None = None

    def __set_name__(self, owner: type[RowSource], name: str) -> None:
        """The entry's name is that of the attribute; theme and doubt are its class's."""
        self.name = name
        self.theme = owner.THEME
        self.doubt: DoubtedBy = self._doubt or owner.DOUBT

    @overload
    def __get__(self, row: None, owner: type[RowSource]) -> Self: ...

    @overload
    def __get__(self, row: RowSource, owner: type[RowSource] | None = None) -> T: ...

    def __get__(self, row: RowSource | None, owner: type[RowSource] | None = None) -> Self | T:
        """The row's value. It is kept in the row's __dict__, where Python finds it first the next time."""
        if row is None:
            return self
        value = self._compute(row)
        vars(row)[self.name] = value
        return value

    def shown(self, title: str, half: Half, text: Callable[[T], str], *, is_optional: bool = False) -> Self:
        """The entry with a column in the main table."""
        self.header = Header(title, half, text, is_optional)
        return self

    def written(self, to_scalar: Callable[[T], Scalar]) -> Self:
        """The entry with what report.csv holds of a value that is no scalar itself."""
        self._to_scalar = to_scalar
        return self

    def value_of(self, row: RowSource) -> T:
        """The row's value, as an attribute of that name gives it."""
        value: T = getattr(row, self.name)
        return value

    def scalar_of(self, row: RowSource) -> Scalar:
        """What report.csv and the JSON rows hold. Raises TypeError where an entry lacks `written`."""
        value = self.value_of(row)
        found: object = self._to_scalar(value) if self._to_scalar else value
        if found is None or isinstance(found, str | int | float):
            return found
        raise TypeError(f"metric {self.name}: its value is a {type(found).__name__}; give the entry written(...)")

    def text_of(self, row: RowSource) -> str:
        """What the main table shows. Raises ValueError for a metric without a column there."""
        if self.header is None:
            raise ValueError(f"metric {self.name} has no column in the main table; give the entry shown(...)")
        return self.header.text(self.value_of(row))


def metrics_of(row_type: type[RowSource]) -> tuple[Metric[object], ...]:
    """The entries of a row class: themes in the order in which they build on each other, entries as they stand."""
    found: dict[str, Metric[object]] = {}
    for base in reversed(row_type.__mro__):
        found |= {name: entry for name, entry in vars(base).items() if isinstance(entry, Metric)}
    return tuple(found.values())


def derived(
    unit: Unit, *, rounds: Over = Over.NONE, **about: Unpack[About]
) -> Callable[[Callable[[Any], T]], Metric[T]]:
    """Makes a metric of a method: computed from the row's other metrics. Its docstring is the definition."""

    def entry(compute: Callable[[Any], T]) -> Metric[T]:
        return Metric(compute, unit, inspect.getdoc(compute) or "", rounds=rounds, **about)

    return entry


def shown(
    title: str, half: Half, text: Callable[[T], str], *, is_optional: bool = False
) -> Callable[[Metric[T]], Metric[T]]:
    """Metric.shown as a decorator, above `derived`."""
    return lambda metric: metric.shown(title, half, text, is_optional=is_optional)


def of_row(
    read: Callable[[RowSource], T], unit: Unit, definition: str, *, rounds: Over = Over.NONE, **about: Unpack[About]
) -> Metric[T]:
    """A metric of the plan or of the cells, not of one window after the other."""
    return Metric(read, unit, definition, rounds=rounds, **about)


def median(
    read: Callable[[Measurement], float | None], unit: Unit, definition: str, **about: Unpack[About]
) -> Metric[float | None]:
    """The median of the rounds' known values."""
    return Metric(lambda row: median_known(map(read, row.windows)), unit, definition, rounds=Over.MEDIAN, **about)


def largest(
    read: Callable[[Measurement], Number | None], unit: Unit, definition: str, **about: Unpack[About]
) -> Metric[Number | None]:
    """The largest of the rounds' known values."""
    return Metric(lambda row: largest_known(map(read, row.windows)), unit, definition, rounds=Over.LARGEST, **about)


def smallest(
    read: Callable[[Measurement], Number | None], unit: Unit, definition: str, **about: Unpack[About]
) -> Metric[Number | None]:
    """The smallest of the rounds' known values."""
    return Metric(lambda row: smallest_known(map(read, row.windows)), unit, definition, rounds=Over.SMALLEST, **about)


def total(
    read: Callable[[Measurement], int | None], unit: Unit, definition: str, **about: Unpack[About]
) -> Metric[int | None]:
    """The sum of the rounds' known values."""
    return Metric(lambda row: total_known(map(read, row.windows)), unit, definition, rounds=Over.SUM, **about)


def of_worst_generator(
    read: Callable[[GeneratorRecord], Number | None],
) -> Callable[[Measurement], Number | None]:
    """Reads the largest known value of a window's generators."""
    return lambda window: largest_known(map(read, window.generators))


def median_known(values: Iterable[float | None]) -> float | None:
    """The median of those that are not None; None where all are."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def largest_known(values: Iterable[Number | None]) -> Number | None:
    """The largest of those that are not None; None where all are."""
    return max((value for value in values if value is not None), default=None)


def smallest_known(values: Iterable[Number | None]) -> Number | None:
    """The smallest of those that are not None; None where all are."""
    return min((value for value in values if value is not None), default=None)


def total_known(values: Iterable[int | None]) -> int | None:
    """The sum of those that are not None; None where all are."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def ratio(value: float | None, of: float | None) -> float | None:
    """value / of; None where either is unknown or `of` is 0."""
    return value / of if value is not None and of else None


def distinct(texts: Iterable[str]) -> tuple[str, ...]:
    """The texts that are not empty, each once, in order."""
    return tuple(dict.fromkeys(text for text in texts if text))
