from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from soundstage.core.environment import Environment, VirtualEnvironment
from soundstage.core.hlc import TokenClock
from soundstage.data.writeahead.config import SystemConfig
from soundstage.data.writeahead.journal import Journal
from soundstage.data.writeahead.ledger import TABLE, Ledger, Status
from soundstage.data.writeahead.target import Submission
from soundstage.data.writeahead.worker import Worker
from soundstage.engines.log.memory import MemoryLog
from soundstage.engines.log.port import Log
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Records
from soundstage.runtime.system_table import SystemTable

TARGET = "shop"


def mutation(value: str, place: str = "a", key: str = "k") -> bytes:
    return msgspec.msgpack.encode({"place": place, "key": key, "value": value})


class Shop:
    """A target that keeps what it was told, and fails where it is told to.

    `history` has every application in order; `state` the greatest version of each place and key.
    """

    def __init__(self) -> None:
        self.history: list[tuple[str, int, str]] = []
        self.state: dict[tuple[str, str], tuple[int, str, str]] = {}
        self.errors: dict[str, Exception] = {}

    def place(self, mutation: bytes) -> str:
        return msgspec.msgpack.decode(mutation)["place"]

    async def apply(self, mutation: bytes, time_us: int, token: str, deadline_ns: int) -> None:
        found = msgspec.msgpack.decode(mutation)
        if found["place"] in self.errors:
            raise self.errors[found["place"]]
        self.history.append((token, time_us, found["value"]))
        place = found["place"], found["key"]
        self.state[place] = max(self.state.get(place, (0, "", "")), (time_us, token, found["value"]))

    def values(self) -> dict[str, str]:
        """What each place holds under `k`."""
        return {place: value for (place, key), (_, _, value) in self.state.items() if key == "k"}

    def order(self, token: str) -> list[int]:
        """The numbers of a set's mutations as they were applied."""
        return [int(each.rpartition("/")[2]) for each, _, _ in self.history if each.rpartition("/")[0] == token]


class House:
    """A log, a ledger, and one target; `worker` stands for the process that has the role."""

    def __init__(self, environment: Environment, records: Records, log: Log) -> None:
        self.environment: Any = environment
        self.clock = TokenClock(environment)
        self.records = records
        self.log = log
        self.shop = Shop()
        self.ledger = Ledger(SystemTable(records, TABLE, self.clock, environment))
        self.journal = self.restarted()
        self.worker = Worker(self.journal, self.shop)

    def restarted(self, **knobs: Any) -> Journal:
        """The journal of a process that knows nothing."""
        return Journal(TARGET, self.log, self.ledger, SystemConfig(**knobs), self.environment)

    def restart(self, **knobs: Any) -> None:
        self.journal = self.restarted(**knobs)
        self.worker = Worker(self.journal, self.shop)

    async def submit(self, *mutations: bytes, token: str = "t", **fields: Any) -> str:
        fields.setdefault("time_us", self.environment.now_us())
        return await self.journal.submit(Submission(token=token, mutations=mutations, **fields))

    async def work(self) -> None:
        """Everything that can be done now is."""
        while await self.worker.round():
            pass

    async def status(self, mutation_id: str) -> Status:
        known = await self.ledger.find(mutation_id)
        assert known is not None
        return known.status

    async def later(self, seconds: float) -> None:
        """Everything that can be done by then is, look by look."""
        for _ in range(100):
            self.environment.advance(seconds / 100)
            await self.work()


@pytest.fixture
def environment() -> VirtualEnvironment:
    return VirtualEnvironment(seed=6)


@pytest.fixture
async def house(environment: VirtualEnvironment) -> House:
    """All in memory."""
    records, log = MemoryRecords(environment), MemoryLog(environment)
    await records.start()
    await log.start()
    made = House(environment, records, log)
    await made.ledger.create()
    return made


@pytest.fixture(params=["memory", "rocksdb"])
async def each_house(
    request: pytest.FixtureRequest, environment: VirtualEnvironment, tmp_path: Path
) -> AsyncIterator[House]:
    """On each embedded engine in turn."""
    from soundstage.runtime.stage import Stage

    embedded = {"url": f"rocksdb://{tmp_path}/database", "durability": "os"}
    engine = embedded if request.param == "rocksdb" else {"url": "memory:"}
    async with AsyncExitStack() as opened:
        stage = Stage.open(
            data="memory:", config={"engines": {"default": engine}}, environment=environment, variables={}
        )
        await opened.enter_async_context(stage)
        made = House(environment, stage.engines.get("default", ""), stage.log())
        await made.ledger.create()
        yield made
