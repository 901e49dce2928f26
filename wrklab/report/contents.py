"""All that a report says, read once from a run's folder; the writers only lay it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from wrklab.articles.comparison import Comparison
from wrklab.articles.findings import ArticleFindings, article_findings
from wrklab.articles.library import SNAPSHOT_FILE, parse_snapshot
from wrklab.articles.reference import PublishedRow
from wrklab.compare.ranks import Rank, rank_rows
from wrklab.results.records import CellRecord, RunEnvironment, RunPlan
from wrklab.results.run_folder import Run, RunInfo
from wrklab.summary.noise_floor import NoiseFloor, noise_floor
from wrklab.summary.rows import SummaryRow, summarise
from wrklab.verdicts.rules import Note, doubts, is_doubtful, row_notes, run_notes, verdict_of
from wrklab.verdicts.verdict import Doubt, Verdict


@dataclass(frozen=True)
class NoteGroup:
    """One rule and every row that it applied to; tables refer to it by its number, from 1."""

    number: int
    rule: str
    doubt: Doubt
    meaning: str
    next_step: str
    #: (who, text): rows of the same text stand together.
    entries: tuple[tuple[tuple[str, ...], str], ...]


@dataclass(frozen=True)
class ReportRow:
    """A row, its notes and their numbers."""

    row: SummaryRow
    notes: tuple[Note, ...]
    numbers: tuple[int, ...]
    #: Within its scenario; None where nothing can be said of it (one round, a doubtful rate).
    rank: Rank | None = None
    #: The article's row that it answers to, and its rate / the article's; None where there is none, or of another load.
    printed: PublishedRow | None = None
    published_ratio: float | None = None
    #: Its window at half rate, with notes of its own that are none of this row; None: it was not measured.
    half_rate: ReportRow | None = None

    @property
    def verdict(self) -> Verdict | None:
        """What set its rate; None where no round of it ended."""
        return verdict_of(self.row)

    @property
    def is_doubtful(self) -> bool:
        """Its rate, and with it all that the load moves, is not to be believed as it stands."""
        return is_doubtful(self.row)

    @property
    def doubts(self) -> set[Doubt]:
        """What the notes cast doubt on: a subset of {"rate", "latency"}."""
        return doubts(self.notes)


def reason(entry: ReportRow) -> str:
    """Why a row is doubtful, in a few words; empty for a row that is not."""
    note = deciding_note(entry)
    return note.words if note else ""


def deciding_note(entry: ReportRow) -> Note | None:
    """The most severe note that makes a row doubtful; None for a row that is not."""
    if not entry.is_doubtful:
        return None
    rate_notes = [note for note in entry.notes if note.doubt == "rate"]
    return next(iter([*rate_notes, *entry.notes]), None)


@dataclass(frozen=True)
class Contents:
    """A run as a report shows it."""

    info: RunInfo
    plan: RunPlan
    environment: RunEnvironment
    #: In the plan's order of scenarios, variants by name.
    rows: tuple[ReportRow, ...]
    run_notes: tuple[Note, ...]
    groups: tuple[NoteGroup, ...]
    #: With their evidence.
    failed_cells: tuple[CellRecord, ...] = ()
    #: None: the run measured no variant as two.
    noise_floor: NoiseFloor | None = None
    articles: ArticleFindings = field(default_factory=ArticleFindings)

    @property
    def published(self) -> Mapping[str, tuple[Comparison, ...]]:
        """The articles' rows next to this run's, by table; empty of a run that was stored without the articles."""
        return self.articles.published

    def by_scenario(self) -> dict[str, list[ReportRow]]:
        """The rows of each scenario, the highest rate first, those without one last."""
        found: dict[str, list[ReportRow]] = {}
        for entry in self.rows:
            found.setdefault(entry.row.scenario, []).append(entry)
        for entries in found.values():
            entries.sort(key=lambda entry: (-(entry.row.requests_per_s or -1.0), entry.row.variant))
        return found

    @property
    def doubtful_rows(self) -> tuple[ReportRow, ...]:
        """The rows whose rate should not be believed as it stands."""
        return tuple(entry for entry in self.rows if entry.is_doubtful)


def read_contents(run: Run) -> Contents:
    """What a report on this run says, from the run's folder alone. Raises StoreError."""
    cells = run.cells()
    rows = summarise(run.plan, cells, run.histograms)
    notes = [row_notes(row) for row in rows]
    groups = group_notes([note for found in notes for note in found], len(rows))
    number = {group.rule: group.number for group in groups}
    floor = noise_floor(run.plan, cells)
    articles = article_findings(
        parse_snapshot(run.attachment(SNAPSHOT_FILE), run.path),
        run.plan,
        list(zip(rows, notes, strict=True)),
        cells,
        floor.ratio if floor else None,
    )
    answered = [articles.comparison(row) for row in rows]
    ranks = rank_rows(rows, floor.ratio if floor else None).ranks
    return Contents(
        info=run.info(),
        plan=run.plan,
        environment=run.environment,
        rows=tuple(
            ReportRow(
                row,
                found,
                tuple(sorted({number[note.rule] for note in found})),
                ranks.get((row.scenario, row.variant)),
                one.published if one else None,
                one.requests_per_s_ratio if one else None,
                _half_rate(row),
            )
            for row, found, one in zip(rows, notes, answered, strict=True)
        ),
        run_notes=run_notes(run.plan, rows),
        groups=groups,
        failed_cells=tuple(cell for cell in cells if cell.failure is not None),
        noise_floor=floor,
        articles=articles,
    )


def _half_rate(row: SummaryRow) -> ReportRow | None:
    window = row.half_rate
    return ReportRow(window, row_notes(window), ()) if window is not None and window.windows else None


def group_notes(notes: Sequence[Note], rows_count: int) -> tuple[NoteGroup, ...]:
    """Notes by rule: those that cast doubt on rates first, then on latencies, then the ones that explain.

    What is said of all `rows_count` rows in the same words is said of "every row".
    """
    found: dict[str, list[Note]] = {}
    for note in notes:
        found.setdefault(note.rule, []).append(note)
    gravity: dict[Doubt, int] = {"rate": 0, "latency": 1, "none": 2}
    ordered = sorted(found.values(), key=lambda group: gravity[group[0].doubt])
    return tuple(
        NoteGroup(
            number, group[0].rule, group[0].doubt, group[0].meaning, group[0].next_step, _entries(group, rows_count)
        )
        for number, group in enumerate(ordered, start=1)
    )


def _entries(notes: Sequence[Note], rows_count: int) -> tuple[tuple[tuple[str, ...], str], ...]:
    by_text: dict[str, list[str]] = {}
    scenarios = {note.scenario for note in notes}
    for note in notes:
        who = f"{note.variant}" if len(scenarios) == 1 else f"{note.variant} ({note.scenario})"
        by_text.setdefault(note.text, []).append(who)
    return tuple((("every row",) if len(who) == rows_count > 1 else tuple(who), text) for text, who in by_text.items())


HOW_TO_READ = """\
- **requests/s** is the median over rounds. Each round runs on a freshly started server. **interval** is its 95 %
  bootstrap interval. Up to five rounds that is their range; of three rounds it holds the true median in three cases
  of four.
- **verdict** says what set the rate. `server-bound`: the server had no CPU to spare, so the rate is the variant's
  own. `limit-bound`: its limit on requests in flight. `hold-bound`: connections / hold, so the load was too small
  to say more. `unexplained`: the rate stands, but nothing that was sampled shows what set it. All others say why
  the row is doubtful.
- **rank** is 1 + the number of variants that are really better: the test shows it, beyond the noise floor. `=2` is
  a tie. A row has no rank with one round, or where its doubt leaves both answers open.
- **of ideal** is the share of connections / hold. With hold *h* and *c* connections no server can exceed *c/h*.
- **ours / publ.** is our median over the article's figure.
- **Latencies** are observed: the histograms of all rounds and wrk processes, added. wrk's own "correction", which
  adds answers that never were, is undone; **wrk's p99** is what wrk would have printed. The loop is closed: a
  connection sends its next request only after the last answer. The time to open a connection is in no latency.
- **at half rate** is what a visitor waits: one open-loop window at half of the variant's own rate. Its doubts are its
  own, and leave the row's rate as it is.
- **conn. open** counts the connections established within the window, in the worst round.
- **server CPU** is the variant's unit alone and **wrk CPU** is wrk alone, both in percent of the CPUs given to
  their host.
- **start s** is the time from the start of the unit to the first right answer that the generator saw.
- Numbers in **notes** refer to the notes below. *Figures in italics* are doubtful: the note says why.
- docs/metrics.md defines every column of report.csv."""

WHEN_NOT_TO_BELIEVE = """\
- A rate with a note that says *rate doubtful*: errors, connections that never opened, a generator without CPU to
  spare, neighbours, rounds that differ. It was measured, but it is not the server's. The note says which way the
  truth lies.
- A latency with a note that says *latencies doubtful*: answers are missing from it, or the window was too short for
  it.
- A difference between two variants of the same rank, or below 10 % from one round.
- A difference between two variants at the ideal: the load was too small to distinguish them.
- An article's absolute figures: other hardware, other versions, and wrk shared the server's CPUs. Ratios between
  variants travel better than rates."""
