"""Code that writes to the log first loses nothing and applies nothing twice."""

from __future__ import annotations

from soundstage.engines.log.port import LogCapability
from soundstage.engines.records.memory import MemoryRecords
from soundstage.testing.log.bench import LogBench
from soundstage.testing.log.outbox import Outbox, play
from soundstage.testing.records.requirements import requires


class OutboxHeld:
    @requires(LogCapability.GROUPS)
    async def test_an_outbox_that_breaks_off_loses_nothing_and_applies_nothing_twice(self, bench: LogBench) -> None:
        outbox = Outbox(bench.environment, seed=1)
        records = MemoryRecords(bench.environment)
        await records.start()
        outbox.log, outbox.records = bench.log, records

        async def reopen() -> None:
            await bench.reopen()
            outbox.log = bench.log

        await play(outbox, 12, reopen)
        assert outbox.applied > len(outbox.intents), "something was applied again, or nothing was shown"
