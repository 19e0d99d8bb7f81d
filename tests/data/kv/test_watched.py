"""What is watched is told whatever becomes of the process that wrote it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.data.kv.conftest import item, make, served
from tests.data.kv.followers import Replica, contents, until
from tests.data.kv.test_namespace import view

from soundstage.core import version
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import DeadlineExceeded, InvalidArgument, NotFound
from soundstage.core.namespace import NamespaceSpec
from soundstage.data.changes.topics import Elsewhere, check_reach, generation_of
from soundstage.data.kv.api import KeyValue, PutItem
from soundstage.data.kv.config import NamespaceConfig
from soundstage.data.kv.watched import LOG_KNOB, TOPICS, ChangeLog
from soundstage.engines.log.memory import MemoryLog
from soundstage.engines.log.port import Log, LogCapability, Spot
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import IN_FLIGHT_MAX_US, Batch, Capability, Records, TableSpec
from soundstage.runtime.config import EngineConfig
from soundstage.runtime.engines import Engines
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage

WRITER = """
import asyncio, sys
from soundstage import Stage
from soundstage.core.namespace import NamespaceSpec
from soundstage.data.kv.api import KeyValue, PutItem
from soundstage.runtime.namespaces.api import Namespaces

async def main():
    async with Stage.open(data=sys.argv[1], variables={}) as stage:
        spec = NamespaceSpec(name="people", abstraction="kv", config={"watch": True})
        await stage.client(Namespaces).put(namespace=spec)
        kv = stage.client(KeyValue, "people")
        async def write(lane):
            for number in range(100_000):
                key = b"%d" % (number % 5)
                item = PutItem(key=key, value=b"%d" % number)
                made = await kv.put_items(id=f"id-{lane}", items=[item])
                print(made.idempotency_token.token, flush=True)
        await asyncio.gather(*map(write, range(4)))

asyncio.run(main())
"""


def acknowledged_by_one_killed(folder: Path) -> list[str]:
    """The tokens of what a process wrote before it was killed amid its writes."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    acknowledged = [process.stdout.readline().strip() for _ in range(400)]
    process.kill()
    rest, _ = process.communicate()
    return acknowledged + rest.split()


@pytest.mark.slow
async def test_the_feed_of_a_process_that_was_killed_has_what_it_acknowledged_and_what_it_wrote(
    tmp_path: Path,
) -> None:
    acknowledged = acknowledged_by_one_killed(tmp_path)
    async with Stage.open(data=str(tmp_path), variables={}) as stage:
        kv = stage.client(KeyValue, "people")
        told: set[str] = set()
        replica = Replica()
        for part in range(4):
            made = await kv.put_items(id=f"id-{part}", items=[PutItem(key=b"end", value=b"")])
            found = await until(kv.watch_items(cursor="0", id=f"id-{part}"), made.idempotency_token)
            told |= {each.idempotency_token.token for each in found}
            replica.hear(found)
        shown = {id: items for id, items in (await contents(kv)).items() if id.startswith("id-")}
    assert set(acknowledged) <= told
    assert replica.shown() == shown


@pytest.mark.parametrize(("topic", "generation"), [("kv/changes/17-a-1", 17), ("kv/changes/x-1", 0)])
def test_the_name_of_a_topic_tells_of_which_namespace_it_is(topic: str, generation: int) -> None:
    assert generation_of(topic, TOPICS) == generation


async def test_a_topic_that_was_dropped_is_made_again(plain_stage: Stage) -> None:
    kv = await make(plain_stage, "people", watch=True)
    await kv.put_items(id="ada", items=[item(b"k")])
    log = plain_stage.engines.log("default", "")
    changes = served(plain_stage).changes
    assert changes is not None
    await log.drop_topic(changes.topic)
    with suppress(NotFound):
        await kv.put_items(id="ada", items=[item(b"l")])
    made = await kv.put_items(id="ada", items=[item(b"m")])
    found = await until(kv.watch_items(cursor="0"), made.idempotency_token)
    assert found[-1].idempotency_token == made.idempotency_token


class Tardy(MemoryLog):
    """Takes longer for an entry than a write may be under way."""

    def __init__(self, environment: VirtualEnvironment) -> None:
        super().__init__(environment)
        self._clock = environment

    async def append(self, *arguments: Any, **named: Any) -> list[Spot]:
        self._clock.advance(IN_FLIGHT_MAX_US / 1e6)
        return await super().append(*arguments, **named)


class Alone:
    """The logs of a stage that has one."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def beside(self, records: Records) -> Log | None:
        return None

    def log(self, name: str, field: str) -> Log:
        return self._log

    def distinct_logs(self) -> dict[str, Log]:
        return {"default": self._log}


async def test_a_write_comes_no_later_than_it_can_be_hidden_however_long_the_log_takes(
    environment: VirtualEnvironment,
) -> None:
    log, records = Tardy(environment), MemoryRecords(environment)
    await log.start()
    await records.start()
    await records.create_table(TableSpec(name="kv/people"))
    seen = view(environment, config=NamespaceConfig(watch=True))
    changes = ChangeLog(msgspec.structs.replace(seen, records=records), Alone(log), "default", environment)
    batch = Batch(cells=[(b"k", version.put(environment.now_us(), "t", b"v"))])
    with pytest.raises(DeadlineExceeded):
        await changes.apply("kv/people", b"ada", batch, None, environment.monotonic_ns() + 3_600_000_000_000)
    assert (await records.get("kv/people", b"ada", [b"k"], 0)).rows == []


class Shared(MemoryRecords):
    """An engine that other servers write to as well, and that has no log."""

    def __init__(self, environment: VirtualEnvironment) -> None:
        super().__init__(environment)
        self.capabilities |= {Capability.SHARED}


class Far(Engines):
    """Engines of a stage whose log all servers share."""

    def log(self, name: str, field: str) -> Log:
        log = super().log(name, field)
        assert isinstance(log, MemoryLog)
        log.capabilities |= {LogCapability.SHARED}
        return log


def test_records_that_others_write_to_are_watched_by_a_log_of_all(environment: VirtualEnvironment) -> None:
    engines = Far({"default": EngineConfig(url="memory:")}, "memory:", environment)
    check_reach(frozenset({Capability.SHARED}), engines, Elsewhere("default", LOG_KNOB))


class Reached(Engines):
    """Engines of a stage whose log is the one of a process of this machine."""

    def log(self, name: str, field: str) -> Log:
        log = super().log(name, field)
        assert isinstance(log, MemoryLog)
        log.capabilities |= {LogCapability.HOSTED}
        return log


HOSTED = frozenset({Capability.HOSTED})
EVERYWHERE = frozenset({Capability.HOSTED, Capability.SHARED})


@pytest.mark.parametrize(
    ("records", "logs", "fits"),
    [
        (HOSTED, Engines, False),
        (HOSTED, Reached, True),
        (HOSTED, Far, True),
        (EVERYWHERE, Reached, False),
        (EVERYWHERE, Far, True),
        (HOSTED | {Capability.ATOMIC_WITH_LOG}, Engines, True),
        (frozenset(), Engines, True),
    ],
)
def test_a_log_reaches_as_far_as_the_records(
    environment: VirtualEnvironment, records: frozenset[Capability], logs: type[Engines], fits: bool
) -> None:
    engines = logs({"default": EngineConfig(url="memory:")}, "memory:", environment)
    with nullcontext() if fits else pytest.raises(InvalidArgument, match="not all of them have the log"):
        check_reach(records, engines, Elsewhere("default", LOG_KNOB))


async def test_where_records_come_without_the_log_beside_them_another_is_refused(
    environment: VirtualEnvironment,
) -> None:
    records = MemoryRecords(environment)
    records.capabilities = records.capabilities | HOSTED | {Capability.ATOMIC_WITH_LOG}
    engines = {"cluster": records}
    async with Stage.open(data="memory:", config=CLUSTER, engines=engines, variables={}) as stage:
        spec = NamespaceSpec(name="people", abstraction="kv", engines={"records": "cluster"}, config={"watch": True})
        await stage.client(Namespaces).put(namespace=spec)
        with pytest.raises(InvalidArgument, match="not all of them have the log"):
            await stage.client(KeyValue, "people").put_items(id="ada", items=[item(b"k")])


CLUSTER = {"engines": {"cluster": {"url": "memory:"}}}


async def test_with_a_log_of_its_own_they_are_refused_with_the_reason(environment: VirtualEnvironment) -> None:
    engines = {"cluster": Shared(environment)}
    async with Stage.open(data="memory:", config=CLUSTER, engines=engines, variables={}) as stage:
        spec = NamespaceSpec(name="people", abstraction="kv", engines={"records": "cluster"}, config={"watch": True})
        with pytest.raises(InvalidArgument, match="not all of them have the log") as caught:
            await stage.client(Namespaces).put(namespace=spec)
        assert "changes_log" in (caught.value.hint or "")
        assert caught.value.field == "namespace.config.watch"
        unwatched = msgspec.structs.replace(spec, config={})
        assert (await stage.client(Namespaces).put(namespace=unwatched)).version == 1


async def test_a_stage_that_declares_such_a_namespace_does_not_start(environment: VirtualEnvironment) -> None:
    declared = {"abstraction": "kv", "engines": {"records": "cluster"}, "config": {"watch": True}}
    stage = Stage.open(
        data="memory:",
        config=CLUSTER | {"namespaces": {"people": declared}},
        engines={"cluster": Shared(environment)},
        variables={},
    )
    with pytest.raises(InvalidArgument, match="not all of them have the log"):
        await stage.start()
    await stage.stop()


async def test_without_the_log_that_the_stage_file_names_they_are_refused_by_their_own_knob(
    environment: VirtualEnvironment,
) -> None:
    engines = {"cluster": Shared(environment)}
    config = CLUSTER | {"systems": {"kv": {"changes_log": "nowhere"}}}
    async with Stage.open(data="memory:", config=config, engines=engines, variables={}) as stage:
        spec = NamespaceSpec(name="people", abstraction="kv", engines={"records": "cluster"}, config={"watch": True})
        with pytest.raises(InvalidArgument, match=r"no engine 'nowhere' \(knob systems.kv.changes_log\)") as caught:
            await stage.client(Namespaces).put(namespace=spec)
        assert caught.value.field == "namespace.config.watch"
