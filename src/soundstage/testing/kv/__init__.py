"""Tests that any records engine can run of the key-value store on top of it, against a plain model.

    class TestMyEngine(KeyValueSuite):
        def open_engine(self, environment: Environment, folder: Path) -> Records:
            return MyRecords(folder, environment)

Inside:

    store        the store under test: a stage over the engine, its clock and its client
    situations   what must occur often enough for a run to mean anything
    drift        which token times the store must take, as its knobs change
    writes       writes as drawn: fresh, late, repeated, reused, of one microsecond, conditional
    readings     reads as drawn, and what the model says they must show
    walk         one run: draws acts and compares every answer
    machine      the same acts as a state machine of hypothesis, which can shrink what fails
    suite        the tests
"""

from __future__ import annotations

from soundstage.testing.kv.suite import KeyValueSuite

__all__ = ["KeyValueSuite"]
