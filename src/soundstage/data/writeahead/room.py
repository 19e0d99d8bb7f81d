"""How many sets wait, and whether there is room for one more.

What waits is counted in the ledger, so that a restart forgets none of it and every process sees the sets of all. What
is in the log and was not read yet is counted too, for it may come to wait. A count is some time old, so between two of
them the sets that were let in here are added. What other processes let in meanwhile, and what they have in the log for
a place that is full, may come on top of the limits; what is accepted is never given up for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from soundstage.core.environment import Environment
from soundstage.core.errors import Exhausted
from soundstage.data.writeahead.config import SystemConfig
from soundstage.data.writeahead.ledger import Ledger, pending
from soundstage.engines.log.port import Groups, Log

LOOK_S = 1.0
"""A count is so old at most when a set is let in."""

SECOND_LOOK_S = 0.1
"""And so old at most when one is refused."""

SHARE = 20
"""Counting takes no more than one part in so many of the time, while it is certain who is let in."""

SET_ENTRIES = 2
"""Entries of the log that a set has at least."""


class Room:
    """The room of one target for sets that wait; `topic` is where its sets come from."""

    def __init__(
        self, target: str, topic: str, log: Log, ledger: Ledger, config: SystemConfig, environment: Environment
    ) -> None:
        self.refused: int = 0
        self._list = pending(target)
        self._topic = topic
        self._log = log
        self._ledger = ledger
        self._config = config
        self._environment = environment
        self._counted: Counter[str] = Counter()
        self._unread = 0
        self._since: Counter[str] = Counter()
        self._admitted = 0
        self._looking = False
        self._looked_ns: int | None = None
        self._took_ns = 0

    @property
    def waiting(self) -> int:
        """How many sets waited when they were counted last, whoever accepted them."""
        return self._counted.total()

    async def check(self, places: Sequence[str]) -> None:
        """There is room for a set that needs `places`. Raises `Exhausted` where there is none."""
        await self.look()
        if self._refusal(places) is not None:
            # Most of those that were let in since may be applied by now: then nobody is to be refused for them.
            is_certain = self._refusal(places, since=False) is not None
            await self.look(SECOND_LOOK_S, SHARE if is_certain else 1)
        refusal = self._refusal(places)
        if refusal is not None:
            self.refused += 1
            raise refusal

    def take(self, places: Sequence[str]) -> None:
        """A set that needs `places` was let in."""
        self._admitted += 1
        self._since.update(places)

    async def look(self, age_s: float = LOOK_S, share: int = SHARE) -> None:
        """What waits was counted within `age_s`, or somebody is at it, or it took more than a `share` of the time."""
        if self._looking or not self._is_older(age_s, share):
            return
        self._looking = True
        try:
            await self._count()
        finally:
            self._looking = False

    async def _count(self) -> None:
        began_ns, admitted, since = self._environment.monotonic_ns(), self._admitted, self._since.copy()
        unread = await self._unread_sets()
        self._counted = await self._ledger.waiting(self._list, self._config.waiting_max)
        self._unread = unread
        # Those let in meanwhile may have been missed.
        self._admitted -= admitted
        self._since -= since
        self._looked_ns = self._environment.monotonic_ns()
        self._took_ns = self._looked_ns - began_ns

    def _is_older(self, seconds: float, share: int) -> bool:
        if self._looked_ns is None:
            return True
        age_ns = self._environment.monotonic_ns() - self._looked_ns
        return age_ns >= max(round(seconds * 1e9), share * self._took_ns)

    def _refusal(self, places: Sequence[str], *, since: bool = True) -> Exhausted | None:
        """Why there is no room; without `since` by what was counted alone."""
        if self.waiting + self._unread + since * self._admitted >= self._config.waiting_max:
            return _full(f"{self._config.waiting_max} sets of mutations wait", "waiting_max")
        for place in places:
            if self._counted[place] + since * self._since[place] >= self._config.waiting_of_place_max:
                waiting = f"{self._config.waiting_of_place_max} sets of mutations wait for {place!r}"
                return _full(waiting, "waiting_of_place_max")
        return None

    async def _unread_sets(self) -> int:
        """Sets of the log before which its readers are, at most."""
        if not isinstance(self._log, Groups):
            return 0
        committed = await self._log.committed(self._topic, self._topic)
        bounds = await self._log.bounds(self._topic)
        entries = sum(bound.end - committed.get(partition, bound.start) for partition, bound in enumerate(bounds))
        return entries // SET_ENTRIES


def _full(what: str, knob: str) -> Exhausted:
    return Exhausted(
        f"{what}, as many as may",
        hint=f"send it again later, or see what is down; the stage's knob is systems.writeahead.{knob}",
        retry_after_ms=round(LOOK_S * 1_000),
    )
