"""Of each window some answers are compared, and the load stays the one asked for."""

from __future__ import annotations

import pytest

from wrklab.bench.answer_checks import wrk_specs
from wrklab.hosts.limits import ProcessLoad


def shapes(*loads: tuple[int, int], are_all_checked: bool = False) -> list[tuple[int, int, bool]]:
    """Threads, connections, and whether it compares, of each process."""
    specs = wrk_specs([ProcessLoad(*load) for load in loads], are_all_checked=are_all_checked)
    return [(spec.threads, spec.connections, spec.checks_answers) for spec in specs]


@pytest.mark.parametrize(
    ("loads", "expected"),
    [
        # A hundredth, and the others stay a multiple of their threads.
        ([(4, 2000)], [(4, 1980, False), (1, 20, True)]),
        ([(4, 64)], [(4, 60, False), (1, 4, True)]),
        ([(2, 11_000), (2, 11_000)], [(2, 10_780, False), (2, 11_000, False), (1, 220, True)]),
        # None to spare.
        ([(4, 4)], [(4, 4, False)]),
        ([(1, 1)], [(1, 1, False)]),
        ([(1, 2)], [(1, 1, False), (1, 1, True)]),
    ],
)
def test_a_hundredth_of_the_connections_compares(
    loads: list[tuple[int, int]], expected: list[tuple[int, int, bool]]
) -> None:
    """By a process of their own, out of the first one's share."""
    assert shapes(*loads) == expected
    assert sum(connections for _, connections, _ in expected) == sum(connections for _, connections in loads)


def test_where_all_are_compared_nothing_is_split() -> None:
    """As the articles did."""
    assert shapes((4, 2000), are_all_checked=True) == [(4, 2000, True)]
