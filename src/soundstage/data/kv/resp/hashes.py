"""Commands on hashes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from soundstage.core.errors import PreconditionFailed
from soundstage.data.kv.api import Condition, Item
from soundstage.data.kv.resp.client import Client
from soundstage.data.kv.resp.faults import CommandError, wrong_type
from soundstage.data.kv.resp.options import field_of, id_of
from soundstage.data.kv.resp.replies import OK, ONE, ZERO, array, bulk, integer
from soundstage.data.kv.resp.space import NAMES, STRING, Head, Space, at, check_whole, last_of, value_of

CONDITIONS_MAX = 100
"""New fields that are conditions of their own; with more the whole record is the condition."""


async def hset(client: Client, arguments: list[bytes]) -> bytes:
    """Set fields of a hash; the number of those that are new."""
    return integer(await _set(client.space, arguments, "hset"))


async def hmset(client: Client, arguments: list[bytes]) -> bytes:
    """Set fields of a hash."""
    await _set(client.space, arguments, "hmset")
    return OK


async def hsetnx(client: Client, arguments: list[bytes]) -> bytes:
    """Set a field of a hash that it does not have."""
    space, id, field = client.space, id_of(arguments[1]), field_of(arguments[2])
    space.need_conditions("HSETNX")

    async def attempt() -> bool:
        if await space.field(id, field) is not None:
            return False
        await _add(space, id, {field: arguments[3]}, [field])
        return True

    return ONE if await space.settled(attempt) else ZERO


async def hget(client: Client, arguments: list[bytes]) -> bytes:
    """The value of a field."""
    item = await _field(client, arguments)
    return client.null if item is None else bulk(value_of(item))


async def hexists(client: Client, arguments: list[bytes]) -> bytes:
    """Whether a hash has a field."""
    return ZERO if await _field(client, arguments) is None else ONE


async def hstrlen(client: Client, arguments: list[bytes]) -> bytes:
    """How many bytes the value of a field has."""
    item = await _field(client, arguments)
    if item is None:
        return ZERO
    check_whole(item)
    return integer(item.metadata.size)


async def hmget(client: Client, arguments: list[bytes]) -> bytes:
    """The values of several fields."""
    id, fields = id_of(arguments[1]), arguments[2:]
    found = await client.space.fields(id, fields)
    if not any(field in found for field in fields if field != STRING):
        await client.space.no_string(id)
    client.space.check_reply(sum(len(value_of(found[field])) for field in fields if field in found))
    values = [found.get(field) if field != STRING else None for field in fields]
    return array([client.null if item is None else bulk(value_of(item)) for item in values])


async def hgetall(client: Client, arguments: list[bytes]) -> bytes:
    """Every field of a hash with its value."""
    count, made = await _everything(client.space, arguments, lambda item: bulk(item.key) + bulk(value_of(item)))
    return (b"%%%d\r\n" % count if client.protocol == 3 else b"*%d\r\n" % (2 * count)) + made


async def hkeys(client: Client, arguments: list[bytes]) -> bytes:
    """Every field of a hash."""
    count, made = await _everything(client.space, arguments, lambda item: bulk(item.key), values=False)
    return b"*%d\r\n%b" % (count, made)


async def hvals(client: Client, arguments: list[bytes]) -> bytes:
    """Every value of a hash."""
    count, made = await _everything(client.space, arguments, lambda item: bulk(value_of(item)))
    return b"*%d\r\n%b" % (count, made)


async def hlen(client: Client, arguments: list[bytes]) -> bytes:
    """How many fields a hash has."""
    id = id_of(arguments[1])
    await client.space.no_string(id)
    count, exact = await client.space.count(id)
    if not exact:
        raise CommandError(f"TOOLARGE the hash has over {count} fields, and is counted no further: see count_limit")
    return integer(count)


async def hdel(client: Client, arguments: list[bytes]) -> bytes:
    """Delete fields of a hash; the number of those that it had."""
    space, id = client.space, id_of(arguments[1])
    fields = [field for field in dict.fromkeys(arguments[2:]) if field != STRING]
    conditional = space.conditional

    async def attempt() -> int:
        found = await space.fields(id, fields, values=False) if fields else {}
        if not found:
            await space.no_string(id)
            return 0
        await space.delete(id, list(found), [at(item) for item in found.values()] if conditional else None)
        return len(found)

    return integer(await space.settled(attempt))


async def _everything(
    space: Space, arguments: list[bytes], reply: Callable[[Item], bytes], *, values: bool = True
) -> tuple[int, bytes]:
    """How many fields a hash has, and a reply for each; made page by page, so that others get their turn."""
    made: list[bytes] = []
    count = size = 0
    async for page in space.pages(id_of(arguments[1]), None, None if values else NAMES):
        if any(item.key == STRING for item in page.items):
            raise wrong_type()
        made.append(b"".join(map(reply, page.items)))
        size = space.gather(size, len(made[-1]))
        count += len(page.items)
    return count, b"".join(made)


async def _field(client: Client, arguments: list[bytes]) -> Item | None:
    id, field = id_of(arguments[1]), arguments[2]
    item = await client.space.field(id, field) if field else None
    if item is None:
        await client.space.no_string(id)
    return item


async def _set(space: Space, arguments: list[bytes], command: str) -> int:
    if len(arguments) % 2:
        raise CommandError(f"ERR wrong number of arguments for '{command}' command")
    id = id_of(arguments[1])
    if len(arguments) == 4:
        if await space.overwrite_field(id, arguments[2], arguments[3]):
            return 0
        pairs = {field_of(arguments[2]): arguments[3]}
    else:
        pairs = {field_of(arguments[place]): arguments[place + 1] for place in range(2, len(arguments), 2)}
    return await space.settled(_setting(space, id, pairs))


def _setting(space: Space, id: str, pairs: dict[bytes, bytes]) -> Callable[[], Any]:
    async def attempt() -> int:
        turn = space.turn
        whole: Head | None = None
        if len(pairs) == 1:
            ((field, value),) = pairs.items()
            if await space.overwrite_field(id, field, value):
                return 0
            item = await space.field(id, field)
            found = {} if item is None else {field: item}
        else:
            if len(pairs) > CONDITIONS_MAX:
                whole = await space.no_string(id)
            found = await space.fields(id, list(pairs), values=False)
        added = [field for field in pairs if field not in found]
        if added:
            await _add(space, id, pairs, added)
        else:
            expires_ns = last_of(found.values())
            await _put(space, id, pairs, expires_ns, _unchanged(found, whole) if space.conditional else None)
            if expires_ns is None:
                for field in pairs:
                    space.has_field(id, field, turn)
        return len(added)

    return attempt


def _unchanged(found: dict[bytes, Item], whole: Head | None) -> Condition | list[Condition]:
    """Holds while the fields, or the whole record, are as they were read; a new expiry writes them all again."""
    if whole is None:
        return [at(item) for item in found.values()]
    if whole.token is None:
        raise PreconditionFailed("the hash was made since it was looked for")
    return Condition(token=whole.token)


async def _add(space: Space, id: str, pairs: dict[bytes, bytes], added: list[bytes]) -> None:
    """The fields are stored, and go when the hash goes. Raises `PreconditionFailed` when somebody was faster."""
    head = await space.no_string(id)
    expires_ns = None if head.item is None else head.item.metadata.expires_at
    condition: Condition | list[Condition] | None = None
    if space.conditional:
        if head.item is None:
            condition = Condition(absent=True)
        else:
            # Whoever lets the hash expire, or never again, writes that item too.
            condition = [*(Condition(key=field, absent=True) for field in (STRING, *added)), at(head.item)]
            if len(condition) > CONDITIONS_MAX:
                condition = Condition(token=head.token)
    await _put(space, id, pairs, expires_ns, condition)


async def _put(
    space: Space,
    id: str,
    pairs: dict[bytes, bytes],
    expires_ns: int | None,
    condition: Condition | list[Condition] | None,
) -> None:
    if not await space.put(id, list(pairs.items()), expires_ns, condition):
        raise PreconditionFailed("the hash has expired since it was read")
