"""Pages of one record, by range or by keys.

A page is one read of the store. A read sees one moment, so that a page shows all or nothing of each
acknowledged write; a second read would see another moment. That holds for a read that returned nothing too,
having met nothing but dead rows: by the next one they may have come to life. Such a page is empty.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from soundstage.core.message import IdempotencyToken
from soundstage.core.together import all_or_none
from soundstage.data.kv.api import Item, Selection
from soundstage.data.kv.cursors import Cursor
from soundstage.data.kv.large_values import bring
from soundstage.data.kv.namespace import ServedNamespace
from soundstage.data.kv.predicates import Wanted
from soundstage.data.kv.selections import ROOMY, Filling
from soundstage.data.pagination import Patience, RowEstimate
from soundstage.engines.records.port import Page, Stamp

SHARE_MIN_BYTES = 64 << 10
"""Of each record that is read with others; with 64 at once this is 4 MiB at most."""


class PageResult(msgspec.Struct, gc=False):
    """A page, the greatest version of its record, and where the next page begins; `resume` None: there is none."""

    items: list[Item]
    stamp: Stamp | None
    resume: bytes | None


def filling_of(served: ServedNamespace, selection: Selection, cursor: Cursor | None) -> Filling:
    """The page that a checked `selection` asks for, as it goes on at `cursor`."""
    if cursor is None:
        return Filling(served, selection, RowEstimate(served.estimate.bytes))
    filling = Filling(served, selection, RowEstimate(cursor.row_bytes))
    filling.items_left = cursor.items_left
    return filling


async def read_page(
    served: ServedNamespace,
    partition: bytes,
    wanted: Wanted,
    filling: Filling,
    patience: Patience,
    now_us: int,
    *,
    alone: bool = True,
    question: bytes | None = None,
    least: IdempotencyToken | None = None,
) -> PageResult:
    """What of `wanted` fits; the first item whatever its size if the page is `alone` in its reply.

    With a `question` the cache may answer, with what has the write `least`.
    """

    async def fetch() -> Page:
        page = await _read(served, partition, wanted, filling, filling.to_read, patience, now_us)
        filling.has_read(page.rows, page.unused)
        return page

    if question is None or served.cached is None:
        page = await fetch()
    else:
        stamp = None if least is None else Stamp(least.generation_time // 1_000, least.token)
        page = await served.cached.find(partition, question, stamp, now_us, fetch, patience.stop_ns)
    return await shaped(served, partition, page, wanted, filling, patience, now_us, alone=alone)


async def read_ahead(
    served: ServedNamespace,
    partitions: Sequence[bytes],
    wanted: Wanted,
    filling: Filling,
    patience: Patience,
    now_us: int,
) -> list[Page]:
    """What of `wanted` each of the `partitions` has, as far as its share of what fits allows; read at once.

    A record that was just written is read once that is durable: one after the other would wait for a flush each.
    """
    share = max(SHARE_MIN_BYTES, filling.to_read // len(partitions))
    return await all_or_none(
        [_read(served, partition, wanted, filling, share, patience, now_us) for partition in partitions]
    )


async def shaped(
    served: ServedNamespace,
    partition: bytes,
    page: Page,
    wanted: Wanted,
    filling: Filling,
    patience: Patience,
    now_us: int,
    *,
    alone: bool,
) -> PageResult:
    """What of a page fits, which `filling` has been told of if the store was asked for it; see `read_page`."""
    found = await filling.shape(page.rows, filling.bytes_left, patience)
    if not found.items and alone and page.rows:
        found = await filling.shape(page.rows[:1], ROOMY, patience)
    if found.large:
        await bring(served, partition, found, patience, now_us, whole=1 if alone else 0)
    items = found.items
    filling.put_in(len(items), found.weight)
    resume = page.resume
    if len(items) < len(page.rows):
        resume = wanted.resume_at(page.rows[len(items)][0])
    if filling.items_left == 0:
        resume = None
    return PageResult(items, page.stamp, resume)


async def _read(
    served: ServedNamespace,
    partition: bytes,
    wanted: Wanted,
    filling: Filling,
    size: int,
    patience: Patience,
    now_us: int,
) -> Page:
    budget = filling.budget(size, patience.stop_ns)
    if wanted.keys is None:
        return await served.records.read(served.table, partition, wanted.span, budget, now_us)
    page = await served.records.get(served.table, partition, wanted.keys, now_us, budget)
    return page if page.resume is None else Page(page.rows, wanted.resume_at(page.resume), page.stamp)
