"""The parts of report.md that are the same in each: how to read it, and when not to believe it."""

from __future__ import annotations

HOW_TO_READ = """\
- **requests/s**: the median over rounds, each on a freshly started server. **interval**: its 95 % bootstrap interval;
  up to five rounds that is their range, and of three it holds the true median in three cases of four only.
- **verdict**: what set the rate. `server-bound`: the server had no CPU to spare, so the rate is the variant's own;
  `limit-bound`: its limit on requests in flight; `hold-bound`: connections / hold, the load was too small to say more.
  All others say why that cannot be told, and their figures are greyed; `unexplained`: nothing watched says what set it.
- **rank**: 1 + the variants that are really better (told apart by the test, beyond the noise floor). `=2` is shared:
  the rounds cannot tell these apart. Without a rank: one round, or a verdict that spoils the rate.
- **of ideal**: share of connections / hold. At hold *h* and *c* connections no server can exceed *c/h*.
- **of published**: our median over the article's figure.
- **Latencies** are observed ones, from the histograms of all rounds and wrk processes added. wrk's own "correction" (it
  adds answers that never were) is undone; **wrk's p99** is what wrk would have printed. They are of a closed loop: a
  connection sends its next request only after the last answer, and the time to open a connection is in none of them.
- **conn. open**: connections established within the window, in the worst round.
- **server CPU** is the variant's unit alone, **wrk CPU** is wrk alone, both of the CPUs given to their host.
- **start s**: from the start of the unit to the first right answer seen from the generator.
- Numbers in **notes** refer to the notes below. *Figures in italics* are doubtful: the note says why.
- Every column of report.csv has its definition in docs/metrics.md."""

WHEN_NOT_TO_BELIEVE = """\
- A rate with a note that says *rate doubtful*: errors, connections that never opened, a generator without CPU to spare,
  neighbours, rounds that differ. It is shown because it was measured, not because it is the server's.
- A latency with a note that says *latencies doubtful*: answers missing from it, or a window too short for it.
- A difference between two variants of the same rank, or below 10 % from one round.
- Two variants that are both at the ideal: the load was too small to tell them apart.
- A comparison with the article's absolute figures: other hardware, other versions, and there wrk and the server fought
  for the same CPUs. Ratios between variants travel better than rates."""
