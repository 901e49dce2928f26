"""The machine's CPUs, one by one: /proc/stat. In a container it counts the neighbours too."""

from __future__ import annotations

from collectors.base import Sample, Source, SourceError, whole_number

NAME = "cpu"
SOURCE = Source(kind="file", path="/proc/stat", prefixes=("cpu",))

#: The kernel tells times to user space in hundredths of a second on every architecture that Debian knows.
_TICKS_PER_S = 100
_FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_IDLE = frozenset({"idle", "iowait", "steal"})


def parse(text: str) -> tuple[Sample, ...]:
    """Seconds since boot by CPU: cpu.<number>.busy, of it .niced and .softirq, .steal, .idle (with iowait).

    Raises SourceError.
    """
    samples: list[Sample] = []
    for line in text.splitlines():
        name, *words = line.split()
        if name == "cpu":
            continue
        if len(words) < len(_FIELDS):
            raise SourceError(f"{name}: {len(words)} numbers, at least {len(_FIELDS)} were expected")
        cpu = f"cpu.{whole_number(name.removeprefix('cpu'), 'the number of a CPU')}"
        ticks = {field: whole_number(word, f"{name} {field}") for field, word in zip(_FIELDS, words, strict=False)}
        sums = {
            "busy": sum(count for field, count in ticks.items() if field not in _IDLE),
            "niced": ticks["nice"],
            "softirq": ticks["softirq"],
            "steal": ticks["steal"],
            "idle": ticks["idle"] + ticks["iowait"],
        }
        samples += [Sample(f"{cpu}.{key}", count / _TICKS_PER_S, "s") for key, count in sums.items()]
    if not samples:
        raise SourceError("no CPU in it")
    return tuple(samples)
