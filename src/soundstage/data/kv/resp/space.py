"""A namespace as the commands see it: a record is a string, a hash, or nothing.

A string is the item with the empty key; whatever other items a record has are the fields of a hash. To overwrite a
string as a string, or a field of a hash that does not expire, no condition is needed while it is known to be one.
All else is written under conditions where the namespace takes them, and is tried again when somebody was faster.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from soundstage.core.errors import PreconditionFailed
from soundstage.core.limits import TTL_MIN
from soundstage.core.message import IdempotencyToken
from soundstage.core.operation import Operation
from soundstage.core.steps import begin
from soundstage.core.time import Duration
from soundstage.core.together import together
from soundstage.data.kv.api import (
    BatchGetItems,
    BatchRecord,
    Condition,
    CountItems,
    DeleteItems,
    GetItems,
    GetItemsReply,
    Item,
    KeyValueCalls,
    MatchAll,
    MatchKeys,
    Predicate,
    PutItem,
    PutItems,
    ScanItems,
    ScanItemsReply,
    Selection,
)
from soundstage.data.kv.namespace import takes_conditions
from soundstage.data.kv.resp.faults import CommandError, wrong_type
from soundstage.data.kv.resp.gathered import Share
from soundstage.data.kv.resp.kinds import Known
from soundstage.runtime.door import DoorContext, DoorSession

STRING = b""
"""The key of the item that holds the value of a string."""

ATTEMPTS = 32
"""How often a write under conditions is tried, each time because another one was applied first."""

IDS_AT_ONCE = 500
"""Records of one read."""

WRITES_AT_ONCE = 64
"""Writes of one command that are under way together."""

ANY = Selection(item_limit=1, include_values=False)
NAMES = Selection(include_values=False)

_STRING = Predicate(match_keys=MatchKeys(keys=[STRING]))
_ALL = Predicate(match_all=MatchAll())

T = TypeVar("T")


class Head(NamedTuple):
    """What kind of record there is: one of its items, and the token by which the record is known."""

    item: Item | None
    token: IdempotencyToken | None

    @property
    def is_string(self) -> bool:
        return self.item is not None and self.item.key == STRING

    @property
    def is_hash(self) -> bool:
        return self.item is not None and self.item.key != STRING


class Space:
    """One namespace for one caller. Names are ids; every call goes the way of all calls."""

    __slots__ = ("_context", "_invoke", "_known", "_share", "namespace", "reply_max")

    def __init__(self, context: DoorContext, session: DoorSession, namespace: str, known: Known, share: Share) -> None:
        self.namespace: str = namespace
        self._known = known
        self._share = share
        self.reply_max: int = int(context.config.max_reply)
        self._context = context
        self._invoke: Callable[[Operation[..., Any], Any], Coroutine[Any, Any, Any]] = session.invoke

    @property
    def conditional(self) -> bool:
        """Whether the namespace takes writes under conditions."""
        view = self._context.namespaces("kv").view(self.namespace)
        return takes_conditions(view.config, view.records.capabilities)

    def need_conditions(self, command: str) -> None:
        """Raises `CommandError` where the namespace takes no conditions, which `command` cannot do without."""
        if not self.conditional:
            raise CommandError(
                f"ERR {command} depends on what is there, and the namespace '{self.namespace}' takes no conditional "
                "writes: its knob conditional_writes is false"
            )

    def now_ns(self) -> int:
        return self._context.environment.now_ns()

    # Reading

    async def string(self, id: str) -> Item | None:
        """The string's item."""
        return await self._one(id, _STRING)

    async def field(self, id: str, field: bytes) -> Item | None:
        """A field's item."""
        return await self._one(id, Predicate(match_keys=MatchKeys(keys=[field])))

    async def _one(self, id: str, predicate: Predicate) -> Item | None:
        request = GetItems(namespace=self.namespace, id=id, predicate=predicate)
        items: list[Item] = (await self._invoke(KeyValueCalls.get_items, request)).items
        if not items:
            return None
        self._share.take_value(items[0].value)
        return items[0]

    async def head(self, id: str) -> Head:
        """What kind of record there is: the string's item with its value, else any field without."""
        request = GetItems(namespace=self.namespace, id=id, predicate=_STRING)
        reply: GetItemsReply = await self._invoke(KeyValueCalls.get_items, request)
        if not reply.items and reply.record_token is not None:
            return await self._any(id)
        if reply.items:
            self._share.take_value(reply.items[0].value)
        return Head(reply.items[0] if reply.items else None, reply.record_token)

    async def look(self, id: str) -> tuple[Head, bool]:
        """The head of a record, and whether the caller has it before anybody else can have written anything."""
        ended, found = begin(self.head(id))
        return (found, True) if ended else (await found, False)

    async def no_string(self, id: str) -> Head:
        """The head of a record that is a hash or nothing. Raises the error for a string."""
        head = await self._any(id)
        if head.is_string:
            raise wrong_type()
        return head

    async def no_hash(self, id: str) -> None:
        """Raises the error for a hash; for a record that has no string, so that it is one or nothing."""
        if (await self._any(id)).is_hash:
            raise wrong_type()

    async def _any(self, id: str) -> Head:
        """Any item of a record, without its value; of a string there is one. The token is that of the first look."""
        first: GetItemsReply | None = None
        # A page without an item may have met nothing but deleted fields in its time.
        async for reply in self.pages(id, None, ANY):
            first = first or reply
            if reply.items:
                return Head(reply.items[0], first.record_token)
        return Head(None, None if first is None else first.record_token)

    async def fields(self, id: str, fields: Sequence[bytes], *, values: bool = True) -> dict[bytes, Item]:
        """The items of those of `fields` that exist."""
        wanted = Predicate(match_keys=MatchKeys(keys=list(dict.fromkeys(fields))))
        found: dict[bytes, Item] = {}
        size = 0
        async for reply in self.pages(id, wanted, None if values else NAMES):
            if values:
                size = self.gather(size, size_of(reply.items))
            found.update((item.key, item) for item in reply.items)
        return found

    async def everything(self, id: str, *, values: bool = True) -> tuple[list[Item], IdempotencyToken | None]:
        """Every item of a hash, and the record's token. Raises the error for a string, and for too much of it."""
        items: list[Item] = []
        token, size = None, 0
        async for reply in self.pages(id, None, None if values else NAMES):
            token = token or reply.record_token
            for item in reply.items:
                if item.key == STRING:
                    raise wrong_type()
            items += reply.items
            size = self.gather(size, size_of(reply.items))
        return items, token

    def gather(self, size: int, more: int) -> int:
        """The size of a reply that grows by `more`. Raises the error for too much of one, or of all connections."""
        self.check_reply(size + more)
        self._share.take(more)
        return size + more

    def check_reply(self, size: int) -> None:
        """Raises the error for a reply of more than the door gathers."""
        if size > self.reply_max:
            raise CommandError(
                f"TOOLARGE the reply would be over {self.reply_max} bytes; walk with HSCAN, or ask for less"
            )

    async def pages(
        self, id: str, predicate: Predicate | None, selection: Selection | None
    ) -> AsyncGenerator[GetItemsReply]:
        """Page after page of a record."""
        page_token = None
        while True:
            request = GetItems(
                namespace=self.namespace, id=id, predicate=predicate, selection=selection, page_token=page_token
            )
            reply: GetItemsReply = await self._invoke(KeyValueCalls.get_items, request)
            yield reply
            page_token = reply.next_page_token
            if page_token is None:
                return

    async def page(self, request: GetItems) -> GetItemsReply:
        """One page of a record."""
        reply: GetItemsReply = await self._invoke(KeyValueCalls.get_items, request)
        self._share.take(size_of(reply.items))
        return reply

    async def strings(self, ids: Sequence[str]) -> list[Item | None]:
        """The items of many strings, in their order; None where there is none, or a hash."""
        found: list[Item | None] = []
        size = 0
        while len(found) < len(ids):
            start = len(found)
            batch = ids[start : start + IDS_AT_ONCE]
            for record in await self._batch(batch, _STRING, None):
                if record.next_page_token is not None and not record.items:
                    break
                found.append(record.items[0] if record.items else None)
            size = self.gather(size, size_of(item for item in found[start:] if item is not None))
        return found

    async def existing(self, ids: Sequence[str]) -> int:
        """How many of `ids` exist; one that is named twice counts twice."""
        count, done = 0, 0
        while done < len(ids):
            for record in await self._batch(ids[done : done + IDS_AT_ONCE], None, ANY):
                if record.next_page_token is not None and not record.items:
                    break
                done += 1
                count += bool(record.items)
            else:
                continue
            # The batch did not reach this one, or not its first item: it alone is looked through to the end.
            count += (await self._any(ids[done])).item is not None
            done += 1
        return count

    async def scan(self, request: ScanItems) -> ScanItemsReply:
        """One page of the walk over all records."""
        return await self._invoke(KeyValueCalls.scan_items, request)

    async def count(self, id: str) -> tuple[int, bool]:
        """How many items a record has, and whether that is all."""
        reply = await self._invoke(KeyValueCalls.count_items, CountItems(namespace=self.namespace, id=id))
        return reply.count, reply.exact

    async def _batch(
        self, ids: Sequence[str], predicate: Predicate | None, selection: Selection | None
    ) -> list[BatchRecord]:
        request = BatchGetItems(namespace=self.namespace, ids=list(ids), predicate=predicate, selection=selection)
        return (await self._invoke(KeyValueCalls.batch_get_items, request)).records

    # Writing

    async def overwrite(self, id: str, value: bytes, expires_ns: int | None) -> bool:
        """Whether the record, which is known to be a string, is one of this value; false: it is not known, or gone."""
        if not self._known.is_string(id):
            return False
        # Nothing is awaited between the look and the write, or another connection could come between.
        turn = self._known.strings.turn
        if expires_ns is None:
            request = PutItems(namespace=self.namespace, id=id, items=[PutItem(key=STRING, value=value)])
            await self._invoke(KeyValueCalls.put_items, request)
        elif not await self.put(id, [(STRING, value)], expires_ns):
            return False
        self._known.learn_string(id, turn)
        return True

    async def overwrite_field(self, id: str, field: bytes, value: bytes) -> bool:
        """Whether the field, which is known to be there and not to expire, has this value; false: it is not known."""
        if not self._known.has_field(id, field):
            return False
        request = PutItems(namespace=self.namespace, id=id, items=[PutItem(key=field, value=value)])
        await self._invoke(KeyValueCalls.put_items, request)
        return True

    async def put(
        self,
        id: str,
        pairs: Sequence[tuple[bytes, bytes]],
        expires_ns: int | None = None,
        condition: Condition | list[Condition] | None = None,
    ) -> bool:
        """The items are stored, and gone at `expires_ns`; false, and nothing is, when that has passed.

        Raises `PreconditionFailed` when `condition` does not hold.
        """
        if pairs[0][0] != STRING:
            self._known.forget_string(id)
            if expires_ns is not None:
                self._known.forget_fields(id)
        token: IdempotencyToken | None = None
        ttl: Duration | None = None
        if expires_ns is not None:
            token = self._context.clock.token()
            ttl = Duration(expires_ns - token.generation_time)
            if ttl < TTL_MIN:
                return False
        request = PutItems(
            namespace=self.namespace,
            id=id,
            items=[PutItem(key=key, value=value, ttl=ttl) for key, value in pairs],
            idempotency_token=token,
            condition=condition,
        )
        await self._invoke(KeyValueCalls.put_items, request)
        return True

    async def delete(
        self, id: str, keys: Sequence[bytes] | None = None, condition: Condition | list[Condition] | None = None
    ) -> None:
        """The record, or the items of `keys`, are gone. Raises `PreconditionFailed` when `condition` does not hold."""
        self._known.forget(id)
        predicate = _ALL if keys is None else Predicate(match_keys=MatchKeys(keys=list(keys)))
        request = DeleteItems(namespace=self.namespace, id=id, predicate=predicate, condition=condition)
        await self._invoke(KeyValueCalls.delete_items, request)

    async def put_string(
        self, id: str, value: bytes, expires_ns: int | None, condition: Condition | None = None
    ) -> bool:
        """As `put` of a string's value; that the record is a string is known from then on."""
        turn = self._known.strings.turn
        stored = await self.put(id, [(STRING, value)], expires_ns, condition)
        if stored:
            self._known.learn_string(id, turn)
        return stored

    @property
    def turn(self) -> int:
        """To be remembered before a field is read that `has_field` is to be told of."""
        return self._known.fields.turn

    def has_field(self, id: str, field: bytes, turn: int) -> None:
        """The record was seen or made, after that turn, to be a hash that has the field; neither expires."""
        self._known.learn_field(id, field, turn)

    async def for_each(self, ids: Sequence[str], write: Callable[[str], Coroutine[Any, Any, T]]) -> list[T]:
        """What `write` returns for each of `ids`. Raises once those under way have ended, and begins no further."""
        if len(ids) == 1:
            return [await write(ids[0])]
        returned: list[T] = []
        for start in range(0, len(ids), WRITES_AT_ONCE):
            batch = ids[start : start + WRITES_AT_ONCE]
            returned += await together(map(write, batch))
        return returned

    async def settled(self, attempt: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What `attempt` returns, tried again while its conditions do not hold because another write was faster."""
        for _ in range(ATTEMPTS):
            try:
                return await attempt()
            except PreconditionFailed:
                continue
        raise CommandError("CONFLICT others keep changing the key; retry")


def size_of(items: Iterable[Item]) -> int:
    """Bytes of the keys and values of `items`."""
    return sum(len(item.key) + len(item.value or b"") for item in items)


def value_of(item: Item) -> bytes:
    """The value of an item. Raises the error for one that its writer compressed, which clients here cannot undo."""
    check_whole(item)
    return item.value or b""


def check_whole(item: Item) -> None:
    """Raises the error for an item whose value is compressed."""
    codec = item.metadata.codec
    if codec is not None:
        raise CommandError(
            f"ERR the value was compressed by its writer ({codec}), which this door does not undo; read it over HTTP"
        )


def last_of(items: Iterable[Item]) -> int | None:
    """When the last of `items` expires, in nanoseconds; None when one of them does not."""
    ends = [item.metadata.expires_at for item in items]
    return None if not ends or None in ends else max(end for end in ends if end is not None)


def at(item: Item) -> Condition:
    """Holds while the item is as it was read."""
    return Condition(key=item.key, token=item.metadata.token)
