"""Appends to several topics, and positions with them, of which readers see all or nothing: Kafka's transactions."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, NamedTuple

from soundstage.core.errors import SoundstageError, Unavailable
from soundstage.engines.log.kafka.bridge import Bridge
from soundstage.engines.log.kafka.driver import KafkaException
from soundstage.engines.log.kafka.failures import failure
from soundstage.engines.log.kafka.link import Link
from soundstage.engines.log.kafka.producing import Arrivals, produce
from soundstage.engines.log.port import Entry, Spot


class Part(NamedTuple):
    """What goes to one topic."""

    topic: str
    entries: Sequence[Entry]
    places: Sequence[int]


class Offered(NamedTuple):
    """Positions of a group, and who says so, as the driver tells it of a member."""

    positions: Sequence[Any]
    member: Any


class Transacting:
    """Transactions one after another, by a client and a thread of their own, which the first one makes.

    `name` is this engine's in Kafka: of two with one name, the older is shut out.
    """

    def __init__(self, link: Link, bridge: Bridge, name: str) -> None:
        self._link = link
        self._bridge = bridge
        self._name = name
        self._patience_s = link.address.options.patience_s
        self._producer: Any = None
        self._orders: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._ordered = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    async def transact(self, parts: Sequence[Part], offered: Sequence[Offered], now_us: int) -> list[list[Spot]]:
        """All of it is there, durably, or none of it."""
        done: Future[Any] = Future()
        self._orders.append((done, lambda: self._transact(parts, offered, now_us)))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="soundstage-kafka-transactions", daemon=True)
            self._thread.start()
        self._ordered.set()
        return await self._bridge.answer(done)

    async def close(self) -> None:
        """The thread has ended; a transaction under way is over."""
        self._closed = True
        self._ordered.set()
        if self._thread is not None:
            await self._bridge.loop.run_in_executor(None, self._thread.join)
        self._producer = None

    def _run(self) -> None:
        while not self._closed:
            self._ordered.wait()
            self._ordered.clear()
            while self._orders and not self._closed:
                done, order = self._orders.popleft()
                try:
                    done.set_result(order())
                except Exception as error:  # noqa: BLE001 - handed to whoever asked
                    done.set_exception(failure(error).error)

    def _transact(self, parts: Sequence[Part], offered: Sequence[Offered], now_us: int) -> list[list[Spot]]:
        try:
            producer = self._begun()
        except KafkaException as error:
            self._producer = None
            raise self._told(error, sure=True) from error
        try:
            arrivals = [self._handed_over(producer, part, now_us) for part in parts]
            for each in offered:
                producer.send_offsets_to_transaction(list(each.positions), each.member, self._patience_s)
            producer.flush(self._patience_s)
            failed = next((each.error for each in arrivals if each.error is not None), None)
            if failed is not None:
                raise KafkaException(failed)
            if any(each.left for each in arrivals):
                raise Unavailable("Kafka did not answer", hint="repeat the call", outcome="not_applied")
        except BaseException as error:
            self._abort(producer)
            raise self._told(error, sure=True) from error
        self._commit(producer)
        return [each.spots(part.places) for each, part in zip(arrivals, parts, strict=True)]

    def _handed_over(self, producer: Any, part: Part, now_us: int) -> Arrivals:
        arrivals = Arrivals(len(part.entries))
        produce(producer, part.topic, part.entries, part.places, now_us, arrivals.hear)
        return arrivals

    def _begun(self) -> Any:
        producer = self._renewed() if self._producer is None else self._producer
        producer.begin_transaction()
        return producer

    def _renewed(self) -> Any:
        """A client; what another of its name left open is over."""
        made = self._link.producer(**{"transactional.id": self._name})
        made.init_transactions(self._patience_s)
        self._producer = made
        return made

    def _commit(self, producer: Any) -> None:
        try:
            producer.commit_transaction(self._patience_s)
        except KafkaException as error:
            if error.args[0].txn_requires_abort():
                self._abort(producer)
                raise self._told(error, sure=True) from error
            # Whether it was committed only Kafka knows: a new client of this name ends it one way or the other.
            self._producer = None
            with suppress(KafkaException):
                self._renewed()
            raise self._told(error, sure=False) from error

    def _abort(self, producer: Any) -> None:
        try:
            producer.abort_transaction(self._patience_s)
        except KafkaException:
            self._producer = None

    def _told(self, error: BaseException, *, sure: bool) -> SoundstageError:
        """`sure`: nothing of the transaction is there, nor will be."""
        found = failure(error).error
        found.outcome = "not_applied" if sure else "unknown"
        return found
