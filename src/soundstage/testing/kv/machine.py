"""The acts of a walk as a state machine of hypothesis."""

from __future__ import annotations

from soundstage.testing import machines
from soundstage.testing.kv.walk import ACTS, Walk
from soundstage.testing.machines import Machine
from soundstage.testing.records import OpenEngine


def machine_of(open_engine: OpenEngine) -> type[Machine]:
    """A state machine with a rule for each act; every example has a storage of its own."""
    return machines.machine_of("KeyValueMachine", lambda name: Walk(open_engine, name=name), ACTS)
