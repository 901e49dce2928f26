"""Progress of long work: a live line with an ETA on a terminal, a line a cell elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

#: How much one more cell changes the estimate of the next one's length.
_SMOOTHING = 0.3


class BenchProgress:
    """What a bench says of itself while it runs."""

    def __init__(self, console: Console, cells_count: int, planned_s: float) -> None:
        """`planned_s` is the estimate before the first cell has ended."""
        self._console = console
        self._total = cells_count
        self._done = 0
        self._left_s = planned_s
        self._planned_s = planned_s
        self._overrun = 1.0
        self._started = time.monotonic()
        self._live: Progress | None = None
        self._task: TaskID | None = None
        self._title = ""

    def __enter__(self) -> Self:
        """Starts the live line where there is a terminal."""
        if self._console.is_terminal:
            self._live = Progress(
                SpinnerColumn(),
                BarColumn(bar_width=24),
                TextColumn("{task.completed}/{task.total}"),
                TimeElapsedColumn(),
                TextColumn("left {task.fields[left]}"),
                TextColumn("{task.description}"),
                TextColumn("[dim]last:[/dim] {task.fields[last]}"),
                console=self._console,
                transient=True,
            )
            self._live.start()
            self._task = self._live.add_task("", total=self._total, left=minutes(self._left_s), last="")
        else:
            self._console.print(f"{self._total} cells, about {minutes(self._left_s)}")
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the live line."""
        if self._live is not None:
            self._live.stop()

    def replan(self, cells_count: int, planned_s: float) -> None:
        """So many cells and seconds are to come beyond what was known; negative where fewer are."""
        self._total += cells_count
        self._planned_s += planned_s
        self._left_s = max(0.0, self._planned_s * self._overrun)
        if self._live is not None and self._task is not None:
            self._live.update(self._task, total=self._total, left=minutes(self._left_s))

    def begin(self, title: str) -> None:
        """A cell begins."""
        self._title = title
        self.phase("start")

    def again(self, why: str) -> None:
        """The cell failed (`why`, plain text) and is tried once more."""
        self._console.print(f"{escape(self._title)}: failed, once more: {escape(why.splitlines()[0][:160])}")
        self.phase("start")

    def phase(self, name: str) -> None:
        """The cell enters a phase."""
        if self._live is not None and self._task is not None:
            self._live.update(self._task, description=escape(f"{self._title}: {name}"))

    def expect(self, cells_count: int, left_s: float) -> None:
        """What is left is known better: so many cells more, which were planned to take so long."""
        self._total = self._done + cells_count
        self._planned_s = left_s
        self._left_s = max(0.0, left_s * self._overrun)
        if self._live is not None and self._task is not None:
            self._live.update(self._task, total=self._total, left=minutes(self._left_s))

    def end(self, text: str, planned_s: float, took_s: float, *, is_failed: bool = False) -> None:
        """A cell ended: what came of it (rich markup), how long it was planned to take and took.

        On a terminal the live line shows it and only failures are kept on the screen; elsewhere each cell has a line.
        """
        self._done += 1
        self._planned_s -= planned_s
        self._overrun += _SMOOTHING * (took_s / planned_s - self._overrun)
        self._left_s = max(0.0, self._planned_s * self._overrun)
        if self._live is None or is_failed:
            self._console.print(f"{self._done:>3}/{self._total}  {text}  [dim]left {minutes(self._left_s)}[/dim]")
        if self._live is not None and self._task is not None:
            self._live.update(self._task, completed=self._done, left=minutes(self._left_s), last=text)


def minutes(seconds: float) -> str:
    """`4 s`, `3 min 20 s`."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"  # noqa: PLR2004  seconds in a minute


@contextmanager
def doing(console: Console, title: str) -> Iterator[StepStatus]:
    """A step that takes a while: a spinner with what it is at, then one line with the seconds it took."""
    started = time.monotonic()
    status = StepStatus(console, title)
    with status:
        yield status
    ended = escape(f"{title}: {status.outcome or 'done'}")
    console.print(f"{ended} [dim]({time.monotonic() - started:.1f} s)[/dim]")


class StepStatus:
    """The live line of one step; `outcome` is what its last line says. All its texts are plain, never markup."""

    def __init__(self, console: Console, title: str) -> None:
        """Nothing is shown yet."""
        self._console = console
        self._title = escape(title)
        self._status = console.status(self._title) if console.is_terminal else None
        self.outcome = ""

    def __enter__(self) -> Self:
        """Shows the title."""
        if self._status is not None:
            self._status.start()
        else:
            self._console.print(f"{self._title} …")
        return self

    def __exit__(self, *_: object) -> None:
        """Takes the live line away."""
        if self._status is not None:
            self._status.stop()

    def at(self, text: str) -> None:
        """What the step is at now."""
        if self._status is not None:
            self._status.update(f"{self._title}: {escape(text)}")
