"""Clients of several processes that write one item on the condition that it is as they read it, and what that came to.

Whatever becomes of the nodes, the answers must be those of one register that is used by one client after the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from tests.conformance.calls import WAIT_S, within
from tests.conformance.ring.traffic import PACE_S, TURNED_DOWN, now_us

from soundstage.core import version
from soundstage.core.errors import PreconditionFailed
from soundstage.engines.records.port import Batch, Budget, Condition, Conditional, Records, Stamp
from soundstage.testing.simulation.linearizer import Linearizer
from soundstage.testing.simulation.scenario import Divergence

DECIDED = "ring/decided"
KEY, RECORDS = b"key", (b"one", b"two")

CLIENTS = 2
"""Of each record, on each engine."""

OPEN_MAX = 6
"""Writes of unknown outcome; each doubles what is possible."""

FAR_US = 1 << 60
"""No stamp is too far ahead here."""


class Put(NamedTuple):
    """The item has the number `new`, if it had `expected`; 0: if it was absent."""

    expected: int
    new: int


def register(state: int, request: Put | None) -> list[tuple[int, int | bool]]:
    """What a register of a number does, and answers: None asks for the number."""
    if request is None:
        return [(state, state)]
    return [(request.new, True)] if state == request.expected else [(state, False)]


class Judged:
    """One record. `open` are the writes whose outcome nobody was told, which may still come to count."""

    def __init__(self) -> None:
        self.history: Linearizer[int, Put | None, int | bool] = Linearizer(0, register)
        self.open: dict[int, Put] = {}
        self.numbers = 0
        self.acknowledged = 0

    def settle(self) -> None:
        """Those that were overtaken will not count any more: what they expect never comes back."""
        states = self.history.states()
        for at in [at for at, put in self.open.items() if put.expected not in states]:
            self.history.lose(at)
            del self.open[at]


class Contest:
    """Goes on while it is open; `wrong` says what cannot have been."""

    def __init__(self, engines: Sequence[Records]) -> None:
        self.judged: dict[bytes, Judged] = {record: Judged() for record in RECORDS}
        self.wrong: list[str] = []
        self.pace_s: float = PACE_S
        self._engines = engines
        self._stopping = False
        self._progress = asyncio.Event()
        self._tasks: list[asyncio.Future[None]] = []

    async def __aenter__(self) -> Contest:
        for record in RECORDS:
            for engine in self._engines:
                self._tasks += [asyncio.ensure_future(self._compete(engine, record)) for _ in range(CLIENTS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def more(self, count: int) -> None:
        """So many more writes of each record are acknowledged."""
        until = {record: each.acknowledged + count for record, each in self.judged.items()}
        async with asyncio.timeout(WAIT_S):
            while not self.wrong and any(self.judged[each].acknowledged < wanted for each, wanted in until.items()):
                self._progress.clear()
                await self._progress.wait()

    async def _compete(self, engine: Records, record: bytes) -> None:
        judged = self.judged[record]
        try:
            while not self._stopping:
                found = await self._look(engine, record, judged)
                if found is not None and len(judged.open) < OPEN_MAX:
                    await self._put(engine, record, judged, *found)
                judged.settle()
                await asyncio.sleep(self.pace_s)
        except Divergence as error:
            self.wrong.append(f"{record!r}: {error}")
            self._progress.set()

    async def _look(self, engine: Records, record: bytes, judged: Judged) -> tuple[int, Stamp | None] | None:
        """The number of the item and its stamp; None where nobody answered."""
        asked = judged.history.begin(None)
        try:
            page = await engine.get(DECIDED, record, [KEY], now_us(), Budget(deadline_ns=within(5)))
        except TURNED_DOWN:
            page = None
        if page is None or page.resume is not None:
            judged.history.lose(asked)
            return None
        cell = page.rows[0][1] if page.rows else None
        number = 0 if cell is None else int(bytes(version.split(cell).value))
        judged.history.end(asked, number)
        return number, None if cell is None else Stamp(version.time_us(cell), version.token(cell))

    async def _put(self, engine: Records, record: bytes, judged: Judged, expected: int, stamp: Stamp | None) -> None:
        judged.numbers += 1
        new = judged.numbers
        token = f"{record.decode()}-{new}"
        cell = version.put(now_us(), token, b"%d" % new)
        asked = Conditional(conditions=[Condition(KEY, stamp)], token=token, digest=token.encode(), limit_us=FAR_US)
        at = judged.history.begin(Put(expected, new))
        try:
            await engine.apply(DECIDED, record, Batch(cells=[(KEY, cell)]), conditional=asked, deadline_ns=within(5))
        except PreconditionFailed:
            judged.history.end(at, False)
        except TURNED_DOWN as error:
            if error.outcome == "not_applied":
                judged.history.refuse(at)
            else:
                judged.open[at] = Put(expected, new)
        else:
            judged.history.end(at, True)
            judged.acknowledged += 1
            self._progress.set()
