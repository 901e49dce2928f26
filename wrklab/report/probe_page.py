"""report.html of a folder of probes: where the requests are, then what each probe found."""

from __future__ import annotations

from pathlib import Path

from wrklab.articles.findings import ProbeFindings
from wrklab.report import charts, claims, probe
from wrklab.report.chart_figures import in_flight_figures
from wrklab.report.html_page import Page, documents, write_page
from wrklab.results.probe_folder import ProbeFolder


def write_probe_page(folder: ProbeFolder, findings: ProbeFindings) -> Path:
    """Writes the page into the folder, replaced as a whole; its path. Raises StoreError."""
    records = folder.records()
    figures = in_flight_figures(records)
    specs = {"in_flight": charts.page_spec(charts.plain(charts.in_flight(figures)))} if figures else {}
    path = folder.path / "report.html"
    css = {"holds": "holds", "does not hold": "fails"}
    rows = [dict(zip(claims.HEADERS, cells, strict=True)) for cells in claims.markdown_rows(findings.claims, str)]
    write_page(
        path,
        "probe.html.j2",
        Page(f"wrklab {folder.plan.probe_id}", documents(charts=specs), has_charts=bool(specs)),
        plan=folder.plan,
        has_chart=bool(specs),
        headers=probe.HEADINGS,
        rows=[probe.cells(record) for record in records],
        records=[
            {
                "variant": record.variant,
                "details": probe.details(record, findings.compared.get(record.variant)),
                "log": "\n".join(record.log_tail),
            }
            for record in records
        ],
        claims=[{**row, "css": css.get(row["answer"], "unclear")} for row in rows],
    )
    return path
