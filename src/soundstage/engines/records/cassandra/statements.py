"""The statements of one table in Cassandra, prepared."""

from __future__ import annotations

from typing import Any, ClassVar

from soundstage.engines.records.cassandra import schema
from soundstage.engines.records.cassandra.link import Link

_PARTITION = "number = ? AND id = ?"
_STATICS = "newest, tombstone, ranges, rev"


class Statements:
    """Reads and writes of `rows`, `paxos`, or a table like them. Every one names its partition first, but for puts."""

    TEXTS: ClassVar[dict[str, str]] = {
        # At the times of the versions.
        "put": "INSERT INTO {0} (number, id, kind, key, cell) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?",
        "put_newest": "INSERT INTO {0} (number, id, kind, key, cell, newest) VALUES (?, ?, ?, ?, ?, ?) "
        "USING TIMESTAMP ?",
        "put_tombstone": "UPDATE {0} USING TIMESTAMP ? SET tombstone = ? WHERE number = ? AND id = ?",
        "put_header": "UPDATE {0} USING TIMESTAMP ? SET newest = ? WHERE number = ? AND id = ?",
        "delete": "DELETE FROM {0} USING TIMESTAMP ? WHERE number = ? AND id = ? AND kind = ? AND key = ?",
        "delete_kind": "DELETE FROM {0} USING TIMESTAMP ? WHERE number = ? AND id = ? AND kind = ?",
        "delete_from": "DELETE FROM {0} USING TIMESTAMP ? WHERE number = ? AND id = ? AND kind = 2 AND key >= ?",
        "delete_span": "DELETE FROM {0} USING TIMESTAMP ? WHERE number = ? AND id = ? AND kind = 2 "
        "AND key >= ? AND key < ?",
        "delete_tombstone": "DELETE tombstone FROM {0} USING TIMESTAMP ? WHERE number = ? AND id = ?",
        # Reads.
        "header": f"SELECT DISTINCT {_STATICS} FROM {{0}} WHERE {_PARTITION}",
        "points": f"SELECT {{1}}, key, cell FROM {{0}} WHERE {_PARTITION} AND kind = 2 AND key IN ?",
        "touched": f"SELECT {_STATICS}, kind, key, cell FROM {{0}} WHERE {_PARTITION} AND (kind, key) IN ?",
        "kind": f"SELECT {_STATICS}, key, cell FROM {{0}} WHERE {_PARTITION} AND kind = ?",
        "up": f"SELECT {{1}}, key, cell FROM {{0}} WHERE {_PARTITION} AND kind = 2 AND key >= ? LIMIT ?",
        "up_to": f"SELECT {{1}}, key, cell FROM {{0}} WHERE {_PARTITION} AND kind = 2 AND key >= ? AND key < ? LIMIT ?",
        "down": f"SELECT {{1}}, key, cell FROM {{0}} WHERE {_PARTITION} AND kind = 2 AND key >= ? "
        "ORDER BY kind DESC, key DESC LIMIT ?",
        "down_from": f"SELECT {{1}}, key, cell FROM {{0}} WHERE {_PARTITION} AND kind = 2 "
        "AND key >= ? AND key < ? ORDER BY kind DESC, key DESC LIMIT ?",
        "ring": "SELECT id, {1}, kind, key, cell FROM {0} "
        "WHERE token(number, id) >= ? AND token(number, id) <= ? AND number = ? LIMIT ? ALLOW FILTERING",
        "held": f"SELECT id, {_STATICS}, kind, key, cell FROM {{0}} "
        "WHERE token(number, id) >= ? AND token(number, id) <= ? AND number = ? LIMIT ? ALLOW FILTERING",
        "rest": f"SELECT {_STATICS}, kind, key, cell FROM {{0}} WHERE {_PARTITION} AND (kind, key) >= (?, ?) LIMIT ?",
        "survey": "SELECT id, tombstone, kind, key, cell FROM {0} "
        "WHERE token(number, id) >= ? AND token(number, id) <= ? AND number = ? LIMIT ? ALLOW FILTERING",
        "ids": "SELECT DISTINCT number, id FROM {0} WHERE token(number, id) = ?",
        "erase": "DELETE FROM {0} USING TIMESTAMP ? WHERE number = ? AND id = ?",
        # By Paxos.
        "turn": "UPDATE {0} SET rev = ?, newest = ?, tombstone = ?, ranges = ? WHERE number = ? AND id = ? IF rev = ?",
        "set": "INSERT INTO {0} (number, id, kind, key, cell) VALUES (?, ?, ?, ?, ?)",
        "unset": "DELETE FROM {0} WHERE number = ? AND id = ? AND kind = ? AND key = ?",
    }

    def __init__(self, place: str, prepared: dict[str, Any]) -> None:
        self.place: str = place
        self._prepared = prepared

    def __getattr__(self, name: str) -> Any:
        try:
            found = self._prepared[name]
        except KeyError:
            raise AttributeError(name) from None
        self.__dict__[name] = found
        return found


async def statements(link: Link, place: str) -> Statements:
    """All statements of the table called `place`."""
    shown = "newest" if place.startswith(schema.ROWS) else _STATICS
    texts = {name: text.format(place, shown) for name, text in Statements.TEXTS.items()}
    prepared = await link.prepare(*texts.values())
    return Statements(place, dict(zip(texts, prepared, strict=True)))


class Ledgers:
    """The statements of the tables that are there once."""

    TEXTS: ClassVar[dict[str, str]] = {
        "table": "SELECT number, spec, floor FROM catalogue WHERE space = ? AND name = ?",
        "tables": "SELECT name, number, spec, floor FROM catalogue WHERE space = ?",
        "add_table": "INSERT INTO catalogue (space, name, number, spec) VALUES (?, ?, ?, ?) IF NOT EXISTS",
        "set_spec": "UPDATE catalogue SET spec = ? WHERE space = ? AND name = ? IF number = ?",
        "set_floor": "UPDATE catalogue SET floor = ? WHERE space = ? AND name = ? IF number = ?",
        "remove_table": "DELETE FROM catalogue WHERE space = ? AND name = ? IF number = ?",
        "number": "SELECT last FROM numbers WHERE name = 'tables'",
        "first_number": "INSERT INTO numbers (name, last) VALUES ('tables', 1) IF NOT EXISTS",
        "next_number": "UPDATE numbers SET last = ? WHERE name = 'tables' IF last = ?",
        "fence": "SELECT fence FROM fences WHERE number = ?",
        "first_fence": "INSERT INTO fences (number, fence) VALUES (?, ?) IF NOT EXISTS",
        "next_fence": "UPDATE fences SET fence = ? WHERE number = ? IF fence = ?",
        "remove_fence": "DELETE FROM fences WHERE number = ? IF EXISTS",
        "dropped": "SELECT number, place FROM dropped WHERE space = ? LIMIT ?",
        "add_dropped": "INSERT INTO dropped (space, number, place) VALUES (?, ?, ?)",
        "remove_dropped": "DELETE FROM dropped WHERE space = ? AND number = ?",
        "add_due": "INSERT INTO due (number, hour, shard, due_us, id, kind, key, time_us) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        "remove_due": "DELETE FROM due WHERE number = ? AND hour = ? AND shard = ? AND due_us = ? AND id = ? "
        "AND kind = ? AND key = ? AND time_us = ?",
        "remove_bucket": "DELETE FROM due WHERE number = ? AND hour = ? AND shard IN ?",
        "due": "SELECT shard, due_us, id, kind, key, time_us FROM due WHERE number = ? AND hour = ? AND shard IN ? "
        "AND due_us >= ? AND due_us <= ? PER PARTITION LIMIT ?",
        "hours": "SELECT hour, number FROM hours WHERE space = ? AND hour <= ?",
        "add_hour": "INSERT INTO hours (space, hour, number) VALUES (?, ?, ?)",
        "remove_hour": "DELETE FROM hours WHERE space = ? AND hour = ? AND number = ?",
    }

    def __init__(self, prepared: dict[str, Any]) -> None:
        self._prepared = prepared

    def __getattr__(self, name: str) -> Any:
        try:
            return self._prepared[name]
        except KeyError:
            raise AttributeError(name) from None


async def ledgers(link: Link) -> Ledgers:
    prepared = await link.prepare(*Ledgers.TEXTS.values())
    return Ledgers(dict(zip(Ledgers.TEXTS, prepared, strict=True)))
