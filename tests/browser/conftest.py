"""Headless Chromium without a network, axe-core, and the pages of a handmade run; installed where missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Dialog, Page, sync_playwright

from tests.unit.handmade_full_run import handmade_full_run
from wrklab.report.index import write_index
from wrklab.report.reports import write_report
from wrklab.report.trend import read_trend

HERE = Path(__file__).parent
#: git-ignored; what a reader would see, kept as artefacts.
SCREENSHOTS = HERE / "screenshots"
_AXE = HERE / "node_modules" / "axe-core" / "axe.min.js"
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)

#: Opens a file at a width and in a colour scheme, network cut off; ends by asserting that nothing was amiss.
OpenPage = Callable[..., AbstractContextManager[Page]]


@pytest.fixture(scope="session")
def chromium() -> str:
    """Debian's Chromium, installed where it is missing."""
    found = shutil.which("chromium")
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-qq"], check=False, timeout=300)
        words = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium", "fonts-dejavu-core"]
        subprocess.run(words, check=False, timeout=600, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
        found = shutil.which("chromium")
    if found is None:
        pytest.skip("BROWSER TESTS SKIPPED: no chromium, and apt-get could not install it (root and a network needed)")
    return found


@pytest.fixture(scope="session")
def axe() -> str:
    """axe-core's source, installed by npm from the lock where it is missing."""
    if not _AXE.is_file() and shutil.which("npm"):
        subprocess.run(["npm", "ci", "--silent"], cwd=HERE, check=False, timeout=300)
    if not _AXE.is_file():
        pytest.skip("ACCESSIBILITY SKIPPED: axe-core is not there, and `npm ci` in tests/browser could not install it")
    return _AXE.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """One browser for all tests; each page has a context, and so a profile, of its own."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=list(_FLAGS), headless=True)
        yield started
        started.close()


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 22 variants x 3 rounds with its reports; what its hosts sent is hostile."""
    results = tmp_path_factory.mktemp("results")
    with handmade_full_run(results) as run:
        write_report(run)
        write_index(results, read_trend(results))
        return run.path


@pytest.fixture
def open_page(browser: Browser) -> OpenPage:
    """See OpenPage."""

    @contextmanager
    def opened(path: Path, width: int = 1280, scheme: str = "light") -> Iterator[Page]:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
            offline=True,
        )
        page = context.new_page()
        amiss: list[str] = []

        def dismiss(dialog: Dialog) -> None:
            amiss.append(f"dialog {dialog.message}")
            dialog.dismiss()

        page.on("console", lambda message: amiss.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: amiss.append(str(error)))
        page.on("dialog", dismiss)
        page.on("request", lambda request: amiss.append(request.url) if not _is_own(request.url) else None)
        page.goto(path.as_uri())
        yield page
        context.close()
        assert not amiss

    return opened


def _is_own(url: str) -> bool:
    return url.startswith(("file:", "data:"))
