"""The parts of report.md that are the same in each: how to read it, and when not to believe it."""

from __future__ import annotations

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
