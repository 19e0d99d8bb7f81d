"""Appends to several topics, and positions with them, of which readers see all or nothing: Kafka's transactions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from soundstage.core.errors import Outcome, Unavailable
from soundstage.engines.log.kafka.bridge import Bridge
from soundstage.engines.log.kafka.carrier import END_S, Carrier, Offered, Order, Orders, Part
from soundstage.engines.log.kafka.failures import late, too_many
from soundstage.engines.log.kafka.link import Link
from soundstage.engines.log.port import Spot

STUCK_S = 3 * END_S
"""So long behind the end of its order a carrier is taken for one that never returns."""

STUCK_MAX = 4


class Transacting:
    """Transactions one after another, by a carrier that the first one brings.

    The driver forgets the time while it hands over positions and the group's coordinator is away
    (https://github.com/confluentinc/librdkafka/issues/5456). A carrier that hangs is left, and another takes its place,
    of the same name, which shuts the first out of Kafka; so many that hang at once are suffered and no more.
    """

    def __init__(self, link: Link, bridge: Bridge, name: str) -> None:
        self._link = link
        self._bridge = bridge
        self._name = name
        self._patience_s = link.address.options.patience_s
        self._waiting_max = link.address.options.waiting
        self._orders = Orders(bridge.loop.time)
        self._carrier: Carrier | None = None
        self._stuck: list[Carrier] = []

    async def transact(
        self, parts: Sequence[Part], offered: Sequence[Offered], now_us: int, left_s: float | None = None
    ) -> list[list[Spot]]:
        """All of it is there, durably, or none of it. `left_s`: of real time, instead of patience."""
        if len(self._orders.waiting) >= self._waiting_max:
            raise too_many(self._waiting_max)
        within_s = self._patience_s if left_s is None else left_s
        order = Order(self._bridge.loop.time() + within_s, parts, offered, now_us)
        self._bring_carrier()
        self._orders.waiting.append(order)
        self._orders.news.set()
        watch = self._bridge.loop.call_later(within_s + STUCK_S, self._replace, order)
        try:
            # Who has begun in time may need a little more to say how it ended.
            async with asyncio.timeout_at(order.ends_s + (2 * END_S if left_s is None else 0.0)):
                return await self._bridge.answer(order.done)
        except TimeoutError:
            outcome: Outcome = "not_applied" if order.done.cancel() else "unknown"
            raise (self._link.silence(outcome) if left_s is None else late(outcome)) from None
        finally:
            # Nobody waits for it any more: it need not begin.
            if order.done.cancel() or order.done.done():
                watch.cancel()

    async def close(self) -> None:
        """A transaction under way is over, and the thread has ended, unless the driver hangs."""
        carrier, self._carrier = self._carrier, None
        if carrier is None:
            return
        carrier.go()
        order = carrier.order
        left_s = 0.0 if order is None else max(0.0, order.ends_s - self._bridge.loop.time())
        await self._bridge.ended(carrier.thread, left_s + STUCK_S)

    def _bring_carrier(self) -> None:
        if self._carrier is None:
            self._stuck = [each for each in self._stuck if each.thread.is_alive()]
            if len(self._stuck) >= STUCK_MAX:
                raise Unavailable(
                    f"{STUCK_MAX} transactions hang in the driver",
                    hint="see that the brokers run; start the process again if they do",
                    outcome="not_applied",
                )
            self._carrier = Carrier(self._link, self._name, self._orders, has_left_open=bool(self._stuck))
            for each in self._stuck:
                each.followed = True

    def _replace(self, order: Order) -> None:
        """If its carrier still is at it, that one is left, and Kafka is asked to end what it left open."""
        carrier = self._carrier
        if carrier is None or carrier.order is not order or order.done.done():
            return
        carrier.go()
        self._stuck.append(carrier)
        self._carrier = None
        try:
            self._bring_carrier()
        except Unavailable:
            # Whoever comes next is told.
            return
        self._orders.news.set()
