"""Walks: SCAN over all keys, HSCAN over the fields of one, DBSIZE.

A cursor of Redis is a number, a page token of kv is a text that only its maker can read: the door keeps the tokens,
each under a number drawn at random, the latest of all connections, and forgets them when it closes.
"""

from __future__ import annotations

from typing import NamedTuple

from soundstage.data.kv.api import GetItems, ScanItems, ScanItemsReply, Selection
from soundstage.data.kv.resp.client import Client
from soundstage.data.kv.resp.faults import CommandError, syntax, wrong_type
from soundstage.data.kv.resp.globs import matcher
from soundstage.data.kv.resp.options import id_of, integer_of
from soundstage.data.kv.resp.replies import array, bulk, bulks, integer, text
from soundstage.data.kv.resp.space import STRING, Space, value_of
from soundstage.runtime.door import DoorContext

COUNT = 10
COUNT_MAX = 10_000

KEY_BYTES = 96
"""What a key without its value is taken to weigh, when a number of them is asked for."""

PAGES_MAX = 64
"""Pages without a match that one call passes over."""

SIZE_MAX = 1_000_000
"""Keys that DBSIZE counts."""


class Cursor(NamedTuple):
    """Where a walk goes on. `last` is the key that may continue there; `id` is of the hash, empty for all keys."""

    namespace: str
    id: str
    selection: Selection
    page_token: str
    last: str = ""


class Cursors:
    """The walks that can go on, by number; the oldest goes when there are too many."""

    def __init__(self, context: DoorContext) -> None:
        self._context = context
        self._known: dict[int, Cursor] = {}

    def keep(self, cursor: Cursor) -> int:
        """The number under which `cursor` is found again."""
        number = self._context.environment.random.getrandbits(62) | 1
        self._known[number] = cursor
        while len(self._known) > self._context.config.cursors:
            del self._known[next(iter(self._known))]
        return number

    def find(self, argument: bytes, namespace: str, id: str = "") -> Cursor | None:
        """The walk to go on with; None for a new one. Raises `CommandError` for a number that is not known."""
        if not argument.isdigit():
            raise CommandError("ERR invalid cursor")
        if argument == b"0":
            return None
        cursor = self._known.get(int(argument)) if len(argument) <= 20 else None
        if cursor is None or (cursor.namespace, cursor.id) != (namespace, id):
            raise CommandError("ERR invalid cursor: the walk is not known here any more; begin again with 0")
        return cursor


class Wanted(NamedTuple):
    """The options of a walk."""

    match: bytes | None = None
    about: int = COUNT
    type: bytes | None = None
    values: bool = True


async def scan(client: Client, arguments: list[bytes]) -> bytes:
    """Some keys, and where to go on."""
    wanted = _wanted(arguments, 2, (b"MATCH", b"COUNT", b"TYPE"))
    space, cursors = client.space, client.door.cursors
    cursor = cursors.find(arguments[1], space.namespace)
    matches = None if wanted.match is None else matcher(wanted.match)
    if cursor is None:
        cursor = Cursor(space.namespace, "", _selection(wanted.about, values=False), "")
    found: list[bytes] = []
    for _ in range(PAGES_MAX):
        reply = await _page(space, cursor)
        last = cursor.last
        for record in reply.records:
            if record.id == last:
                continue
            last = record.id
            if wanted.type is not None and wanted.type != _type_of([item.key for item in record.items]):
                continue
            name = record.id.encode()
            if matches is None or matches(name):
                found.append(name)
        if reply.next_page_token is None:
            return array([bulk(b"0"), bulks(found)])
        cursor = cursor._replace(page_token=reply.next_page_token, last=last)
        if found:
            break
    return array([text(str(cursors.keep(cursor))), bulks(found)])


async def hscan(client: Client, arguments: list[bytes]) -> bytes:
    """Some fields of a hash, and where to go on."""
    wanted = _wanted(arguments, 3, (b"MATCH", b"COUNT", b"NOVALUES"))
    id, space, cursors = id_of(arguments[1]), client.space, client.door.cursors
    cursor = cursors.find(arguments[2], space.namespace, id)
    matches = None if wanted.match is None else matcher(wanted.match)
    if cursor is None:
        cursor = Cursor(space.namespace, id, _selection(wanted.about, values=wanted.values), "")
    values = cursor.selection.include_values
    found: list[bytes] = []
    for _ in range(PAGES_MAX):
        request = GetItems(
            namespace=space.namespace, id=id, selection=cursor.selection, page_token=cursor.page_token or None
        )
        reply = await space.page(request)
        for item in reply.items:
            if item.key == STRING:
                raise wrong_type()
            if matches is None or matches(item.key):
                found.append(bulk(item.key))
                if values:
                    found.append(bulk(value_of(item)))
        if reply.next_page_token is None:
            return array([bulk(b"0"), array(found)])
        cursor = cursor._replace(page_token=reply.next_page_token)
        if found:
            break
    return array([text(str(cursors.keep(cursor))), array(found)])


async def dbsize(client: Client, arguments: list[bytes]) -> bytes:
    """How many keys there are, counted by a walk over all of them."""
    cursor = Cursor(client.space.namespace, "", Selection(include_values=False), "")
    count = 0
    while True:
        reply = await _page(client.space, cursor)
        count += sum(record.id != cursor.last for record in reply.records)
        if count > SIZE_MAX:
            raise CommandError(f"TOOLARGE there are over {SIZE_MAX} keys, and DBSIZE counts no further")
        if reply.next_page_token is None:
            return integer(count)
        last = reply.records[-1].id if reply.records else cursor.last
        cursor = cursor._replace(page_token=reply.next_page_token, last=last)


async def _page(space: Space, cursor: Cursor) -> ScanItemsReply:
    request = ScanItems(namespace=space.namespace, selection=cursor.selection, page_token=cursor.page_token or None)
    return await space.scan(request)


def _selection(count: int, *, values: bool) -> Selection:
    return Selection(page_size_bytes=count * KEY_BYTES, include_values=values)


def _type_of(keys: list[bytes]) -> bytes:
    return b"string" if STRING in keys else b"hash"


def _wanted(arguments: list[bytes], at: int, known: tuple[bytes, ...]) -> Wanted:
    wanted = Wanted()
    while at < len(arguments):
        word = arguments[at].upper()
        at += 1
        if word not in known or (word != b"NOVALUES" and at == len(arguments)):
            raise syntax()
        if word == b"NOVALUES":
            wanted = wanted._replace(values=False)
            continue
        value = arguments[at]
        at += 1
        if word == b"MATCH":
            wanted = wanted._replace(match=value)
        elif word == b"TYPE":
            wanted = wanted._replace(type=value.lower())
        else:
            count = integer_of(value)
            if count < 1:
                raise syntax()
            wanted = wanted._replace(about=min(count, COUNT_MAX))
    return wanted
