"""The table of generators, for people and for programs: what each did of a row's load, where there are several."""

from __future__ import annotations

from wrklab import formats
from wrklab.report.contents import Contents
from wrklab.report.flat import flatten
from wrklab.summary.generator_rows import GeneratorRow
from wrklab.summary.rows import SummaryRow
from wrklab.verdicts.generator_verdicts import generator_rules, generator_verdict

GENERATOR_HEADERS = (
    "variant",
    "generator",
    "verdict",
    "requests per s",
    "requests",
    "conn. open",
    "of",
    "silent",
    "errors",
    "wrk CPU %",
    "host CPU %",
    "others CPU %",
    "steal %",
    "p50 ms",
    "p99 ms",
    "max ms",
    "start ms",
)

GENERATORS_MEANING = (
    "What each generator did: its own share of the load, its own latencies. The figures above are of all together, "
    "from added histograms. The verdict is of its part alone: ok, or that of the gravest rule that casts doubt on it. "
    "Silent are connections that went without answers. CPU is of wrk on that generator's CPUs, with the wrk of "
    "generators that share them; others and steal are what neighbours and a hypervisor took of these, in the worst "
    "round; start is how long after the common mark its first wrk began, in the worst round."
)


def generator_lines(contents: Contents) -> list[tuple[str, ...]]:
    """A line a row and generator by GENERATOR_HEADERS; none where every load came from one generator."""
    many = len(contents.plan.scenarios) > 1
    return [
        (f"{row.variant} ({row.scenario})" if many else row.variant, *_cells(row, part))
        for row, part in _parts(contents)
    ]


def generator_values(contents: Contents) -> list[dict[str, object]]:
    """The same as plain data with all figures: variant, scenario, verdict, rules, then GeneratorRow's keys, dotted."""
    return [
        {
            "variant": row.variant,
            "scenario": row.scenario,
            "verdict": generator_verdict(rules),
            "rules": [rule.name for rule in rules],
        }
        | flatten(part.values())
        for row, part in _parts(contents)
        for rules in [generator_rules(row, part)]
    ]


def _parts(contents: Contents) -> list[tuple[SummaryRow, GeneratorRow]]:
    return [(entry.row, part) for entry in contents.rows for part in entry.row.generators]


def _cells(row: SummaryRow, part: GeneratorRow) -> tuple[str, ...]:
    latency = part.latency
    return (
        part.host,
        generator_verdict(generator_rules(row, part)),
        formats.rate(part.requests_per_s),
        formats.count(part.requests),
        formats.count(part.connections_open),
        formats.count(part.connections_asked),
        formats.count(part.connections_lost),
        formats.count(part.errors.total),
        formats.percent_number(part.cpu_percent),
        formats.percent_number(part.host_cpu_percent),
        formats.percent_number(part.neighbours_cpu_percent),
        formats.percent_number(part.steal_percent),
        formats.ms(latency.p50_us if latency else None),
        formats.ms(latency.p99_us if latency else None),
        formats.ms(latency.max_us if latency else None),
        formats.ms(None if part.start_skew_s is None else part.start_skew_s * 1e6),
    )
