"""Commands on the expiry of keys. All fields of a hash expire together, and with the last of them the key."""

from __future__ import annotations

from typing import NamedTuple

from soundstage.data.kv.api import Condition
from soundstage.data.kv.resp.client import Client
from soundstage.data.kv.resp.faults import CommandError
from soundstage.data.kv.resp.options import MS, id_of, instant_of
from soundstage.data.kv.resp.replies import ONE, ZERO, integer
from soundstage.data.kv.resp.space import STRING, Space, at, last_of, value_of

MISSING = -2
FOREVER = -1

_RULES = frozenset((b"NX", b"XX", b"GT", b"LT"))


class Change(NamedTuple):
    """A new expiry, or with None none, and the rules under which it is set."""

    expires_ns: int | None
    rules: frozenset[bytes] = frozenset()

    def allows(self, old_ns: int | None) -> bool:
        """Whether a key that expires at `old_ns` is to be changed."""
        if self.expires_ns is None:
            return old_ns is not None
        greater = old_ns is not None and self.expires_ns > old_ns
        return not (
            (b"NX" in self.rules and old_ns is not None)
            or (b"XX" in self.rules and old_ns is None)
            or (b"GT" in self.rules and not greater)
            or (b"LT" in self.rules and old_ns is not None and self.expires_ns >= old_ns)
        )


async def expire(client: Client, arguments: list[bytes]) -> bytes:
    """Let a key expire after so many seconds."""
    return await _expire(client, arguments, 1_000, False, "expire")


async def pexpire(client: Client, arguments: list[bytes]) -> bytes:
    """Let a key expire after so many milliseconds."""
    return await _expire(client, arguments, 1, False, "pexpire")


async def expireat(client: Client, arguments: list[bytes]) -> bytes:
    """Let a key expire at a second since 1970."""
    return await _expire(client, arguments, 1_000, True, "expireat")


async def pexpireat(client: Client, arguments: list[bytes]) -> bytes:
    """Let a key expire at a millisecond since 1970."""
    return await _expire(client, arguments, 1, True, "pexpireat")


async def persist(client: Client, arguments: list[bytes]) -> bytes:
    """Let a key expire never."""
    client.space.need_conditions("PERSIST")
    return ONE if await change(client.space, id_of(arguments[1]), Change(None)) else ZERO


async def ttl(client: Client, arguments: list[bytes]) -> bytes:
    """Seconds until a key expires."""
    left_ms = await _left_ms(client, arguments)
    return integer(left_ms if left_ms < 0 else (left_ms + 500) // 1_000)


async def pttl(client: Client, arguments: list[bytes]) -> bytes:
    """Milliseconds until a key expires."""
    return integer(await _left_ms(client, arguments))


async def expiretime(client: Client, arguments: list[bytes]) -> bytes:
    """The second since 1970 at which a key expires."""
    at_ms = await _at_ms(client.space, id_of(arguments[1]))
    return integer(at_ms if at_ms < 0 else (at_ms + 500) // 1_000)


async def pexpiretime(client: Client, arguments: list[bytes]) -> bytes:
    """The millisecond since 1970 at which a key expires."""
    return integer(await _at_ms(client.space, id_of(arguments[1])))


async def change(space: Space, id: str, wanted: Change) -> bool:
    """Whether there was such a key, and it was to be changed; a key whose time has passed is gone."""

    async def attempt() -> bool:
        item = await space.string(id)
        if item is not None:
            if not wanted.allows(item.metadata.expires_at):
                return False
            if not await space.put(id, [(STRING, value_of(item))], wanted.expires_ns, at(item)):
                await space.delete(id, [STRING], at(item))
            return True
        items, token = await space.everything(id)
        if not items or not wanted.allows(last_of(items)):
            return False
        unchanged = Condition(token=token)
        pairs = [(item.key, value_of(item)) for item in items]
        if not await space.put(id, pairs, wanted.expires_ns, unchanged):
            await space.delete(id, condition=unchanged)
        return True

    return await space.settled(attempt)


async def _expire(client: Client, arguments: list[bytes], unit_ms: int, absolute: bool, command: str) -> bytes:
    client.space.need_conditions(command.upper())
    rules = frozenset(argument.upper() for argument in arguments[3:])
    if not rules <= _RULES:
        raise CommandError("ERR Unsupported option")
    if b"NX" in rules and len(rules) > 1:
        raise CommandError("ERR NX and XX, GT or LT options at the same time are not compatible")
    if {b"GT", b"LT"} <= rules:
        raise CommandError("ERR GT and LT options at the same time are not compatible")
    expires_ns = instant_of(arguments[2], unit_ms, absolute, client.space.now_ns(), command)
    return ONE if await change(client.space, id_of(arguments[1]), Change(expires_ns, rules)) else ZERO


async def _left_ms(client: Client, arguments: list[bytes]) -> int:
    at_ms = await _at_ms(client.space, id_of(arguments[1]))
    return at_ms if at_ms < 0 else max(0, at_ms - client.space.now_ns() // MS)


async def _at_ms(space: Space, id: str) -> int:
    """The millisecond at which the key expires, `FOREVER` or `MISSING`."""
    head = await space.head(id)
    if head.item is None:
        return MISSING
    expires_ns = head.item.metadata.expires_at
    if head.is_hash and expires_ns is not None:
        expires_ns = last_of((await space.everything(id, values=False))[0])
    return FOREVER if expires_ns is None else expires_ns // MS
