"""A verdict for each of several generators: the rules of rows, asked of one generator's part of the load."""

from __future__ import annotations

from wrklab.summary.rows import GeneratorShare
from wrklab.verdicts.conditions import is_letting_in
from wrklab.verdicts.rules import RULES, Rule

#: Connections without answers. Where the server's accept queue explains the row's, it explains each generator's.
_EXPLAINED_BY_QUEUE = "silent"
#: What a generator can be asked: whether its own part is sound. What set the rate is a matter of the complete row.
ASKED = frozenset(
    {
        "connect_errors",
        "wrong_status",
        "wrong_body",
        "many_errors",
        "generator_busy",
        "generator_thread_busy",
        "generator_behind",
        "generator_held_up",
        "generator_host_full",
        "started_apart",
        _EXPLAINED_BY_QUEUE,
        "generator_steal",
        "generator_neighbours",
        "others_on_generator",
        "connections_not_open",
    }
)
#: None of them applies.
OK = "ok"


def generator_rules(share: GeneratorShare) -> tuple[Rule, ...]:
    """The rules that apply to one generator's part of a row, the most severe first."""
    asked = ASKED - {_EXPLAINED_BY_QUEUE} if is_letting_in(share.of) else ASKED
    return tuple(rule for rule in RULES if rule.name in asked and rule.applies(share))


def generator_verdict(rules: tuple[Rule, ...]) -> str:
    """A `Verdict` where one of them leads to it, else `ok`."""
    return next((str(rule.verdict) for rule in rules if rule.verdict), OK)
