"""Finds the collectors: every module of this package that has NAME, SOURCE and parse()."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache

from collectors.base import Sample, Source, SourceError

_NOT_COLLECTORS = frozenset({"base", "registry"})


@dataclass(frozen=True)
class Collector:
    """One source and its parser: text -> samples, raising SourceError where a number cannot be read."""

    name: str
    source: Source
    parse: Callable[[str], tuple[Sample, ...]]


@cache
def collectors() -> Mapping[str, Collector]:
    """All collectors by name."""
    package = importlib.import_module("collectors")
    stems = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    found: dict[str, Collector] = {}
    for stem in stems:
        if stem not in _NOT_COLLECTORS:
            module = importlib.import_module(f"collectors.{stem}")
            found[module.NAME] = Collector(module.NAME, module.SOURCE, module.parse)
    return found


def sources_json() -> str:
    """The sources of all collectors for a host's sampler (sources.json)."""
    sources = [{"name": name, **asdict(collector.source)} for name, collector in collectors().items()]
    return json.dumps({"sources": sources}, indent=1) + "\n"


def parse(raw: Mapping[str, str]) -> dict[str, Sample]:
    """All samples of one moment's raw texts, by metric. Raises SourceError naming the collector."""
    found: dict[str, Sample] = {}
    for name, text in raw.items():
        collector = collectors().get(name)
        if collector is None:
            continue  # an older run's collector that is no more: its text stays in the store
        try:
            found.update({sample.metric: sample for sample in collector.parse(text)})
        except SourceError as error:
            raise SourceError(f"collector {name}: {error}") from error
    return found
