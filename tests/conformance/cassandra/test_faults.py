"""A real node that is killed, hangs, refuses or has kept too many dead rows: what callers see, and what is kept."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Generator
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from tests.conformance.calls import within
from tests.conformance.cassandra.conftest import link_to
from tests.conformance.held import held
from tests.conformance.limits import file_limit
from tests.conformance.passwords import let_in_by_variable
from tests.conformance.pauses import paused

from soundstage.core import version
from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import DeadlineExceeded, SoundstageError, Unauthenticated, Unavailable
from soundstage.engines.records.cassandra import CassandraRecords, Link
from soundstage.engines.records.port import ALL, Batch, Budget, Conditional, Span, TableSpec
from soundstage.runtime.config import EngineConfig
from soundstage.servers import Cluster
from soundstage.servers.ports import free_port

TOMBSTONES_MAX = 1_000
SETTINGS = {
    "authenticator": "PasswordAuthenticator",
    "tombstone_failure_threshold": str(TOMBSTONES_MAX),
    "heap_mb": "384",
}
PLAIN, GUARDED = "faults/plain", "faults/guarded"

LARGE_BYTES = 3 << 20
FULL_BYTES = 8 << 20
"""Half of a segment of the commit log: the next one cannot be made, as on a disk without room for it."""

ENDED_S = 45.0
"""By then a call of a second is over, on any machine: half of what a call without a deadline is tried for."""

TRIES_MAX = 64
"""Several times what segments that are there already can hold."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`node.pem`, the key of a node with its certificate for 127.0.0.1, `ca.pem`, who signed it, and a stranger's."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
    (folder / "node.pem").write_bytes(pem + chain + authority.cert_pem.bytes())
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    trustme.CA().cert_pem.write_to_path(str(folder / "stranger.pem"))
    return folder


@pytest.fixture(scope="module")
def guarded_node(certificates: Path) -> Generator[Cluster]:
    """It asks for passwords, and takes TLS and plain connections."""
    with Cluster("cassandra", settings={**SETTINGS, "tls_pem": str(certificates / "node.pem")}) as started:
        yield started


@pytest.fixture(scope="module")
def password_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("secret") / "password"
    path.write_text("cassandra\n")
    return str(path)


@pytest.fixture(scope="module")
def link(guarded_node: Cluster, password_file: str) -> Generator[Link]:
    with held(link_to(guarded_node.url, "user=cassandra&attempt_s=2&patience_s=90", password_file)) as found:
        yield found


async def no_more_connections_than_one(link: Link) -> None:
    """Whatever a test did to the node: the driver needs one for requests."""
    counts: list[int] = []
    for _ in range(600):
        counts = [state["open_count"] for state in link.session.get_pool_state().values()]
        if all(count <= 1 for count in counts):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"there are {counts} connections")


@pytest.fixture
async def engine(link: Link) -> AsyncIterator[CassandraRecords]:
    opened = CassandraRecords(link, SystemEnvironment(), f"faults-{time.time_ns()}")
    await opened.start()
    await opened.create_table(TableSpec(name=PLAIN, max_lag_us=0, delete_ttl_min_us=0, delete_ttl_max_us=0))
    await opened.create_table(TableSpec(name=GUARDED, conditional=True))
    tasks = asyncio.all_tasks()
    yield opened
    left = opened.parts.requests.in_flight, opened.parts.requests.waiting
    await opened.stop()
    assert (left, asyncio.all_tasks() - tasks - {asyncio.current_task()}) == ((0, 0), set())
    await no_more_connections_than_one(link)


def now_us() -> int:
    return time.time_ns() // 1_000


def put(key: bytes, value: bytes = b"value") -> Batch:
    return Batch(cells=[(key, version.put(now_us(), f"token-{key.decode()}", value))])


async def keys_of(engine: CassandraRecords, table: str, record: bytes) -> set[bytes]:
    found: set[bytes] = set()
    span = ALL
    while True:
        page = await engine.read(table, record, span, Budget(), now_us())
        found |= {key for key, _ in page.rows}
        if page.resume is None:
            return found
        span = Span(page.resume)


async def recovered(engine: CassandraRecords, within_s: float = 180.0) -> None:
    """The engine answers again."""
    ends = time.monotonic() + within_s
    while True:
        try:
            await engine.apply(PLAIN, b"recovered", put(b"key"), deadline_ns=within(1))
        except (Unavailable, DeadlineExceeded):
            assert time.monotonic() < ends, "it did not recover"
        else:
            return


async def timed(call: Awaitable[object]) -> tuple[SoundstageError, float]:
    """The refusal that a call ends with, and after how long."""
    began = time.monotonic()
    with pytest.raises(SoundstageError) as refused:
        await call
    return refused.value, time.monotonic() - began


async def test_nothing_acknowledged_is_lost_when_the_node_is_killed(
    engine: CassandraRecords, guarded_node: Cluster
) -> None:
    tables = (PLAIN, GUARDED)
    acknowledged: dict[str, set[bytes]] = {table: set() for table in tables}
    stopping, progress = asyncio.Event(), asyncio.Event()

    async def write(table: str, writer: int) -> None:
        number = 0
        while not stopping.is_set():
            key = b"%d-%06d" % (writer, number)
            number += 1
            try:
                await engine.apply(table, b"record-%d" % writer, put(key), deadline_ns=within(1))
            except (Unavailable, DeadlineExceeded):
                continue
            acknowledged[table].add(key)
            progress.set()

    async def more(count: int) -> None:
        until = {table: len(keys) + count for table, keys in acknowledged.items()}
        while any(len(acknowledged[table]) < wanted for table, wanted in until.items()):
            progress.clear()
            await progress.wait()

    writers = [asyncio.ensure_future(write(table, number)) for table in tables for number in range(8)]
    await more(100)
    guarded_node.servers[0].kill()
    await asyncio.to_thread(guarded_node.restart)
    await recovered(engine)
    await more(50)
    stopping.set()
    await asyncio.gather(*writers)
    kept = {
        table: set[bytes]().union(*[await keys_of(engine, table, b"record-%d" % number) for number in range(8)])
        for table in tables
    }
    assert {table: acknowledged[table] - kept[table] for table in tables} == {table: set[bytes]() for table in tables}


async def test_a_node_that_hangs_ends_calls_at_their_deadline(engine: CassandraRecords, guarded_node: Cluster) -> None:
    asked = Conditional(conditions=[], token="call", digest=b"", limit_us=now_us() + 10**9)
    await engine.apply(PLAIN, b"record", put(b"before"))
    async with paused(*guarded_node.servers):
        ended = await asyncio.gather(
            timed(engine.apply(PLAIN, b"record", put(b"during"), deadline_ns=within(1))),
            timed(engine.apply(GUARDED, b"record", put(b"during"), conditional=asked, deadline_ns=within(1))),
            timed(engine.apply(GUARDED, b"other", put(b"during"), deadline_ns=within(1))),
        )
        page = await engine.read(PLAIN, b"record", ALL, Budget(deadline_ns=within(0.5)), now_us())
    assert all(took_s < ENDED_S for _, took_s in ended)
    assert {type(error) for error, _ in ended} <= {Unavailable, DeadlineExceeded}
    assert ended[0][0].outcome == "unknown"
    assert (page.rows, page.resume) == ([], b"")
    await recovered(engine)
    assert b"before" in await keys_of(engine, PLAIN, b"record")


async def test_a_node_that_is_slow_does_all_in_the_end(engine: CassandraRecords, guarded_node: Cluster) -> None:
    (server,) = guarded_node.servers

    async def slow() -> None:
        try:
            while True:
                server.pause()
                await asyncio.sleep(0.05)
                server.resume()
                await asyncio.sleep(0.02)
        finally:
            server.resume()

    names = [b"%02d" % number for number in range(20)]
    slowing = asyncio.ensure_future(slow())
    try:
        for table in (PLAIN, GUARDED):
            for name in names:
                await engine.apply(table, b"slow", put(name), deadline_ns=within(60))
        found = [await keys_of(engine, table, b"slow") for table in (PLAIN, GUARDED)]
    finally:
        slowing.cancel()
        await asyncio.wait((slowing,))
    assert found == [set(names)] * 2


async def test_a_call_repeated_after_a_hang_has_one_effect(engine: CassandraRecords, guarded_node: Cluster) -> None:
    batch = put(b"key")
    asked = Conditional(conditions=[], token="call", digest=b"same", limit_us=now_us() + 10**9)
    guarded_node.servers[0].pause()
    call = asyncio.ensure_future(engine.apply(GUARDED, b"once", batch, conditional=asked, deadline_ns=within(60)))
    await asyncio.sleep(3)
    guarded_node.servers[0].resume()
    first_us = await call
    assert await engine.apply(GUARDED, b"once", batch, conditional=asked) == first_us


async def test_a_node_that_is_down_is_unavailable_and_nothing_was_applied(
    engine: CassandraRecords, guarded_node: Cluster
) -> None:
    guarded_node.servers[0].kill()
    try:
        await timed(engine.apply(PLAIN, b"down", put(b"first"), deadline_ns=within(1)))
        error, took_s = await timed(engine.apply(PLAIN, b"down", put(b"second"), deadline_ns=within(1)))
    finally:
        await asyncio.to_thread(guarded_node.restart)
    assert (type(error), error.outcome, error.retryable) == (Unavailable, "not_applied", True)
    assert took_s < ENDED_S
    await recovered(engine)


async def test_a_node_whose_disk_is_full_takes_nothing_and_loses_nothing(
    engine: CassandraRecords, guarded_node: Cluster
) -> None:
    (node,) = guarded_node.servers
    acknowledged: set[bytes] = set()
    ended: list[SoundstageError] = []
    assert node.pid is not None
    with file_limit(node.pid, FULL_BYTES):
        for number in range(TRIES_MAX):
            key = b"%02d" % number
            try:
                await engine.apply(PLAIN, b"full", put(key, bytes(LARGE_BYTES)), deadline_ns=within(2))
            except SoundstageError as error:
                ended.append(error)
                if len(ended) == 2:
                    break
            else:
                acknowledged.add(key)
    # What stops a node for a full disk is started again by whoever made room.
    await asyncio.to_thread(guarded_node.restart)
    await recovered(engine)
    assert len(ended) == 2
    assert {type(error) for error in ended} <= {Unavailable, DeadlineExceeded}
    assert {error.outcome for error in ended} <= {"unknown", "not_applied"}
    assert all(error.retryable for error in ended if isinstance(error, Unavailable))
    assert acknowledged - await keys_of(engine, PLAIN, b"full") == set()


async def test_a_refused_connection_fails_the_start_with_the_reason() -> None:
    engine = CassandraRecords(
        link_to(f"cassandra://127.0.0.1:{free_port(['127.0.0.1'], random.Random(), set())}"), SystemEnvironment()
    )
    error, took_s = await timed(engine.start())
    assert (type(error), took_s < ENDED_S) == (Unavailable, True)
    assert "refused" in str(error)
    await engine.stop()


async def test_a_wrong_password_fails_the_start_at_once(guarded_node: Cluster, link: Link, tmp_path: Path) -> None:
    assert link.session is not None
    path = tmp_path / "password"
    path.write_text("guess")
    engine = CassandraRecords(link_to(guarded_node.url, "user=cassandra", str(path)), SystemEnvironment())
    error, _ = await timed(engine.start())
    assert (type(error), bool(error.hint)) == (Unauthenticated, True)


@pytest.mark.parametrize("query", ["", "&tls_ca={0}/ca.pem"], ids=["plain", "over TLS"])
async def test_a_password_in_a_variable_lets_in_and_a_wrong_one_does_not(
    guarded_node: Cluster, link: Link, certificates: Path, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    assert link.session is not None
    url = f"{guarded_node.url}/suite?user=cassandra&space=variable{query.format(certificates)}"
    await let_in_by_variable(monkeypatch, EngineConfig(url=url), "cassandra")


async def test_over_tls_all_is_as_without(guarded_node: Cluster, certificates: Path, password_file: str) -> None:
    query = f"user=cassandra&tls_ca={certificates}/ca.pem&space=tls"
    engine = CassandraRecords(link_to(guarded_node.url, query, password_file), SystemEnvironment())
    await engine.start()
    await engine.create_table(TableSpec(name=PLAIN))
    await engine.apply(PLAIN, b"record", put(b"key"))
    kept = await keys_of(engine, PLAIN, b"record")
    await engine.stop()
    assert kept == {b"key"}


@pytest.mark.parametrize("query", ["tls_ca={0}/stranger.pem", "tls_ca={0}/ca.pem&tls_server_name=elsewhere.example"])
async def test_a_node_that_is_not_who_it_should_be_fails_the_start_with_the_reason(
    guarded_node: Cluster, certificates: Path, password_file: str, query: str
) -> None:
    link = link_to(guarded_node.url, f"user=cassandra&{query.format(certificates)}", password_file)
    error, _ = await timed(CassandraRecords(link, SystemEnvironment()).start())
    assert "certificate" in str(error).lower()


async def test_an_engine_that_stops_leaves_no_thread(guarded_node: Cluster, password_file: str, link: Link) -> None:
    assert link.session is not None
    before = {thread.name for thread in threading.enumerate() if "asyncio" not in thread.name}
    for _ in range(2):
        own = CassandraRecords(link_to(guarded_node.url, "user=cassandra", password_file), SystemEnvironment())
        await own.start()
        await own.stop()
    left: set[str] = set()
    for _ in range(100):
        left = {thread.name for thread in threading.enumerate() if "asyncio" not in thread.name} - before
        if not left:
            break
        await asyncio.sleep(0.05)
    assert left == set()


DEAD = 4 * TOMBSTONES_MAX
SWEEPS_MAX = 200


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("numbers", [(0, DEAD // 2, DEAD - 1), (DEAD - 1,), ()])
async def test_a_read_past_too_many_dead_rows_goes_on_in_smaller_ranges(
    engine: CassandraRecords, reverse: bool, numbers: tuple[int, ...]
) -> None:
    cells = [(b"%06d" % number, version.put(now_us(), "put", b"")) for number in range(DEAD)]
    live = {cells[number][0] for number in numbers}
    await engine.apply(PLAIN, b"thick", Batch(cells=cells))
    # One statement each: ranges would be few tombstones.
    parts = engine.parts
    table = await parts.catalogue.table(PLAIN)
    deletes = [
        (table.statements.delete, (now_us(), table.number, b"thick", 2, key)) for key, _ in cells if key not in live
    ]
    await parts.requests.write_all(deletes)
    found: list[bytes] = []
    span = Span(reverse=reverse)
    pages = 0
    while True:
        page = await engine.read(PLAIN, b"thick", span, Budget(), now_us())
        found += [key for key, _ in page.rows]
        pages += 1
        if page.resume is None:
            break
        span = Span(b"", page.resume, True) if reverse else Span(page.resume)
    assert found == sorted(live, reverse=reverse)
    assert 1 < pages < 100


async def test_of_a_dropped_table_all_is_erased_but_a_record_with_too_many_dead_rows(link: Link) -> None:
    own = CassandraRecords(link, SystemEnvironment(), f"erased-{time.time_ns()}")
    await own.start()
    for name in ("first", "second"):
        await own.create_table(TableSpec(name=name))
        for number in range(5):
            await own.apply(name, b"record-%d" % number, put(b"key"))
    cells = [(b"%06d" % number, version.put(now_us(), "put", b"")) for number in range(DEAD)]
    await own.apply("first", b"thick", Batch(cells=cells))
    parts = own.parts
    tables = [await parts.catalogue.table(name) for name in ("first", "second")]
    first = tables[0]
    deletes = [(first.statements.delete, (now_us(), first.number, b"thick", 2, key)) for key, _ in cells]
    await parts.requests.write_all(deletes)
    for name in ("first", "second"):
        await own.drop_table(name)
    left: list[object] = [None]
    for _ in range(SWEEPS_MAX):
        if parts.eraser.overgrown and not any(left):
            break
        await own.sweep(100)
        left = [
            await parts.requests.read(table.statements.header, (table.number, b"record-%d" % number))
            for table in tables
            for number in range(5)
        ]
    warning = own.warning
    await own.stop()
    assert left == [[]] * 10
    assert "too many dead rows" in str(warning)
