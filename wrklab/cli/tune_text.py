"""What a search for a configuration came to, in sentences and for programs. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wrklab.bench.contest import MEMORY_TIE_RATIO, TIE_RATIO, Fate, Standing
from wrklab.bench.tune_run import TuneEstimate, TunePlan
from wrklab.bench.tuning import Ending, Tuned
from wrklab.catalogue.command_line import RECIPE_FILES
from wrklab.catalogue.scenario import Scenario
from wrklab.formats import mib, plural, rate, rate_range, times
from wrklab.progress import minutes
from wrklab.report.escaping import markdown, markdown_block

#: Of those that tie, and of those that are open, in the text; tune.json has all.
_SHOWN_MAX = 12


@dataclass(frozen=True)
class TuneAnswer:
    """All that the answer rests on."""

    run_id: str
    plan: TunePlan
    tuned: Tuned
    #: By candidate: the command line to run.
    commands: Mapping[str, str]
    #: What bounds the recommended one under a closed loop: the verdict, and its reason in a few words.
    bound: str
    #: The line of wrklab.yml that serves it today.
    current_command: str | None
    server_cpus_count: int
    lab: str
    backends: tuple[str, ...] = ()
    #: Files that call the application's factories for servers that take none, name -> text.
    factory_files: Mapping[str, str] = field(default_factory=dict)

    @property
    def gain(self) -> tuple[float, float] | None:
        """How many times the capacity of what runs today the recommended one has, at least and at most.

        From the rates that passed and failed on both sides; None where one of them is not known.
        """
        best, current = self.tuned.recommended, self.plan.current
        if best is None or current is None or self.plan.rate_per_s or best == current:
            return None
        new, old = self.tuned.standing(best), self.tuned.standing(current)
        if not (new.passed_per_s and new.failed_per_s and old.passed_per_s and old.failed_per_s):
            return None
        return new.passed_per_s / old.failed_per_s, new.failed_per_s / old.passed_per_s


def plan_lines(plan: TunePlan, expected: TuneEstimate) -> list[str]:
    """What is going to be done and how long it takes, before it starts."""
    count = plural(expected.candidates_count, "configuration")
    then = "the cheapest that serves the rate" if plan.rate_per_s else "the best of them against each other"
    about, grid = minutes(min(expected.total_s, plan.budget_s)), minutes(expected.whole_grid_s)
    lines = [
        f"{count}: a look at each ({minutes(expected.looks_s)}), then {then}",
        f"about {about} (the complete grid: {grid}); budget {minutes(plan.budget_s)}",
    ]
    if expected.total_s > plan.budget_s:
        lines.append("the budget may end before all are compared; those that were not are named then")
    return lines + list(plan.notes)


def answer_lines(answer: TuneAnswer) -> list[str]:
    """The answer: what to run, what ties with it, what it gains, what bounds it, for what it holds."""
    tuned = answer.tuned
    best = tuned.recommended
    if best is None:
        return _nothing_serves(answer)
    lines = ["Run this in your application's folder:", "", f"    {answer.commands[best]}", ""]
    lines += _files_needed(answer, answer.commands[best])
    lines.append(_what_it_does(answer, tuned.standing(best)))
    lines += _ties(answer)
    lines += _against_current(answer, best)
    if answer.bound:
        lines.append(f"What bounds it: {answer.bound}.")
    lines += _open(answer)
    return [*lines, "", holds_for(answer), *answer.plan.notes]


def _files_needed(answer: TuneAnswer, command: str) -> list[str]:
    """What a command needs that the application's folder has not."""
    lines = []
    for name, text in answer.factory_files.items():
        if f"{name.removesuffix('.py')}:" in command:
            code = [f"    {line}" for line in text.splitlines() if line and not line.startswith('"""')]
            lines += [f"with this in {name}, as this server calls no factory:", "", *code, ""]
    if RECIPE_FILES in command:
        lines += [f"{RECIPE_FILES} is a folder of wrklab's: copy the program from there.", ""]
    return lines


def _aim(plan: TunePlan) -> str:
    at = f"{rate(plan.rate_per_s)} requests/s within " if plan.rate_per_s else ""
    memory = f" and {mib(plan.memory_limit_bytes)} MiB" if plan.memory_limit_bytes else ""
    return f"{at}{plan.objectives}{memory}"


def _what_it_does(answer: TuneAnswer, best: Standing) -> str:
    memory = f"; {mib(best.memory_bytes)} MiB of memory at most" if best.memory_bytes else ""
    if answer.plan.rate_per_s:
        return f"{best.candidate} serves {_aim(answer.plan)}{memory}."
    failed = f"; it fails at {rate(best.failed_per_s)}" if best.failed_per_s else ""
    early = " (known roughly: the budget ended first)" if answer.tuned.ending is Ending.BUDGET else ""
    serves = f"serves {rate(best.passed_per_s)} requests/s within {answer.plan.objectives}"
    return f"{best.candidate} {serves}{failed}{memory}{early}."


def _ties(answer: TuneAnswer) -> list[str]:
    tuned = answer.tuned
    if len(tuned.ties) == 1:
        if answer.plan.rate_per_s:
            return [f"Nothing else that was asked serves it with as little memory (within {MEMORY_TIE_RATIO:.0%})."]
        return [f"No other one was within {TIE_RATIO:.0%} of it, which is what such windows can tell apart."]
    if answer.plan.rate_per_s:
        why = f"within {MEMORY_TIE_RATIO:.0%} of its memory, which is noise"
    else:
        why = f"within {TIE_RATIO:.0%} of the highest capacity, which is what such windows can tell apart"
    lines = [f"{len(tuned.ties)} configurations tie ({why}). None of them is the winner; the least memory comes first:"]
    lines += [_tie_line(answer, name) for name in tuned.ties[:_SHOWN_MAX]]
    if len(tuned.ties) > _SHOWN_MAX:
        lines.append(f"  ... and {len(tuned.ties) - _SHOWN_MAX} more in tune.json")
    if len(tuned.cheapest) > 1:
        lines.append(f"The first {len(tuned.cheapest)} take as little memory as one another.")
    return lines


def _tie_line(answer: TuneAnswer, name: str) -> str:
    one = answer.tuned.standing(name)
    if answer.plan.rate_per_s:
        return f"  {mib(one.memory_bytes):>6} MiB  {answer.commands[name]}"
    known = rate_range(one.passed_per_s, one.failed_per_s) if one.failed_per_s else f"{rate(one.passed_per_s)} or more"
    return f"  {mib(one.memory_bytes):>6} MiB  {known:>13}/s  {answer.commands[name]}"


def _against_current(answer: TuneAnswer, best: str) -> list[str]:
    plan, current = answer.plan, answer.plan.current
    if current is None:
        return []
    today = f"what runs today ({answer.current_command}, measured as {current})"
    if current in answer.tuned.ties:
        return [f"W{today[1:]} is among them: {'nothing' if best == current else 'nothing that is not noise'} to gain."]
    standing = answer.tuned.standing(current)
    if plan.rate_per_s:
        does = {Fate.DEARER: "serves the rate with more memory", Fate.SLOWER: "does not serve it"}
        told = does.get(standing.fate, f"{standing.fate.value}: {standing.reason}")
        return [f"W{today[1:]} {told} ({mib(standing.memory_bytes)} MiB)."]
    if answer.gain is None:
        return [f"W{today[1:]}: {standing.fate.value}{standing.reason and ', ' + standing.reason}."]
    low, high = answer.gain
    return [f"Against {today}: {times(math.sqrt(low * high))} its capacity, from {times(low)} to {times(high)}."]


def _open(answer: TuneAnswer) -> list[str]:
    names = [one.candidate for one in answer.tuned.standings if one.fate is Fate.OPEN]
    if not names:
        return []
    shown = ", ".join(names[:_SHOWN_MAX]) + (" ..." if len(names) > _SHOWN_MAX else "")
    settling = f"invoke tune --resume {answer.run_id} --budget {round(2 * answer.plan.budget_s / 60)}m"
    return [f"Not ruled out, {len(names)} of them: {shown}. Settle them with more time: {settling}"]


def _nothing_serves(answer: TuneAnswer) -> list[str]:
    counts: dict[str, int] = {}
    for one in answer.tuned.standings:
        word = f"{one.fate.value}{one.reason and ' (' + one.reason + ')'}"
        counts[word] = counts.get(word, 0) + 1
    lines = [f"No configuration is known to serve {_aim(answer.plan)}:"]
    lines += [f"  {number} x {word}" for word, number in sorted(counts.items(), key=lambda pair: -pair[1])]
    if any(one.fate is Fate.FAILED for one in answer.tuned.standings):
        lines.append(
            "What failed, and the end of its log, stand in report.md; `invoke app.check DIR` shows each answer."
        )
    return [*lines, *answer.plan.notes]


def holds_for(answer: TuneAnswer) -> str:
    """For which CPUs, limits and mix the answer holds."""
    load = answer.plan.scenario
    with_backends = f", {', '.join(answer.backends)} as the lab's backends host has it" if answer.backends else ""
    return (
        f"It holds for {plural(answer.server_cpus_count, 'CPU')} of the server (lab {answer.lab}){with_backends}; for "
        f"the mix {_mix(load)}; for {load.connection_mode.replace('_', '-')} connections with {load.arrivals} "
        "arrivals; and for the data that `prepare` makes. With other CPUs, requests or data, tune again."
    )


def _mix(load: Scenario) -> str:
    if load.mix is None:
        return load.asks_for
    return ", ".join(f"{request.name} x {request.weight}" for request in load.mix.requests)


def as_values(answer: TuneAnswer) -> dict[str, Any]:
    """tune.json, and what --json prints."""
    tuned, plan = answer.tuned, answer.plan
    return {
        "run": answer.run_id,
        "ending": tuned.ending.value,
        "objectives": plan.objectives,
        "rate_per_s": plan.rate_per_s,
        "memory_limit_bytes": plan.memory_limit_bytes,
        "recommended": tuned.recommended,
        "command": answer.commands.get(tuned.recommended) if tuned.recommended else None,
        "ties": list(tuned.ties),
        "cheapest": list(tuned.cheapest),
        "current": plan.current,
        "gain_over_current": None if answer.gain is None else {"low": answer.gain[0], "high": answer.gain[1]},
        "bound": answer.bound,
        "holds_for": holds_for(answer),
        "notes": list(plan.notes),
        "windows_count": tuned.windows_count,
        "spent_s": tuned.spent_s,
        "budget_s": plan.budget_s,
        "candidates": [_values_of(one, answer.commands) for one in tuned.standings],
        "text": answer_lines(answer),
    }


def _values_of(one: Standing, commands: Mapping[str, str]) -> dict[str, Any]:
    return {
        "candidate": one.candidate,
        "command": commands[one.candidate],
        "fate": one.fate.value,
        "reason": one.reason,
        "closed_per_s": one.closed_per_s,
        "passed_per_s": one.passed_per_s,
        "failed_per_s": one.failed_per_s,
        "memory_bytes": one.memory_bytes,
        "windows_count": one.windows_count,
    }


_COLUMNS = ("configuration", "fate", "why", "closed/s", "passed/s", "failed/s", "MiB", "windows")


def page(answer: TuneAnswer) -> str:
    """tune.md: the answer, and a row for each configuration in the order of their rates."""
    order = sorted(
        answer.tuned.standings,
        key=lambda one: (one.fate is not Fate.TIED, -(one.passed_per_s or 0.0), -(one.closed_per_s or 0.0)),
    )
    return "\n".join(
        [
            f"# Configurations of run {answer.run_id}",
            "",
            markdown_block(answer_lines(answer)),
            "",
            f"| {' | '.join(_COLUMNS)} |",
            f"|{'---|' * len(_COLUMNS)}",
            *(_page_row(one) for one in order),
            "",
            "What each column says: docs/your_application.md. Each window has its row in [report.md](report.md).",
            "",
        ]
    )


def _page_row(one: Standing) -> str:
    cells = (
        one.candidate,
        one.fate.value,
        one.reason,
        rate(one.closed_per_s),
        rate(one.passed_per_s),
        rate(one.failed_per_s),
        mib(one.memory_bytes),
        str(one.windows_count),
    )
    return f"| {' | '.join(map(markdown, cells))} |"


def left_out_notes(refused: Mapping[str, str], unmeasured: str, left_out: Sequence[str]) -> tuple[str, ...]:
    """What is not tried or not as it is today, and why."""
    notes = [f"Not tried: {names}: {why}" for names, why in refused.items()]
    if unmeasured:
        notes.append(f"What runs today is not compared: {unmeasured}.")
    if left_out:
        notes.append(f"What runs today is measured without {', '.join(left_out)}, which no recipe has.")
    return tuple(notes)
