"""report.html in a real browser: offline, equal to report.csv, sortable, readable, accessible, printable."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import SCREENSHOTS, OpenPage

_BYTES_MAX = 1_500_000
#: Digits that a cell's text may lack of its figure, by column: formats.py rounds to three digits or whole units.
_ROUNDED_RATIO = 0.006
_SCALES = {"latency_p50_us": 1000.0, "latency_p99_us": 1000.0, "memory_max_bytes": 1024.0 * 1024}


def figures(run_folder: Path) -> dict[tuple[str, str], dict[str, str]]:
    with (run_folder / "report.csv").open(newline="") as stream:
        return {(row["scenario"], row["variant"]): row for row in csv.DictReader(stream)}


def shown(page: Page) -> list[str]:
    """The variants in the order in which the table shows them, with their ranks."""
    rows = page.locator("tr.row:visible")
    found: list[str] = rows.evaluate_all(
        "rows => rows.map(row => row.dataset.variant + ' ' + row.querySelector('[data-column=rank]').textContent)"
    )
    return found


def draw_all(page: Page) -> None:
    page.evaluate("() => window.dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.chart[data-chart], .chart[data-panel]')]"
        ".every(found => found.parentElement.hidden || found.dataset.state === 'drawn')"
    )


def keep(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def test_the_page_is_one_small_file(run_folder: Path) -> None:
    """At most 1.5 MB for 22 variants x 3 rounds, libraries and all."""
    assert (run_folder / "report.html").stat().st_size <= _BYTES_MAX


def test_it_opens_offline_without_an_error_and_draws_every_chart(run_folder: Path, open_page: OpenPage) -> None:
    """No request, no message of an error, no dialog of a hostile log; every chart is an image with a label."""
    with open_page(run_folder / "report.html") as page:
        draw_all(page)
        charts = page.locator(".chart:visible svg")
        labels = charts.evaluate_all("found => found.map(svg => svg.getAttribute('aria-label'))")
        keep(page, "report_light_1280")

    assert len(labels) >= 6
    assert all(labels)


def test_every_figure_equals_report_csv(run_folder: Path, open_page: OpenPage) -> None:
    """Each cell carries the figure of report.csv, and its text is that, rounded; opened rows have all columns."""
    known = figures(run_folder)
    with open_page(run_folder / "report.html") as page:
        for button in page.locator("tr.row .open").all():
            button.click()
        cells = page.evaluate(
            """() => [...document.querySelectorAll('tr.row')].flatMap(row => {
                const detail = document.getElementById(row.dataset.detail);
                const of = (found, isExact) => ({scenario: row.dataset.scenario, variant: row.dataset.variant,
                    column: found.dataset.column, value: found.dataset.value, text: found.textContent, isExact});
                return [...[...row.querySelectorAll('[data-column]')].map(found => of(found, false)),
                        ...[...detail.querySelectorAll('[data-column]')].map(found => of(found, true))];
            })"""
        )
    assert len(cells) > 22 * 40
    for cell in cells:
        expected = known[cell["scenario"], cell["variant"]][cell["column"]]
        assert cell["value"] == expected, cell
        if cell["isExact"]:
            assert cell["text"] == expected
        elif expected and cell["column"] not in {"verdict", "rank"}:
            number = float(cell["text"].replace(",", ""))
            exact = float(expected) / _SCALES.get(cell["column"], 1.0)
            assert number == pytest.approx(exact, rel=_ROUNDED_RATIO, abs=0.51), cell
        elif cell["column"] == "rank":
            assert cell["text"].lstrip("=") == (expected or "-")
    for key, row in known.items():
        opened = {cell["column"] for cell in cells if (cell["scenario"], cell["variant"]) == key and cell["isExact"]}
        assert opened == {name for name, text in row.items() if text != ""}


def test_the_figures_of_the_charts_equal_report_csv(run_folder: Path, open_page: OpenPage) -> None:
    """The ranking shows the rates and intervals that report.csv has."""
    known = {row["variant"]: row for row in figures(run_folder).values()}
    with open_page(run_folder / "report.html") as page:
        spec = json.loads(page.locator("#charts").text_content() or "")["ranking"]
    values = spec["data"]["values"] if "values" in spec["data"] else next(iter(spec["datasets"].values()))
    assert len(values) == 21
    for one in values:
        row = known[one["name"]]
        assert one["rate_per_s"] == pytest.approx(float(row["requests_per_s"]), abs=1e-4)
        assert one["low_per_s"] == pytest.approx(float(row["requests_per_s_low"]), abs=1e-4)
        assert one["high_per_s"] == pytest.approx(float(row["requests_per_s_high"]), abs=1e-4)


def test_a_filter_changes_no_rank(run_folder: Path, open_page: OpenPage) -> None:
    """Stack, server, verdict and doubt each leave the rows that fit, with the ranks they had."""
    with open_page(run_folder / "report.html") as page:
        everything = shown(page)
        chosen = {"stack": "flask", "server": "gunicorn", "verdict": "server-bound", "doubt": "sound"}
        for name, value in chosen.items():
            page.select_option(f"#filter-{name}", value)
            some = shown(page)
            assert 0 < len(some) < len(everything)
            assert [row for row in everything if row in some] == some
            assert page.locator("#shown").text_content() == f"{len(some)} of {len(everything)} rows"
            page.click("#reset")
        page.fill("#filter-name", "uvicorn")
        assert all("uvicorn" in row for row in shown(page))
        page.click("#reset")
        assert shown(page) == everything


def test_sorting_orders_by_figure_and_keeps_rows_with_their_details(run_folder: Path, open_page: OpenPage) -> None:
    """By p99 upwards, then downwards; rows without a value stay last."""
    known = {row["variant"]: row["latency_p99_us"] for row in figures(run_folder).values()}
    with open_page(run_folder / "report.html") as page:
        ranks = set(shown(page))
        button = page.get_by_role("button", name="p99 ms")
        button.click()
        first = [row.split()[0] for row in shown(page)]
        button.click()
        second = [row.split()[0] for row in shown(page)]
        assert set(shown(page)) == ranks
        assert page.evaluate(
            "() => [...document.querySelectorAll('tr.row')].every(r => r.nextElementSibling.id === r.dataset.detail)"
        )
    times = [float(known[name]) for name in first if known[name]]
    assert times == sorted(times)
    assert [float(known[name]) for name in second if known[name]] == sorted(times, reverse=True)
    assert known[first[-1]] == known[second[-1]] == ""


def test_a_row_opens_by_keyboard_to_its_notes_rounds_and_files(run_folder: Path, open_page: OpenPage) -> None:
    """Enter on its button opens it, and again closes it; the links lead to files that are there."""
    with open_page(run_folder / "report.html") as page:
        row = page.locator('tr.row[data-variant="flask_dev_sync"]')
        detail = page.locator(f"#{row.get_attribute('data-detail')}")
        assert not detail.is_visible()
        row.locator(".open").focus()
        page.keyboard.press("Enter")
        assert detail.is_visible()
        text = detail.inner_text()
        links = detail.locator("a").evaluate_all("found => found.map(a => a.getAttribute('href'))")
        keep(page, "report_open_row")
        page.keyboard.press("Enter")
        assert not detail.is_visible()
    assert "700 more had none" in text
    assert "Rounds" in text
    assert "Command" in text
    assert len(links) == 6
    assert all((run_folder / link).exists() for link in links)


def test_hostile_text_is_shown_as_text(run_folder: Path, open_page: OpenPage) -> None:
    """The script of a log line stands there to be read; the escape is a picture; no element came of it."""
    with open_page(run_folder / "report.html") as page:
        page.locator('tr.row[data-variant="fastapi_gunicorn_sync"] .open').click()
        text = page.locator("tr.detail:visible").inner_text()
        assert page.locator("img").count() == 0
        assert page.locator("a[href*='evil']").count() == 0
    assert "<script>alert('log')</script>" in text
    assert "␛[2J" in text


@pytest.mark.parametrize("width", [400, 1600])
def test_it_fits_its_window(run_folder: Path, open_page: OpenPage, width: int) -> None:
    """Nothing but a table's own scrolling area is wider than the window."""
    with open_page(run_folder / "report.html", width=width) as page:
        draw_all(page)
        keep(page, f"report_{width}")
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_dark_mode_is_dark(run_folder: Path, open_page: OpenPage) -> None:
    """A dark ground, and charts in the page's own light ink."""
    with open_page(run_folder / "report.html", scheme="dark") as page:
        draw_all(page)
        keep(page, "report_dark")
        ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        ink = page.evaluate("() => getComputedStyle(document.querySelector('.chart svg text')).fill")
    assert ground == "rgb(20, 23, 27)"
    assert ink == "rgb(230, 233, 237)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["report", "index"])
def test_axe_finds_no_serious_violation(
    run_folder: Path, open_page: OpenPage, axe: str, name: str, scheme: str
) -> None:
    """Neither with every row closed, nor with one open."""
    path = run_folder / "report.html" if name == "report" else run_folder.parent / "index.html"
    with open_page(path, scheme=scheme) as page:
        if name == "report":
            draw_all(page)
            page.locator("tr.row .open").nth(3).click()
        # The page's policy lets no foreign script in, which is right; the debugger is not bound by it.
        page.evaluate(axe)
        found = page.evaluate("() => axe.run()")
    serious = [
        (one["id"], one["nodes"][0]["html"][:200], one["nodes"][0]["failureSummary"][:300])
        for one in found["violations"]
        if one["impact"] in {"serious", "critical"}
    ]
    assert not serious
    assert len(found["passes"]) > 15


def test_it_prints(run_folder: Path, open_page: OpenPage) -> None:
    """To PDF, in a few pages, without its filters."""
    with open_page(run_folder / "report.html") as page:
        draw_all(page)
        SCREENSHOTS.mkdir(exist_ok=True)
        data = page.pdf(path=SCREENSHOTS / "report.pdf", format="A4")
        page.emulate_media(media="print")
        assert not page.locator(".filters").is_visible()
    assert 1 <= data.count(b"/Type /Page\n") <= 25


def test_the_rows_of_a_chart_can_be_chosen(run_folder: Path, open_page: OpenPage) -> None:
    """The latency spectrum colours another row, and the window shows another one."""
    with open_page(run_folder / "report.html") as page:
        draw_all(page)
        page.select_option("#window-row", label="go_net_http (hold-bound)")
        page.wait_for_function("() => document.querySelector('[data-panel=\"0\"]').dataset.state === 'drawn'")
        assert "hold-bound" in (page.locator("#window-why").text_content() or "")
        before = page.locator('[data-chart="latency_spectrum"]').inner_html()
        page.select_option("#spectrum-row", "flask_gunicorn_sync")
        page.wait_for_timeout(500)
        assert page.locator('[data-chart="latency_spectrum"]').inner_html() != before
