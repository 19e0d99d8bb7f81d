"""A stage whose rows are on Cassandra, killed at each step of what it does: what the next process finds.

Of a set of mutations: whole what was accepted, and whole or nothing what was not. Of a value that is replaced: the old
one or the new one, whole, and the new one for all once it is stored, whatever a cache keeps.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from tests.conformance.cassandra import mutating, replacing
from tests.conformance.cassandra.lives import killed_at, lived, numbered

from soundstage.runtime.stage import Stage
from soundstage.servers import Cluster
from soundstage.testing.servers import server_fixture

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

memcached: Callable[[], Generator[Cluster]] = server_fixture("memcached", scope="module")


def space(cassandra: Cluster) -> str:
    return f"{cassandra.url}/suite?space=killed-{time.time_ns()}"


async def test_a_set_is_applied_whole_at_whichever_step_its_process_was_killed(
    cassandra: Cluster, tmp_path: Path
) -> None:
    url, folder = space(cassandra), str(tmp_path)
    await mutating.declare(url, folder)
    whole = mutating.Sent(id="whole", at_us=time.time_ns() // 1_000)
    told, ended = await asyncio.to_thread(lived, mutating.run, mutating.Life(url=url, folder=folder, sent=whole))
    assert (ended, told[-1]) == (0, "applied")
    assert set(mutating.STEPS) <= set(numbered(told))
    before, died = mutating.Sent(id=whole.id, at_us=whole.at_us, accepted=True), list[str]()
    for step in mutating.STEPS:
        sent = mutating.Sent(id=step, at_us=time.time_ns() // 1_000)
        life = mutating.Life(url=url, folder=folder, sent=sent, before=before, last=step)
        told = await killed_at(mutating.run, life)
        died.append(numbered(told)[-1])
        before = mutating.Sent(id=sent.id, at_us=sent.at_us, accepted="accepted" in told)
    assert died == list(mutating.STEPS)
    async with mutating.open_stage(url, folder) as stage:
        await (await mutating.sets_of(stage)).settle(before)


@pytest.mark.parametrize("namespace", replacing.NAMESPACES)
async def test_a_value_is_the_old_one_or_the_new_one_for_all_at_whichever_step_its_process_was_killed(
    cassandra: Cluster, memcached: Cluster, tmp_path: Path, namespace: str
) -> None:
    url, steps = space(cassandra), replacing.STEPS[namespace]
    async with replacing.open_stage(url, memcached.url, str(tmp_path / "other")) as other:
        await replacing.declare(other)
        stored: dict[str, bytes] = {}
        for last in (None, *steps):
            folder = str(tmp_path / f"{last}")
            life = replacing.Life(
                url=url, cache=memcached.url, folder=folder, namespace=namespace, id=f"{last}", last=last
            )
            if last is None:
                told, ended = await asyncio.to_thread(lived, replacing.run, life)
                assert (ended, told[-1]) == (0, "read")
                assert set(steps) <= set(numbered(told))
            else:
                told = await killed_at(replacing.run, life)
                assert numbered(told)[-1] == last
            values = replacing.NEW if replacing.ROWS[namespace] in told else replacing.OLD
            stored[life.id] = values[namespace]
            await verify(other, namespace, life.id, values[namespace])
        for id, value in stored.items():
            await verify(other, namespace, id, value)
            await replacing.put(other, namespace, id, replacing.NEWER)
            await verify(other, namespace, id, replacing.NEWER[namespace])


async def verify(other: Stage, namespace: str, id: str, value: bytes) -> None:
    """Another process shows what is stored, whatever it is asked and however often."""
    for asked in replacing.WAYS[namespace]:
        assert await replacing.shown(other, namespace, id, **asked) == value
