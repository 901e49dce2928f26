"""The table of generators, for people and for programs: what each did of a row's load, where there are several."""

from __future__ import annotations

from wrklab import formats
from wrklab.report.contents import Contents
from wrklab.summary.rows import GENERATOR_METRICS, GeneratorShare
from wrklab.verdicts.rules import generator_rules, generator_verdict

GENERATOR_HEADERS = (
    "variant",
    "generator",
    "verdict",
    "requests per s",
    "requests",
    "conn. open",
    "of",
    "no answers",
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
    "What each generator did: its own share of the load, its own latencies. The tables above are of all together, "
    "from added histograms. The verdict is of its part alone: ok, or that of the most severe rule that casts doubt on "
    "it. `no answers` counts connections that were never answered or stalled. CPU is of wrk on that generator's CPUs, "
    "with the wrk of generators that share them; others and steal are what neighbours and a hypervisor took of these, "
    "in the worst round; start is how long after the common mark its first wrk began, in the worst round."
)


def generator_lines(contents: Contents) -> list[tuple[str, ...]]:
    """A line a row and generator by GENERATOR_HEADERS; none where every load came from one generator."""
    many = len(contents.plan.scenarios) > 1
    return [
        (f"{share.variant} ({share.scenario})" if many else share.variant, *_cells(share))
        for share in _shares(contents)
    ]


def generator_values(contents: Contents) -> list[dict[str, object]]:
    """A mapping a row and generator: variant, scenario, verdict, rules and host, then the metrics of its part."""
    return [
        {
            "variant": share.variant,
            "scenario": share.scenario,
            "verdict": generator_verdict(rules),
            "rules": [rule.name for rule in rules],
            "host": share.host,
        }
        | {metric.share: metric.scalar_of(share) for metric in GENERATOR_METRICS if metric.share}
        for share in _shares(contents)
        for rules in [generator_rules(share)]
    ]


def _shares(contents: Contents) -> list[GeneratorShare]:
    return [share for entry in contents.rows for share in entry.row.generators]


def _cells(share: GeneratorShare) -> tuple[str, ...]:
    return (
        share.host,
        generator_verdict(generator_rules(share)),
        formats.rate(share.requests_per_s),
        formats.count(share.requests),
        formats.count(share.connections_open),
        formats.count(share.connections_asked),
        formats.count(share.connections_lost),
        formats.count(share.errors.total if share.errors else None),
        formats.percent_number(share.generator_cpu_percent),
        formats.percent_number(share.generator_host_cpu_percent),
        formats.percent_number(share.generator_neighbours_cpu_percent),
        formats.percent_number(share.generator_steal_percent),
        formats.ms(share.latency_p50_us),
        formats.ms(share.latency_p99_us),
        formats.ms(share.latency_max_us),
        formats.ms(None if share.start_skew_s is None else share.start_skew_s * 1e6),
    )
