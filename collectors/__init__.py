"""What is watched on hosts during a cell, one module a source (see README.md)."""

from collectors.base import Sample, Source
from collectors.registry import Collector, collectors, parse, sources_json

__all__ = ["Collector", "Sample", "Source", "collectors", "parse", "sources_json"]
