"""Members of groups: one client of the driver each, which Kafka gives a share, and the thread that looks after all."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

from soundstage.core.errors import SoundstageError
from soundstage.engines.log.kafka.bridge import Bridge
from soundstage.engines.log.kafka.driver import KafkaError, KafkaException, TopicPartition
from soundstage.engines.log.kafka.failures import failure
from soundstage.engines.log.kafka.link import HEARTBEAT_MS, Link
from soundstage.engines.log.port import Assignment

ROUND_S = 0.02
FOREVER_MS = 86_400_000
_GENERATION = struct.Struct("=7si")


class Member:
    """`share` is what Kafka gave it, by the names of topics in Kafka; None while the group is being put together.

    `belongs`: somebody was told of a share, and lets it leave. `joins` are under way. `left`: it is no member any more.
    """

    def __init__(self, group: str, name: str, topics: frozenset[str], session_us: int) -> None:
        self.group: str = group
        self.name: str = name
        self.topics: frozenset[str] = topics
        self.session_us: int = session_us
        self.deadline_ns: int = 0
        self.share: Assignment | None = None
        self.error: SoundstageError | None = None
        self.belongs: bool = False
        self.left: bool = False
        self.joins: int = 0
        self.consumer: Any = None
        self.commits: deque[asyncio.Future[Any]] = deque()
        self.waiters: set[asyncio.Future[None]] = set()

    def given(self, share: Assignment | None) -> None:
        """Kafka has given it a share, or taken it back, which is nothing to who has left."""
        if self.left:
            return
        self.share = share
        if share is not None:
            self.error = None
            self._wake()

    def refused(self, error: SoundstageError) -> None:
        """Kafka does not take it."""
        self.error = self.error if self.left else error
        self._wake()

    def leave(self, error: SoundstageError) -> None:
        """It has no share, and whoever waits for one is told why."""
        self.given(None)
        self.refused(error)
        self.left = True

    def _wake(self) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)
        self.waiters.clear()


class Attendant:
    """Calls the driver on behalf of members, in a thread: it wants to be asked again and again, and blocks at times."""

    def __init__(self, link: Link, bridge: Bridge) -> None:
        self._link = link
        self._bridge = bridge
        self._members: list[Member] = []
        self._orders: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._ordered = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._leaving: list[tuple[Member, Future[None]]] = []
        self._closing: list[threading.Thread] = []

    async def admit(self, member: Member) -> None:
        """Kafka has been asked to take `member` into its group."""
        await self._order(lambda: self._admit(member))

    async def subscribe(self, member: Member, topics: frozenset[str]) -> None:
        """The member is to share other topics."""
        member.topics = topics
        member.given(None)
        await self._order(lambda: self._subscribe(member))

    def let_go(self, member: Member) -> None:
        """Kafka is to give to others what `member` had. It hears of it only when it has put the group together."""
        gone: Future[None] = Future()
        self._leaving = [*(each for each in self._leaving if not each[1].done()), (member, gone)]
        self._hand_over(lambda: self._let_go(member, gone))

    async def gone(self, group: str | None = None, name: str | None = None) -> None:
        """Kafka knows nobody any more who was let go: of all, of one group, or of one name in it.

        Raises `Unavailable` where that takes longer than patience, and why Kafka did not let somebody go.
        """
        left = [gone for member, gone in self._leaving if group in (None, member.group) and name in (None, member.name)]
        try:
            async with asyncio.timeout_at(self._bridge.loop.time() + self._link.address.options.patience_s):
                for each in left:
                    await self._bridge.answer(each)
        except TimeoutError:
            raise self._link.silence() from None
        finally:
            # What became of them is told once.
            self._leaving = [each for each in self._leaving if not each[1].done()]

    def join_again(self, member: Member) -> None:
        """The member is given its share anew, whether or not Kafka puts the group together for another reason."""
        self._hand_over(lambda: self._subscribe(member) if member in self._members else None)

    async def commit(self, member: Member, generation: int, positions: Sequence[Any]) -> None:
        """The positions are the group's. Kafka refuses them where the generation has gone on meanwhile."""
        kept = self._bridge.promise()
        await self._order(lambda: self._commit(member, generation, positions, kept))
        try:
            async with asyncio.timeout_at(self._bridge.loop.time() + self._link.address.options.patience_s):
                await asyncio.shield(kept)
        except TimeoutError:
            raise self._link.silence() from None

    async def identity(self, member: Member, generation: int) -> Any:
        """What a transaction is to say of who commits positions in it."""
        return await self._order(lambda: self._identity(member, generation))

    async def close(self) -> None:
        """Nobody is a member any more, the thread has ended, unless Kafka keeps it for long."""
        self._closed = True
        self._ordered.set()
        if self._thread is not None:
            await self._bridge.ended(self._thread)

    def leaving(self, group: str) -> int:
        """How many of the group were let go and are not gone: each has a client still."""
        return sum(member.group == group and not gone.done() for member, gone in self._leaving)

    async def _order(self, order: Callable[[], Any]) -> Any:
        return await self._bridge.answer(self._hand_over(order))

    def _hand_over(self, order: Callable[[], Any]) -> Future[Any]:
        done: Future[Any] = Future()
        self._orders.append((done, order))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="soundstage-kafka-groups", daemon=True)
            self._thread.start()
        self._ordered.set()
        return done

    def _run(self) -> None:
        while not self._closed:
            # With members it looks after them at least that often.
            self._ordered.wait(ROUND_S if self._members else None)
            self._ordered.clear()
            while self._orders:
                done, order = self._orders.popleft()
                try:
                    done.set_result(order())
                except Exception as error:  # noqa: BLE001 - handed to whoever asked
                    done.set_exception(failure(error).error)
            for member in list(self._members):
                self._look_after(member)
        for member in list(self._members):
            with suppress(KafkaException, RuntimeError):
                member.consumer.close()
        for closing in self._closing:
            closing.join()

    def _look_after(self, member: Member) -> None:
        try:
            heard = member.consumer.poll(0)
            error = None if heard is None else heard.error()
        except Exception as raised:  # noqa: BLE001 - handed to whoever waits for a share; others are looked after still
            error = raised
        if error is not None:
            found = failure(error, reading=True)
            if not found.again:
                self._bridge.tell(member.refused, found.error)

    def _admit(self, member: Member) -> None:
        session_ms = member.session_us // 1_000
        member.consumer = self._link.consumer(
            member.group,
            **{
                "client.id": member.name,
                "session.timeout.ms": session_ms,
                "heartbeat.interval.ms": min(HEARTBEAT_MS, session_ms // 3),
                # Who is not heard of for too long is sent away by the engine, by the clock it was given.
                "max.poll.interval.ms": max(FOREVER_MS, session_ms),
                "partition.assignment.strategy": "roundrobin",
                "on_commit": partial(self._hear_commit, member),
            },
        )
        self._members.append(member)
        self._subscribe(member)

    def _subscribe(self, member: Member) -> None:
        def assigned(consumer: Any, places: list[Any]) -> None:
            # A member reads through other clients; this one fetches nothing.
            consumer.assign([TopicPartition(place.topic, place.partition, 0) for place in places])
            if places:
                consumer.pause(places)
            share: dict[str, list[int]] = {}
            for topic, partition in sorted((place.topic, place.partition) for place in places):
                share.setdefault(topic, []).append(partition)
            self._bridge.tell(member.given, Assignment(generation_of(consumer), share))

        def revoked(consumer: Any, _places: list[Any]) -> None:
            consumer.unassign()
            self._bridge.tell(member.given, None)

        member.consumer.subscribe(sorted(member.topics), on_assign=assigned, on_revoke=revoked, on_lost=revoked)

    def _let_go(self, member: Member, gone: Future[None]) -> None:
        if member not in self._members:
            gone.set_result(None)
            return
        self._members.remove(member)
        # Others have to be looked after meanwhile, or the group is never put together.
        closing = threading.Thread(target=_close, args=(member, gone), name="soundstage-kafka-leaving", daemon=True)
        closing.start()
        self._closing = [*(each for each in self._closing if each.is_alive()), closing]

    def _identity(self, member: Member, generation: int) -> Any:
        if member not in self._members or generation_of(member.consumer) != generation:
            raise KafkaException(KafkaError(KafkaError.ILLEGAL_GENERATION))
        return member.consumer.consumer_group_metadata()

    def _commit(self, member: Member, generation: int, positions: Sequence[Any], kept: asyncio.Future[Any]) -> None:
        self._identity(member, generation)
        if not positions:
            self._bridge.tell(_committed, kept, None)
            return
        # The driver answers in the order it was asked in.
        member.commits.append(kept)
        member.consumer.commit(offsets=list(positions), asynchronous=True)

    def _hear_commit(self, member: Member, error: Any, positions: Sequence[Any]) -> None:
        first = error or next((each.error for each in positions if each.error is not None), None)
        if member.commits:
            self._bridge.tell(_committed, member.commits.popleft(), first)


def _close(member: Member, gone: Future[None]) -> None:
    try:
        member.consumer.close()
    except Exception as error:  # noqa: BLE001 - handed to whoever waits for it
        gone.set_exception(failure(error).error)
    else:
        gone.set_result(None)


def _committed(kept: asyncio.Future[Any], error: Any) -> None:
    """Who waits for a commit learns what became of it."""
    if kept.done():
        return
    if error is None:
        kept.set_result(None)
    else:
        kept.set_exception(failure(error).error)


def generation_of(consumer: Any) -> int:
    """The generation of a member's group, which the driver tells only together with what it hands to transactions."""
    return _GENERATION.unpack_from(consumer.consumer_group_metadata())[1]
