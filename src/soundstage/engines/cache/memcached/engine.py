"""The calls of the port as commands of the meta protocol.

What is stored: a value as it is, with the client flag 1; one with a version behind 9 bytes with it, flag 2; a counter
as its digits and a lease as nothing, with 0. Commands: https://github.com/memcached/memcached/blob/master/doc/protocol.txt
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from soundstage.core.environment import Environment
from soundstage.core.errors import Exhausted, Internal, TooLarge, Unavailable
from soundstage.core.time import NS_PER_S
from soundstage.engines.cache.memcached.connection import PLAIN, VERSION_BYTES, VERSIONED, Reply, Silent, found
from soundstage.engines.cache.memcached.entry import Entry, no_login
from soundstage.engines.cache.memcached.keys import Ring, got, worded
from soundstage.engines.cache.memcached.node import Node
from soundstage.engines.cache.memcached.options import MemcachedAddress, MemcachedOptions
from soundstage.engines.cache.memory import no_counter
from soundstage.engines.cache.port import (
    ALWAYS,
    MISS,
    UNAVAILABLE,
    Absent,
    CacheCapability,
    Found,
    Lease,
    Newer,
    Statistics,
    Unchanged,
    When,
    check_delta,
    check_key,
    check_keys,
    check_set,
    check_ttl,
)

TRIES = 8
"""How often a set of a newer version looks again, when others change the key meanwhile."""

# What a memcached would count on: such values are stored as those with a version are.
_NUMBER = re.compile(rb"\s*[+-]?\d")


class MemcachedCache:
    """Values on the servers at `places`, pairs of host and port."""

    def __init__(
        self, places: Sequence[tuple[str, int]], environment: Environment, options: MemcachedOptions | None = None
    ) -> None:
        chosen = options or MemcachedOptions()
        self.capabilities: frozenset[CacheCapability] = frozenset({CacheCapability.SHARED})
        self._entry = Entry(chosen)
        self.nodes: tuple[Node, ...] = tuple(
            Node(
                host,
                port,
                connect_within_s=chosen.connect_within / NS_PER_S,
                failures_max=chosen.failures_max,
                hang_s=chosen.within / NS_PER_S,
                probe_every_s=chosen.probe_every / NS_PER_S,
                environment=environment,
                entry=self._entry,
            )
            for host, port in places
        )
        self._ring = Ring([(node.name, node) for node in self.nodes])
        self._within_s = chosen.within / NS_PER_S
        self._prefix = chosen.prefix.encode()
        self._hits = self._misses = self._unavailable = 0
        self._open = False

    @property
    def warning(self) -> str | None:
        """The servers that do not answer; None when all do, or nothing was asked of them."""
        down = [
            node.name if node.refusal is None else f"{node.name} ({node.refusal.detail})"
            for node in self.nodes
            if node.down
        ]
        return f"memcached servers do not answer: {', '.join(down)}" if down else None

    async def start(self) -> None:
        self._entry.prepare()
        self._open = True
        if not self._entry.guarded:
            return
        try:
            refusals = await asyncio.gather(*(node.visit() for node in self.nodes))
        except BaseException:
            await self.stop()
            raise
        refused = next((refusal for refusal in refusals if refusal is not None), None)
        if refused is not None:
            await self.stop()
            raise refused.error()

    async def stop(self) -> None:
        self._open = False
        await asyncio.gather(*(node.stop() for node in self.nodes))

    async def get(self, keys: Sequence[bytes], *, within_s: float | None = None) -> list[Found]:
        self._check_open()
        check_keys(keys)
        if not keys:
            return []
        if len(keys) == 1 or len(self.nodes) == 1:
            return await self._get_from(self._node(keys[0]), keys, within_s)
        shares: dict[Node, list[int]] = {}
        for position, key in enumerate(keys):
            shares.setdefault(self._node(key), []).append(position)
        answers = await asyncio.gather(
            *(self._get_from(node, [keys[at] for at in share], within_s) for node, share in shares.items())
        )
        found = [MISS] * len(keys)
        for share, answer in zip(shares.values(), answers, strict=True):
            for position, each in zip(share, answer, strict=True):
                found[position] = each
        return found

    async def set(
        self, key: bytes, value: bytes, *, ttl_s: int = 0, when: When = ALWAYS, within_s: float | None = None
    ) -> bool:
        self._check_open()
        check_set(key, value, ttl_s, when)
        match when:
            case Absent():
                return await self._store(key, value, ttl_s, 0, b" ME", within_s)
            case Unchanged(cas):
                # To the server 0 means any number, and no value has it.
                return cas != 0 and await self._store(key, value, ttl_s, 0, b" C%d" % cas, within_s)
            case Newer(version):
                return await self._store_newer(key, value, ttl_s, version, within_s)
            case _:
                return await self._store(key, value, ttl_s, 0, b"", within_s)

    async def delete(self, key: bytes, *, cas: int | None = None, within_s: float | None = None) -> bool:
        self._check_open()
        check_key(key)
        if cas == 0:
            return False
        reply = await self._change(key, b"md %s%s%s\r\n", b"" if cas is None else b" C%d" % cas, within_s)
        return _told(reply, b"HD", b"NF", b"EX").code == b"HD"

    async def touch(self, key: bytes, ttl_s: int, *, within_s: float | None = None) -> bool:
        self._check_open()
        check_key(key)
        check_ttl(ttl_s)
        reply = await self._change(key, b"mg %s f s%s%s\r\n", b" T%d" % ttl_s, within_s)
        _told(reply, b"HD", b"EN")
        return reply.code == b"HD" and (reply.number(b"f") != 0 or reply.number(b"s") > 0)

    async def add(self, key: bytes, delta: int, *, ttl_s: int = 0, within_s: float | None = None) -> int:
        self._check_open()
        check_key(key)
        check_ttl(ttl_s)
        check_delta(delta)
        mode, first = (b"I", delta) if delta >= 0 else (b"D", 0)
        flags = b" N%d J%d D%d M%s v" % (ttl_s, first, abs(delta), mode)
        reply = await self._change(key, b"ma %s%s%s\r\n", flags, within_s)
        if reply.code == b"CLIENT_ERROR" and b"non-numeric" in reply.flags:
            raise no_counter()
        try:
            return int(_told(reply, b"VA").value)
        except ValueError:
            raise _strange(reply) from None

    async def lease(self, key: bytes, ttl_s: int, *, within_s: float | None = None) -> Lease:
        self._check_open()
        check_key(key)
        check_ttl(ttl_s, 1)
        word, binary = worded(self._prefix + key)
        try:
            (reply,) = await self._ask(self._node(key), b"mg %s v f c%s N%d\r\n" % (word, binary, ttl_s), within_s)
        except Silent:
            self._unavailable += 1
            return Lease(UNAVAILABLE)
        there = _found(_told(reply, b"VA"))
        self._hits += there.hit
        self._misses += not there.hit
        won = reply.has(b"W")
        return Lease(there, won=won, cas=reply.number(b"c") if won else 0)

    async def server_version(self) -> str:
        """The versions of all servers, each once. Raises `Unavailable` when one does not answer."""
        replies = await asyncio.gather(*(self._applied(node, b"version\r\n", None) for node in self.nodes))
        found = {b" ".join(_told(reply, b"VERSION").flags).decode("utf-8", "replace") for reply in replies}
        return f"memcached {', '.join(sorted(found))}"

    def statistics(self) -> Statistics:
        return Statistics(self._hits, self._misses, self._unavailable)

    async def _get_from(self, node: Node, keys: Sequence[bytes], within_s: float | None) -> list[Found]:
        request = got(keys, self._prefix)
        try:
            found = await node.get(request, len(keys), self._within_s if within_s is None else within_s)
        except Silent:
            node.failed()
            found = [UNAVAILABLE] * len(keys)
        misses, unavailable = found.count(MISS), found.count(UNAVAILABLE)
        self._hits += len(keys) - misses - unavailable
        self._misses += misses
        self._unavailable += unavailable
        return found

    async def _store_newer(self, key: bytes, value: bytes, ttl_s: int, version: int, within_s: float | None) -> bool:
        """Stored if it is newer than what is there, by looking and then changing just that."""
        clock = asyncio.get_running_loop().time
        ends = clock() + (self._within_s if within_s is None else within_s)
        for _ in range(TRIES):
            found = await self._change(key, b"mg %s v f c%s%s\r\n", b"", ends - clock())
            reply = _told(found, b"VA", b"EN")
            if reply.code == b"EN":
                condition = b" ME"
            elif reply.number(b"f") in (PLAIN, VERSIONED) and _found(reply).version >= version:
                return False
            else:
                condition = b" C%d" % reply.number(b"c")
            if await self._store(key, value, ttl_s, version, condition, ends - clock()):
                return True
        raise Exhausted(f"others changed the key at each of {TRIES} tries", field="key", retry_after_ms=10)

    async def _store(
        self, key: bytes, value: bytes, ttl_s: int, version: int, condition: bytes, within_s: float | None
    ) -> bool:
        word, binary = worded(self._prefix + key)
        kind, before = PLAIN, b""
        if version or _NUMBER.match(value):
            kind, before = VERSIONED, b"v" + version.to_bytes(VERSION_BYTES - 1, "big")
        head = b"ms %s %d%s F%d T%d%s\r\n" % (word, len(before) + len(value), binary, kind, ttl_s, condition)
        reply = await self._applied(self._node(key), b"".join((head, before, value, b"\r\n")), within_s)
        try:
            return _told(reply, b"HD", b"NS", b"EX", b"NF").code == b"HD"
        except (Exhausted, TooLarge) as error:
            # Lest what is old outlives it, the server has let go of what the key had, under any condition.
            error.outcome = "unknown"
            raise

    async def _change(self, key: bytes, command: bytes, flags: bytes, within_s: float | None) -> Reply:
        word, binary = worded(self._prefix + key)
        return await self._applied(self._node(key), command % (word, binary, flags), within_s)

    async def _applied(self, node: Node, request: bytes, within_s: float | None) -> Reply:
        try:
            (reply,) = await self._ask(node, request, within_s)
        except Silent as silent:
            if node.refusal is not None and not silent.sent:
                raise node.refusal.error() from None
            perhaps = "; a server that speaks TLS wants tls or tls_ca"
            raise Unavailable(
                f"the memcached {node.name} did not answer",
                outcome="unknown" if silent.sent else "not_applied",
                hint="what was to be cached or forgotten there may be as it was"
                + (perhaps if silent.sent and not self._entry.encrypted else ""),
            ) from None
        return reply

    async def _ask(self, node: Node, request: bytes, within_s: float | None) -> list[Reply]:
        try:
            return await node.ask(request, 1, self._within_s if within_s is None else within_s)
        except Silent:
            node.failed()
            raise

    def _node(self, key: bytes) -> Node:
        return self._ring.node(self._prefix + key)

    def _check_open(self) -> None:
        if not self._open:
            raise Unavailable("the cache is not open", outcome="not_applied", retryable=False)


def open_memcached(address: MemcachedAddress, environment: Environment) -> MemcachedCache:
    """The cache at an address; it was not started."""
    return MemcachedCache(address.places, environment, address.options)


def _found(reply: Reply) -> Found:
    """The same as for a get, of a reply to another command that asks for value, flags and number first."""
    try:
        return found([reply.code, b"", *reply.flags], reply.value)
    except (ValueError, IndexError):
        raise _strange(reply) from None


def _told(reply: Reply, *expected: bytes) -> Reply:
    """The reply, if its code is one of `expected`; else what the server means, raised."""
    if reply.code in expected:
        return reply
    said = b" ".join((reply.code, *reply.flags)).decode("utf-8", "replace")
    if "too large" in said:
        raise TooLarge(f"the memcached takes no value of this size: {said}", field="value")
    if reply.code == b"SERVER_ERROR" and "out of memory" in said.lower():
        raise Exhausted(
            f"the memcached is full: {said}",
            hint="give it more memory, or let it forget what was not used for longest, as it does without -M",
            retry_after_ms=1_000,
            outcome="not_applied",
        )
    if reply.code == b"SERVER_ERROR":
        raise Unavailable(f"the memcached refused: {said}", outcome="not_applied")
    if b"unauthenticated" in reply.flags:
        raise no_login()
    raise _strange(reply)


def _strange(reply: Reply) -> Internal:
    said = b" ".join((reply.code, *reply.flags)).decode("utf-8", "replace")
    return Internal(f"the memcached answered {said!r}, which is no answer to what it was asked")
