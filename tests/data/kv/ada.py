"""The record `ada` of a namespace with a cache, as tests read and write it."""

from __future__ import annotations

from tests.data.kv.conftest import ALL, item, keys

from soundstage.data.kv.api import KeyValue

POINT = keys(b"name")


async def name(kv: KeyValue) -> bytes | None:
    """What one read of one item says, as caches keep it."""
    items = (await kv.get_items(id="ada", predicate=POINT)).items
    return items[0].value if items else None


async def countess(kv: KeyValue) -> None:
    """Another name is put."""
    await kv.put_items(id="ada", items=[item(b"name", b"Countess")])


async def forget(kv: KeyValue) -> None:
    """Nothing is left of it."""
    await kv.delete_items(id="ada", predicate=ALL)
