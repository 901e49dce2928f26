"""Every picture as one function: figures in, Altair chart out. What the figures are: report/chart_figures.py.

A chart has a width of "container" in the page and a fixed one in a picture of its own. Colours are those of Okabe and
Ito, which colour-blind readers can distinguish, chosen to stand on white and on black; text always says the same as a
colour does. Altair is imported by whoever draws: `invoke lab.status` does not wait for it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeAlias

import altair as alt

from wrklab.report.chart_figures import (
    AS_WRK_PRINTS,
    ArticleFigure,
    CostFigure,
    InFlightFigure,
    LatencyFigure,
    RateFigure,
    TrendFigure,
    WindowFigure,
)
from wrklab.verdicts.verdict import Verdict

Spec: TypeAlias = dict[str, Any]
AnyChart: TypeAlias = alt.Chart | alt.LayerChart | alt.FacetChart

_BLUE, _ORANGE, _GREEN, _RED, _PURPLE, _SKY, _GREY = (
    "#3b7fc4",
    "#d98a00",
    "#1f9e78",
    "#d55e00",
    "#b0659a",
    "#4aa5da",
    "#8a8a8a",
)
#: The colour of each verdict. The verdict stands next to every mark as text.
VERDICT_COLOURS: Mapping[Verdict, str] = {
    Verdict.SERVER_BOUND: _BLUE,
    Verdict.LIMIT_BOUND: _ORANGE,
    Verdict.HOLD_BOUND: _GREEN,
    Verdict.GENERATOR_BOUND: _PURPLE,
    Verdict.POLLUTED: _RED,
    Verdict.DISTURBED: _SKY,
    Verdict.UNSTABLE: "#a08400",
    Verdict.FAILED: _RED,
    Verdict.FAILED_AS_EXPECTED: _GREY,
    Verdict.UNEXPLAINED: _GREY,
}
SERIES_COLOURS = [_BLUE, _ORANGE, _GREEN, _PURPLE, _RED, _SKY]
SERIES_DASHES = [[1, 0], [6, 3], [2, 2], [8, 2, 2, 2], [1, 3], [10, 4]]
#: The ink of the page, whatever it is; a picture of its own has black in its place.
_INK = "currentColor"
_ROW_PX = 21
_PANEL_PX = 150
_PICTURE_PX = 620
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


def _config(ink: str) -> Spec:
    """Vega-Lite's settings: all that is not data in one ink."""
    axis = {"labelColor": ink, "titleColor": ink, "tickColor": ink, "domainColor": ink, "gridColor": ink}
    return {
        "background": "transparent",
        "font": _FONT,
        "view": {"stroke": None},
        "axis": {**axis, "gridOpacity": 0.15, "labelLimit": 190, "labelFontSize": 11, "titleFontWeight": "normal"},
        "legend": {"labelColor": ink, "titleColor": ink, "orient": "top", "title": None, "labelLimit": 260},
        "text": {"color": ink},
        "title": {"color": ink},
    }


def plain(chart: AnyChart) -> Spec:
    """A chart as Vega-Lite. Altair's own check of it takes longer than all else, so the tests do that, not a report."""
    spec: Spec = chart.to_dict(validate=False)
    return spec


def page_spec(spec: Spec) -> Spec:
    """For report.html: as wide as its place, in the page's own ink, so that light and dark need one picture."""
    fit = {"type": "fit-x", "contains": "padding"}
    return {**spec, "config": _config(_INK), "autosize": fit, "width": "container"}


def picture_spec(spec: Spec) -> Spec:
    """For a picture of its own: black on white, as wide as a page of Markdown."""
    config = {**_config("#1a1a1a"), "background": "white"}
    found: Spec = json.loads(json.dumps(spec).replace(f'"{_INK}"', '"#1a1a1a"'))
    return {**found, "config": config, "padding": 10, "width": _PICTURE_PX}


def to_svg(spec: Spec) -> str:
    """A picture as SVG, drawn without a browser. The first one takes half a second longer than the others."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(json.dumps(spec)))


def _data(figures: Sequence[Any]) -> alt.Data:
    return alt.Data(values=[{name: _short(value) for name, value in asdict(figure).items()} for figure in figures])


def _short(value: object) -> object:
    """A number with the decimals that report.csv has; all seventeen digits are thousands of bytes that nobody sees."""
    return round(value, 4) if isinstance(value, float) else value


def _latency_data(figures: Sequence[LatencyFigure]) -> alt.Data:
    """As CSV within the chart: thousands of points, in a quarter of the room. `is_wrks`: 1 for what wrk would print."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    numbers = ("is_wrks", "one_in", "latency_ms")
    writer.writerow(("name", *numbers))
    writer.writerows((one.name, int(one.kind == AS_WRK_PRINTS), one.one_in, one.latency_ms) for one in figures)
    return alt.Data(values=stream.getvalue(), format=alt.DataFormat(type="csv", parse=dict.fromkeys(numbers, "number")))


def _names(field: str = "name") -> alt.Y:
    """A line a row, in the order of the figures."""
    return alt.Y(f"{field}:N", sort=None, title=None, axis=alt.Axis(ticks=False, domain=False, labelPadding=6))


def ranking(figures: Sequence[RateFigure]) -> AnyChart:
    """Requests/s with their interval, a line a row: filled where the rate is sound, hollow where it is doubtful."""
    base = alt.Chart(_data(figures)).encode(y=_names())
    tips = [
        alt.Tooltip("name:N", title="variant"),
        alt.Tooltip("rate_per_s:Q", title="requests/s", format=",.1f"),
        alt.Tooltip("low_per_s:Q", title="interval from", format=",.1f"),
        alt.Tooltip("high_per_s:Q", title="to", format=",.1f"),
        alt.Tooltip("published_per_s:Q", title="published", format=",.1f"),
        alt.Tooltip("set_by:N", title="set by"),
    ]
    x = alt.X("rate_per_s:Q", title="requests/s (log scale)", scale=alt.Scale(type="log", nice=True))
    scale = alt.Scale(domain=[str(found) for found in VERDICT_COLOURS], range=list(VERDICT_COLOURS.values()))
    colour, fill = alt.Color("verdict:N", scale=scale, legend=None), alt.Fill("verdict:N", scale=scale, legend=None)
    interval = base.mark_rule(strokeWidth=3, opacity=0.55).encode(
        x=alt.X("low_per_s:Q"), x2="high_per_s:Q", color=colour
    )
    published = (
        base.transform_filter("isValid(datum.published_per_s)")
        .mark_tick(thickness=2, size=15, color=_INK, opacity=0.8)
        .encode(x="published_per_s:Q", tooltip=tips)
    )
    point = base.mark_point(size=75, strokeWidth=2).encode(
        x=x,
        color=colour,
        fill=alt.condition("datum.is_doubtful", alt.value("transparent"), fill),
        tooltip=tips,
    )
    text = base.mark_text(align="left", dx=10, fontSize=11).encode(x="rate_per_s:Q", text="label:N")
    return alt.layer(interval, published, point, text).properties(height=alt.Step(_ROW_PX))


def latency_spectrum(figures: Sequence[LatencyFigure], focus: str) -> AnyChart:
    """Latency over percentile: the row in focus in colour, what wrk would have printed of it dashed, others grey."""
    labels = "datum.value <= 1 ? '0' : format(100 * (1 - 1 / datum.value), '.7~g')"
    axis = alt.Axis(values=[1, 2, 10, 100, 1000, 10_000, 100_000], labelExpr=labels, grid=True)
    x = alt.X("one_in:Q", title="percentile of the answers", scale=alt.Scale(type="log"), axis=axis)
    y = alt.Y("latency_ms:Q", title="latency, ms (log scale)", scale=alt.Scale(type="log", zero=False))
    tips = [
        alt.Tooltip("name:N", title="variant"),
        alt.Tooltip("percentile:Q", format=".7~g"),
        alt.Tooltip("latency_ms:Q", title="ms", format=",.1f"),
        alt.Tooltip("kind:N", title="histogram"),
    ]
    chosen = alt.param(name="focus", value=focus)
    base = (
        alt.Chart(_latency_data(figures))
        .transform_calculate(
            kind=f"datum.is_wrks ? '{AS_WRK_PRINTS}' : 'observed'", percentile="100 * (1 - 1 / datum.one_in)"
        )
        .encode(x=x, y=y, tooltip=tips)
    )
    others = (
        base.transform_filter("datum.name != focus && datum.kind == 'observed'")
        .mark_line(strokeWidth=1, opacity=0.35, color=_GREY, interpolate="step-after")
        .encode(detail="name:N")
    )
    found = (
        base.transform_filter("datum.name == focus")
        .mark_line(strokeWidth=2.5, interpolate="step-after")
        .encode(
            color=alt.Color(
                "kind:N", scale=alt.Scale(domain=["observed", AS_WRK_PRINTS], range=[_BLUE, _ORANGE]), title=None
            ),
            strokeDash=alt.StrokeDash(
                "kind:N", scale=alt.Scale(domain=["observed", AS_WRK_PRINTS], range=[[1, 0], [5, 4]]), title=None
            ),
        )
    )
    return alt.layer(others, found).add_params(chosen).properties(height=280)


def window_panel(figures: Sequence[WindowFigure], title: str, length_s: float) -> AnyChart:
    """One kind of sample over time, a line a series and round; the window is between the two upright lines."""
    series = list(dict.fromkeys(figure.series for figure in figures))
    colours, dashes = SERIES_COLOURS[: len(series)], SERIES_DASHES[: len(series)]
    edges = (
        alt.Chart(alt.Data(values=[{"at": 0}, {"at": length_s}]))
        .mark_rule(strokeDash=[3, 3], color=_INK, opacity=0.6)
        .encode(x="at:Q")
    )
    lines = (
        alt.Chart(_data(figures))
        .mark_line(strokeWidth=1.8, opacity=0.85)
        .encode(
            x=alt.X("at_s:Q", title="s after the window's start"),
            y=alt.Y("value:Q", title=title),
            color=alt.Color("series:N", scale=alt.Scale(domain=series, range=colours), title=None),
            strokeDash=alt.StrokeDash("series:N", scale=alt.Scale(domain=series, range=dashes), title=None),
            detail="round_number:N",
            tooltip=[
                alt.Tooltip("series:N"),
                alt.Tooltip("round_number:O", title="round"),
                alt.Tooltip("at_s:Q", title="s", format=".1f"),
                alt.Tooltip("value:Q", format=",.1f"),
            ],
        )
    )
    return alt.layer(edges, lines).properties(height=_PANEL_PX)


def cpu_cost(figures: Sequence[CostFigure]) -> AnyChart:
    """CPU us a request against requests/s: to the right is more, below is cheaper; the size is the memory."""
    chart: alt.Chart = (
        alt.Chart(_data([figure for figure in figures if figure.part == "total"]))
        .mark_point(strokeWidth=2)
        .encode(
            x=alt.X("rate_per_s:Q", title="requests/s (log scale)", scale=alt.Scale(type="log")),
            y=alt.Y("cpu_us:Q", title="CPU µs a request (log scale)", scale=alt.Scale(type="log")),
            size=alt.Size("memory_mib:Q", title="MiB", scale=alt.Scale(range=[30, 500])),
            color=alt.Color("runtime:N", scale=alt.Scale(range=SERIES_COLOURS), title=None),
            shape=alt.Shape("runtime:N", title=None),
            fillOpacity=alt.value(0.0),
            tooltip=[
                alt.Tooltip("name:N", title="variant"),
                alt.Tooltip("rate_per_s:Q", title="requests/s", format=",.1f"),
                alt.Tooltip("cpu_us:Q", title="CPU µs a request", format=",.0f"),
                alt.Tooltip("memory_mib:Q", title="MiB", format=",.0f"),
            ],
        )
        .properties(height=300)
    )
    return chart


def cpu_parts(figures: Sequence[CostFigure]) -> AnyChart:
    """CPU us a request by what it was spent on, a bar a row, the highest rate first."""
    parts = ["user", "system", "softirq"]
    chart: alt.Chart = (
        alt.Chart(_data([figure for figure in figures if figure.part != "total"]))
        .mark_bar()
        .encode(
            y=_names(),
            x=alt.X("cpu_us:Q", title="CPU µs a request", stack="zero"),
            color=alt.Color("part:N", scale=alt.Scale(domain=parts, range=SERIES_COLOURS[:3]), title=None),
            order=alt.Order("part_order:Q"),
            tooltip=[
                alt.Tooltip("name:N", title="variant"),
                alt.Tooltip("part:N"),
                alt.Tooltip("cpu_us:Q", title="µs", format=",.1f"),
                alt.Tooltip("rate_per_s:Q", title="requests/s", format=",.1f"),
            ],
        )
        .properties(height=alt.Step(_ROW_PX))
    )
    return chart


def articles(figures: Sequence[ArticleFigure]) -> AnyChart:
    """Measured / published rate, a line a published row: 1 is what the article printed. Hollow: a doubtful rate."""
    return ratios(figures, "measured / published (log scale)", ("published requests/s", "measured requests/s"))


def ratios(figures: Sequence[ArticleFigure], title: str, sides: tuple[str, str]) -> AnyChart:
    """Ratios with their intervals, a line a row; `sides` are what stands below and above the line of the fraction."""
    base = alt.Chart(_data(figures)).encode(y=_names())
    tips = [
        alt.Tooltip("name:N", title="row"),
        alt.Tooltip("variant:N"),
        alt.Tooltip("ratio:Q", title="ratio", format=".3f"),
        alt.Tooltip("published_per_s:Q", title=sides[0], format=",.1f"),
        alt.Tooltip("measured_per_s:Q", title=sides[1], format=",.1f"),
    ]
    scale = alt.Scale(type="log", nice=True)
    one = alt.Chart(alt.Data(values=[{"one": 1}])).mark_rule(color=_INK, opacity=0.6).encode(x=alt.X("one:Q"))
    interval = base.mark_rule(strokeWidth=3, opacity=0.55, color=_BLUE).encode(x="low:Q", x2="high:Q")
    point = base.mark_point(size=75, strokeWidth=2, color=_BLUE).encode(
        x=alt.X("ratio:Q", title=title, scale=scale),
        fill=alt.condition("datum.is_doubtful", alt.value("transparent"), alt.value(_BLUE)),
        tooltip=tips,
    )
    text = base.mark_text(align="left", dx=10, fontSize=11).encode(x="ratio:Q", text="label:N")
    return alt.layer(one, interval, point, text).properties(height=alt.Step(_ROW_PX))


def in_flight(figures: Sequence[InFlightFigure]) -> AnyChart:
    """Where the requests of a probe are: handled, waiting in the process, waiting in the kernel, beyond all that."""
    places = ["in flight", "waiting in the process", "waiting in the kernel", "beyond"]
    colours = [_BLUE, _ORANGE, _GREEN, _GREY]
    bars = (
        alt.Chart(_data(figures))
        .mark_bar()
        .encode(
            y=_names(),
            x=alt.X("requests:Q", title="requests", stack="zero"),
            color=alt.Color("place:N", scale=alt.Scale(domain=places, range=colours), title=None),
            order=alt.Order("place_order:Q"),
            tooltip=[alt.Tooltip("name:N", title="variant"), "place:N", alt.Tooltip("requests:Q", format=",")],
        )
    )
    limits = (
        alt.Chart(_data([figure for figure in figures if figure.limit is not None]))
        .mark_tick(thickness=2, size=16, color=_INK)
        .encode(y=_names(), x="limit:Q", tooltip=[alt.Tooltip("limit:Q", title="limit", format=",")])
    )
    return alt.layer(bars, limits).properties(height=alt.Step(_ROW_PX))


def trend(figures: Sequence[TrendFigure], title: str) -> AnyChart:
    """A variant's ratio to the reference over runs; a change point is an upright line, with what else changed there."""
    # Names of runs sort by time, and their first eight digits are the day.
    axis = alt.Axis(labelAngle=-40, labelOverlap=True, labelExpr="slice(datum.value, 0, 8)")
    base = alt.Chart(_data(figures)).encode(x=alt.X("run:O", sort="ascending", title=None, axis=axis))
    tips = [
        alt.Tooltip("run:N"),
        alt.Tooltip("variant:N"),
        alt.Tooltip("ratio:Q", format=".3f"),
        alt.Tooltip("change:N", title="what changed"),
    ]
    line = base.mark_line(point=True, color=_BLUE).encode(
        y=alt.Y("ratio:Q", title=title, scale=alt.Scale(zero=False)), tooltip=tips
    )
    steps = (
        base.transform_filter("datum.is_step")
        .mark_rule(color=_RED, strokeWidth=2, strokeDash=[6, 3])
        .encode(tooltip=tips)
    )
    environment = (
        base.transform_filter("datum.change != ''")
        .mark_point(shape="triangle-down", size=60, color=_ORANGE, filled=True)
        .encode(y=alt.value(4), tooltip=tips)
    )
    return alt.layer(steps, line, environment).properties(height=180)
