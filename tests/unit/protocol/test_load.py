"""What both sides call the phases of a load."""

from __future__ import annotations

from wrklab.protocol.load import LoadPhase
from wrklab.protocol.phases import Phase


def test_the_phases_of_a_load_are_phases_of_a_cell_in_order() -> None:
    """A record names the phase in which a load failed as it names any other."""
    names = [phase.value for phase in LoadPhase]
    assert names == ["ready", "warmup", "settle", "drain", "armed", "window", "verify_after"]
    assert names == [phase.value for phase in Phase if phase.value in names]
    assert [Phase(phase) for phase in LoadPhase] == [Phase[phase.name] for phase in LoadPhase]
