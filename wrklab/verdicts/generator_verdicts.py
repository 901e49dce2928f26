"""A verdict for each of several generators: the rules of rows, asked of one generator's part of the load."""

from __future__ import annotations

from wrklab.summary.rows import GeneratorShare
from wrklab.verdicts.connections import STALLED, is_accepting
from wrklab.verdicts.rules import RULES
from wrklab.verdicts.verdict import Rule

#: None of them applies.
OK = "ok"


def generator_rules(share: GeneratorShare) -> tuple[Rule, ...]:
    """The rules that apply to one generator's part of a row, the most severe first.

    What set the rate is a matter of the row as a whole. Connections without answers are nobody's fault where the
    server's accept queue explains the row's.
    """
    explained = (STALLED,) if is_accepting(share.of) else ()
    return tuple(rule for rule in RULES if rule.concerns_generator and rule not in explained and rule.applies(share))


def generator_verdict(rules: tuple[Rule, ...]) -> str:
    """A `Verdict` where one of them leads to it, else `ok`."""
    return next((str(rule.verdict) for rule in rules if rule.verdict), OK)
