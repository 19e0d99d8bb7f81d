"""Commands on keys of either kind."""

from __future__ import annotations

from soundstage.data.kv.api import Condition
from soundstage.data.kv.resp.client import Client
from soundstage.data.kv.resp.options import id_of
from soundstage.data.kv.resp.replies import integer
from soundstage.data.kv.resp.space import Space


async def delete(client: Client, arguments: list[bytes]) -> bytes:
    """Delete keys; the number of those that existed."""
    ids = list(dict.fromkeys(id_of(key) for key in arguments[1:]))
    return integer(sum(await client.space.for_each(ids, lambda id: _delete(client.space, id))))


async def exists(client: Client, arguments: list[bytes]) -> bytes:
    """How many of these keys exist."""
    return integer(await client.space.existing([id_of(key) for key in arguments[1:]]))


async def type_(client: Client, arguments: list[bytes]) -> bytes:
    """What kind of value a key holds."""
    head = await client.space.head(id_of(arguments[1]))
    if head.item is None:
        return b"+none\r\n"
    return b"+string\r\n" if head.is_string else b"+hash\r\n"


async def _delete(space: Space, id: str) -> int:
    conditional = space.conditional

    async def attempt() -> int:
        head = await space.head(id)
        if head.item is None:
            return 0
        await space.delete(id, condition=Condition(token=head.token) if conditional else None)
        return 1

    return await space.settled(attempt)
