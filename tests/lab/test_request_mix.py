"""Mixes of requests on the lab: counts by weight, latencies told apart, and a wrong expectation before any load."""

from __future__ import annotations

import json
import math

from tests.lab.conftest import invoke
from wrklab.bench.cell_run import run_cell
from wrklab.bench.plan import Cell
from wrklab.catalogue.catalogue import Catalogue
from wrklab.catalogue.scenario import Scenario
from wrklab.hosts.limits import ProcessLoad
from wrklab.hosts.session import Session
from wrklab.paths import RESULTS_DIR
from wrklab.protocol.phases import Phase
from wrklab.results.run_folder import Run

_VARIANT = "go_net_http"


def _within_the_binomial(count: int, total: int, share: float) -> bool:
    """Draws with this share come within five standard deviations of it, but for one load in two million."""
    return abs(count - share * total) <= 5 * math.sqrt(total * share * (1 - share))


def test_requests_are_drawn_by_weight_and_told_apart(session: Session) -> None:
    """scenarios/mix.yml: 8 of 10 compute for about a millisecond, 2 hold 100 ms; reparsed, the figures are the same."""
    words = ("--variant", _VARIANT, "--scenario", "mix", "--rounds", "2", "--duration", "2s", "--hold-ms", "100")
    done = invoke("bench", *words, "--json", "--force")
    assert done.stdout.strip(), done.stderr
    found = json.loads(done.stdout)

    [row], [computes, holds] = found["rows"], found["requests"]
    assert (row["rounds"], row["errors_status"], row["errors_body"]) == (2, 0, 0)
    assert (computes["request"], holds["request"]) == ("computes", "holds")
    sent = computes["sent"] + holds["sent"]
    assert sent > 1000
    assert _within_the_binomial(computes["sent"], sent, 0.8)
    assert computes["answers"] + holds["answers"] == row["requests"]
    assert holds["latency_p50_us"] >= 100_000
    assert holds["latency_p99_us"] < 250_000
    assert computes["latency_p50_us"] < 60_000
    assert computes["errors_status"] + computes["errors_body"] + holds["errors_status"] + holds["errors_body"] == 0

    path = RESULTS_DIR / found["run"]
    before = (path / "requests.csv").read_text()
    assert len(before.splitlines()) == 3
    assert invoke("reparse", found["run"]).returncode == 0
    assert (path / "requests.csv").read_text() == before
    with Run.open(RESULTS_DIR, found["run"]) as run:
        [first, _] = run.cells()
        assert set(run.histograms(first.cell_id)) == {"observed", "wrk", "request:computes", "request:holds"}


def test_an_open_loop_sends_a_mix_at_its_rate(session: Session) -> None:
    """Each request waits what it takes, whatever the other one does."""
    words = ("--rounds", "1", "--duration", "4s", "--hold-ms", "100", "--rate", "250")
    done = invoke("bench", "--variant", _VARIANT, "--scenario", "mix", *words, "--json", "--force")
    assert done.stdout.strip(), done.stderr
    found = json.loads(done.stdout)

    [computes, holds] = found["requests"]
    assert computes["scenario"] == "mix@250"
    sent = computes["sent"] + holds["sent"]
    assert abs(sent - 1000) < 5 * math.sqrt(1000)
    assert _within_the_binomial(computes["sent"], sent, 0.8)
    assert 100_000 <= holds["latency_p50_us"] < 110_000
    assert computes["latency_p50_us"] < 20_000


def test_a_wrong_expectation_is_refused_before_any_load(session: Session, catalogue: Catalogue) -> None:
    """The request, what was expected and what came; no wrk ran."""
    scenario = Scenario.model_validate(
        {
            "name": "wrong",
            "description": "A mix of which one expects another text",
            "threads": 1,
            "connections": 10,
            "duration_s": 2,
            "requests": [
                {"name": "fine", "path": "/health"},
                {"name": "wrong", "path": "/cpu", "expect": {"contains": "46831695"}},
            ],
        }
    )
    shares = {session.generators[0].name: [ProcessLoad(threads=1, connections=10)]}
    raw = run_cell(session, Cell(catalogue.variants[_VARIANT], scenario, 1), shares, lambda _: None)

    assert raw.error is not None
    assert raw.error.phase is Phase.READY
    assert (
        "before any load: wrong (GET /cpu): status 200, but '46831695' is not in the body: '46831694" in raw.error.text
    )
    [load] = raw.loads.values()
    assert (load.warmup, load.wrk) == (None, ())
