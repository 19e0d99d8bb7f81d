"""Questions to the cluster that are answered one by one: their time, and how often they are asked again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from soundstage.core.environment import Environment
from soundstage.core.errors import AlreadyExists, Forbidden, InvalidArgument, NotFound, Outcome, SoundstageError
from soundstage.engines.log.kafka.bridge import Bridge
from soundstage.engines.log.kafka.driver import COMMITTED, EARLIEST, LATEST, TopicPartition, admin, at_time
from soundstage.engines.log.kafka.failures import failure, not_known
from soundstage.engines.log.kafka.link import Link
from soundstage.engines.log.membership import Place
from soundstage.engines.log.port import Bounds

PAUSE_FIRST_S, PAUSE_LAST_S = 0.02, 0.5
LATE_S = 0.5
"""By so much the driver is let tell first that an attempt was in vain, and why; some of its questions it never ends."""

UNKNOWN_TRIES = 20
NONE = -1
"""The offset of a time that is after all entries."""


class Asking:
    """What one engine asks, besides appending and reading. Every question may be asked twice."""

    def __init__(self, link: Link, bridge: Bridge, environment: Environment) -> None:
        self._link = link
        self._bridge = bridge
        self._environment = environment
        self._attempt_s = link.address.options.attempt_s
        self._patience_s = link.address.options.patience_s

    async def answer(
        self,
        ask: str | Callable[..., Future[Any]],
        *given: Any,
        reading: bool = True,
        **named: Any,
    ) -> list[Any]:
        """What `ask` is answered, part by part; asked anew until patience ends.

        It is a call of the driver's client by its name, or one that takes a `request_timeout` as those do.
        """
        left_s, tried, outcome = self._patience_s, 0, "not_applied"
        while True:
            began_s = self._bridge.loop.time()
            try:
                # Clients and threads may be gone that were there at the last attempt.
                self._bridge.check_open()
                asked = self._asked(ask, *given, request_timeout=min(left_s, self._attempt_s), **named)
                async with asyncio.timeout_at(began_s + max(min(left_s, self._attempt_s + LATE_S), PAUSE_FIRST_S)):
                    found = await self._all(asked)
                self._link.unanswered = None
                return found
            except Exception as error:
                found = failure(error, reading=reading)
                outcome = "unknown" if found.error.outcome == "unknown" else outcome
                pause_s = min(PAUSE_LAST_S, PAUSE_FIRST_S * 2**tried)
                left_s -= self._bridge.loop.time() - began_s + pause_s
                if not found.again or left_s <= 0:
                    refused = self._link.refused("not_applied") if found.again else None
                    told = _told(refused or found.error, outcome)
                    if found.again:
                        self._link.unanswered = told.detail
                    raise told from error
                tried += 1
                await self._bridge.pause(pause_s)
                if tried > 1:
                    # A client that knew brokers as they were before may go on asking for that.
                    self._link.renew()

    def _asked(self, ask: str | Callable[..., Future[Any]], *given: Any, **named: Any) -> Iterable[Future[Any]]:
        """The parts of an answer to come.

        Whoever keeps an error keeps the variables of what raised it: the client is not to be among them, lest its
        connections stay for as long.
        """
        call = getattr(self._link.admin, ask) if isinstance(ask, str) else ask
        asked: Mapping[Any, Future[Any]] | Future[Any] = call(*given, **named)
        return [asked] if isinstance(asked, Future) else asked.values()

    async def _all(self, asked: Iterable[Future[Any]]) -> list[Any]:
        answers = await asyncio.gather(*map(self._bridge.answer, asked), return_exceptions=True)
        for each in answers:
            if isinstance(each, BaseException):
                raise each
        return answers

    async def pause(self, seconds: float) -> None:
        """See `Bridge.pause`."""
        await self._bridge.pause(seconds)

    async def offsets(self, places: Sequence[Place], which: Any, least: int = 0) -> list[int]:
        """An offset of each place, of which Kafka has several kinds; below `least` there is none of that kind."""
        asked = {TopicPartition(topic, partition): which for topic, partition in places}
        for _ in range(UNKNOWN_TRIES):
            try:
                found = await self.answer("list_offsets", asked, isolation_level=COMMITTED)
            except NotFound:
                if not await self.exist({topic for topic, _ in places}):
                    raise
            else:
                offsets = [each.offset for each in found]
                if min(offsets) >= least:
                    return offsets
            # A broker that has just come back says nothing of some.
            await self._bridge.pause(PAUSE_LAST_S)
            self._link.renew()
        raise not_known()

    async def exist(self, topics: Iterable[str]) -> bool:
        """Whether Kafka has all of `topics`, as its controller says: a broker that has just come back knows of none.

        It is asked to say what it would do if they were to be made; who has no right to that believes the broker.
        """
        for topic in topics:
            try:
                await self.answer("create_topics", [admin.NewTopic(topic, 1, -1)], validate_only=True)
            except AlreadyExists:
                continue
            except (Forbidden, InvalidArgument):
                pass
            return False
        return True

    async def bounds(self, places: Sequence[Place]) -> list[Bounds]:
        """The first offset of each place, and the one after its last committed entry."""
        starts, ends = await asyncio.gather(self.offsets(places, EARLIEST), self.offsets(places, LATEST))
        return [Bounds(start, max(start, end)) for start, end in zip(starts, ends, strict=True)]

    async def offset_at(self, place: Place, time_ms: int) -> int | None:
        """The first offset that is not older than a time; None when all are."""
        (found,) = await self.offsets([place], at_time(time_ms), NONE)
        return None if found < 0 else found


def _told(error: SoundstageError, outcome: Outcome | str) -> SoundstageError:
    if outcome == "unknown" and error.outcome is not None:
        error.outcome = "unknown"
    return error
