"""The log of a run: one engine in memory for all processes of the host, with faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from soundstage.core.environment import Environment
from soundstage.core.errors import Unavailable
from soundstage.engines.log.memory import MemoryLog
from soundstage.engines.log.port import Entry, Spot
from soundstage.testing.simulation.faults import FaultRates
from soundstage.testing.simulation.turn import dice, strikes


class LastingLog(MemoryLog):
    """Keeps what it has when a process ends. Appends meet the faults of `rates`, and `counts` tells how often.

    An append is lost before it is done or after, or cut off: then some of its entries are there, from the first one on.
    """

    def __init__(self, environment: Environment, rates: Callable[[], FaultRates]) -> None:
        super().__init__(environment)
        self.counts: Counter[str] = Counter()
        self._rates = rates

    async def stop(self) -> None:
        """The next process finds it open."""

    async def append(
        self,
        topic: str,
        entries: Sequence[Entry],
        *,
        partition: int | None = None,
        token: str | None = None,
        deadline_ns: int | None = None,
    ) -> list[Spot]:
        rates = self._rates()
        if strikes(rates.lost_before):
            self.counts["append_lost_before"] += 1
            raise Unavailable("the append was lost on its way", outcome="not_applied")
        if len(entries) > 1 and strikes(rates.lost_after):
            self.counts["append_cut_off"] += 1
            some = entries[: dice().randint(1, len(entries) - 1)]
            await super().append(topic, some, partition=partition, deadline_ns=deadline_ns)
            raise Unavailable("the append was cut off", outcome="unknown")
        spots = await super().append(topic, entries, partition=partition, token=token, deadline_ns=deadline_ns)
        if strikes(rates.lost_after):
            self.counts["append_lost_after"] += 1
            raise Unavailable("the answer was lost on its way", outcome="unknown")
        return spots
