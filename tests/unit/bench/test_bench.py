"""What a bench needs of its server before it measures."""

from __future__ import annotations

import pytest

from tests.unit.handmade_hosts import handmade_host
from wrklab.bench.bench import require_several_cpus, takes_all_cpus_for
from wrklab.bench.plan import BenchRequest
from wrklab.catalogue.catalogue import read_catalogue
from wrklab.errors import LabError
from wrklab.hosts.inventory import LabHost


def server(*cpus: int) -> LabHost:
    """A server of one's own with these CPUs."""
    return handmade_host(cpus=cpus)


@pytest.mark.parametrize(("suite", "takes_all"), [("gil", True), ("cpu", False), (None, False)])
def test_a_suite_decides_whether_the_server_takes_all_cpus(suite: str | None, *, takes_all: bool) -> None:
    """By its card; variants alone never do."""
    assert takes_all_cpus_for(read_catalogue(), suite) is takes_all


def test_one_cpu_is_refused_where_several_are_needed() -> None:
    """The error names the host, the card and its key."""
    require_several_cpus(server(0, 1), BenchRequest(suite="gil"))

    with pytest.raises(LabError, match=r"server: it has 1 CPU, and suites/gil\.yml needs .*server_cpus: all"):
        require_several_cpus(server(0), BenchRequest(suite="gil"))
