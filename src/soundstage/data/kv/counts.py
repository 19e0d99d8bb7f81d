"""How many items of a record there are."""

from __future__ import annotations

from soundstage.data.kv.namespace import ServedNamespace
from soundstage.data.kv.predicates import Wanted
from soundstage.data.pagination import Patience
from soundstage.engines.records.port import Budget


async def count_rows(
    served: ServedNamespace, partition: bytes, wanted: Wanted, patience: Patience, now_us: int
) -> tuple[int, bool]:
    """How many items match, and whether that is all: counting ends at the namespace's `count_limit`, or in time."""
    config, records, count = served.config, served.records, 0
    while True:
        budget = Budget(min(config.rows_max, config.count_limit - count), int(config.read_bytes_max), patience.stop_ns)
        if wanted.keys is None:
            page = await records.read(served.table, partition, wanted.span, budget, now_us)
        else:
            page = await records.get(served.table, partition, wanted.keys, now_us, budget)
        count += len(page.rows)
        if page.resume is None:
            return count, True
        if count >= config.count_limit or patience.is_over():
            return count, False
        wanted = wanted.after(page.resume)
