"""The plan of a run: every cell, in the order in which it is measured."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wrklab.model.catalogue import Catalogue
from wrklab.model.scenario import Scenario
from wrklab.model.stack import Variant


@dataclass(frozen=True)
class Cell:
    """One variant under one scenario in one round: the unit that is measured, stored and resumed."""

    variant: Variant
    scenario: Scenario
    round_number: int

    @property
    def cell_id(self) -> str:
        """Its name within the run, fit for a folder: `standard.flask_dev_sync.2`."""
        return f"{self.scenario.name}.{self.variant.name}.{self.round_number}"


def pairs_of(catalogue: Catalogue, variants: Sequence[Variant], scenario: Scenario) -> list[tuple[Variant, Scenario]]:
    """Each variant under the scenario, and under those companions where it has a published row to answer to."""
    companions = [catalogue.scenario(name) for name in scenario.companions]
    pairs = [(variant, scenario) for variant in variants]
    pairs += [
        (variant, companion)
        for companion in companions
        for variant in variants
        if catalogue.published_row(variant, companion) is not None
    ]
    return pairs


def order_cells(pairs: Iterable[tuple[Variant, Scenario]], seed: int) -> list[Cell]:
    """Rounds outside, variants inside, each round in an order of its own drawn from the seed (stored with the run)."""
    chosen = list(pairs)
    last_round = max((scenario.rounds for _, scenario in chosen), default=0)
    cells: list[Cell] = []
    for round_number in range(1, last_round + 1):
        of_round = [Cell(v, s, round_number) for v, s in chosen if round_number <= s.rounds]
        random.Random(f"{seed}.{round_number}").shuffle(of_round)  # noqa: S311  an order, not a secret
        cells += of_round
    return cells
