"""Removes what truncations hide, record by record, while others read and write.

Nothing is lost by a process that dies meanwhile: the next one begins anew, and passes over what is erased already.
Twice is enough. Once soon, for the space. And once when no write of before the truncation can arrive any more, by its
age: after that nothing has to be hidden, and the namespace is served as one that was never truncated. One
that is eventual, or of local scope, has no such end: a copy may bring up later what no pass was shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.data.kv.namespace import ServedNamespace
from soundstage.data.kv.truncated import eraser
from soundstage.engines.records.port import IN_FLIGHT_MAX_US, Batch, Budget, Stamp

AT_ONCE = 64
"""Records erased together: what is durable shares a flush."""

SLACK_US = 60_000_000
"""Besides: for processes that have not heard of the truncation, or of a knob, yet."""

_EVER_US = 0
"""The time at which nothing has expired yet."""

_PAGE = Budget(rows=1_000, bytes=1 << 20)


class Erasure(NamedTuple):
    """One pass over a namespace: how many records it erased, and whether nothing can follow."""

    records: int
    last: bool


async def erase(served: ServedNamespace, environment: Environment, check: Callable[[], None]) -> Erasure:
    """Whatever the truncation of a namespace hides is gone from its table. `check` raises when another is to do it."""
    at = served.view.truncated
    assert at is not None
    last = is_last(served, at, environment.now_us())
    engine, tombstone = served.view.records, Batch(partition=eraser(at))
    position, records, walked = None, 0, False
    before = b""
    while not walked or position is not None:
        check()
        # What has expired counts: its record is to be known as truncated by who read it before.
        page = await engine.walk(served.table, 0, 1, position, _PAGE, _EVER_US)
        hit = [
            partition
            for partition, rows in page.partitions
            if partition != before and any(version.time_us(cell) <= at.time_us for _, cell in rows)
        ]
        for first in range(0, len(hit), AT_ONCE):
            await asyncio.gather(
                *(engine.apply(served.table, partition, tombstone) for partition in hit[first : first + AT_ONCE])
            )
        records += len(hit)
        before = hit[-1] if hit else before
        position, walked = page.position, True
    return Erasure(records, last)


def is_last(served: ServedNamespace, at: Stamp, now_us: int) -> bool:
    """Whether nothing of the truncation's version, or of one before it, can come to light any more."""
    return served.settled and now_us >= due_us(served, at)


def due_us(served: ServedNamespace, at: Stamp) -> int:
    """From when on no write of the truncation's version, or of one before it, can arrive."""
    return at.time_us + served.window.past_us + IN_FLIGHT_MAX_US + SLACK_US
