"""What carries out transactions: a client of the driver, and the thread that waits for it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, NamedTuple

from soundstage.core.errors import SoundstageError
from soundstage.engines.log.kafka.driver import KafkaException
from soundstage.engines.log.kafka.failures import failure, repeated
from soundstage.engines.log.kafka.link import Link
from soundstage.engines.log.kafka.producing import Arrivals, produce
from soundstage.engines.log.port import Entry, Spot

LEAST_S = 0.1
AGAIN_S = 1.0
"""How often Kafka is asked to end what was left open, and for how long each time."""

END_S = 2.0
"""For a transaction to be taken back, or its end to be heard of, when its time is over."""

TIMES_PATIENCE = 2
"""How many times as long as a call may take Kafka keeps open what it hears no more of."""

OPEN_MAX_MS = 900_000
"""More than that brokers do not allow, unless told to."""


class Part(NamedTuple):
    """What goes to one topic."""

    topic: str
    entries: Sequence[Entry]
    places: Sequence[int]


class Offered(NamedTuple):
    """Positions of a group, and who says so, as the driver tells it of a member."""

    positions: Sequence[Any]
    member: Any


class Order:
    """One transaction that somebody waits for until `ends_s` of the loop's clock."""

    def __init__(self, ends_s: float, parts: Sequence[Part], offered: Sequence[Offered], now_us: int) -> None:
        self.done: Future[list[list[Spot]]] = Future()
        self.ends_s: float = ends_s
        self.parts: Sequence[Part] = parts
        self.offered: Sequence[Offered] = offered
        self.now_us: int = now_us

    def left_s(self, now_s: float) -> float:
        """Seconds until its end: at least so many that a broker which is there can answer."""
        return max(LEAST_S, self.ends_s - now_s)


class Orders:
    """What is to be carried out, in its order; for one carrier at a time. `clock` tells the loop's time, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock: Callable[[], float] = clock
        self.waiting: deque[Order] = deque()
        self.news: threading.Event = threading.Event()


class Carrier:
    """Carries out orders until it is told to `go`, all under one `name`: of two with it, the older is shut out.

    A transaction whose outcome is not known, or that could not be taken back, is `open`: whoever reads behind it waits
    until Kafka ends it, which it is asked to do as soon as it answers. Who is `followed` by another of the name leaves
    that to it.
    """

    def __init__(self, link: Link, name: str, orders: Orders, *, has_left_open: bool) -> None:
        self.order: Order | None = None
        self.followed: bool = False
        self._link = link
        self._name = name
        self._orders = orders
        self._open = has_left_open
        self._going = False
        self._producer: Any = None
        self._coming: Any = None
        self.thread: threading.Thread = threading.Thread(
            target=self._run, name="soundstage-kafka-transactions", daemon=True
        )
        self.thread.start()

    def go(self) -> None:
        """It ends when it is done with what is under way, and begins nothing."""
        self._going = True
        self._orders.news.set()

    def _run(self) -> None:
        while not self._going:
            self._orders.news.wait(AGAIN_S if self._open else None)
            self._orders.news.clear()
            while self._orders.waiting and not self._going:
                self._carry_out(self._orders.waiting.popleft())
            if self._open and not self._going:
                self._end_open(AGAIN_S)
        if self._open and not self.followed:
            # Another client of this name would shut out the one that followed.
            self._end_open(END_S)
        self._producer = self._coming = None

    def _carry_out(self, order: Order) -> None:
        if not order.done.set_running_or_notify_cancel():
            return
        self.order = order
        try:
            order.done.set_result(self._transact(order))
        except Exception as error:  # noqa: BLE001 - handed to whoever asked
            order.done.set_exception(failure(error).error)
        self.order = None

    def _transact(self, order: Order) -> list[list[Spot]]:
        try:
            producer = self._begun(order)
        except KafkaException as error:
            self._let_go()
            raise told(error, sure=True) from error
        try:
            arrivals = [self._handed_over(producer, part, order.now_us) for part in order.parts]
            for each in order.offered:
                producer.send_offsets_to_transaction(list(each.positions), each.member, self._left_s(order))
            producer.flush(self._left_s(order))
            failed = next((each.error for each in arrivals if each.error is not None), None)
            if failed is not None:
                raise KafkaException(failed)
            if any(each.unsure for each in arrivals):
                raise repeated()
            if self._going or any(each.left for each in arrivals):
                raise self._link.silence("not_applied")
        except BaseException as error:
            self._abort(producer)
            raise told(error, sure=True) from error
        self._commit(producer, order)
        return [each.spots(part.places) for each, part in zip(arrivals, order.parts, strict=True)]

    def _left_s(self, order: Order) -> float:
        return order.left_s(self._orders.clock())

    def _handed_over(self, producer: Any, part: Part, now_us: int) -> Arrivals:
        arrivals = Arrivals(len(part.entries))
        produce(producer, part.topic, part.entries, part.places, now_us, arrivals.hear)
        return arrivals

    def _begun(self, order: Order) -> Any:
        producer = self._renewed(self._left_s(order)) if self._producer is None else self._producer
        producer.begin_transaction()
        return producer

    def _renewed(self, within_s: float) -> Any:
        """A client; what another of its name left open is over."""
        if self._coming is None:
            self._coming = self._link.producer(**transactional(self._name, self._link.address.options.patience_s))
        try:
            self._coming.init_transactions(within_s)
        except KafkaException as error:
            # What may be asked again goes on where it was.
            if not error.args[0].retriable():
                self._coming = None
            raise
        self._producer, self._coming, self._open = self._coming, None, False
        return self._producer

    def _commit(self, producer: Any, order: Order) -> None:
        try:
            producer.commit_transaction(self._left_s(order))
        except KafkaException as error:
            if error.args[0].txn_requires_abort():
                self._abort(producer)
                raise told(error, sure=True) from error
            # Whether it was committed only Kafka knows: a new client of this name ends it one way or the other.
            self._let_go()
            self._end_open(AGAIN_S)
            raise told(error, sure=False) from error

    def _abort(self, producer: Any) -> None:
        try:
            producer.abort_transaction(END_S)
        except KafkaException:
            self._let_go()

    def _let_go(self) -> None:
        """This client is of no more use, and may have left something open."""
        self._producer, self._open = None, True

    def _end_open(self, within_s: float) -> None:
        """What was left open is over, if Kafka answers in time."""
        with suppress(KafkaException, SoundstageError):
            self._renewed(within_s)


def transactional(name: str, patience_s: float) -> dict[str, Any]:
    """How a client of the driver is set that has transactions. What it gives up, it takes back with all the rest."""
    tried_ms = max(1_000, round(1_000 * patience_s))
    return {
        "transactional.id": name,
        "transaction.timeout.ms": min(OPEN_MAX_MS, TIMES_PATIENCE * tried_ms),
        "delivery.timeout.ms": tried_ms,
    }


def told(error: BaseException, *, sure: bool) -> SoundstageError:
    """`sure`: nothing of the transaction is there, nor will be."""
    found = failure(error).error
    found.outcome = "not_applied" if sure else "unknown"
    return found
