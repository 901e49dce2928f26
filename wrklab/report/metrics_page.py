"""The tables of docs/metrics.md, rendered from the registry. `python -m wrklab.report.metrics_page` rewrites them.

The page's prose is written by hand. A table stands between two markers, `<!-- metrics: NAME -->` and
`<!-- /metrics -->`, where NAME is a theme of the registry or one of the keys of `tables`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from wrklab.errors import WrklabError
from wrklab.paths import PROJECT_DIR
from wrklab.report.columns import REPORT_COLUMNS
from wrklab.summary.metrics import Metric
from wrklab.summary.rows import GENERATOR_METRICS, METRICS

PAGE = PROJECT_DIR / "docs" / "metrics.md"
COMMAND = "python -m wrklab.report.metrics_page"

_BLOCK = re.compile(r"(?<=<!-- metrics: )(?P<name>[^\n]+?)(?P<start> -->\n).*?(?=<!-- /metrics -->)", re.DOTALL)


def tables() -> dict[str, str]:
    """Every table by its name: one a theme, one of what the report adds, of the main table, of one generator."""
    themes = dict.fromkeys(metric.theme for metric in METRICS)
    found = {theme: _theme_table([metric for metric in METRICS if metric.theme == theme]) for theme in themes}
    found["report"] = _table(
        ("column", "unit", "definition"), [(f"`{one.name}`", one.unit, one.definition) for one in REPORT_COLUMNS]
    )
    found["main table"] = _table(
        ("printed", "metric"),
        [(one.header.title, f"`{one.name}`" if one.is_column else one.definition) for one in METRICS if one.header],
    )
    found["one generator"] = _table(
        ("key", "unit", "over rounds", "metric"),
        [(f"`{one.share}`", one.unit, one.rounds, _of_share(one)) for one in GENERATOR_METRICS],
    )
    return found


def rendered(page: str) -> str:
    """The page with every table as the registry has it now. Raises WrklabError where a table is unknown or absent."""
    known = tables()
    names = [match["name"] for match in _BLOCK.finditer(page)]
    if wrong := sorted(set(names) ^ set(known)):
        raise WrklabError(
            f"{PAGE}: the page and the registry differ in the tables {', '.join(wrong)}: the page needs one block "
            f"`<!-- metrics: NAME -->` ... `<!-- /metrics -->` for each of {', '.join(known)}"
        )
    return _BLOCK.sub(lambda match: f"{match['name']}{match['start']}{known[match['name']]}", page)


def main() -> None:
    """Rewrites the page's tables."""
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def _theme_table(metrics: Sequence[Metric[object]]) -> str:
    rows: list[Mapping[str, str]] = [
        {
            "column": f"`{metric.name}`",
            "unit": metric.unit,
            "from": metric.source,
            "over rounds": metric.rounds,
            "over generators": metric.generators,
            "better": metric.better,
            "definition": metric.definition,
        }
        for metric in metrics
        if metric.is_column
    ]
    headers = [header for header in rows[0] if any(row[header] for row in rows)]
    return _table(headers, [[row[header] for header in headers] for row in rows])


def _of_share(metric: Metric[object]) -> str:
    """The row's metric of that name, or what it means where a row has none or means something else."""
    is_the_rows = any(metric is one for one in METRICS)
    return f"`{metric.name}`" if is_the_rows else metric.definition


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["|".join(f" {cell} " if cell else " " for cell in row) for row in (headers, *rows)]
    lines.insert(1, "|".join(["---"] * len(headers)))
    return "".join(f"|{line}|\n" for line in lines)


if __name__ == "__main__":
    main()
