"""Two data centres with one node and one copy of each row in each: what each level of consistency is promised."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Generator
from contextlib import AsyncExitStack
from typing import NamedTuple

import pytest
from tests.conformance.calls import within
from tests.conformance.cassandra.conftest import link_to
from tests.conformance.cassandra.scoped import (
    ALONE,
    DECIDED,
    GLOBAL_LOOSE,
    IN_SET,
    LARGE_BYTES,
    NAMESPACES,
    NEAR,
    RECORD,
    TOGETHER,
    TURNED_DOWN,
    Side,
    declare,
    open_stage,
)
from tests.conformance.held import held
from tests.conformance.outbox.test_sets import Sets
from tests.data.kv.conftest import item
from tests.data.kv.test_mutations import put as put_in_set

from soundstage.core import version
from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import DeadlineExceeded, InvalidArgument, NotFound, SoundstageError, Unavailable
from soundstage.core.hlc import TokenClock
from soundstage.core.namespace import NamespaceSpec
from soundstage.engines.records.cassandra import CassandraRecords, Link
from soundstage.engines.records.port import ALL, Batch, Budget, TableSpec
from soundstage.runtime.namespaces import Namespaces
from soundstage.runtime.stage import Stage
from soundstage.servers import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PLAIN, GUARDED = "centres/plain", "centres/guarded"
LOCAL = {
    "centres/local": TableSpec(name="centres/local", scope="local"),
    "centres/local-loose": TableSpec(name="centres/local-loose", scope="local", eventual=True),
    "centres/local-guarded": TableSpec(name="centres/local-guarded", scope="local", conditional=True, serial=True),
}
GLOBAL = {
    "centres/global": TableSpec(name="centres/global", scope="global"),
    "centres/global-guarded": TableSpec(name="centres/global-guarded", scope="global", conditional=True, serial=True),
}
LOOSE = TableSpec(name="centres/global-loose", scope="global", eventual=True)
WAIT_S, DEADLINE_S, ENDED_S = 60.0, 2.0, 45.0
QUERY = "attempt_s=2&patience_s=90&replication=1"


@pytest.fixture(scope="module")
def centres() -> Generator[Cluster]:
    with Cluster("cassandra", nodes=2, settings={"data_centres": "2", "heap_mb": "320"}) as started:
        yield started


class Links(NamedTuple):
    """Connections: of one that decides in the first data centre, of one in the second, and of one for both."""

    here: Link
    there: Link
    everywhere: Link


@pytest.fixture(scope="module")
def links(centres: Cluster) -> Generator[Links]:
    here, there = (f"{QUERY}&consistency=local_quorum&local_dc=datacenter{each}" for each in (1, 2))
    with (
        held(link_to(centres.url, here)) as one,
        held(link_to(centres.url, there)) as two,
        held(link_to(centres.url, f"{QUERY}&consistency=quorum&local_dc=datacenter1")) as both,
    ):
        yield Links(one, two, both)


class Engines(NamedTuple):
    here: CassandraRecords
    there: CassandraRecords
    everywhere: CassandraRecords


@pytest.fixture
async def engines(links: Links) -> AsyncIterator[Engines]:
    """On tables of their own, which all of them know."""
    space = f"centres-{time.time_ns()}"
    async with AsyncExitStack() as stack:
        opened: list[CassandraRecords] = []
        for link in links:
            engine = CassandraRecords(link, SystemEnvironment(), space)
            await engine.start()
            stack.push_async_callback(engine.stop)
            opened.append(engine)
        found = Engines(*opened)
        await found.everywhere.create_table(TableSpec(name=PLAIN))
        await found.everywhere.create_table(TableSpec(name=GUARDED, conditional=True))
        scoped = (*LOCAL.values(), *GLOBAL.values(), LOOSE)
        for spec in scoped:
            await found.everywhere.create_table(spec)
        for engine in (found.here, found.there):
            await engine.tables()
            for name in (PLAIN, GUARDED):
                await known(engine, name)
        yield found


def now_us() -> int:
    return time.time_ns() // 1_000


async def known(engine: CassandraRecords, table: str) -> None:
    """The engine's data centre has heard of a table."""
    ends = time.monotonic() + WAIT_S
    while True:
        try:
            await engine.read(table, b"none", ALL, Budget(), now_us())
        except NotFound:
            assert time.monotonic() < ends, "the other data centre never heard of it"
            await asyncio.sleep(0.05)
        else:
            return


async def put(engine: CassandraRecords, table: str, key: bytes, seconds: float = WAIT_S) -> None:
    batch = Batch(cells=[(key, version.put(now_us(), f"token-{key.decode()}", b"value"))])
    await engine.apply(table, b"record", batch, deadline_ns=within(seconds))


async def keys(engine: CassandraRecords, table: str, seconds: float = WAIT_S) -> set[bytes]:
    page = await engine.read(table, b"record", ALL, Budget(deadline_ns=within(seconds)), now_us())
    assert page.resume is None
    return {key for key, _ in page.rows}


async def arrived(engine: CassandraRecords, table: str, key: bytes) -> None:
    """What is written in one data centre comes to the other behind the answer."""
    ends = time.monotonic() + WAIT_S
    while key not in await keys(engine, table):
        assert time.monotonic() < ends, "it did not arrive"
        await asyncio.sleep(0.05)


async def refused(engine: CassandraRecords, table: str) -> tuple[SoundstageError, float]:
    """How a write ends that must fail, and after how long."""
    began = time.monotonic()
    with pytest.raises((Unavailable, DeadlineExceeded)) as error:
        await put(engine, table, b"refused", DEADLINE_S)
    return error.value, time.monotonic() - began


async def unread(engine: CassandraRecords, table: str) -> bool:
    """Whether a read that has a moment shows nothing, and does not say that there is nothing."""
    try:
        page = await engine.read(table, b"record", ALL, Budget(deadline_ns=within(DEADLINE_S)), now_us())
    except Unavailable as error:
        return error.retryable
    return (page.rows, page.resume) == ([], b"")


async def unfound(engine: CassandraRecords) -> bool:
    """Whether who asks all copies is told that one of them does not answer."""
    try:
        await engine.get_from_all("centres/local", b"record", [b"alone"], now_us(), within(DEADLINE_S))
    except (Unavailable, DeadlineExceeded):
        return True
    return False


def test_each_data_centre_has_a_copy_of_each_row(links: Links) -> None:
    row = links.here.session.execute(
        "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = 'suite'"
    ).one()
    copies = {name: count for name, count in row[0].items() if name.startswith("datacenter")}
    assert copies == {"datacenter1": "1", "datacenter2": "1"}


@pytest.mark.parametrize("table", [PLAIN, GUARDED])
async def test_what_a_quorum_of_all_took_is_seen_in_each_data_centre_at_once(engines: Engines, table: str) -> None:
    await put(engines.everywhere, table, b"key")
    assert [await keys(each, table) for each in engines] == [{b"key"}] * 3


async def test_what_one_data_centre_took_comes_to_the_other(engines: Engines) -> None:
    await put(engines.here, PLAIN, b"key")
    assert await keys(engines.here, PLAIN) == {b"key"}
    await arrived(engines.there, PLAIN, b"key")


async def test_what_is_of_global_scope_is_seen_at_once_whatever_the_engine_says(engines: Engines) -> None:
    for table in GLOBAL:
        await put(engines.here, table, b"key")
        assert [await keys(each, table) for each in engines] == [{b"key"}] * 3


async def test_what_one_data_centre_took_alone_comes_to_the_other(engines: Engines) -> None:
    for table in ("centres/local", "centres/local-loose"):
        await put(engines.everywhere, table, b"key")
        await arrived(engines.there, table, b"key")


async def test_what_one_data_centre_decides_is_refused_in_the_other(engines: Engines) -> None:
    await put(engines.everywhere, "centres/local-guarded", b"key")
    with pytest.raises(InvalidArgument, match="'datacenter1' alone"):
        await put(engines.there, "centres/local-guarded", b"other")
    with pytest.raises(InvalidArgument, match="'datacenter1' alone"):
        await keys(engines.there, "centres/local-guarded")


async def test_any_copy_in_any_data_centre_is_found_by_who_asks_them_all(engines: Engines) -> None:
    await put(engines.here, "centres/local-loose", b"key")
    page = await engines.there.get_from_all("centres/local-loose", b"record", [b"key"], now_us())
    assert [key for key, _ in page.rows] == [b"key"]


async def test_with_the_other_data_centre_gone_one_goes_on_alone_and_a_quorum_of_all_is_unavailable(
    centres: Cluster, engines: Engines
) -> None:
    here, _, everywhere = engines
    for table in (PLAIN, GUARDED):
        await put(everywhere, table, b"before")
    centres.servers[1].kill()
    try:
        for table in (PLAIN, GUARDED):
            await put(here, table, b"alone")
        alone = [await keys(here, table) for table in (PLAIN, GUARDED)]
        # Of an engine that asks all data centres, what is of local scope goes on too.
        for table in (*LOCAL, LOOSE.name):
            await put(everywhere, table, b"alone")
        scoped = [await keys(everywhere, table) for table in (*LOCAL, LOOSE.name)]
        ended = [await refused(everywhere, table) for table in (PLAIN, GUARDED, *GLOBAL)]
        nothing_read = await unread(everywhere, PLAIN)
        unknown = await unfound(everywhere)
    finally:
        await asyncio.to_thread(centres.start)
        await asyncio.to_thread(centres.ready)
    assert alone == [{b"before", b"alone"}] * 2
    assert scoped == [{b"alone"}] * 4
    assert nothing_read
    assert unknown
    assert all(took_s < ENDED_S for _, took_s in ended)
    assert all(error.outcome in ("unknown", "not_applied") for error, _ in ended)
    # A quorum of all asks both, so what one took alone is seen.
    for table in (PLAIN, GUARDED):
        await arrived(everywhere, table, b"alone")


class Sides(NamedTuple):
    """A stage in each data centre; the first one decides what is local and has conditions."""

    here: Side
    there: Side


@pytest.fixture
async def sides(centres: Cluster) -> AsyncIterator[Sides]:
    query = f"space=sides-{time.time_ns()}&attempt_s=1&patience_s=30&replication=1&consistency=quorum"
    async with AsyncExitStack() as stack:
        sides: list[Side] = []
        for number in (1, 2):
            stage = await open_stage(f"{centres.url}/suite?{query}&local_dc=datacenter{number}")
            stack.push_async_callback(stage.stop)
            if not sides:
                await declare(stage)
            sides.append(Side(stage))
        await sides[1].stage.client(Namespaces).get(name=DECIDED)
        yield Sides(*sides)


async def test_stages_serve_near_what_is_local_and_everywhere_what_is_global(sides: Sides) -> None:
    here, there = sides
    for name in (*ALONE, *TOGETHER):
        await here.put(name, b"here", value_of(name))
        await there.put(name, b"there", b"value")
        values = {**here.acknowledged[name], **there.acknowledged[name]}
        for side in sides:
            if name in TOGETHER:
                assert await side.shown(name) == values
            await side.until_shown(name, values)
    await here.put(DECIDED, b"here", b"value")
    with pytest.raises(InvalidArgument, match="'datacenter1' alone"):
        await there.put(DECIDED, b"there", b"value")


async def test_a_stage_whose_other_data_centre_is_gone_serves_what_is_local_and_loses_nothing(
    centres: Cluster, sides: Sides
) -> None:
    here, there = sides
    for name in NAMESPACES:
        await here.put(name, b"before", value_of(name))
        await there.until_shown(name, here.acknowledged[name])
    clock = TokenClock(SystemEnvironment())
    tokens = {name: clock.token() for name in TOGETHER}
    sets = Sets(there.stage)
    waiting = await sets.send(*[put_in_set(item(b"set", b"value"), namespace=name, id=RECORD) for name in IN_SET])
    centres.servers[0].kill()
    try:
        await asyncio.gather(*(there.put(name, b"alone", value_of(name)) for name in ALONE))
        served = {name: await there.shown(name) for name in ALONE}
        ended, unread, unserved, elsewhere, too_large, undeclared = await asyncio.gather(
            asyncio.gather(*(there.refused(name, b"alone", DEADLINE_S, token) for name, token in tokens.items())),
            asyncio.gather(*(there.unread(name, DEADLINE_S) for name in TOGETHER)),
            asyncio.gather(*(here.unread(name, DEADLINE_S) for name in (NEAR, *TOGETHER))),
            there.refused(DECIDED, b"alone", DEADLINE_S, clock.token()),
            there.refused(GLOBAL_LOOSE, b"large", DEADLINE_S, clock.token(), bytes(LARGE_BYTES)),
            refused_to_declare(there.stage),
        )
        sets.work()
    finally:
        await asyncio.to_thread(centres.start)
        await asyncio.to_thread(centres.ready)
    assert {name: found.keys() for name, found in served.items()} == {name: {b"before", b"alone"} for name in ALONE}
    assert all(isinstance(error, TURNED_DOWN) for error in (*ended, too_large))
    assert all(error is not None and error.outcome in ("unknown", "not_applied") for error in (*ended, too_large))
    assert "'datacenter1' alone" in str(elsewhere)
    assert all((*unread, *unserved, undeclared))
    # All heals: what waited is done, what was refused may be sent again, and each side has what either acknowledged.
    for name, token in tokens.items():
        await there.put(name, b"alone", b"refused", token=token)
    await sets.until(waiting, "applied")
    for name in NAMESPACES:
        values = {**here.acknowledged[name], **there.acknowledged[name]}
        if name in IN_SET:
            values[b"set"] = b"value"
        for side in sides:
            await side.until_shown(name, values)
    await sets.rest()


def value_of(name: str) -> bytes:
    """Chunks of large values are never eventual: where rows are, everywhere, one copy is not enough for those."""
    return b"value" if name == GLOBAL_LOOSE else bytes(LARGE_BYTES)


async def refused_to_declare(stage: Stage) -> bool:
    """What both data centres must know is not begun by one."""
    spec = NamespaceSpec(name="another", abstraction="kv")
    try:
        await stage.client(Namespaces).with_options(deadline=DEADLINE_S).put(namespace=spec)
    except (Unavailable, DeadlineExceeded):
        return True
    return False
