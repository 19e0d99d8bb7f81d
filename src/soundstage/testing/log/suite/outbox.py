"""Code that writes to the log first loses nothing and applies nothing twice."""

from __future__ import annotations

from soundstage.core.environment import Environment
from soundstage.engines.log.port import LogCapability
from soundstage.engines.records.memory import MemoryRecords
from soundstage.testing.log.bench import LogBench
from soundstage.testing.outbox.bench import Outbox, Pair, play
from soundstage.testing.records.requirements import requires


class OutboxHeld:
    @requires(LogCapability.GROUPS)
    async def test_an_outbox_that_breaks_off_loses_nothing_and_applies_nothing_twice(self, bench: LogBench) -> None:
        records = MemoryRecords(bench.environment)

        opened: list[Pair] = []

        async def open_pair(environment: Environment) -> Pair:
            await records.start()
            if opened:
                await bench.reopen()
            opened.append(Pair(records, bench.log))
            return opened[-1]

        outbox = Outbox(open_pair, bench.environment)
        await outbox.open()
        await play(outbox, 12)
        assert outbox.applied > len(outbox.intents), "something was applied again, or nothing was shown"
