"""The smallest port that keeps rows in a database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rocksdict import Cache

from soundstage.engines.rocks.atomic import AtomicBatch
from soundstage.engines.rocks.database import Database, Family
from soundstage.engines.rocks.opening import open_rdict
from soundstage.engines.rocks.options import RocksOptions


class Shelf:
    """Keys and values in a column family of its own."""

    def __init__(self, database: Database, name: str = "shelf") -> None:
        self.database = database
        self.name = name
        self.left = 0
        self.family: Family | None = None

    def open(self) -> Shelf:
        self.database.open(self)
        self.family = self.database.family(self.name)
        return self

    async def close(self) -> None:
        await self.database.close(self)

    def let_go(self) -> None:
        self.left += 1
        self.family = None

    def add(self, batch: AtomicBatch, key: bytes, value: bytes) -> bytes:
        """For `Database.atomically`; returns what was there."""
        assert self.family is not None
        batch.touch(self.name.encode() + b"/" + key)
        batch.rows.put(key, value, self.family.handle)
        found: Any = self.family.db.get(key)
        return found or b""

    async def put(self, key: bytes, value: bytes = b"value") -> bytes:
        """Durable when it returns."""
        return await self.database.atomically(self.add, key, value)

    def get(self, key: bytes) -> bytes | None:
        assert self.family is not None
        found: Any = self.family.db.get(key)
        return found


def shelved(folder: str, key: bytes, name: str = "shelf") -> bytes | None:
    """What the closed folder has under `key`."""
    return all_shelved(folder, [key], name)[0]


def all_shelved(folder: str, keys: Sequence[bytes], name: str = "shelf") -> list[bytes | None]:
    """What the closed folder has under each of `keys`."""
    db = open_rdict(folder, RocksOptions(), Cache(1 << 20))
    try:
        found: Any = [db.get_column_family(name).get(key) for key in keys]
        return found
    finally:
        db.close()
