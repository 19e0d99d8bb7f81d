"""A namespace that is being filled: the tables that holdings go into, and the proof that they arrived."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

from soundstage.core.errors import DataLoss, InvalidArgument
from soundstage.engines.records.holdings import Holding, Transfers
from soundstage.engines.records.port import TableSpec
from soundstage.runtime.transfer.reading import Compute, Place, Reading
from soundstage.runtime.transfer.tally import Tally
from soundstage.runtime.work.context import JobContext

GENERATION_BITS = 32
"""A fence is the generation of the namespace, and behind it that of the job's lease in so many bits."""


class Filling:
    """The tables of one namespace, in the order of the tables that they are filled from.

    They take what is loaded under the fence of this attempt alone: what an earlier one sent comes to nothing, however
    late it arrives, and so does whatever was sent for another namespace of the name.
    """

    def __init__(self, engine: Transfers, tables: Sequence[TableSpec], compute: Compute) -> None:
        self._engine = engine
        self._compute = compute
        self._tables = [table.name for table in tables]
        self._fence = 0

    @property
    def tables(self) -> int:
        """How many there are."""
        return len(self._tables)

    async def claim(self, generation: int, job: JobContext, *, begun: bool) -> None:
        """No other attempt's loads are taken any more. The tables are new unless it is `begun` already.

        `generation` is that of the namespace. Raises `PreconditionFailed` when another has claimed them since.
        """
        job.check()
        least = generation << GENERATION_BITS
        self._fence = least + job.fence
        for table in self._tables:
            await self._engine.admit(table, self._fence, least if begun else None)

    async def load(self, table: int, holdings: Sequence[Holding], job: JobContext) -> None:
        """Holdings of the table of that number are in. Safe to repeat; `LeaseLost` once another may be at it."""
        job.check()
        await self._engine.load(self._tables[table], holdings, self._fence)

    async def verify(self, expected: Tally, unsteady: Sequence[bytes], at_us: int, job: JobContext) -> None:
        """Everything that lasts is there, and nothing else. Raises `DataLoss`."""
        reading = Reading(self._engine, self._tables, Place(at_us), self._compute, frozenset(unsteady))
        async with aclosing(reading.pages()) as pages:
            async for _ in pages:
                done = reading.place.tally.records
                job.progress(done, max(done, expected.records), "records", "verifying")
        found = reading.place.tally
        if not found.agrees(expected):
            raise DataLoss(
                f"{found.items} items arrived that do not add up to the {expected.items} that were read",
                hint="try again; nothing was left behind",
            )


def targets(
    sources: Sequence[TableSpec], source: tuple[str, str], declared: Sequence[TableSpec], target: tuple[str, str]
) -> list[TableSpec]:
    """The tables of the target to fill, one for each of `sources`.

    `source` and `target` are system and name of the namespaces. Raises `InvalidArgument` when the target lacks one.
    """
    known = {part_of(table.name, target): table for table in declared}
    parts = [part_of(table.name, source) for table in sources]
    for part in parts:
        if part not in known:
            raise InvalidArgument(
                f"the namespace {target[1]!r} has no part {part!r}", hint="use the release that it was exported with"
            )
    return [known[part] for part in parts]


def part_of(table: str, namespace: tuple[str, str]) -> str:
    """What the name of a table adds to that of its namespace."""
    return table.removeprefix("/".join(namespace))
