"""What the screen shows while tests run: a line a lab test, a line a module of unit tests, and how long the rest takes.

Dots would say nothing for the minutes that a lab test may take.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable

import pytest

from tests.lengths import Length, expected_s, read_lengths, store_lengths

#: What is known before the first test has ended weighs as much as so many seconds of tests.
_PRIOR_S = 30.0
_LAB = "tests/lab/"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--then FOLDER`: those tests come afterwards in another process; the estimate of what is left includes them."""
    parser.addoption(
        "--then", default="", help="folder of tests that run after these, for the estimate of what is left"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Progress is shown where somebody reads test by test: not by a worker, not with -v, not of a mere collection."""
    is_worker = hasattr(config, "workerinput")
    if not is_worker and config.get_verbosity() <= 0 and not config.option.collectonly:
        config.pluginmanager.register(Progress(config), "wrklab-progress")


class Progress:
    """Writes a line as each lab test or unit module ends, and keeps the lengths for the next run's estimate."""

    def __init__(self, config: pytest.Config) -> None:
        """Nothing is collected yet."""
        self._config = config
        self._lengths = read_lengths()
        later = str(config.getoption("--then"))
        self._later_s = sum(
            length.seconds for name, length in self._lengths.items() if later and name.startswith(later)
        )
        self._workers_count = max(1, int(getattr(config.option, "numprocesses", None) or 1))
        self._totals: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._test_s: defaultdict[str, float] = defaultdict(float)
        self._outcomes: dict[str, str] = {}
        self._began_s = time.monotonic()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """The tests are known, in this process."""
        self._begin(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """The tests are known, in a worker: each worker finds the same ones."""
        self._begin(ids)

    def _begin(self, ids: Iterable[str]) -> None:
        found = Counter(map(_module, ids))
        if found and not self._totals:
            self._totals = found
            self._write(f"{found.total()} tests in {len(found)} modules, about {_minutes(self._left_s())}")

    @pytest.hookimpl(wrapper=True)
    def pytest_report_teststatus(
        self,
    ) -> Generator[None, tuple[str, str, object], tuple[str, str, object]]:
        """No letters: the lines below say it."""
        category, _, word = yield
        return category, "", word

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Sum up set-up, call and tear-down; a test has ended with its tear-down."""
        node_id, module = report.nodeid, _module(report.nodeid)
        self._test_s[node_id] += report.duration
        self._seconds[module] += report.duration
        if report.failed or (report.skipped and node_id not in self._outcomes):
            self._outcomes[node_id] = "FAILED" if report.failed else "skipped"
        if report.failed:
            self._write(f"FAILED {node_id} ({report.when}): {_reason(report)}", red=True)
        if report.when != "teardown":
            return
        self._ended[module] += 1
        is_last = self._ended[module] == self._totals[module]
        if module.startswith(_LAB):
            name = node_id.removeprefix(_LAB)
            self._line(name, self._outcomes.get(node_id, "passed"), self._test_s[node_id])
        elif is_last:
            of_module = Counter(self._outcomes.get(each, "passed") for each in self._test_s if _module(each) == module)
            told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(of_module.items(), reverse=True))
            self._line(module.removeprefix("tests/"), told, self._seconds[module])

    def _line(self, name: str, outcome: str, seconds: float) -> None:
        done, total = self._ended.total(), self._totals.total()
        self._write(f"{done:>4}/{total}  {name}  {outcome}  {seconds:.1f} s  about {_minutes(self._left_s())} left")

    def _left_s(self) -> float:
        """By the known lengths, and by how much longer than these the tests took so far."""
        known_s = sum(expected_s(self._lengths, module, count) for module, count in self._ended.items())
        left_s = sum(
            expected_s(self._lengths, module, total - self._ended[module]) for module, total in self._totals.items()
        )
        pace = (sum(self._seconds.values()) + _PRIOR_S) / (known_s + _PRIOR_S)
        return pace * (left_s / self._workers_count + self._later_s)

    def pytest_sessionfinish(self) -> None:
        """Keep the lengths of modules that ran to their end."""
        whole = {
            module: Length(total, self._seconds[module])
            for module, total in self._totals.items()
            if self._ended[module] == total
        }
        if whole:
            store_lengths(whole)

    def _write(self, text: str, **markup: bool) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.ensure_newline()
            reporter.write_line(text, flush=True, **markup)


def _module(node_id: str) -> str:
    return node_id.partition("::")[0]


def _reason(report: pytest.TestReport) -> str:
    lines = str(getattr(getattr(report.longrepr, "reprcrash", None), "message", report.longrepr)).splitlines()
    return lines[0][:200] if lines else ""


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
