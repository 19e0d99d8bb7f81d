"""What attempts of a fill that were fenced out still send: it comes to nothing, however late it arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tests.runtime.cluster import Cluster, SharedRecords, simulated
from tests.runtime.transfer.conftest import contents, fill

from soundstage.core.errors import NotFound, PreconditionFailed, SoundstageError
from soundstage.core.namespace import NamespaceSpec
from soundstage.core.time import Duration
from soundstage.engines.records.holdings import Holding
from soundstage.runtime.jobs import Jobs
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage

FILMS = NamespaceSpec(name="films", abstraction="kv")
AGAIN = NamespaceSpec(name="again", abstraction="kv")
HOUR = Duration(3_600_000_000_000)


class Late:
    """The way of one process's loads to the store: they were looked at and sent, and arrive when they are let go."""

    def __init__(self, records: SharedRecords) -> None:
        self.sent = asyncio.Event()
        self.gate = asyncio.Event()
        self._records = records
        self._loads: list[asyncio.Task[None]] = []

    async def load(self, table: str, holdings: Sequence[Holding], fence: int | None = None) -> None:
        load = asyncio.ensure_future(self._arrive(table, holdings, fence))
        self._loads.append(load)
        self.sent.set()
        await asyncio.shield(load)

    async def outcomes(self) -> list[Any]:
        """What became of the loads that were sent, now that they arrive."""
        self.gate.set()
        return await asyncio.gather(*self._loads, return_exceptions=True)

    async def _arrive(self, table: str, holdings: Sequence[Holding], fence: int | None) -> None:
        await self.gate.wait()
        await self._records.load(table, holdings, fence)


async def paused_while_it_copies(cluster: Cluster, stage: Stage) -> tuple[str, Late]:
    """The id of a copy whose process has been paused while its first load was on its way, and that load."""
    namespaces = stage.client(Namespaces)
    await namespaces.put(namespace=FILMS)
    await fill(stage, records=3)
    late = Late(cluster.records)
    link: Any = cluster.links[stage]
    link.load = late.load
    job = await namespaces.copy(name="films", to="again")
    await late.sent.wait()
    link.cut = True
    return job.job_id, late


async def ended(stage: Stage, job_id: str) -> str:
    outcome = await stage.client(Jobs).with_options(deadline=4_000.0).result(job_id=job_id, wait=HOUR)
    return outcome.state


def test_a_late_load_changes_nothing_of_what_another_attempt_finished() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process() as one:
            job_id, late = await paused_while_it_copies(cluster, one)
            async with cluster.process() as two:
                assert await ended(two, job_id) == "succeeded"
                before = await contents(two, "again")
                assert [type(outcome) for outcome in await late.outcomes()] == [PreconditionFailed]
                assert await contents(two, "again") == before == await contents(two, "films")

    simulated(main)


def test_a_late_load_brings_nothing_into_another_namespace_of_the_name() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process() as one:
            job_id, late = await paused_while_it_copies(cluster, one)
            async with cluster.process() as two:
                await ended(two, job_id)
                await two.client(Namespaces).delete(name="again")
                await two.client(Namespaces).put(namespace=AGAIN)
                assert [type(outcome) for outcome in await late.outcomes()] == [PreconditionFailed]
                assert await contents(two, "again") == {}

    simulated(main)


def test_a_late_load_brings_nothing_into_what_another_job_fills() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process() as one:
            job_id, late = await paused_while_it_copies(cluster, one)
            async with cluster.process() as two:
                await two.client(Jobs).cancel(job_id=job_id)
                await ended(two, job_id)
                await two.client(Namespaces).put(namespace=NamespaceSpec(name="empty", abstraction="kv"))
                await (await two.client(Namespaces).copy(name="empty", to="again")).result()
                assert [type(outcome) for outcome in await late.outcomes()] == [PreconditionFailed]
                assert await contents(two, "again") == {}

    simulated(main)


def test_a_late_load_into_what_is_gone_finds_nothing() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process() as one:
            job_id, late = await paused_while_it_copies(cluster, one)
            async with cluster.process() as two:
                await ended(two, job_id)
                await two.client(Namespaces).delete(name="again")
                assert [type(outcome) for outcome in await late.outcomes()] == [NotFound]

    simulated(main)


def test_an_attempt_that_goes_on_takes_the_tables_over() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process() as one:
            job_id, _ = await paused_while_it_copies(cluster, one)
            async with cluster.process() as two:
                assert await ended(two, job_id) == "succeeded"
                assert (await two.client(Jobs).get(job_id=job_id)).attempt == 2
                generation = (await two.client(Namespaces).get(name="again")).generation
                await cluster.records.admit("kv/again", (generation << 32) + 2)
                with pytest.raises(SoundstageError):
                    await cluster.records.admit("kv/again", (generation << 32) + 1)

    simulated(main)
