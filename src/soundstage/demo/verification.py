"""Reads everything back and compares it with the source, record for record."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any

import msgspec

from soundstage.client import Connection
from soundstage.data.kv import Item, KeyValue
from soundstage.demo.history import History
from soundstage.demo.records import PROFILES, TITLES, VIEWINGS, film_of, ratings_of, user_of

_DIGITS = 16


class Compared(msgspec.Struct, frozen=True):
    """How what was read compares with the source: numbers of records, and checksums over all of them."""

    what: str
    records: int
    expected: int
    checksum: str
    expected_checksum: str
    equal: bool


async def verify(connection: Connection, history: History, done: Callable[[], None]) -> list[Compared]:
    """Every record of the three namespaces was read and compared; `done` is called after each."""
    titles = await read_all(connection, TITLES, done)
    profiles = await read_all(connection, PROFILES, done)
    viewings = await read_all(connection, VIEWINGS, done)
    return [
        compared("titles", history.films, [film_of(id, items) for id, items in titles.items()]),
        compared("profiles", history.users, [user_of(id, items) for id, items in profiles.items()]),
        compared("ratings in profiles", history.ratings, _all_ratings(profiles)),
        compared("ratings as played", history.ratings, _all_ratings(viewings)),
    ]


async def read_all(connection: Connection, namespace: str, done: Callable[[], None]) -> dict[str, list[Item]]:
    """Every record of a namespace; one may be spread over two pages of the walk."""
    found: dict[str, list[Item]] = {}
    async for page in connection.client(KeyValue, namespace).scan_items.pages():
        for record in page.records:
            if record.id not in found:
                done()
            found.setdefault(record.id, []).extend(record.items)
    return found


def compared(what: str, expected: Iterable[msgspec.Struct], found: Iterable[msgspec.Struct]) -> Compared:
    """Both sides in one order, compared whole; the checksums are for people to see."""
    wanted, read = _ordered(expected), _ordered(found)
    return Compared(what, len(read), len(wanted), checksum(read), checksum(wanted), read == wanted)


def checksum(values: Iterable[tuple[Any, ...]]) -> str:
    """The beginning of a SHA-256 over the values, in their order."""
    digest = sha256()
    for value in values:
        digest.update(msgspec.json.encode(value))
    return digest.hexdigest()[:_DIGITS]


def _ordered(values: Iterable[msgspec.Struct]) -> list[tuple[Any, ...]]:
    return sorted((_plain(value) for value in values), key=msgspec.json.encode)


def _plain(value: msgspec.Struct) -> tuple[Any, ...]:
    # An instant is the integer that it is, for JSON has no other form for it.
    return tuple(int(field) if isinstance(field, int) else field for field in msgspec.structs.astuple(value))


def _all_ratings(records: dict[str, list[Item]]) -> list[msgspec.Struct]:
    return [rating for id, items in records.items() for rating in ratings_of(id, items)]
