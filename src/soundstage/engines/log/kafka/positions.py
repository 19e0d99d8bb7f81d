"""Questions for the positions of groups, by clients that are kept for the next question of the same group."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from soundstage.engines.log.kafka.bridge import Bridge
from soundstage.engines.log.kafka.driver import KafkaException
from soundstage.engines.log.kafka.link import Link

ASKING_MAX = 4
"""Questions at once; more take turns."""

KEPT_MAX = 4
IDLE_S = 30.0
"""So long a client waits for the next question: what the driver says besides, nobody takes meanwhile."""


class Positions:
    """Asks Kafka as a consumer that is in no group, which blocks: in threads.

    The driver's question for this, `list_consumer_group_offsets`, ends the process where the broker is not the group's
    coordinator yet: it looks for a group in the client that asks, and only consumers have one.
    """

    def __init__(self, link: Link, bridge: Bridge) -> None:
        self._link = link
        self._bridge = bridge
        self._threads = ThreadPoolExecutor(ASKING_MAX, "soundstage-kafka-positions")
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()
        self._rest: asyncio.TimerHandle | None = None
        self._closed = False

    def ask(self, group: str, places: Sequence[Any], within_s: float) -> Future[list[Any]]:
        """The positions of a group of Kafka; `TimeoutError` where all threads are busy for so long."""
        ends_s = self._bridge.loop.time() + within_s
        asked = self._threads.submit(self._asked, group, places, ends_s)
        asked.add_done_callback(lambda _: self._bridge.tell(self._put_off))
        return asked

    async def close(self) -> None:
        """What is asked is answered, clients are closed, their threads have ended, unless the driver hangs."""
        self._closed = True
        if self._rest is not None:
            self._rest.cancel()
        await self._bridge.finish(self._end, "soundstage-kafka-positions-end")

    def _asked(self, group: str, places: Sequence[Any], ends_s: float) -> list[Any]:
        left_s = ends_s - self._bridge.loop.time()
        if left_s <= 0:
            # Whoever wanted it asks again, or has left.
            raise TimeoutError
        consumer = self._taken(group)
        try:
            found = consumer.committed(list(places), timeout=left_s)
            for at in found:
                if at.error is not None:
                    raise KafkaException(at.error)
        except BaseException:
            # Another may find what this one does not.
            consumer.close()
            raise
        self._keep(group, consumer)
        return found

    def _taken(self, group: str) -> Any:
        """A client that nobody else asks meanwhile."""
        with self._lock:
            found = self._kept.pop(group, None)
        return self._link.consumer(group) if found is None else found

    def _keep(self, group: str, consumer: Any) -> None:
        with self._lock:
            left = [self._kept.pop(group, None)]
            self._kept[group] = consumer
            if len(self._kept) > KEPT_MAX:
                left.append(self._kept.popitem(last=False)[1])
        for each in left:
            if each is not None:
                each.close()

    def _put_off(self) -> None:
        """Clients are closed once nobody has asked for so long."""
        if self._rest is not None:
            self._rest.cancel()
        if not self._closed:
            self._rest = self._bridge.loop.call_later(IDLE_S, self._threads.submit, self._close_all)

    def _close_all(self) -> None:
        with self._lock:
            left, self._kept = list(self._kept.values()), OrderedDict()
        for each in left:
            # Nobody is left who could be told.
            with suppress(KafkaException, RuntimeError):
                each.close()

    def _end(self) -> None:
        self._threads.shutdown()
        self._close_all()
