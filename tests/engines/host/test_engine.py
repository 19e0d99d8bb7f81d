"""The way to an engine of another process: greeted, bounded, lost and found again."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.engines.host.hosted import Hosted

from soundstage.core import version
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import (
    DeadlineExceeded,
    Exhausted,
    Internal,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
    Unavailable,
)
from soundstage.engines.host import HostEngine, HostServer, engine, link, place, server
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Batch, Capability, Condition, Conditional, Statistics, TableSpec

TABLE = "suite/items"


class Slow(MemoryRecords):
    """Answers `tables` when it is told to, and tells how many were asked for at once."""

    def __init__(self, environment: VirtualEnvironment) -> None:
        super().__init__(environment)
        self.go = asyncio.Event()
        self.asked = self.cancelled = 0
        self.broken = False

    async def tables(self) -> list[TableSpec]:
        if self.broken:
            raise RuntimeError("a secret")
        self.asked += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return await super().tables()


@pytest.fixture
def environment() -> VirtualEnvironment:
    return VirtualEnvironment(seed=3)


@pytest.fixture
async def hosted(tmp_path: Path, environment: VirtualEnvironment) -> AsyncIterator[Hosted]:
    hosted = Hosted(Slow(environment), "records", tmp_path, environment)
    await hosted.start()
    await hosted.create_table(TableSpec(name=TABLE, conditional=True))
    yield hosted
    await hosted.stop()


def put(environment: VirtualEnvironment, value: bytes = b"v") -> Batch:
    return Batch(cells=[(b"k", version.put(environment.now_us(), "token", value))])


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - what is waited for tells nobody
        await asyncio.sleep(0)


def ignore(*_: object) -> None: ...


async def outcome(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except Unavailable as error:
        return error.outcome, error.retryable


async def test_what_the_engine_raises_arrives_whole(hosted: Hosted, environment: VirtualEnvironment) -> None:
    guard = Conditional(
        conditions=[Condition(b"k", None)], token="t", digest=b"", limit_us=environment.now_us() + 1_000_000
    )
    await hosted.apply(TABLE, b"p", put(environment))
    with pytest.raises(PreconditionFailed) as refused:
        await hosted.apply(TABLE, b"p", put(environment), conditional=guard)
    assert (refused.value.field, refused.value.hint is not None) == ("condition", True)


async def test_a_defect_of_the_engine_is_told_without_its_words(hosted: Hosted, caplog: Any) -> None:
    hosted.behind.broken = True
    with pytest.raises(Internal) as told:
        await hosted.tables()
    assert "secret" not in str(told.value)
    assert "a secret" in caplog.text


async def test_an_engine_may_refuse_before_there_is_anything_to_wait_for(
    hosted: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses() -> None:
        raise NotFound("nothing here")

    second = Hosted(hosted.behind, "records", hosted.path.parent / "second", VirtualEnvironment())
    monkeypatch.setattr(hosted.behind, "tables", refuses)
    await second.server.start()
    await second.host.start()
    with pytest.raises(NotFound, match="nothing here"):
        await second.host.tables()
    assert len(second.server.links) == 1
    await second.host.stop()
    await second.server.stop()


async def test_a_deadline_is_kept_on_the_other_side(hosted: Hosted, environment: VirtualEnvironment) -> None:
    environment.advance(1)
    with pytest.raises(DeadlineExceeded) as late:
        await hosted.apply(TABLE, b"p", put(environment), deadline_ns=environment.monotonic_ns() - 1)
    assert late.value.outcome == "not_applied"


async def test_calls_of_capabilities_that_the_engine_has_not_are_not_there(hosted: Hosted) -> None:
    assert isinstance(hosted.host, Statistics) == isinstance(hosted.behind, Statistics)
    assert not hasattr(hosted.host, "checkpoint")


async def test_a_caller_that_gives_up_ends_the_call_on_the_other_side(hosted: Hosted) -> None:
    call = asyncio.ensure_future(hosted.tables())
    await until(lambda: hosted.behind.asked == 1)
    call.cancel()
    await until(lambda: hosted.behind.cancelled == 1)


async def test_many_calls_are_under_way_at_once(hosted: Hosted) -> None:
    calls = [asyncio.ensure_future(hosted.tables()) for _ in range(50)]
    await until(lambda: hosted.behind.asked == 50)
    hosted.behind.go.set()
    assert {len(found) for found in await asyncio.gather(*calls)} == {1}


async def test_more_calls_than_may_be_under_way_wait_for_their_turn(
    hosted: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "CALLS_MAX", 3)
    calls = [asyncio.ensure_future(hosted.tables()) for _ in range(8)]
    await until(lambda: hosted.behind.asked == 3)
    for _ in range(20):
        await asyncio.sleep(0)
    assert hosted.behind.asked == 3
    hosted.behind.go.set()
    await asyncio.gather(*calls)
    assert hosted.behind.asked == 8


async def test_one_that_gives_up_while_it_waits_leaves_its_turn_to_the_next(
    hosted: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "CALLS_MAX", 1)
    calls = [asyncio.ensure_future(hosted.tables()) for _ in range(4)]
    await until(lambda: hosted.behind.asked == 1)
    calls[1].cancel()
    calls[2].cancel()
    hosted.behind.go.set()
    assert len(await calls[3]) == 1


async def test_bytes_under_way_are_bounded_and_one_large_call_goes_alone(
    hosted: Hosted, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "BYTES_MAX", 1_000)
    large = [put(environment, bytes(5_000)) for _ in range(3)]
    writes = [hosted.apply(TABLE, b"%d" % number, batch) for number, batch in enumerate(large)]
    assert len(await asyncio.gather(*writes)) == 3


async def test_more_than_may_wait_are_refused(hosted: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "CALLS_MAX", 1)
    monkeypatch.setattr(link, "WAITING_MAX", 2)
    calls = [asyncio.ensure_future(hosted.tables()) for _ in range(3)]
    await until(lambda: hosted.behind.asked == 1)
    with pytest.raises(Exhausted):
        await hosted.tables()
    hosted.behind.go.set()
    await asyncio.gather(*calls)


async def test_a_server_refuses_more_calls_than_it_carries(hosted: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CALLS_MAX", 2)
    calls = [asyncio.ensure_future(hosted.tables()) for _ in range(2)]
    await until(lambda: hosted.behind.asked == 2)
    with pytest.raises(Exhausted):
        await hosted.tables()
    hosted.behind.go.set()
    await asyncio.gather(*calls)


async def test_an_answer_that_is_too_large_is_refused(hosted: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    hosted.behind.go.set()
    monkeypatch.setattr(server, "FRAME_MAX_BYTES", 10)
    with pytest.raises(Exception, match="the answer has"):
        await hosted.tables()


async def test_a_call_that_is_too_large_is_not_sent(
    hosted: Hosted, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "FRAME_MAX_BYTES", 10)
    with pytest.raises(Exception, match="the call has"):
        await hosted.apply(TABLE, b"p", put(environment))


async def test_calls_under_way_when_the_owner_goes_are_unknown_and_may_be_repeated(hosted: Hosted) -> None:
    call = asyncio.ensure_future(outcome(hosted.tables()))
    await until(lambda: hosted.behind.asked == 1)
    await hosted.server.stop()
    assert await call == ("unknown", True)


async def test_calls_while_the_owner_is_away_are_not_sent(hosted: Hosted) -> None:
    await hosted.server.stop()
    await until(lambda: hosted.host.lost is not None)
    assert await outcome(hosted.tables()) == ("not_applied", True)


async def test_an_owner_that_comes_back_is_found_again(hosted: Hosted) -> None:
    hosted.behind.go.set()
    await hosted.server.stop()
    await until(lambda: hosted.host.lost is not None)
    await hosted.server.start()
    await until(lambda: hosted.host.lost is None)
    assert len(await hosted.tables()) == 1


async def test_an_owner_that_is_away_is_looked_for_ever_more_slowly(
    hosted: Hosted, environment: VirtualEnvironment
) -> None:
    await hosted.server.stop()
    await until(lambda: hosted.host.lost is not None)
    began_ns, looks = environment.monotonic_ns(), 0
    while environment.monotonic_ns() - began_ns < 60e9:
        before_ns = environment.monotonic_ns()
        await until(lambda: environment.monotonic_ns() > before_ns)  # noqa: B023
        looks += 1
    assert looks < 80


async def test_one_that_comes_back_with_other_capabilities_is_not_used(hosted: Hosted) -> None:
    await hosted.server.stop()
    await until(lambda: hosted.host.lost is not None)
    hosted.behind.capabilities = frozenset()
    await hosted.server.start()
    await until(lambda: "other capabilities" in (hosted.host.lost or ""))
    assert await outcome(hosted.tables()) == ("not_applied", True)


@pytest.mark.parametrize("shared", [True, False])
async def test_an_engine_elsewhere_is_as_shared_as_the_one_behind_it(tmp_path: Path, shared: bool) -> None:
    environment = VirtualEnvironment()
    behind = MemoryRecords(environment)
    behind.capabilities |= {Capability.SHARED} if shared else set[Capability]()
    hosted = Hosted(behind, "records", tmp_path, environment)
    await hosted.start()
    assert (Capability.SHARED in hosted.host.capabilities) == shared
    await hosted.stop()


async def test_records_elsewhere_say_that_others_may_go_by_them_too(hosted: Hosted) -> None:
    assert hosted.host.capabilities == hosted.behind.capabilities | {Capability.HOSTED}


async def test_an_owner_that_hangs_is_lost(hosted: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "PING_S", 0.001)
    monkeypatch.setattr(server.ServerLink, "data_received", ignore)
    stuck = HostEngine(hosted.path, "records", "default", VirtualEnvironment())
    with pytest.raises(Unavailable):
        await stuck.start()
    await stuck.stop()


async def test_an_owner_that_is_slow_but_alive_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "PING_S", 0.001)
    environment = VirtualEnvironment()
    hosted = Hosted(Slow(environment), "records", tmp_path, environment)
    await hosted.start()
    call = asyncio.ensure_future(hosted.tables())
    pongs = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.call_later(0.02, pongs.set)
    await pongs.wait()
    hosted.behind.go.set()
    assert await call == []
    await hosted.stop()


async def test_another_release_is_refused_from_either_side(hosted: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "__version__", "0.0.1")
    other = HostEngine(hosted.path, "records", "default", VirtualEnvironment())
    with pytest.raises(InvalidArgument, match=r"0\.0\.1"):
        await other.start()


async def test_another_protocol_is_refused(hosted: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "PROTOCOL", 2)
    other = HostEngine(hosted.path, "records", "default", VirtualEnvironment())
    with pytest.raises(InvalidArgument, match="release"):
        await other.start()


async def test_another_clock_is_refused(hosted: Hosted) -> None:
    environment = VirtualEnvironment()
    environment.advance(3_600)
    other = HostEngine(hosted.path, "records", "default", environment)
    with pytest.raises(InvalidArgument, match="clock"):
        await other.start()


async def test_an_engine_that_the_owner_has_not_is_named(hosted: Hosted) -> None:
    other = HostEngine(hosted.path, "records", "archive", VirtualEnvironment())
    with pytest.raises(NotFound, match="archive") as refused:
        await other.start()
    assert refused.value.hint == "it has default"


async def test_without_an_owner_there_is_nothing_to_start_with(tmp_path: Path) -> None:
    alone = HostEngine(tmp_path / "HOST", "records", "default", VirtualEnvironment())
    with pytest.raises(Unavailable, match="HOST"):
        await alone.start()
    assert await outcome(alone.tables()) == ("not_applied", False)  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("sent", [b"\xff" * 64, b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\1\1\0\5" + bytes(8) + b"\x90"])
async def test_whoever_speaks_another_protocol_is_cut_off(hosted: Hosted, sent: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(sock=place.connected(hosted.path))
    writer.write(sent)
    assert await reader.read() == b""
    writer.close()


async def test_several_processes_may_use_one_engine(hosted: Hosted, environment: VirtualEnvironment) -> None:
    second: Any = HostEngine(hosted.path, "records", "default", environment)
    await second.start()
    await hosted.apply(TABLE, b"p", put(environment))
    page = await second.get(TABLE, b"p", [b"k"], environment.now_us())
    await second.stop()
    assert len(page.rows) == 1


async def test_a_server_without_connections_stops_twice(tmp_path: Path, environment: VirtualEnvironment) -> None:
    idle = HostServer({}, tmp_path / "HOST", environment)
    await idle.start()
    await idle.stop()
    await idle.stop()
    assert os.listdir(tmp_path) == []
