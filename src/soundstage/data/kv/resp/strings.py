"""Commands on strings."""

from __future__ import annotations

from soundstage.data.kv.api import Condition, Item
from soundstage.data.kv.resp.client import Client
from soundstage.data.kv.resp.faults import CommandError, wrong_type
from soundstage.data.kv.resp.options import (
    SetOptions,
    getex_options,
    id_of,
    instant_of,
    integer_of,
    set_options,
)
from soundstage.data.kv.resp.replies import OK, ONE, ZERO, array, bulk, integer
from soundstage.data.kv.resp.space import STRING, Head, Space, at, check_whole, last_of, value_of


async def get(client: Client, arguments: list[bytes]) -> bytes:
    """The value of a key."""
    id = id_of(arguments[1])
    item = await client.space.string(id)
    if item is None:
        await client.space.no_hash(id)
        return client.null
    return bulk(value_of(item))


async def set_(client: Client, arguments: list[bytes]) -> bytes:
    """Set the value of a key, whatever it held."""
    id, value, space = id_of(arguments[1]), arguments[2], client.space
    if len(arguments) == 3:
        if not await space.overwrite(id, value, None):
            await store(space, id, value)
        return OK
    options = set_options(arguments, space.now_ns())
    if options.is_plain:
        await store(space, id, value, options.expires_ns)
        return OK
    space.need_conditions("SET with NX, XX, GET or KEEPTTL")
    was_set, old = await store_if(space, id, value, options)
    if options.returns_old:
        return client.null if old is None else bulk(value_of(old))
    return OK if was_set else client.null


async def setex(client: Client, arguments: list[bytes]) -> bytes:
    """Set the value of a key with an expiry in seconds."""
    return await _set_expiring(client, arguments, 1_000, "setex")


async def psetex(client: Client, arguments: list[bytes]) -> bytes:
    """Set the value of a key with an expiry in milliseconds."""
    return await _set_expiring(client, arguments, 1, "psetex")


async def setnx(client: Client, arguments: list[bytes]) -> bytes:
    """Set the value of a key that does not exist."""
    client.space.need_conditions("SETNX")
    options = SetOptions(only_new=True)
    return ONE if (await store_if(client.space, id_of(arguments[1]), arguments[2], options))[0] else ZERO


async def getset(client: Client, arguments: list[bytes]) -> bytes:
    """Set the value of a key and return the one before."""
    client.space.need_conditions("GETSET")
    options = SetOptions(returns_old=True)
    _, old = await store_if(client.space, id_of(arguments[1]), arguments[2], options)
    return client.null if old is None else bulk(value_of(old))


async def getdel(client: Client, arguments: list[bytes]) -> bytes:
    """Return the value of a key and delete it."""
    space, id = client.space, id_of(arguments[1])
    space.need_conditions("GETDEL")

    async def attempt() -> Item | None:
        item = await _string_or_nothing(space, id)
        if item is not None:
            check_whole(item)
            await space.delete(id, [STRING], at(item))
        return item

    item = await space.settled(attempt)
    return client.null if item is None else bulk(value_of(item))


async def getex(client: Client, arguments: list[bytes]) -> bytes:
    """Return the value of a key and set or drop its expiry."""
    options = getex_options(arguments, client.space.now_ns())
    if options.expires_ns is None and not options.drops_expiry:
        return await get(client, arguments)
    space, id = client.space, id_of(arguments[1])
    space.need_conditions("GETEX with an expiry")

    async def attempt() -> Item | None:
        item = await _string_or_nothing(space, id)
        if item is not None and not await space.put(id, [(STRING, value_of(item))], options.expires_ns, at(item)):
            await space.delete(id, [STRING], at(item))
        return item

    item = await space.settled(attempt)
    return client.null if item is None else bulk(value_of(item))


async def mget(client: Client, arguments: list[bytes]) -> bytes:
    """The values of several keys; nothing for those that hold no string."""
    items = await client.space.strings([id_of(key) for key in arguments[1:]])
    return array([client.null if item is None else bulk(value_of(item)) for item in items])


async def mset(client: Client, arguments: list[bytes]) -> bytes:
    """Set several keys, each by itself: kv has no write over several records."""
    if len(arguments) % 2 == 0:
        raise CommandError("ERR wrong number of arguments for 'mset' command")
    pairs = {id_of(arguments[place]): arguments[place + 1] for place in range(1, len(arguments), 2)}
    await client.space.for_each(list(pairs), lambda id: store(client.space, id, pairs[id]))
    return OK


async def strlen(client: Client, arguments: list[bytes]) -> bytes:
    """How many bytes the value of a key has."""
    id = id_of(arguments[1])
    item = await client.space.string(id)
    if item is None:
        await client.space.no_hash(id)
        return ZERO
    check_whole(item)
    return integer(item.metadata.size)


async def store(space: Space, id: str, value: bytes, expires_ns: int | None = None) -> None:
    """The record is a string of this value, and nothing else."""
    if await space.overwrite(id, value, expires_ns):
        return
    head, nothing_since = await space.look(id)
    # What was a string a moment ago needs no condition, as little as what has been known to be one for a while.
    if nothing_since and head.is_string and await space.put_string(id, value, expires_ns):
        return
    if space.conditional:
        await store_if(space, id, value, SetOptions(expires_ns), head)
        return
    if head.is_hash:
        await space.delete(id)
    if not await space.put_string(id, value, expires_ns):
        await space.delete(id)


async def store_if(
    space: Space, id: str, value: bytes, options: SetOptions, known: Head | None = None
) -> tuple[bool, Item | None]:
    """Whether the record became a string of this value, and the string that it was before; `known` was just read."""
    replaced = False
    kept_ns: int | None = None

    async def attempt() -> tuple[bool, Item | None]:
        nonlocal replaced, kept_ns, known
        if known is None and options.is_plain and await space.overwrite(id, value, options.expires_ns):
            return True, None
        head, known = known or await space.head(id), None
        old = head.item if head.is_string else None
        if options.returns_old and old is not None:
            check_whole(old)
        if head.is_hash:
            if options.returns_old:
                raise wrong_type()
            if options.only_new:
                return False, None
            if options.keeps_expiry:
                kept_ns = last_of((await space.everything(id, values=False))[0])
            await space.delete(id, condition=Condition(token=head.token))
            replaced = True
        if (options.only_new and old is not None) or (options.only_old and old is None and not replaced):
            return False, old
        expires_ns = options.expires_ns
        if options.keeps_expiry:
            expires_ns = kept_ns if old is None else old.metadata.expires_at
        condition = Condition(absent=True) if old is None else at(old)
        if not await space.put_string(id, value, expires_ns, condition) and old is not None:
            await space.delete(id, [STRING], at(old))
        return True, old

    return await space.settled(attempt)


async def _set_expiring(client: Client, arguments: list[bytes], unit_ms: int, command: str) -> bytes:
    if integer_of(arguments[2]) <= 0:
        raise CommandError(f"ERR invalid expire time in '{command}' command")
    expires_ns = instant_of(arguments[2], unit_ms, False, client.space.now_ns(), command)
    await store(client.space, id_of(arguments[1]), arguments[3], expires_ns)
    return OK


async def _string_or_nothing(space: Space, id: str) -> Item | None:
    item = await space.string(id)
    if item is None:
        await space.no_hash(id)
    return item
