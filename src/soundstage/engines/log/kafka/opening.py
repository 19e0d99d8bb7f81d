"""Where one client of the driver is known to Kafka, and who is making it known.

Kafka numbers what a client appends to a partition, by which it keeps once what is sent twice. Of a client that it does
not know there it takes whatever comes first, whatever its number. Where a connection breaks amid the first of several
batches, a later one may so come before them; Kafka then takes those for repetitions, or refuses them for good, and the
driver tells of a repetition as of an entry that is there. So one entry goes alone, and the others when it is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

KNOWN_S = 600.0
"""Kafka forgets a client that has appended nothing for a day; this is far less."""

KNOWN_MAX = 100_000
"""Partitions that are remembered; of more, all are opened again."""


class Openings:
    """Those of one client. `clock` tells the loop's time, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known_until: dict[tuple[str, int], float] = {}
        self._under_way: dict[tuple[str, int], asyncio.Future[None]] = {}

    def unknown(self, topic: str, places: Iterable[int]) -> list[int]:
        """Those of `places`, each once and in their order, where Kafka may not know the client."""
        now_s, known = self._clock(), self._known_until
        return [place for place in dict.fromkeys(places) if known.get((topic, place), 0.0) <= now_s]

    def under_way(self, topic: str, places: Iterable[int]) -> asyncio.Future[None] | None:
        """The end of an opening at one of `places`; None where there is none."""
        if not self._under_way:
            return None
        found = (self._under_way.get((topic, place)) for place in dict.fromkeys(places))
        return next((opening for opening in found if opening is not None), None)

    def begin(self, topic: str, places: Iterable[int]) -> None:
        """An entry goes to each of `places`; whoever asks for `under_way` there waits for `end`."""
        opening: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._under_way.update({(topic, place): opening for place in places})

    def end(self, topic: str, places: Iterable[int], *, known: bool) -> None:
        """What was begun there is over; `known`: those entries are there."""
        until_s = self._clock() + KNOWN_S
        if len(self._known_until) >= KNOWN_MAX:
            self._known_until.clear()
        for place in places:
            if known:
                self._known_until[topic, place] = until_s
            opening = self._under_way.pop((topic, place), None)
            if opening is not None and not opening.done():
                opening.set_result(None)

    def forget(self, topic: str) -> None:
        """The topic is gone, and one that is called so later is another."""
        for place in [place for place in self._known_until if place[0] == topic]:
            del self._known_until[place]

    def leave(self) -> None:
        """Whoever waits looks again: nothing more comes of this client."""
        for opening in self._under_way.values():
            if not opening.done():
                opening.set_result(None)
        self._under_way.clear()
